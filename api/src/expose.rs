//! The host's own leg on the network.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::AddressSpecs;

/// Give this host addresses on the network
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposeRequest {
    /// The addresses
    pub addresses: AddressSpecs,
    /// A name for them
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Containers reach the outside, and are reached from there, as this host
    #[serde(default = "yes")]
    pub masquerade: bool,
}

fn yes() -> bool {
    true
}

/// The host has the addresses that were asked for
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposed {
    /// Those that were asked for
    pub addresses: Vec<IpNetwork>,
    /// What keeps them from being of use, a line for each
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Take addresses from this host
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HideRequest {
    /// The addresses; none takes them all
    #[serde(default)]
    pub addresses: AddressSpecs,
}

/// The host has these addresses no longer
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// Those that it had
    pub addresses: Vec<IpNetwork>,
}
