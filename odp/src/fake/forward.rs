//! What the fake datapath does with a frame.

use model::Mac;
use openvswitch_sys::uapi::{ETH_P_8021AD, ETH_P_8021Q, VLAN_VID_MASK};
use openvswitch_sys::{Action, PortNo, SetTunnel, Tag, TunnelKey, Upcall, UpcallCommand, UpcallKey, Vlans};

use super::{Sent, Table, encode};

/// What came of it
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) sent: Vec<Sent>,
    pub(super) upcalls: Vec<(u8, Vec<u8>)>,
}

/// A frame comes in: through its flow, or up
pub(super) fn receive(table: &mut Table, port: PortNo, tunnel: Option<TunnelKey>, frame: &[u8]) -> Output {
    let mut output = Output::default();
    let Some(key) = parse(port, tunnel, frame) else {
        return output; // the kernel drops frames shorter than their header
    };
    match table.matched(&key.flow_key(), frame.len()) {
        Some(actions) => output.run(table.ifindex, &key, frame, &actions),
        None => output.upcall(table.ifindex, UpcallCommand::Miss, &key, frame, None),
    }
    output
}

/// The key of a frame
pub(super) fn parse(in_port: PortNo, tunnel: Option<TunnelKey>, frame: &[u8]) -> Option<UpcallKey> {
    let (dst, rest) = frame.split_first_chunk::<6>()?;
    let (src, rest) = rest.split_first_chunk::<6>()?;
    let (outer, rest) = tag(rest)?;
    let (inner, rest) = if outer.is_some() { tag(rest)? } else { (None, rest) };
    let vlans = match (outer, inner) {
        (None, _) => Vlans::None,
        (Some(tag), None) => Vlans::One(tag),
        (Some(outer), Some(inner)) => Vlans::Two(outer, inner),
    };
    let kind = u16::from_be_bytes(*rest.first_chunk()?);
    let ethertype = (kind >= ETH_P_802_3_MIN).then_some(kind);
    Some(UpcallKey {
        in_port,
        src: Mac::new(*src),
        dst: Mac::new(*dst),
        tunnel,
        vlans,
        ethertype,
    })
}

fn tag(bytes: &[u8]) -> Option<(Option<Tag>, &[u8])> {
    let (tpid, rest) = bytes.split_first_chunk()?;
    let tpid = u16::from_be_bytes(*tpid);
    if tpid != ETH_P_8021Q && tpid != ETH_P_8021AD {
        return Some((None, bytes));
    }
    let (tci, rest) = rest.split_first_chunk()?;
    Some((
        Some(Tag {
            tpid,
            vid: u16::from_be_bytes(*tci) & VLAN_VID_MASK,
        }),
        rest,
    ))
}

impl Output {
    /// Runs a packet through actions
    pub(super) fn run(&mut self, dp: i32, key: &UpcallKey, frame: &[u8], actions: &[Action]) {
        let (mut frame, mut tunnel) = (frame.to_vec(), None);
        self.run_on(dp, key, &mut frame, &mut tunnel, actions);
    }

    fn run_on(
        &mut self,
        dp: i32,
        key: &UpcallKey,
        frame: &mut Vec<u8>,
        tunnel: &mut Option<SetTunnel>,
        actions: &[Action],
    ) {
        for action in actions {
            match action {
                Action::Output(port) => {
                    self.sent.push(Sent {
                        port: *port,
                        tunnel: *tunnel,
                        frame: frame.clone(),
                    });
                }
                Action::SetTunnel(set) => *tunnel = Some(*set),
                Action::PushVlan(tag) if frame.len() >= MACS => {
                    let tci = tag.vid & VLAN_VID_MASK;
                    let ([a, b], [c, d]) = (tag.tpid.to_be_bytes(), tci.to_be_bytes());
                    frame.splice(MACS..MACS, [a, b, c, d]);
                }
                Action::PopVlan
                    if parse(key.in_port, None, frame).is_some_and(|k| k.vlans != Vlans::None) =>
                {
                    frame.drain(MACS..MACS + 4);
                }
                Action::Userspace { pid: _, cookie } => {
                    self.upcall(dp, UpcallCommand::Action, key, frame, Some(&cookie.to_ne_bytes()));
                }
                Action::CheckPktLen {
                    max,
                    greater,
                    less_equal,
                } => {
                    let list = if frame.len() > usize::from(*max) {
                        greater
                    } else {
                        less_equal
                    };
                    self.run_on(dp, key, frame, tunnel, list);
                }
                Action::PushVlan(_) | Action::PopVlan | Action::Other(..) => {}
            }
        }
    }

    fn upcall(
        &mut self,
        dp: i32,
        command: UpcallCommand,
        key: &UpcallKey,
        packet: &[u8],
        userdata: Option<&[u8]>,
    ) {
        let raw_key = key.encode();
        let upcall = Upcall {
            command,
            dp,
            packet,
            key: *key,
            raw_key: &raw_key,
            userdata,
            hash: None,
        };
        self.upcalls.push(encode(&upcall));
    }
}

/// Destination and source address, before the tags
const MACS: usize = 12;
/// Below this the field is the length of an 802.2 frame
const ETH_P_802_3_MIN: u16 = 0x600;
