//! Strategies that the property tests share.

use std::net::Ipv4Addr;

use model::Mac;
use proptest::prelude::*;

use crate::action::{Action, SetTunnel};
use crate::attr::AttrWriter;
use crate::key::{FlowKey, PortNo, Tag, TunnelKey, Vlans};
use crate::uapi::*;

pub(crate) fn mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(Mac::new)
}

pub(crate) fn tag() -> impl Strategy<Value = Tag> {
    (prop_oneof![Just(ETH_P_8021Q), Just(ETH_P_8021AD)], 0..0x1000u16)
        .prop_map(|(tpid, vid)| Tag { tpid, vid })
}

pub(crate) fn vlans() -> impl Strategy<Value = Vlans> {
    prop_oneof![
        Just(Vlans::None),
        tag().prop_map(Vlans::One),
        (tag(), tag()).prop_map(|(outer, inner)| Vlans::Two(outer, inner)),
    ]
}

pub(crate) fn tunnel_key() -> impl Strategy<Value = TunnelKey> {
    any::<(u64, Ipv4Addr, Ipv4Addr)>().prop_map(|(id, src, dst)| TunnelKey { id, src, dst })
}

pub(crate) fn flow_key() -> impl Strategy<Value = FlowKey> {
    (
        any::<u32>(),
        mac(),
        mac(),
        proptest::option::of(tunnel_key()),
        vlans(),
    )
        .prop_map(|(port, src, dst, tunnel, vlans)| FlowKey {
            in_port: PortNo(port),
            src,
            dst,
            tunnel,
            vlans,
        })
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    let set = any::<(u64, Ipv4Addr, Ipv4Addr, u8, u8, bool, bool)>().prop_map(
        |(id, src, dst, tos, ttl, dont_fragment, csum)| {
            Action::SetTunnel(SetTunnel {
                id,
                src,
                dst,
                tos,
                ttl,
                dont_fragment,
                csum,
            })
        },
    );
    let leaf = prop_oneof![
        any::<u32>().prop_map(|port| Action::Output(PortNo(port))),
        set,
        tag().prop_map(Action::PushVlan),
        Just(Action::PopVlan),
        any::<(u32, u64)>().prop_map(|(pid, cookie)| Action::Userspace { pid, cookie }),
        (100..0x4000u16, any::<Vec<u8>>()).prop_map(|(kind, value)| Action::Other(kind, value)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let list = proptest::collection::vec(inner, 0..4);
        (any::<u16>(), list.clone(), list).prop_map(|(max, greater, less_equal)| Action::CheckPktLen {
            max,
            greater,
            less_equal,
        })
    })
}

/// Bytes that are mostly attributes with the types and lengths that the families use, some cut short
pub(crate) fn attribute_soup() -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop_oneof![
        Just(0usize),
        Just(1),
        Just(2),
        Just(4),
        Just(8),
        Just(12),
        0..40usize
    ];
    let leaf = lengths.prop_flat_map(|n| proptest::collection::vec(any::<u8>(), n));
    let row = leaf.prop_recursive(6, 40, 6, |inner| {
        proptest::collection::vec((0..24u16, inner), 0..6).prop_map(|items| {
            let mut buf = vec![];
            let mut w = AttrWriter::new(&mut buf);
            for (kind, value) in items {
                w.put(kind, &value);
            }
            buf
        })
    });
    (row, any::<proptest::sample::Index>(), any::<bool>()).prop_map(|(mut bytes, cut, whole)| {
        if !whole && !bytes.is_empty() {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}
