//! Bytes captured from Linux 6.1 (x86-64), one field per line, read and written back.
//!
//! The kernel aligns 64-bit values with attributes of type `PAD` on some machines; this crate does not
//! write them, so they are left out of the comparison. In upcalls the last attribute lacks its padding,
//! as `OVS_DP_F_UNALIGNED` allows.
#![cfg(target_endian = "little")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bytes;

use std::net::Ipv4Addr;

use model::Mac;
use openvswitch_sys::datapath::MegaflowStats;
use openvswitch_sys::netlink::{Family, Generic, Header, Message, Messages, Payload};
use openvswitch_sys::uapi::*;
use openvswitch_sys::*;

use crate::bytes::*;

const SRC: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
const DST: Mac = Mac::new([2, 0, 0, 0, 0, 2]);
const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn message(bytes: &[u8]) -> Message<'_> {
    let mut messages = Messages::new(bytes);
    let message = messages.next().unwrap().unwrap();
    assert_eq!(messages.next(), None);
    message
}

fn generic(bytes: &[u8]) -> Generic<'_> {
    match message(bytes).decode().unwrap() {
        Payload::Generic(generic) => generic,
        other @ (Payload::Noop | Payload::Overrun | Payload::Done { .. } | Payload::Ack { .. }) => {
            panic!("not a family's message: {other:?}")
        }
    }
}

