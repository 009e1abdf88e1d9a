//! Frames between a TAP and the sleeve: where they go, and which stations are learned of them.
#![no_main]

use std::sync::{Arc, LazyLock};

use fallback_sleeve::vlan::{PeerTags, Tags};
use fuzz::Chain;
use model::fuzz::Input;
use model::{Mac, PathKind, Vni};
use overlay::{Forwarding, Inject, MacTable, Mode, Neighbour};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static FORWARDINGS: LazyLock<[Forwarding<u8>; 2]> =
        LazyLock::new(|| [Mode::Tagged, Mode::Bridge].map(forwarding));
    let mut input = Input::new(bytes);
    let forwarding = &FORWARDINGS[usize::from(input.byte() & 1)];
    let macs = MacTable::new(64, 1);
    let mut tick = 1;
    while !input.is_empty() {
        let op = input.byte();
        let frame = input.piece();
        let (Some(dst), Some(src)) = (mac(frame, 0), mac(frame, 6)) else {
            continue;
        };
        let own = forwarding.own_short_id();
        let sent = |vni: Vni, _session: &u8| assert!(vni.destination() != own, "{vni:?} goes to ourselves");
        if op & 1 == 0 {
            let _dropped = match PeerTags::parse(frame) {
                Some(tags) if forwarding.mode() == Mode::Tagged => forwarding.egress_tagged(tags, |_, _| {}),
                _ => forwarding.egress_bridge(&macs, src, dst, tick, sent),
            };
        } else {
            let vni = Vni::truncated(input.u32());
            let from = Chain::name(u16::from(op >> 4));
            let injected = forwarding.ingress(&macs, vni, from, src, dst, tick, |_, _| {});
            if let Ok(Inject::Tagged(tags)) = injected {
                assert!(!Tags::from(tags).as_bytes().is_empty());
            }
        }
        if op & 2 != 0 {
            tick += 100;
            macs.expire(tick, 200);
        }
        assert!(macs.len() <= macs.capacity());
    }
});

fn forwarding(mode: Mode) -> Forwarding<u8> {
    let neighbours = [1, 2].map(|n| {
        let path = if n == 1 {
            PathKind::Fastdp
        } else {
            PathKind::Sleeve
        };
        let neighbour = Neighbour {
            session: n as u8,
            path: Some(path),
        };
        (Chain::name(n), neighbour)
    });
    Forwarding::new(mode, Arc::new(Chain::new()), neighbours)
}

fn mac(frame: &[u8], at: usize) -> Option<Mac> {
    let octets: [u8; 6] = frame.get(at..at + 6)?.try_into().ok()?;
    Some(Mac::new(octets))
}
