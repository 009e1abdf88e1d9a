//! The addresses that peers hand out.

use std::fmt;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use model::ContainerId;
use serde::{Deserialize, Serialize};

use crate::bounded::bounded;
use crate::{AddressSpec, PEERS_LIMIT, PeerRef};

/// What `weavectl status ipam` shows
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamStatus {
    /// Whether addresses are handed out
    pub state: IpamState,
    /// What keeps it from that, for people; absent where nothing does
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// All addresses
    pub range: Ipv4Network,
    /// Where those come from that are asked for without a subnet
    pub default_subnet: Ipv4Network,
    /// How many of this host's addresses are in use
    pub active: u32,
    /// Who owns how many, this host first
    pub owners: Vec<AddressOwner>,
    /// What is waited for: the container and what it asked for
    #[serde(default)]
    pub pending: Vec<PendingAddress>,
    /// Addresses in use by two at once, a line for each
    #[serde(default)]
    pub conflicts: Vec<String>,
}

/// Whether addresses are handed out
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpamState {
    /// Nobody has asked for one yet
    Idle,
    /// The peers have yet to agree who owns what at first
    AwaitingConsensus,
    /// This peer waits for others to agree
    Priming,
    /// They are
    Ready,
    /// Some wait for an address to become free
    Waiting,
    /// Those who own what is asked for cannot be reached
    Unreachable,
    /// This host saw too few others for too long: they may have given its addresses to others
    Fenced,
    /// This host gave everything away
    Left,
}

impl fmt::Display for IpamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::AwaitingConsensus => "awaiting consensus",
            Self::Priming => "priming",
            Self::Ready => "ready",
            Self::Waiting => "waiting for IP(s) to become available",
            Self::Unreachable => "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead",
            Self::Fenced => "fenced",
            Self::Left => "left",
        })
    }
}

/// A peer and what it owns
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressOwner {
    /// The peer
    pub peer: PeerRef,
    /// How many addresses
    pub addresses: u32,
    /// It can be reached
    pub reachable: bool,
}

/// An address that is waited for
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAddress {
    /// For whom
    pub container: String,
    /// `net:10.2.1.0/24`, or the address
    pub wanted: String,
}

/// Hand out an address that no interface has yet
///
/// It is held for [`reserved_for`] it until that is attached and detached again, or released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReserveRequest {
    /// Which
    pub address: AddressSpec,
}

/// What the container is known as that an address is reserved for
pub fn reserved_for(address: Ipv4Addr) -> ContainerId {
    let id = format!("address:{address}");
    id.parse().expect("letters, digits and dots are an id")
}

/// Peers that are gone for good: others take over what they own
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovePeersRequest {
    /// Names or nicknames, at most [`PEERS_LIMIT`]
    #[serde(deserialize_with = "bounded::<_, _, PEERS_LIMIT>")]
    pub peers: Vec<String>,
}

/// What became of one of them
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedPeer {
    /// As it was asked for
    pub peer: String,
    /// How many addresses were taken over
    pub addresses: u64,
}

/// A change of who owns addresses
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnershipChange {
    /// Milliseconds of Unix time, by this host's clock
    pub at_ms: u64,
    /// The first address
    pub first: Ipv4Addr,
    /// The last
    pub last: Ipv4Addr,
    /// Who had them, if anybody
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PeerRef>,
    /// Who has them
    pub to: PeerRef,
    /// Why
    pub why: String,
    /// The configuration of the network in which it happened
    pub epoch: u64,
}
