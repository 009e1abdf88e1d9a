//! Received frames that are joined where cutting them up gives the same ones again.
#![no_main]

use fallback_sleeve::VnetHeader;
use fallback_sleeve::coalesce::{Coalescer, Received};
use fallback_sleeve::datagram::Room;
use fallback_sleeve::segment::Segmenter;
use fallback_sleeve::vlan::Tags;
use model::fuzz::Input;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let udp = input.byte() & 1 != 0;
    let mut frames: Vec<Vec<u8>> = Vec::new();
    while !input.is_empty() && frames.len() < 64 {
        let op = input.byte();
        if op & 1 == 0 {
            frames.push(input.piece().to_vec());
        } else if let Some((vnet, frame)) = VnetHeader::split(input.piece()) {
            frames.extend(cut(vnet, frame, u16::from(op) << 4));
        }
        if op & 2 != 0 && frames.len() > 1 {
            let last = frames.len() - 1;
            frames.swap(last, last - 1);
        }
    }
    let mut arena = vec![0xdd; 7];
    let mut received = Vec::new();
    for frame in &frames {
        let start = arena.len();
        arena.extend_from_slice(frame);
        received.push(Received {
            frame: start..arena.len(),
            tags: Tags::NONE,
        });
    }
    let mut again: Vec<Vec<u8>> = Vec::new();
    Coalescer::new(udp).coalesce(&arena, &received, |pieces| {
        let written: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        let (vnet, frame) = VnetHeader::split(&written).expect("a header is before each frame");
        if vnet.gso_type == VnetHeader::GSO_NONE {
            again.push(frame.to_vec());
        } else {
            let segments = cut(vnet, frame, u16::MAX);
            assert!(segments.len() > 1, "only what is joined is to be cut up");
            again.extend(segments);
        }
    });
    frames.sort();
    again.sort();
    assert_eq!(frames, again);
});

/// The frames that the kernel would make of it, by our own segmentation
fn cut(vnet: VnetHeader, frame: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let Ok(mut segmenter) = Segmenter::new(vnet, frame, 0, mtu, Room { head: 0, tail: 0 }) else {
        return frames;
    };
    let mut out = vec![0; 1 << 16];
    while let Ok(Some(segments)) = segmenter.fill(&mut out)
        && frames.len() < 1024
    {
        frames.extend(out[..segments.len].chunks(segments.stride).map(<[u8]>::to_vec));
    }
    frames
}
