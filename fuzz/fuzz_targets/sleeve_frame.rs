//! A frame as a TAP gives it: cut up, fragmented, or answered for its size.
#![no_main]

use std::time::Instant;

use fallback_sleeve::datagram::Room;
use fallback_sleeve::fragment::fragment;
use fallback_sleeve::ip_fragment::fragment_ipv4;
use fallback_sleeve::segment::{Segmenter, Segments};
use fallback_sleeve::too_big::{TooBig, too_big};
use fallback_sleeve::vlan::{PeerTags, Tags};
use fallback_sleeve::{Reassembler, VnetHeader};
use model::fuzz::Input;
use model::{ShortId, Vni};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let (how, mtu) = (input.byte(), input.u16());
    let Some((vnet, frame)) = VnetHeader::split(input.rest()) else {
        return;
    };
    assert_eq!(VnetHeader::split(&vnet.emit()), Some((vnet, &[][..])));
    let room = if how & 1 == 0 { Room::CLEAR } else { Room::SEALED };
    let mut out = vec![0; 1 << 16];
    if let Some(tags) = PeerTags::parse(frame) {
        let tagged = [&[0; 12][..], Tags::from(tags).as_bytes(), &[8, 0]].concat();
        assert_eq!(PeerTags::parse(&tagged), Some(tags));
    }
    if let Ok(mut segmenter) = Segmenter::new(vnet, frame, usize::from(how >> 1) % 3, mtu, room) {
        while let Ok(Some(segments)) = segmenter.fill(&mut out) {
            inside(segments, room, &out);
        }
    }
    if let TooBig::Reply(reply) = too_big(frame, mtu) {
        assert_eq!(reply[..6], frame[6..12], "it goes back to the sender");
    }
    if let Some(segments) = fragment_ipv4(frame, mtu, room, &mut out) {
        inside(segments, room, &out);
        for datagram in out[..segments.len].chunks(segments.stride) {
            let packet = datagram.len() - room.total() - 14;
            assert!(
                packet <= usize::from(mtu).max(28),
                "{packet} bytes on a path of {mtu}"
            );
        }
    }
    if let Ok(segments) = fragment(frame, 1, mtu, room, &mut out) {
        inside(segments, room, &out);
        let mut reassembler = Reassembler::new();
        let vni = Vni::new(ShortId::truncated(1), ShortId::truncated(2));
        let mut whole = None;
        for datagram in out[..segments.len].chunks(segments.stride) {
            assert_eq!(whole, None, "it was whole before its last piece");
            let body = &datagram[room.head..datagram.len() - room.tail];
            whole = reassembler
                .insert(vni, body, Instant::now())
                .expect("a piece of it");
        }
        assert_eq!(whole.unwrap_or_default(), frame, "the pieces are the frame");
    }
});

/// All of it was written, into datagrams that have the room
fn inside(segments: Segments, room: Room, out: &[u8]) {
    assert!(segments.len <= out.len());
    if segments.count > 0 {
        assert_eq!(segments.len.div_ceil(segments.stride), segments.count);
        let last = segments.len - (segments.count - 1) * segments.stride;
        assert!(last >= room.total());
    }
    let sends: usize = segments.sends().map(|range| range.len()).sum();
    assert_eq!(sends, segments.len);
}
