//! The host's own leg on the network.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::{AddressSpecs, ExposeTo};

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
    /// Sources that reach containers through this host; absent keeps the last request, at first this host alone
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ExposeTo>,
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

/// The host's packet filter: traffic to weaved's ports and to containers
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The packet filter that keeps containers from weaved's ports, beside weaved itself
    pub filter: PacketFilter,
    /// The reason for having no filter
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_error: Option<String>,
    /// The host's own addresses on the network
    #[serde(default)]
    pub exposed: Vec<IpNetwork>,
    /// Sources that reach containers by these addresses
    #[serde(default)]
    pub exposed_to: ExposeTo,
}

/// A packet filter of the kernel, by who writes its rules
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PacketFilter {
    /// A table of nftables that nothing else uses
    Nftables,
    /// Chains of their own in the table `filter`
    Iptables,
    /// No filter: neither program, or neither part of the kernel, is there
    None,
}
