//! What the segmenter lays out, sealed and opened, is what it laid out; and joined again at the other end,
//! what the sender meant.

use fallback_sleeve::datagram::{InnerHeader, Kind, MAX_LEN, SessionId};
use fallback_sleeve::segment::Segmenter;
use fallback_sleeve::{Opener, Sealer, Suite};
use model::{ShortId, Vni};
use proptest::prelude::*;

use crate::any;
use crate::coalesce::{join, meant};
use crate::packet::Packet;

const KEY: [u8; 32] = [0x42; 32];
const SESSION: SessionId = SessionId::new(7, 0x0123_4567_89ab_cdef);

proptest! {
    #[test]
    fn trains_arrive_as_the_packets_that_were_meant(
        trains in prop::collection::vec(any::train(any::ip(), any::<bool>()), 1..4),
        suite in prop_oneof![Just(Suite::Clear), Just(Suite::Aes256Gcm), Just(Suite::ChaCha20Poly1305)],
        buffer in prop_oneof![Just(65_536usize), 9400..65_536usize],
        (flags, to, from) in (any::<u8>(), 0..4096u16, 0..4096u16),
    ) {
        let sealer = Sealer::new(SESSION, suite, &KEY);
        let mut opener = Opener::new(SESSION, suite, &KEY);
        let vni = Vni::new(ShortId::truncated(to), ShortId::truncated(from));
        let inner = InnerHeader { flags, vni };
        let mut sent = Vec::new();
        let mut arrived = Vec::new();
        let mut out = vec![0xee; buffer];
        for (packet, size) in &trains {
            let (vnet, frame) = packet.offloaded(*size);
            let mut segmenter = Segmenter::new(vnet, &frame, 0, 9300, sealer.room()).unwrap();
            sent.extend(packet.segments(usize::from(*size)).iter().map(Packet::frame));
            while let Some(segments) = segmenter.fill(&mut out).unwrap() {
                prop_assert!(segments.len <= MAX_LEN && segments.count <= Segmenter::MAX_SEGMENTS);
                let train = &mut out[..segments.len];
                let count = sealer.seal_batch(Kind::Data, inner, train, segments.stride).unwrap();
                prop_assert_eq!(count, segments.count);
                for send in segments.sends() {
                    // As UDP_SEGMENT cuts it, and UDP_GRO may give it.
                    for datagram in train[send].chunks_mut(segments.stride) {
                        let opened = opener.open_in_place(datagram).unwrap();
                        prop_assert_eq!((opened.kind, opened.flags, opened.vni), (Kind::Data, flags, vni));
                        arrived.push(datagram[opened.body].to_vec());
                    }
                }
            }
        }
        prop_assert_eq!(&arrived, &sent);
        prop_assert_eq!(sealer.used(), sent.len() as u64);
        let again: Vec<_> = join(&arrived).iter().flat_map(|written| meant(written)).collect();
        prop_assert_eq!(sorted(again), sorted(sent), "joined at the other end");
    }

    #[test]
    fn a_train_that_was_touched_anywhere_loses_that_datagram_alone(
        (packet, size) in any::train(any::ip(), any::<bool>()),
        suite in prop_oneof![Just(Suite::Aes256Gcm), Just(Suite::ChaCha20Poly1305)],
        at: prop::sample::Index,
        bit in 0..8u8,
    ) {
        let sealer = Sealer::new(SESSION, suite, &KEY);
        let mut opener = Opener::new(SESSION, suite, &KEY);
        let inner = InnerHeader { flags: 0, vni: Vni::new(ShortId::truncated(1), ShortId::truncated(2)) };
        let (vnet, frame) = packet.offloaded(size);
        let mut segmenter = Segmenter::new(vnet, &frame, 0, 9300, sealer.room()).unwrap();
        let mut out = vec![0; 65_536];
        let segments = segmenter.fill(&mut out).unwrap().unwrap();
        let train = &mut out[..segments.len];
        sealer.seal_batch(Kind::Data, inner, train, segments.stride).unwrap();
        let at = at.index(train.len());
        train[at] ^= 1 << bit;
        let sent: Vec<_> = packet.segments(usize::from(size)).iter().map(Packet::frame).collect();
        for (index, datagram) in train.chunks_mut(segments.stride).enumerate() {
            match opener.open_in_place(datagram) {
                Ok(opened) => {
                    prop_assert!(index != at / segments.stride, "the touched one was opened");
                    prop_assert_eq!(&datagram[opened.body], &sent[index][..]);
                }
                Err(_) => prop_assert_eq!(index, at / segments.stride),
            }
        }
    }
}

/// Flows may change places
fn sorted(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    frames.sort();
    frames
}
