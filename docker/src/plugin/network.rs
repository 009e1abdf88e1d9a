//! What the driver of networks is asked and answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Where all multicast goes
pub const MULTICAST: &str = "224.0.0.0/4";

/// Which drivers there are behind the socket
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Activated {
    /// Their kinds
    pub implements: &'static [&'static str],
}

impl Activated {
    /// A driver of networks only
    pub const NETWORK: Self = Self {
        implements: &["NetworkDriver"],
    };
    /// A driver of networks and one of addresses
    pub const NETWORK_AND_IPAM: Self = Self {
        implements: &["NetworkDriver", "IpamDriver"],
    };
}

/// Whom networks concern
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Capabilities {
    /// `local`: each host's Docker has its own
    pub scope: &'static str,
    /// `global`: they reach other hosts
    pub connectivity_scope: &'static str,
}

/// Docker need not coordinate, and all hosts are reached
impl Default for Capabilities {
    fn default() -> Self {
        Self {
            scope: "local",
            connectivity_scope: "global",
        }
    }
}

/// There is a network
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateNetwork {
    /// Docker's id of it
    #[serde(rename = "NetworkID", deserialize_with = "or_empty")]
    pub network_id: String,
    /// What was said of it, by name
    #[serde(deserialize_with = "or_empty")]
    pub options: Map<String, Value>,
}

/// That network is no more
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteNetwork {
    /// Docker's id of it
    #[serde(rename = "NetworkID", deserialize_with = "or_empty")]
    pub network_id: String,
}

/// A container is to have an interface
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateEndpoint {
    /// Docker's id of the network
    #[serde(rename = "NetworkID", deserialize_with = "or_empty")]
    pub network_id: String,
    /// Docker's id of the interface: another one at each start of a container
    #[serde(rename = "EndpointID", deserialize_with = "or_empty")]
    pub endpoint_id: String,
    /// What of it is decided
    #[serde(deserialize_with = "or_empty")]
    pub interface: Interface,
    /// What was said of it, by name
    #[serde(deserialize_with = "or_empty")]
    pub options: Map<String, Value>,
}

/// The addresses of an interface; empty where not decided
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Interface {
    /// With its prefix
    #[serde(deserialize_with = "or_empty", skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// With its prefix
    #[serde(
        rename = "AddressIPv6",
        deserialize_with = "or_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub address_ipv6: String,
    /// Of its hardware
    #[serde(deserialize_with = "or_empty", skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
}

/// The interface is there; it says only what the request left open
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointCreated {
    /// What was decided
    pub interface: Interface,
}

/// Which interface of which network: of `DeleteEndpoint`, `EndpointOperInfo`, `Leave` and others
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointRef {
    /// Docker's id of the network
    #[serde(rename = "NetworkID", deserialize_with = "or_empty")]
    pub network_id: String,
    /// Docker's id of the interface
    #[serde(rename = "EndpointID", deserialize_with = "or_empty")]
    pub endpoint_id: String,
}

/// What there is to say of an interface
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointInfo {
    /// By name
    pub value: BTreeMap<String, String>,
}

/// Which interface is to be moved where?
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Join {
    /// Docker's id of the network
    #[serde(rename = "NetworkID", deserialize_with = "or_empty")]
    pub network_id: String,
    /// Docker's id of the interface
    #[serde(rename = "EndpointID", deserialize_with = "or_empty")]
    pub endpoint_id: String,
    /// The file that the container's namespace will be known by
    #[serde(deserialize_with = "or_empty")]
    pub sandbox_key: String,
    /// What was said of it, by name
    #[serde(deserialize_with = "or_empty")]
    pub options: Map<String, Value>,
}

/// What is moved into a container, and which routes it gets
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Joined {
    /// The interface
    pub interface_name: InterfaceName,
    /// Routes by it
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_routes: Vec<Route>,
    /// Whether Docker is not to add its own bridge as a way out
    pub disable_gateway_service: bool,
}

/// An interface: its name here, and what Docker's name for it in the container begins with
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InterfaceName {
    /// On the host
    pub src_name: String,
    /// In the container; Docker puts a number behind it
    pub dst_prefix: String,
}

/// A route of a container
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Route {
    /// Where to, with its prefix
    pub destination: String,
    /// 0: by `next_hop`; 1: by the interface itself
    pub route_type: u8,
    /// By whom
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_hop: String,
}

impl Route {
    /// All multicast goes by the interface
    pub fn multicast() -> Self {
        Self {
            destination: MULTICAST.to_owned(),
            route_type: 1,
            next_hop: String::new(),
        }
    }
}

/// The answer to whatever asks for nothing back
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Done {}

/// What was asked cannot be
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Failure {
    /// Why, and what to do; Docker shows it to whoever asked Docker
    pub err: String,
}

/// A value, or the empty one for null
pub(super) fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
