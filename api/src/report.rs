//! Everything at once.

use model::{Mac, Target};
use serde::{Deserialize, Serialize};

use crate::{Attachment, Connection, Flow, NameEntry, OwnershipChange, Peer, PeerRef, StatusReport};

/// All that weaved tells, for people who report a problem and programs that watch
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// weaved does its work
    pub ready: bool,
    /// See [`routes::STATUS`](crate::routes::STATUS)
    pub status: StatusReport,
    /// See [`routes::CONNECTIONS`](crate::routes::CONNECTIONS)
    pub connections: Vec<Connection>,
    /// See [`routes::PEERS`](crate::routes::PEERS)
    pub peers: Vec<Peer>,
    /// See [`routes::TARGETS`](crate::routes::TARGETS)
    pub targets: Vec<Target>,
    /// See [`routes::CONTAINERS`](crate::routes::CONTAINERS)
    pub containers: Vec<Attachment>,
    /// See [`routes::FLOWS`](crate::routes::FLOWS)
    pub flows: Vec<Flow>,
    /// The neighbour on the way to each peer
    #[serde(default)]
    pub unicast_routes: Vec<UnicastRoute>,
    /// The neighbours to which each peer's flooded frames are passed on
    #[serde(default)]
    pub broadcast_routes: Vec<BroadcastRoute>,
    /// Where stations were seen
    #[serde(default)]
    pub macs: Vec<MacEntry>,
    /// See [`routes::NAMES`](crate::routes::NAMES)
    #[serde(default)]
    pub names: Vec<NameEntry>,
    /// The latest changes of who owns addresses, the newest last
    #[serde(default)]
    pub ownership: Vec<OwnershipChange>,
}

/// The way to one peer
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnicastRoute {
    /// The peer
    pub destination: PeerRef,
    /// The neighbour
    pub via: PeerRef,
}

/// The way of what one peer floods
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastRoute {
    /// The peer
    pub source: PeerRef,
    /// The neighbours
    pub via: Vec<PeerRef>,
}

/// A station and the peer it is at
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacEntry {
    /// The station
    pub mac: Mac,
    /// The peer
    pub peer: PeerRef,
    /// When it was last seen, in milliseconds before the report; absent where that is not kept
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_ms_ago: Option<u64>,
}
