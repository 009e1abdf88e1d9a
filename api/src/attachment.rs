//! Containers on the network.

use ipnetwork::IpNetwork;
use model::{ContainerId, IfName, Mac};
use serde::{Deserialize, Serialize};

use crate::{AddressSpecs, ContainerSpec};

/// Give a container an interface on the network, and addresses
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// The container
    pub container: ContainerSpec,
    /// Its addresses; none attaches it without an address
    #[serde(default)]
    pub addresses: AddressSpecs,
    /// Also route 224.0.0.0/4 to the interface
    #[serde(default = "yes")]
    pub multicast_route: bool,
    /// Also give its addresses the container's name
    #[serde(default = "yes")]
    pub dns: bool,
    /// This name instead of the container's own
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is to be known as, instead of by what names it here: what outlives its process
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ContainerId>,
}

fn yes() -> bool {
    true
}

/// A container was attached, or was already
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The id it is known by
    pub container: ContainerId,
    /// The interface in the container
    pub interface: IfName,
    /// The interface's MAC address
    pub mac: Mac,
    /// Every address it has on the network, earlier ones included
    pub addresses: Vec<IpNetwork>,
    /// Those that this request asked for
    #[serde(default)]
    pub granted: Vec<IpNetwork>,
}

/// Take addresses from a container
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetachRequest {
    /// The container
    pub container: ContainerSpec,
    /// The addresses, by a subnet all of it; none takes them all
    #[serde(default)]
    pub addresses: AddressSpecs,
}

/// Addresses were taken
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// The id it was known by
    pub container: ContainerId,
    /// The addresses that were taken
    pub addresses: Vec<IpNetwork>,
    /// None was left, so the interface is gone too
    pub interface_removed: bool,
}

/// A container on the network
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The id it is known by
    pub container: ContainerId,
    /// Its network namespace: the path or name by which it was attached
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// Its interface's MAC address
    pub mac: Mac,
    /// Its addresses
    pub addresses: Vec<IpNetwork>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default() {
        let request: AttachRequest = serde_json::from_str(r#"{"container":"c1"}"#).unwrap();
        assert!(request.multicast_route && request.addresses.is_empty());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            r#"{"container":"c1","addreses":[]}"#,
            r#"{"container":"","addresses":[]}"#,
            r#"{"container":"c1","addresses":["10.0.1.1"]}"#,
            r#"{"addresses":["10.0.1.1/24"]}"#,
        ] {
            assert!(serde_json::from_str::<AttachRequest>(wrong).is_err(), "{wrong}");
        }
    }
}
