//! The state of this host's router.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use model::{IfName, NickName, PeerName, ShortId, Uid};
use serde::{Deserialize, Serialize};

use crate::{ConnectionState, DnsStatus, HostStatus, IpamStatus, NamesFill, Security, StoreStatus};

/// What `weavectl status` shows
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The version of weaved
    pub version: String,
    /// The mesh
    pub router: RouterStatus,
    /// Membership: the password's state, banned keys, refused claims
    pub security: Security,
    /// What carries frames on this host
    pub datapath: Datapath,
    /// The MTU that containers get
    pub overlay_mtu: u16,
    /// Threads of the sleeve that send, and as many that receive; 0 from a weaved that does not tell
    #[serde(default)]
    pub sleeve_threads: u16,
    /// Frames and packets that were dropped, by reason; reasons that never happened may be absent
    #[serde(default)]
    pub drops: BTreeMap<String, u64>,
    /// The addresses that are handed out; absent where none are
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam: Option<IpamStatus>,
    /// The server of names; absent where there is none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsStatus>,
    /// The host's packet filter; absent from a weaved that does not report it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostStatus>,
    /// The state on disk; absent from a weaved that does not tell
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
    /// The copies of other hosts' names; absent from a weaved that does not tell
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NamesFill>,
}

/// The mesh as this host sees it
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// The control protocol
    pub protocol: Protocol,
    /// This peer's name
    pub name: PeerName,
    /// What people call this peer
    pub nickname: NickName,
    /// Drawn at this start
    pub uid: Uid,
    /// This peer's 12-bit id
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_id: Option<ShortId>,
    /// Control port (TCP) and sleeve port (UDP); VXLAN uses the next one
    pub port: u16,
    /// This host has a password
    pub encryption: bool,
    /// Peers that are heard of are dialled
    pub peer_discovery: bool,
    /// How many targets there are
    pub targets: usize,
    /// Connections by state
    pub connections: ConnectionCounts,
    /// Peers, and their connections by state
    pub peers: PeerCounts,
    /// Networks between which data need not be encrypted
    pub trusted_subnets: Vec<IpNetwork>,
}

/// Versions of the control protocol that this host speaks
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// The lowest
    pub min: u8,
    /// The highest
    pub max: u8,
}

/// How many connections are in each state; both directions, this host's only
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionCounts {
    /// See [`ConnectionState::Established`]
    pub established: usize,
    /// See [`ConnectionState::Held`]
    pub held: usize,
    /// See [`ConnectionState::Pending`]
    pub pending: usize,
    /// See [`ConnectionState::Retrying`]
    pub retrying: usize,
    /// See [`ConnectionState::Failed`]
    pub failed: usize,
    /// See [`ConnectionState::Connecting`]
    pub connecting: usize,
}

impl ConnectionCounts {
    /// How many there are in this state
    pub fn of(&self, state: ConnectionState) -> usize {
        match state {
            ConnectionState::Established => self.established,
            ConnectionState::Held => self.held,
            ConnectionState::Pending => self.pending,
            ConnectionState::Retrying => self.retrying,
            ConnectionState::Failed => self.failed,
            ConnectionState::Connecting => self.connecting,
        }
    }

    /// How many there are
    pub fn total(&self) -> usize {
        ConnectionState::ALL
            .iter()
            .fold(0, |sum, state| sum.saturating_add(self.of(*state)))
    }
}

impl FromIterator<ConnectionState> for ConnectionCounts {
    fn from_iter<I: IntoIterator<Item = ConnectionState>>(states: I) -> Self {
        let mut counts = Self::default();
        for state in states {
            let count = match state {
                ConnectionState::Established => &mut counts.established,
                ConnectionState::Held => &mut counts.held,
                ConnectionState::Pending => &mut counts.pending,
                ConnectionState::Retrying => &mut counts.retrying,
                ConnectionState::Failed => &mut counts.failed,
                ConnectionState::Connecting => &mut counts.connecting,
            };
            *count += 1;
        }
        counts
    }
}

/// Peers and their connections
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCounts {
    /// Known peers, this one included
    pub total: usize,
    /// Established ends of connections: a full mesh of n peers has n(n-1)
    pub established: usize,
    /// Ends of connections without a path
    pub pending: usize,
}

/// What carries frames on this host
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Datapath {
    /// The kernel's Open vSwitch datapath
    Fastdp {
        /// The datapath's name
        name: IfName,
        /// How it hands up what no flow matches
        dispatch: Dispatch,
        /// What it counts
        stats: DatapathStats,
    },
    /// A Linux bridge; everything for other hosts goes through the sleeve
    Bridge {
        /// The bridge's name
        name: IfName,
        /// Why there is no datapath: `no openvswitch in this kernel`
        reason: String,
    },
}

/// Which socket a miss goes to
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum Dispatch {
    /// That of the CPU on which the packet came
    PerCpu {
        /// How many sockets there are
        sockets: usize,
    },
    /// That of the port, on kernels older than 5.15
    PerPort {
        /// How many sockets there are
        sockets: usize,
    },
}

/// The counters of an Open vSwitch datapath
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatapathStats {
    /// Packets that matched a flow
    pub hit: u64,
    /// Packets that matched none and were handed up
    pub missed: u64,
    /// Packets that should have been handed up and could not
    pub lost: u64,
    /// Flows
    pub flows: u64,
    /// Distinct masks of flows
    pub masks: u64,
}

/// Whether weaved does its work
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// It does
    pub ready: bool,
    /// Why it does not
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its process id
    pub pid: u32,
    /// Its version
    pub version: String,
}

/// weaved will end
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// The process whose end to wait for
    pub pid: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_by_state() {
        let counts: ConnectionCounts = ConnectionState::ALL
            .into_iter()
            .chain([ConnectionState::Failed])
            .collect();
        assert_eq!(counts.total(), 7);
        assert_eq!(counts.of(ConnectionState::Failed), 2);
        assert!(ConnectionState::ALL.iter().all(|state| counts.of(*state) >= 1));
    }

    #[test]
    fn the_kind_of_datapath_is_a_field_of_the_object() {
        let bridge = Datapath::Bridge {
            name: "weave".parse().unwrap(),
            reason: "no openvswitch in this kernel".to_owned(),
        };
        let json = serde_json::to_value(&bridge).unwrap();
        assert_eq!(json["kind"], "bridge");
        assert_eq!(serde_json::from_value::<Datapath>(json).unwrap(), bridge);
    }
}
