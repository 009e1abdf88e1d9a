use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::datagram::Room;
use crate::packets::{ACK, CWR, ECE, FIN, PSH, SYN, Spec, any_spec};
use crate::segment::Segmenter;
use crate::vlan::PeerTags;

/// What the coalescer writes for these frames
fn join(coalescer: &mut Coalescer, frames: &[Vec<u8>], tags: Tags) -> Vec<Vec<u8>> {
    let mut arena = vec![0xdd; 7];
    let mut received = Vec::new();
    for frame in frames {
        let start = arena.len();
        arena.extend_from_slice(frame);
        received.push(Received {
            frame: start..arena.len(),
            tags,
        });
        arena.extend_from_slice(&[0xdd; 36]);
    }
    let mut written = Vec::new();
    coalescer.coalesce(&arena, &received, |pieces| {
        written.push(pieces.iter().flat_map(|piece| piece.iter().copied()).collect());
    });
    written
}

/// The frames that the kernel would make of what was written, by our own segmentation
fn cut(written: &[u8]) -> Vec<Vec<u8>> {
    let (vnet, frame) = VnetHeader::split(written).unwrap();
    let mut segmenter = Segmenter::new(vnet, frame, 0, u16::MAX, Room { head: 0, tail: 0 }).unwrap();
    let mut out = vec![0; 65_600];
    let mut frames = Vec::new();
    while let Some(segments) = segmenter.fill(&mut out).unwrap() {
        frames.extend(out[..segments.len].chunks(segments.stride).map(<[u8]>::to_vec));
    }
    frames
}

fn frames(specs: &[Spec]) -> Vec<Vec<u8>> {
    specs.iter().map(Spec::frame).collect()
}

fn joined(specs: &[Spec]) -> Vec<Vec<u8>> {
    join(&mut Coalescer::new(true), &frames(specs), Tags::NONE)
}

#[test]
fn segments_become_the_frame_they_were_cut_from() {
    for (tcp, v6) in [(true, false), (true, true), (false, false), (false, true)] {
        let spec = Spec {
            v6,
            tcp,
            flags: ACK | PSH,
            ..Spec::tcp4(14_500)
        };
        let (vnet, frame) = spec.offloaded(1000);
        let written = joined(&spec.segments(1000));
        assert_eq!(
            written,
            [[&vnet.emit()[..], &frame].concat()],
            "tcp {tcp}, v6 {v6}"
        );
    }
}

#[test]
fn tags_are_put_in_and_offsets_count_them() {
    let peers = PeerTags::Two {
        destination: "6".parse().unwrap(),
        source: "7".parse().unwrap(),
    };
    let spec = Spec::tcp4(5000);
    let tagged = Spec {
        tags: Tags::from(peers)
            .as_bytes()
            .chunks(4)
            .map(|tag| tag.try_into().unwrap())
            .collect(),
        ..spec.clone()
    };
    let mut coalescer = Coalescer::new(false);
    let (vnet, frame) = tagged.offloaded(1000);
    let written = join(&mut coalescer, &frames(&spec.segments(1000)), peers.into());
    assert_eq!(written, [[&vnet.emit()[..], &frame].concat()]);
    let alone = join(&mut coalescer, &[spec.frame()], peers.into());
    assert_eq!(alone, [[&NO_OFFLOAD[..], &tagged.frame()].concat()]);
    let short = join(&mut coalescer, &[vec![1; 5]], peers.into());
    assert_eq!(short, [[&NO_OFFLOAD[..], &[1; 5]].concat()]);
}

#[test]
fn frames_of_other_peers_are_not_joined() {
    let segments = frames(&Spec::tcp4(2000).segments(1000));
    let mut arena = segments.concat();
    let of = |peer: &str, frame| Received {
        frame,
        tags: PeerTags::One(peer.parse().unwrap()).into(),
    };
    let middle = segments[0].len();
    let received = [of("1", 0..middle), of("2", middle..arena.len())];
    let mut count = 0;
    Coalescer::new(false).coalesce(&arena, &received, |_| count += 1);
    assert_eq!(count, 2);
    arena.truncate(middle);
    Coalescer::new(false).coalesce(&arena, &received, |_| count += 1);
    assert_eq!(count, 3, "a range outside of the arena is left out");
}

type Change = fn(&mut Spec);

/// A change to the second of three segments, and how many frames are written then
fn with_second(change: impl Fn(&mut Spec)) -> usize {
    let mut specs = Spec::tcp4(3000).segments(1000);
    change(&mut specs[1]);
    let written = joined(&specs);
    let again: Vec<_> = written.iter().flat_map(|written| cut(written)).collect();
    assert_eq!(
        again,
        frames(&specs),
        "whatever was joined is given back, in order"
    );
    written.len()
}

