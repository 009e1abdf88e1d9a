//! The peers of the network.

use std::fmt;
use std::net::SocketAddr;

use model::{NickName, PeerName, ShortId, Uid};
use serde::{Deserialize, Serialize};

/// A peer by both its names; prints as `7a:c0:00:00:00:01(host1)`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerRef {
    /// Its name
    pub name: PeerName,
    /// What people call it
    pub nickname: NickName,
}

impl fmt::Display for PeerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.nickname)
    }
}

/// A peer of the network, this host included
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name
    pub name: PeerName,
    /// What people call it
    pub nickname: NickName,
    /// Drawn at its last start
    pub uid: Uid,
    /// Its 12-bit id, where it has one
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_id: Option<ShortId>,
    /// The version of its topology record: how often the record changed
    pub version: u64,
    /// The program it runs
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Its connections, as it tells them
    pub connections: Vec<PeerConnection>,
}

/// One end of a connection between two peers
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerConnection {
    /// The neighbour
    pub peer: PeerRef,
    /// The neighbour's address
    pub address: SocketAddr,
    /// The peer dialled its neighbour
    pub outbound: bool,
    /// A path is up
    pub established: bool,
}
