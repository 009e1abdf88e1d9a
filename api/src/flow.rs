//! Flows in the kernel's datapath, with names in place of numbers.

use std::fmt;
use std::net::Ipv4Addr;

use model::{Mac, NickName, PeerName, ShortId, Vni};
use serde::{Deserialize, Serialize};

/// One flow
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its unique id, in hexadecimal
    pub ufid: String,
    /// The port that frames come in by: its name, or `port N` where it has none any more
    pub in_port: String,
    /// The Ethernet source; absent where any matches
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<Mac>,
    /// The Ethernet destination; absent where any matches
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<Mac>,
    /// The tunnel that frames come out of
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// The VLAN tags that frames have, outermost first
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// What is done with them; an empty list drops them
    pub actions: Vec<FlowAction>,
    /// Packets that matched
    pub packets: u64,
    /// Bytes in them
    pub bytes: u64,
    /// How long ago the last one was, in milliseconds; absent where there was none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_ms_ago: Option<u64>,
}

/// A VXLAN tunnel, with the peers that its network identifier stands for
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// The VXLAN network identifier
    pub vni: u32,
    /// The peer that frames come from first
    pub source: ShortPeer,
    /// The peer that they are for or, for a copy of a flooded one, the neighbour that it goes to
    pub destination: ShortPeer,
    /// Outer source address
    pub outer_source: Ipv4Addr,
    /// Outer destination address
    pub outer_destination: Ipv4Addr,
}

impl Tunnel {
    /// The tunnel with this network identifier; `peer` names the peer that has a short id
    pub fn new(
        vni: Vni,
        outer_source: Ipv4Addr,
        outer_destination: Ipv4Addr,
        mut peer: impl FnMut(ShortId) -> Option<(PeerName, NickName)>,
    ) -> Self {
        let mut by_short_id = |short_id| {
            let (name, nickname) = peer(short_id).unzip();
            ShortPeer {
                short_id,
                name,
                nickname,
            }
        };
        Self {
            vni: vni.into(),
            source: by_short_id(vni.source()),
            destination: by_short_id(vni.destination()),
            outer_source,
            outer_destination,
        }
    }
}

/// The peer that has a short id, where one is known; prints as `host1(291)` or `?(291)`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortPeer {
    /// The id
    pub short_id: ShortId,
    /// The peer's name
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PeerName>,
    /// What people call it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<NickName>,
}

impl fmt::Display for ShortPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nickname = self.nickname.as_ref().map_or("?", NickName::as_str);
        write!(f, "{nickname}({})", self.short_id)
    }
}

/// A VLAN tag
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// `0x8100` (802.1Q) or `0x88a8` (802.1ad)
    pub tpid: u16,
    /// The VLAN, which on the sleeve's port is a short id
    pub vid: u16,
}

/// One thing done with a packet
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum FlowAction {
    /// Out by this port
    Output {
        /// Its name, or `port N` where it has none any more
        port: String,
    },
    /// Into this tunnel, at the next output
    Tunnel(Tunnel),
    /// One more VLAN tag, outermost
    PushTag(Tag),
    /// The outermost VLAN tag off
    PopTag,
    /// Up to weaved
    Userspace {
        /// What weaved gave the kernel to hand back with it
        cookie: u64,
    },
    /// One of two lists, by the packet's length
    CheckPktLen {
        /// The largest length that still counts as small, Ethernet header included
        max: u16,
        /// What is done with larger packets
        greater: Vec<Self>,
        /// What is done with the others
        less_equal: Vec<Self>,
    },
    /// One that this version does not know
    Other {
        /// Its `OVS_ACTION_ATTR_` number
        attribute: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_names_the_peers_of_its_vni() {
        let [one, two] = [1, 2].map(ShortId::truncated);
        let name: PeerName = "7a:00:00:00:00:01".parse().unwrap();
        let nickname: NickName = "host1".parse().unwrap();

        let tunnel = Tunnel::new(
            Vni::new(one, two),
            Ipv4Addr::new(10, 0, 0, 1),
            Ipv4Addr::new(10, 0, 0, 2),
            |id| (id == one).then(|| (name, nickname.clone())),
        );

        assert_eq!(tunnel.vni, 0x2001);
        assert_eq!(tunnel.source.to_string(), "host1(1)");
        assert_eq!(tunnel.destination.to_string(), "?(2)");
    }

    #[test]
    fn nested_actions_round_trip() {
        let action = FlowAction::CheckPktLen {
            max: 1450,
            greater: vec![FlowAction::Userspace { cookie: u64::MAX }],
            less_equal: vec![
                FlowAction::PushTag(Tag { tpid: 0x8100, vid: 2 }),
                FlowAction::Output {
                    port: "weave-sleeve".to_owned(),
                },
            ],
        };
        let json = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<FlowAction>(&json).unwrap(), action);
    }

    #[test]
    fn nesting_without_end_is_an_error_and_no_overflow() {
        let deep = r#"{"action":"check_pkt_len","max":1,"less_equal":[],"greater":["#.repeat(100_000);
        assert!(serde_json::from_str::<FlowAction>(&deep).is_err());
    }
}
