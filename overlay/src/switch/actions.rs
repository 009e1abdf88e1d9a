//! From copies to action lists.
//!
//! The order keeps one copy's tags and tunnel from another: the frame's peer tags come off, local
//! outputs, copies for the TAP (tags on, output, tags off again), and last the tunnels, as the tunnel
//! that is set stays set.

use model::{ShortId, Vni};
use openvswitch_sys::{Action, PortNo, SetTunnel, Tag};

use super::oversize::Cookie;
use crate::Tunnel;

/// Where copies of a frame go
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Peer tags that the frame came with
    pub(super) pops: usize,
    pub(super) local: Vec<PortNo>,
    /// For the sleeve: TAP and tags
    pub(super) sleeve: Vec<(PortNo, PeerTag)>,
    pub(super) tunnels: Vec<TunnelCopy>,
}

/// The peers that a copy for the TAP names
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerTag {
    /// This host's frame, for a peer
    Own(ShortId),
    /// Another's
    Relayed(Vni),
}

impl PeerTag {
    /// The tags of a frame under this VNI
    pub(super) fn new(vni: Vni, own: ShortId) -> Self {
        if vni.source() == own {
            Self::Own(vni.destination())
        } else {
            Self::Relayed(vni)
        }
    }

    fn push(self, port: PortNo, list: &mut Vec<Action>) {
        match self {
            Self::Own(destination) => list.extend([
                Action::PushVlan(Tag::dot1q(destination.value())),
                Action::Output(port),
                Action::PopVlan,
            ]),
            Self::Relayed(vni) => list.extend([
                Action::PushVlan(Tag::dot1q(vni.source().value())),
                Action::PushVlan(Tag::dot1ad(vni.destination().value())),
                Action::Output(port),
                Action::PopVlan,
                Action::PopVlan,
            ]),
        }
    }
}

#[derive(Debug)]
pub(super) struct TunnelCopy {
    pub(super) vni: Vni,
    pub(super) tunnel: Tunnel,
    /// What to send up instead of a frame that is too long; `None` where all frames fit
    pub(super) too_long: Option<(Cookie, u32)>,
}

impl TunnelCopy {
    fn push(&self, list: &mut Vec<Action>) {
        let Tunnel {
            port,
            local,
            remote,
            mtu,
            csum,
        } = self.tunnel;
        let set = Action::SetTunnel(SetTunnel {
            id: u64::from(u32::from(self.vni)),
            src: local,
            dst: remote,
            tos: 0,
            ttl: 64,
            dont_fragment: true,
            csum,
        });
        let send = [set, Action::Output(port)];
        match self.too_long {
            None => list.extend(send),
            Some((cookie, pid)) => list.push(Action::CheckPktLen {
                max: mtu.saturating_add(ETHERNET),
                greater: vec![Action::Userspace {
                    pid,
                    cookie: cookie.into(),
                }],
                less_equal: send.into(),
            }),
        }
    }
}

impl Copies {
    pub(super) fn is_empty(&self) -> bool {
        self.local.is_empty() && self.sleeve.is_empty() && self.tunnels.is_empty()
    }

    /// The copies as action lists, each short enough for the kernel; nearly always one
    pub(super) fn lists(&self) -> Vec<Vec<Action>> {
        let mut lists = vec![];
        let mut list = Pending::new(self.pops);
        for port in &self.local {
            list.room(OUTPUT, &mut lists);
            list.actions.push(Action::Output(*port));
        }
        for (port, tag) in &self.sleeve {
            list.room(TAP_COPY, &mut lists);
            tag.push(*port, &mut list.actions);
        }
        for copy in &self.tunnels {
            list.room(TUNNEL_COPY, &mut lists);
            copy.push(&mut list.actions);
        }
        list.finish(&mut lists);
        lists
    }
}

/// The list that is being written, and how many bytes it has
struct Pending {
    pops: usize,
    actions: Vec<Action>,
    bytes: usize,
}

impl Pending {
    fn new(pops: usize) -> Self {
        Self {
            pops,
            actions: vec![Action::PopVlan; pops],
            bytes: 0,
        }
    }

    /// Starts another list where this many bytes more would be too many
    fn room(&mut self, bytes: usize, lists: &mut Vec<Vec<Action>>) {
        if self.bytes.saturating_add(bytes) > LIST {
            std::mem::replace(self, Self::new(self.pops)).finish(lists);
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn finish(mut self, lists: &mut Vec<Vec<Action>>) {
        while self.actions.last() == Some(&Action::PopVlan) {
            self.actions.pop();
        }
        lists.push(self.actions);
    }
}

/// Bytes of an Ethernet header: path MTUs do not count it, `check_pkt_len` does
const ETHERNET: u16 = 14;

/// Bytes of actions in a list. The kernel takes 32 KiB of its own form of them
/// (`MAX_ACTIONS_BUFSIZE`), which is no longer than the netlink form that is counted here.
const LIST: usize = 24 << 10;
/// Bytes of an output
const OUTPUT: usize = 8;
/// Bytes of two tags on, an output, two tags off
const TAP_COPY: usize = 2 * 8 + OUTPUT + 2 * 4;
/// Bytes of a tunnel copy with its length check
const TUNNEL_COPY: usize = 128;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn id(value: u16) -> ShortId {
        ShortId::truncated(value)
    }

    fn copies(tunnels: u16) -> Copies {
        let tunnel = Tunnel {
            port: PortNo(1),
            local: Ipv4Addr::LOCALHOST,
            remote: Ipv4Addr::LOCALHOST,
            mtu: 1400,
            csum: true,
        };
        Copies {
            pops: 1,
            local: vec![PortNo(5); usize::from(tunnels)],
            sleeve: vec![(PortNo(2), PeerTag::Own(id(9))); usize::from(tunnels)],
            tunnels: (0..tunnels)
                .map(|n| TunnelCopy {
                    vni: Vni::new(id(1), id(n)),
                    tunnel,
                    too_long: Some((
                        Cookie {
                            vni: Vni::new(id(1), id(n)),
                            hop: id(n),
                            flooded: true,
                        },
                        7,
                    )),
                })
                .collect(),
        }
    }

    #[test]
    fn what_the_kernel_would_not_take_as_one_list_becomes_several() {
        assert_eq!(copies(20).lists().len(), 1);
        let lists = copies(1000).lists();
        assert!(lists.len() > 4);
        for list in &lists {
            assert_eq!(
                list.first(),
                Some(&Action::PopVlan),
                "each starts with the frame as it came"
            );
            assert!(Action::encode_all(list).len() <= LIST + 16);
        }
        let count =
            |wanted: fn(&Action) -> bool| lists.iter().flatten().filter(|action| wanted(action)).count();
        assert_eq!(count(|action| matches!(action, Action::CheckPktLen { .. })), 1000);
        assert_eq!(count(|action| *action == Action::Output(PortNo(5))), 1000);
        assert_eq!(count(|action| *action == Action::Output(PortNo(2))), 1000);
    }

    #[test]
    fn nobody_to_copy_to_is_an_empty_list() {
        let copies = Copies {
            pops: 2,
            ..Copies::default()
        };
        assert_eq!(copies.lists(), [vec![]]);
    }
}
