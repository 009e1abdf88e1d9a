use model::ShortId;
use proptest::prelude::*;

use super::*;
use crate::datagram::Room;
use crate::fragment::{FragmentError, fragment};
use crate::packets::pattern;
use crate::segment::NoRoom;

fn vni(source: u16) -> Vni {
    Vni::new(ShortId::truncated(source), ShortId::truncated(9))
}

/// The bodies of a frame's fragments, as the receiver opens them
fn bodies(frame: &[u8], id: u32, mtu: u16) -> Vec<Vec<u8>> {
    let room = Room::SEALED;
    let mut out = vec![0xee; 1 << 17];
    let segments = fragment(frame, id, mtu, room, &mut out).unwrap();
    let datagrams: Vec<_> = out[..segments.len].chunks(segments.stride).collect();
    assert_eq!(datagrams.len(), segments.count);
    let sent: usize = segments.sends().map(|range| range.len()).sum();
    assert_eq!(sent, segments.len);
    assert!(
        segments
            .sends()
            .all(|range| range.len() <= crate::datagram::MAX_LEN)
    );
    datagrams
        .iter()
        .map(|d| d[room.head..d.len() - room.tail].to_vec())
        .collect()
}

fn body(id: u32, offset: u16, length: u16, piece: &[u8]) -> Vec<u8> {
    [&FragmentHeader { id, offset, length }.emit()[..], piece].concat()
}

#[test]
fn a_header_reads_and_writes_its_bytes() {
    let bytes = [
        0x01, 0x02, 0x03, 0x04, // id
        0x05, 0x78, // offset: 1400
        0x23, 0x28, // length: 9000
        0xaa, // piece
    ];
    let header = FragmentHeader {
        id: 0x0102_0304,
        offset: 1400,
        length: 9000,
    };
    assert_eq!(FragmentHeader::split(&bytes), Some((header, &[0xaa][..])));
    assert_eq!(header.emit(), bytes[..8]);
    assert_eq!(FragmentHeader::split(&bytes[..7]), None);
}

#[test]
fn fragments_fill_the_path_and_no_more() {
    let frame = pattern(1514);
    let bodies = bodies(&frame, 1, 1422);
    // On the path, a body of 1436 bytes is an IP packet of 1436 + 20 + 16 + 28.
    assert_eq!(bodies.iter().map(Vec::len).collect::<Vec<_>>(), [1436, 94]);
}

#[test]
fn frames_that_cannot_be_fragmented_are_refused() {
    let mut out = vec![0; 1 << 17];
    let long = fragment(&vec![0; 65_536], 1, 1400, Room::CLEAR, &mut out);
    assert_eq!(long, Err(FragmentError::TooLong(65_536)));
    let small = fragment(&vec![0; 65_535], 1, 100, Room::CLEAR, &mut out);
    assert_eq!(small, Err(FragmentError::PathTooSmall(100)));
    let room = fragment(&[0; 2000], 1, 1400, Room::CLEAR, &mut out[..2000]);
    assert_eq!(room, Err(FragmentError::NoRoom(NoRoom { needed: 2056 })));
    assert!(
        fragment(&vec![0; 65_535], 1, 576 - 78, Room::SEALED, &mut out).is_ok(),
        "the smallest path"
    );
}

#[test]
fn frames_in_pieces_do_not_mix() {
    let now = Instant::now();
    let mut reassembler = Reassembler::new();
    let a = bodies(&pattern(3000), 1, 1400);
    let b = bodies(&pattern(4000), 2, 1400);
    for (a, b) in a[1..].iter().zip(&b[1..]) {
        assert_eq!(reassembler.insert(vni(1), a, now), Ok(None));
        assert_eq!(reassembler.insert(vni(1), b, now), Ok(None));
    }
    assert_eq!(
        reassembler.insert(vni(2), &a[0], now),
        Ok(None),
        "of another peer"
    );
    assert_eq!(reassembler.insert(vni(1), &a[0], now), Ok(Some(pattern(3000))));
    assert_eq!(reassembler.insert(vni(1), &b[0], now), Ok(Some(pattern(4000))));
    assert_eq!(reassembler.counters().completed, 2);
}

#[test]
fn pieces_that_come_too_late_find_nothing() {
    let start = Instant::now();
    let mut reassembler = Reassembler::new();
    let pieces = bodies(&pattern(2000), 1, 1400);
    assert_eq!(reassembler.insert(vni(1), &pieces[0], start), Ok(None));
    assert_eq!(
        reassembler.insert(vni(1), &pieces[1], start + Reassembler::TIMEOUT),
        Ok(None)
    );
    assert_eq!(reassembler.counters().timed_out, 1);
    reassembler.expire(start + Reassembler::TIMEOUT * 2);
    assert_eq!(reassembler.counters().timed_out, 2);
    assert_eq!(reassembler.bytes, 0);
}

