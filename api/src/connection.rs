//! The connections of this host.

use std::fmt;

use model::{PathKind, Target};
use serde::{Deserialize, Serialize};

use crate::PeerRef;

/// A connection to a neighbour, or the attempt at one
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// This host dialled
    pub outbound: bool,
    /// The far end; the target as given while its name is not resolved
    pub address: Target,
    /// How far it got
    pub state: ConnectionState,
    /// Who is at the far end, once that is known
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerRef>,
    /// How frames travel; absent while no path is up
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathKind>,
    /// Why it is this path and not a better one
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The largest IP packet that the path carries
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Whether frames are encrypted; absent where this host has no password
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// Round trip of the path's heartbeats, in microseconds
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// What went wrong the last time
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Time until the next attempt, in milliseconds; absent where there will be none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// What went through the paths to this neighbour
    #[serde(default)]
    pub traffic: Traffic,
}

/// How far a connection got
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionState {
    /// Control connection and at least one path are up
    Established,
    /// The control connection ended without a goodbye; routes and flows wait for the peer's return
    Held,
    /// The control connection is up, no path is yet
    Pending,
    /// Being dialled again
    Retrying,
    /// The last attempt failed; the next comes at its time
    Failed,
    /// Being dialled for the first time
    Connecting,
}

impl ConnectionState {
    /// Every state, in the order in which people read them
    pub const ALL: [Self; 6] = [
        Self::Established,
        Self::Held,
        Self::Pending,
        Self::Retrying,
        Self::Failed,
        Self::Connecting,
    ];
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Established => "established",
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Connecting => "connecting",
        })
    }
}

/// Frames and bytes, as far as this process or the kernel counts them
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Frames to the neighbour
    pub sent_packets: u64,
    /// Bytes in them
    pub sent_bytes: u64,
    /// Frames from the neighbour
    pub received_packets: u64,
    /// Bytes in them
    pub received_bytes: u64,
}