#[test]
fn only_what_segmentation_gives_back_is_joined() {
    assert_eq!(with_second(|_| ()), 1);
    let table: [(&str, usize, Change); 16] = [
        ("gap", 3, |s| s.sequence = s.sequence.wrapping_add(1)),
        ("identification", 3, |s| s.id = s.id.wrapping_add(1)),
        ("CE", 3, |s| s.tos = 3),
        ("DSCP", 3, |s| s.tos = 0x20),
        ("TTL", 3, |s| s.ttl = 63),
        ("DF", 3, |s| s.df = false),
        ("acknowledgment", 3, |s| s.ack += 1),
        ("window", 3, |s| s.window += 1),
        ("ECE", 3, |s| s.flags |= ECE),
        ("CWR", 3, |s| s.flags |= CWR),
        ("SYN", 3, |s| s.flags |= SYN),
        ("timestamp", 3, |s| s.options[7] += 1),
        ("options' length", 3, |s| s.options.truncate(8)),
        ("empty", 3, |s| s.payload.clear()),
        ("longer", 3, |s| s.payload.push(0)),
        ("PSH", 2, |s| s.flags |= PSH),
    ];
    for (name, expected, change) in table {
        assert_eq!(with_second(change), expected, "{name}");
    }
    assert_eq!(with_second(|s| s.flags |= PSH), 2, "PSH ends the frame");
    assert_eq!(with_second(|s| s.flags |= FIN), 2, "FIN ends the frame");
    assert_eq!(
        with_second(|s| s.payload.truncate(999)),
        2,
        "a shorter one ends the frame"
    );
}

#[test]
fn a_wrong_checksum_is_not_vouched_for() {
    let specs = Spec::tcp4(3000).segments(1000);
    for at in [24, 50, 500] {
        let mut frames = frames(&specs);
        frames[1][at] ^= 1;
        let written = join(&mut Coalescer::new(false), &frames, Tags::NONE);
        let bare: Vec<_> = written.iter().map(|w| w[VnetHeader::LEN..].to_vec()).collect();
        assert_eq!(bare, frames, "byte {at}");
    }
}

#[test]
fn padded_frames_and_fragments_pass_through() {
    let specs = Spec::tcp4(3000).segments(1000);
    let mut padded = frames(&specs);
    padded[1].push(0);
    assert_eq!(join(&mut Coalescer::new(false), &padded, Tags::NONE).len(), 3);
    let mut fragmented = frames(&specs);
    fragmented[1][20] |= 0x20;
    assert_eq!(join(&mut Coalescer::new(false), &fragmented, Tags::NONE).len(), 3);
}

#[test]
fn udp_is_joined_only_where_the_tap_takes_it() {
    let segments = frames(&Spec::udp4(3000).segments(1000));
    assert_eq!(join(&mut Coalescer::new(true), &segments, Tags::NONE).len(), 1);
    assert_eq!(join(&mut Coalescer::new(false), &segments, Tags::NONE).len(), 3);
    let mut unsummed = segments.clone();
    unsummed[1][40..42].copy_from_slice(&[0, 0]);
    assert_eq!(join(&mut Coalescer::new(true), &unsummed, Tags::NONE).len(), 3);
}

#[test]
fn frames_stay_within_what_ip_can_tell() {
    let mut spec = Spec::tcp4(65_000);
    spec.id = 0;
    spec.sequence = 0;
    let mut segments = spec.segments(1400);
    let more = Spec {
        sequence: 65_000,
        id: segments.len() as u16,
        ..Spec::tcp4(65_000)
    };
    segments.last_mut().unwrap().payload.resize(1400, 1);
    let mut all = segments;
    let next = all.len() * 1400;
    all.extend(more.segments(1400).into_iter().map(|s| Spec {
        sequence: s.sequence - 65_000 + next as u32,
        ..s
    }));
    let written = joined(&all);
    assert!(
        written
            .iter()
            .all(|w| w.len() - VnetHeader::LEN - 14 <= MAX_TOTAL)
    );
    assert_eq!(written.len(), 3, "46 full segments, 46, and the rest");
    let again: Vec<_> = written.iter().flat_map(|written| cut(written)).collect();
    assert_eq!(again, frames(&all));
}