/// The attributes without the kernel's alignment of 64-bit values
fn unpadded(attrs: Attrs<'_>, pad: u16) -> Vec<Attr<'_>> {
    attrs.filter(|a| a.kind != pad).collect()
}

fn written(write: impl FnOnce(&mut AttrWriter<'_>)) -> Vec<u8> {
    let mut buf = vec![];
    let mut writer = AttrWriter::new(&mut buf);
    write(&mut writer);
    writer.finish().unwrap();
    buf
}

#[test]
fn a_family_has_its_id_and_groups() {
    let family = Family::decode(&generic(FAMILY)).unwrap();
    assert_eq!(
        family,
        Family {
            id: 0x1d,
            groups: vec![("ovs_vport".to_owned(), 4)]
        }
    );
}

#[test]
fn a_datapath_reads_and_writes_as_captured() {
    let (ifindex, attrs) = generic(DATAPATH).ovs().unwrap();
    let datapath = Datapath::decode(ifindex, attrs).unwrap();
    let expected = Datapath {
        ifindex: 4,
        name: "weave".to_owned(),
        stats: DatapathStats {
            hit: 5,
            missed: 1,
            lost: 0,
            flows: 1,
        },
        megaflow_stats: MegaflowStats {
            mask_hit: 5,
            masks: 1,
            cache_hit: 4,
        },
        features: UserFeatures::PER_CPU,
        masks_cache_size: Some(256),
        per_cpu_pids: Some(vec![0xcf84_c696]),
    };
    assert_eq!(datapath, expected);
    let bytes = written(|w| expected.write(w));
    assert_eq!(
        unpadded(Attrs::new(&bytes), OVS_DP_ATTR_PAD),
        unpadded(attrs, OVS_DP_ATTR_PAD)
    );
}

#[test]
fn a_vport_reads_and_writes_as_captured() {
    let (dp, attrs) = generic(VPORT).ovs().unwrap();
    let expected = Vport {
        port: PortNo(3),
        name: "vxlan-6784".to_owned(),
        kind: VportKind::Vxlan { udp_port: 6784 },
        ifindex: Some(5),
        netnsid: None,
        stats: VportStats::default(),
        upcall_pids: vec![0xf94a_e75d],
    };
    assert_eq!((dp, Vport::decode(attrs)), (4, Ok(expected.clone())));
    let bytes = written(|w| expected.write(w));
    assert_eq!(
        unpadded(Attrs::new(&bytes), OVS_VPORT_ATTR_PAD),
        unpadded(attrs, OVS_VPORT_ATTR_PAD)
    );
}

#[test]
fn a_miss_reads_and_writes_as_captured() {
    let message = generic(MISS);
    let upcall = Upcall::decode(&message).unwrap();
    assert_eq!(
        (upcall.command, upcall.dp, upcall.packet.len()),
        (UpcallCommand::Miss, 4, 80)
    );
    assert_eq!((upcall.userdata, upcall.hash), (None, Some(0x1_bc55_1535)));
    let expected = UpcallKey {
        in_port: PortNo(3),
        src: SRC,
        dst: DST,
        tunnel: Some(TunnelKey {
            id: 0xabc123,
            src: LOCAL,
            dst: LOCAL,
        }),
        vlans: Vlans::None,
        ethertype: Some(0x88b5),
    };
    assert_eq!(upcall.key, expected);
    assert_eq!(written(|w| upcall.write(w)), message.ovs().unwrap().1.as_bytes());
}

#[test]
fn an_action_reads_and_writes_as_captured() {
    let message = generic(ACTION);
    let upcall = Upcall::decode(&message).unwrap();
    assert_eq!(
        (upcall.command, upcall.cookie()),
        (UpcallCommand::Action, Some(4))
    );
    let expected = UpcallKey {
        in_port: PortNo(2),
        src: SRC,
        dst: DST,
        tunnel: None,
        vlans: Vlans::Two(Tag::dot1ad(0xabc), Tag::dot1q(0x123)),
        ethertype: Some(0x88b5),
    };
    assert_eq!(upcall.key, expected);
    assert_eq!(written(|w| upcall.write(w)), message.ovs().unwrap().1.as_bytes());
}

#[test]
fn the_last_attribute_of_an_upcall_may_lack_its_padding() {
    let cut = Generic {
        rest: &generic(MISS).rest[..generic(MISS).rest.len() - 1],
        ..generic(MISS)
    };
    assert!(Upcall::decode(&cut).is_err(), "a byte of the packet is missing");
    let upcall = Upcall::decode(&generic(UNALIGNED)).unwrap();
    assert_eq!(upcall.packet.len(), 61);
    assert_eq!(upcall.packet.last(), Some(&0x5a));
}

/// The flow reads as `key` and `actions`, and what this crate writes of it is what the kernel writes,
/// apart from the wildcards that the kernel lists
#[track_caller]
fn assert_flow(bytes: &[u8], key: FlowKey, actions: &[Action], used: u64) {
    let (_dp, attrs) = generic(bytes).ovs().unwrap();
    let expected = Flow {
        ufid: Some(key.ufid()),
        matches: FlowMatch::Canonical(key),
        actions: actions.to_vec(),
        stats: FlowStats {
            packets: 1,
            bytes: 80,
        },
        used: Some(used),
    };
    assert_eq!(Flow::decode(attrs).unwrap(), expected);
    let bytes = written(|w| expected.write(w));
    let listed = |a: &Attr<'_>| a.kind != OVS_FLOW_ATTR_KEY && a.kind != OVS_FLOW_ATTR_MASK;
    let without_match = |attrs| {
        let mut rest = unpadded(attrs, OVS_FLOW_ATTR_PAD);
        rest.retain(listed);
        rest
    };
    assert_eq!(without_match(Attrs::new(&bytes)), without_match(attrs));
}

#[test]
fn a_flow_on_a_tunnel_reads_and_writes_as_captured() {
    let tunnel = Some(TunnelKey {
        id: 0xabc123,
        src: LOCAL,
        dst: LOCAL,
    });
    let key = FlowKey {
        in_port: PortNo(3),
        src: SRC,
        dst: DST,
        tunnel,
        vlans: Vlans::None,
    };
    assert_flow(
        TUNNEL_FLOW,
        key,
        &[Action::Userspace {
            pid: u32::MAX,
            cookie: 7,
        }],
        0xd2f,
    );
}

#[test]
fn a_flow_on_tags_reads_and_writes_as_captured() {
    let vlans = Vlans::Two(Tag::dot1ad(0xabc), Tag::dot1q(0x123));
    let key = FlowKey {
        in_port: PortNo(2),
        src: SRC,
        dst: DST,
        tunnel: None,
        vlans,
    };
    assert_flow(
        TAGGED_FLOW,
        key,
        &[Action::Userspace {
            pid: u32::MAX,
            cookie: 4,
        }],
        0x1998,
    );
}

#[test]
fn actions_read_and_write_as_captured() {
    let set = |dont_fragment, csum, tos| {
        let (src, dst) = (LOCAL, Ipv4Addr::new(192, 0, 2, 2));
        Action::SetTunnel(SetTunnel {
            id: 0x1002,
            src,
            dst,
            tos,
            ttl: 64,
            dont_fragment,
            csum,
        })
    };
    let out = |port| Action::Output(PortNo(port));
    let userspace = |cookie| Action::Userspace {
        pid: u32::MAX,
        cookie,
    };
    let tagged = [
        Action::PushVlan(Tag::dot1q(5)),
        Action::PushVlan(Tag::dot1ad(0xfff)),
        out(1),
    ];
    let check = Action::CheckPktLen {
        max: 1414,
        greater: vec![userspace(9)],
        less_equal: vec![set(true, true, 0), out(3)],
    };
    for (bytes, actions) in [
        (SET_TUNNEL_ACTIONS, &[set(false, false, 4), out(3)][..]),
        (PUSH_ACTIONS, &tagged),
        (POP_ACTIONS, &[Action::PopVlan, Action::PopVlan, out(1)]),
        (CHECK_ACTIONS, &[out(1), check]),
    ] {
        assert_eq!(Action::decode_all(Attrs::new(bytes)), actions);
        assert_eq!(Action::encode_all(actions), bytes);
    }
    let aligned = Action::decode_all(Attrs::new(ALIGNED_TUNNEL_ACTIONS));
    assert_eq!(aligned, [set(true, false, 0), out(3)]);
}

#[test]
fn acknowledgements_read_and_write_as_captured() {
    let header = |kind, flags, seq, pid| Header {
        kind,
        flags,
        seq,
        pid,
    };
    // The quoted header is complete but for its length, which this crate does not keep.
    let quoted_length = 20..24;
    for (bytes, of, payload) in [
        (
            ACK,
            header(NLMSG_ERROR, NLM_F_CAPPED, 3, 0x2ae),
            Payload::Ack {
                errno: 0,
                request: header(0x1c, 0xd, 3, 0),
            },
        ),
        (
            ERROR,
            header(NLMSG_ERROR, NLM_F_CAPPED, 1, 0x2ae),
            Payload::Ack {
                errno: ENODEV,
                request: header(0x1c, 5, 1, 0),
            },
        ),
        (
            DONE,
            header(NLMSG_DONE, NLM_F_MULTI, 11, 0x2ae),
            Payload::Done { errno: 0 },
        ),
    ] {
        let read = message(bytes);
        assert_eq!((read.header, read.decode()), (of, Ok(payload)));
        let mut body = vec![];
        payload.encode(&mut body);
        let mut again = vec![];
        Message {
            header: of,
            body: &body,
        }
        .encode(&mut again);
        let mut expected = bytes.to_vec();
        if let (Some(was), Some(is)) = (
            again.get(quoted_length.clone()),
            expected.get_mut(quoted_length.clone()),
        ) {
            is.copy_from_slice(was);
        }
        assert_eq!(again, expected);
    }
}
