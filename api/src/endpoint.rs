//! Interfaces that wait on the host until a container runtime moves them into a container.

use ipnetwork::IpNetwork;
use model::{ContainerId, IfName, Mac};
use serde::{Deserialize, Serialize};

use crate::AddressSpecs;

/// Make an interface for a container that is about to start
///
/// The same request again is answered with the same interface as long as nobody moved it; after that the
/// container is taken to start anew, and gets a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRequest {
    /// What the container is known as, over its restarts
    pub container: ContainerId,
    /// Its addresses; none makes an interface without an address
    #[serde(default)]
    pub addresses: AddressSpecs,
    /// What its addresses are called; none leaves them without a name
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An interface on the host, on the network already
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Whose it is
    pub container: ContainerId,
    /// What it is called on the host
    pub interface: IfName,
    /// Its MAC address
    pub mac: Mac,
    /// What the container is to have, in the order in which it was asked for
    pub addresses: Vec<IpNetwork>,
    /// Its MTU
    pub mtu: u16,
}

/// The interface is in its container: complete what the runtime does not do
///
/// It may be asked again; what is there stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Whose it is
    pub container: ContainerId,
    /// The path of the container's network namespace
    pub netns: String,
    /// Have multicast go by this interface, where it goes by no other; at first the runtime sees to that
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multicast_route: bool,
}

/// A container, by what it is known as
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerRequest {
    /// What it is known as
    pub container: ContainerId,
}