#[test]
fn interleaved_flows_are_joined_each() {
    let flow = |port| {
        Spec {
            port,
            ..Spec::tcp4(10_000)
        }
        .segments(1000)
    };
    let flows: Vec<_> = (1..=Coalescer::FLOWS as u16).map(flow).collect();
    let interleaved: Vec<Spec> = (0..10)
        .flat_map(|i| flows.iter().map(move |flow| flow[i].clone()))
        .collect();
    assert_eq!(joined(&interleaved).len(), Coalescer::FLOWS);
    let one_more: Vec<_> = (1..=Coalescer::FLOWS as u16 + 1).map(flow).collect();
    let interleaved: Vec<Spec> = (0..10)
        .flat_map(|i| one_more.iter().map(move |flow| flow[i].clone()))
        .collect();
    check_orders(&interleaved);
}

/// Joins, cuts up again, and demands each flow's frames in their order
fn check_orders(specs: &[Spec]) {
    let given = frames(specs);
    let written = joined(specs);
    let again: Vec<_> = written.iter().flat_map(|written| cut(written)).collect();
    assert_eq!(by_flow(&again), by_flow(&given));
}

/// Frames by all that tells flows apart
fn by_flow(frames: &[Vec<u8>]) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut flows = BTreeMap::<_, Vec<_>>::new();
    for frame in frames {
        let mut l3 = 14;
        while matches!(frame[l3 - 2..l3], [0x81, 0x00] | [0x88, 0xa8]) {
            l3 += 4;
        }
        let flow = match frame[l3] >> 4 {
            6 => [&frame[..l3], &[frame[l3 + 6]], &frame[l3 + 8..l3 + 44]].concat(),
            _ => [&frame[..l3], &[frame[l3 + 9]], &frame[l3 + 12..l3 + 24]].concat(),
        };
        flows.entry(flow).or_default().push(frame.clone());
    }
    flows
}

proptest! {
    #[test]
    fn joining_undoes_cutting(spec in any_spec(any::<bool>(), 30_000), size in 600..1400u16) {
        let spec = Spec { flags: spec.flags & !CWR, ..spec };
        let segments = spec.segments(usize::from(size));
        let written = joined(&segments);
        let again: Vec<_> = written.iter().flat_map(|written| cut(written)).collect();
        prop_assert_eq!(again, frames(&segments));
        let summed_as_zero = spec.tcp && segments.iter().any(|s| s.frame()[s.l4() + 16..][..2] == [0xff; 2]);
        prop_assume!(!summed_as_zero);
        prop_assert_eq!(written.len(), 1);
    }

    #[test]
    fn whatever_comes_keeps_each_flows_order(
        flows in prop::collection::vec(any_spec(any::<bool>(), 8_000), 1..12),
        order in prop::collection::vec((any::<prop::sample::Index>(), 0..24u8, 1..5usize), 1..80),
    ) {
        let mut queues: Vec<_> = flows.iter().map(|flow| flow.segments(700).into_iter()).collect();
        let mut specs = Vec::new();
        for (flow, change, run) in order {
            for mut spec in flow.get_mut(&mut queues).take(run) {
                match change {
                    0 => spec.ack ^= 1,
                    1 => spec.tos ^= 1,
                    2 => spec.payload.truncate(5),
                    3 => spec.flags ^= PSH,
                    4 => spec.payload.clear(),
                    5 => spec.sequence ^= 1,
                    6 => spec.id ^= 4,
                    _ => {}
                }
                specs.push(spec);
            }
        }
        check_orders(&specs);
    }

    #[test]
    fn any_bytes_pass_through(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..20)) {
        let written = join(&mut Coalescer::new(true), &frames, Tags::NONE);
        let bare: Vec<_> = written.iter().map(|w| w[VnetHeader::LEN..].to_vec()).collect();
        prop_assert_eq!(bare, frames);
    }

    #[test]
    fn damaged_segments_never_panic(
        spec in any_spec(any::<bool>(), 5_000),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
    ) {
        let mut frames = frames(&spec.segments(1000));
        for (frame, at, byte) in damage {
            let frame = frame.get_mut(&mut frames);
            let at = at.index(frame.len().min(80));
            frame[at] = byte;
        }
        for (frame, len) in cuts {
            let frame = frame.get_mut(&mut frames);
            let len = len.index(frame.len()) + 1;
            frame.truncate(len);
        }
        let total: usize = frames.iter().map(Vec::len).sum();
        let written = join(&mut Coalescer::new(true), &frames, PeerTags::One("9".parse().unwrap()).into());
        prop_assert!(written.iter().map(Vec::len).sum::<usize>() <= total + written.len() * 14);
    }
}

/// The largest IP packet
const MAX_TOTAL: usize = 65_535;