#[test]
fn contradictions_drop_the_frame() {
    let now = Instant::now();
    let overlaps = |offset, len| {
        let mut reassembler = Reassembler::new();
        assert_eq!(
            reassembler.insert(vni(1), &body(1, 100, 1000, &[1; 100]), now),
            Ok(None)
        );
        let result = reassembler.insert(vni(1), &body(1, offset, 1000, &vec![1; len]), now);
        if result.is_err() {
            assert_eq!((reassembler.partials.len(), reassembler.bytes), (0, 0));
        }
        result
    };
    for (offset, len) in [(50, 51), (150, 10), (199, 5), (100, 99), (100, 101), (0, 1000)] {
        assert!(
            matches!(overlaps(offset, len), Err(ReassembleError::Overlap(_))),
            "{offset} {len}"
        );
    }
    assert_eq!(overlaps(100, 100), Ok(None), "a repeated piece is ignored");
    assert_eq!(overlaps(0, 100), Ok(None), "adjacent pieces do not overlap");
    assert_eq!(overlaps(200, 800), Ok(None));

    let mut reassembler = Reassembler::new();
    assert_eq!(
        reassembler.insert(vni(1), &body(1, 0, 1000, &[1; 100]), now),
        Ok(None)
    );
    let length = reassembler.insert(vni(1), &body(1, 100, 999, &[1; 100]), now);
    assert!(matches!(
        length,
        Err(ReassembleError::Length { expected: 1000, .. })
    ));
    assert_eq!(
        reassembler.insert(vni(1), &[0; 7], now),
        Err(ReassembleError::TooShort(7))
    );
    for outside in [
        body(1, 0, 10, &[]),
        body(1, 5, 10, &[1; 6]),
        body(1, 65_535, 65_535, &[1]),
    ] {
        assert!(matches!(
            reassembler.insert(vni(1), &outside, now),
            Err(ReassembleError::Outside(_))
        ));
    }
    assert_eq!(reassembler.counters().refused, 5);
    assert!(reassembler.partials.is_empty());
}

#[test]
fn memory_and_count_are_bounded_and_the_oldest_go() {
    let start = Instant::now();
    let mut reassembler = Reassembler::new();
    for id in 0..1000u32 {
        let now = start + Duration::from_micros(u64::from(id));
        let length = if id < 500 { 65_535 } else { 1000 };
        assert_eq!(
            reassembler.insert(vni(1), &body(id, 0, length, &[1]), now),
            Ok(None)
        );
        assert!(reassembler.partials.len() <= Reassembler::MAX_FRAMES);
        assert!(reassembler.bytes <= Reassembler::MAX_BYTES);
    }
    assert_eq!(
        reassembler.counters().evicted,
        1000 - reassembler.partials.len() as u64
    );
    assert!(reassembler.partials.contains_key(&(u32::from(vni(1)), 999)));
    let mut many = Reassembler::new();
    let results: Vec<_> = (0..=MAX_PIECES as u16)
        .map(|i| many.insert(vni(1), &body(1, i * 2, 9999, &[1]), start))
        .collect();
    assert!(results[..MAX_PIECES].iter().all(|result| *result == Ok(None)));
    assert!(matches!(results[MAX_PIECES], Err(ReassembleError::TooMany(_))));
}

proptest! {
    #[test]
    fn pieces_in_any_order_make_the_frame(
        len in 1..20_000usize,
        mtu in 500..9000u16,
        order in any::<prop::sample::Index>(),
        repeated in any::<prop::sample::Index>(),
    ) {
        let now = Instant::now();
        let frame = pattern(len);
        let mut pieces = bodies(&frame, 7, mtu);
        let start = order.index(pieces.len());
        pieces.rotate_left(start);
        pieces.reverse();
        let mut reassembler = Reassembler::new();
        let last = pieces.pop().unwrap();
        for piece in &pieces {
            prop_assert_eq!(reassembler.insert(vni(1), piece, now), Ok(None));
        }
        if !pieces.is_empty() {
            let again = repeated.get(&pieces);
            prop_assert_eq!(reassembler.insert(vni(1), again, now), Ok(None));
        }
        prop_assert_eq!(reassembler.insert(vni(1), &last, now), Ok(Some(frame)));
        prop_assert_eq!(reassembler.bytes, 0);
    }

    #[test]
    fn any_bytes_never_panic(bodies in prop::collection::vec(
        (0..3u32, 0..40u16, prop_oneof![Just(30u16), 0..40u16], prop::collection::vec(any::<u8>(), 0..30), any::<bool>()),
        0..60,
    )) {
        let now = Instant::now();
        let mut reassembler = Reassembler::new();
        for (id, offset, length, bytes, raw) in bodies {
            let bytes = if raw { bytes } else { body(id, offset, length, &bytes) };
            let _ = reassembler.insert(vni(1), &bytes, now);
            let held: usize = reassembler.partials.values().map(|partial| partial.frame.len()).sum();
            prop_assert_eq!(reassembler.bytes, held);
        }
    }
}
