//! What the sleeve's packet threads do to each frame.
#![forbid(unsafe_code)]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use fallback_sleeve::coalesce::{Coalescer, Received};
use fallback_sleeve::datagram::{InnerHeader, Kind, SessionId};
use fallback_sleeve::segment::Segmenter;
use fallback_sleeve::vlan::Tags;
use fallback_sleeve::{Opener, Sealer, Suite, VnetHeader};
use model::{ShortId, Vni};

fn main() {
    divan::main();
}

const SUITES: [Suite; 3] = [Suite::Clear, Suite::Aes256Gcm, Suite::ChaCha20Poly1305];

#[divan::bench(args = SUITES)]
fn seal_1400_bytes(bencher: Bencher<'_, '_>, suite: Suite) {
    let sealer = Sealer::new(SESSION, suite, &KEY);
    let mut datagram = vec![0x5a; FRAME + sealer.room().total()];
    bencher
        .counter(BytesCount::new(FRAME))
        .bench_local(|| sealer.seal_in_place(Kind::Data, INNER, black_box(&mut datagram)));
}

#[divan::bench(args = SUITES)]
fn open_1400_bytes(bencher: Bencher<'_, '_>, suite: Suite) {
    let sealer = Sealer::new(SESSION, suite, &KEY);
    let mut opener = Opener::new(SESSION, suite, &KEY);
    // Each datagram is opened once: the window refuses it the second time.
    let sealed = || {
        let mut datagram = vec![0x5a; FRAME + sealer.room().total()];
        sealer
            .seal_in_place(Kind::Data, INNER, &mut datagram)
            .expect("a new session has counters left");
        datagram
    };
    bencher
        .counter(BytesCount::new(FRAME))
        .with_inputs(sealed)
        .bench_local_refs(|datagram| {
            opener
                .open_in_place(datagram)
                .expect("it was sealed for this session")
        });
}

#[divan::bench]
fn segment_64_kib(bencher: Bencher<'_, '_>) {
    let (vnet, frame) = tcp_frame();
    let mut out = vec![0; 1 << 17];
    bencher
        .counter(BytesCount::new(PAYLOAD))
        .bench_local(|| black_box(segment(vnet, black_box(&frame), &mut out)));
}

#[divan::bench]
fn coalesce_47_segments(bencher: Bencher<'_, '_>) {
    let (vnet, frame) = tcp_frame();
    let mut arena = vec![0; 1 << 17];
    let received = segment(vnet, &frame, &mut arena);
    assert_eq!(received.len(), SEGMENTS);
    let mut coalescer = Coalescer::new(true);
    bencher.counter(BytesCount::new(PAYLOAD)).bench_local(|| {
        coalescer.coalesce(black_box(&arena), &received, |pieces| {
            black_box(pieces);
        });
    });
}

/// Cuts a frame up; where the segments are
fn segment(vnet: VnetHeader, frame: &[u8], out: &mut [u8]) -> Vec<Received> {
    let room = Suite::Clear.room();
    let mut segmenter = Segmenter::new(vnet, frame, 0, MTU, room).expect("a TCP frame");
    let mut received = Vec::with_capacity(SEGMENTS);
    let mut at = 0;
    while let Some(segments) = segmenter.fill(&mut out[at..]).expect("128 KiB are room enough") {
        for start in (at..at + segments.len).step_by(segments.stride) {
            let end = (start + segments.stride).min(at + segments.len);
            received.push(Received {
                frame: start + room.head..end,
                tags: Tags::NONE,
            });
        }
        at += segments.len;
    }
    received
}

/// A TCP/IPv4 frame as a TAP gives it, to be cut up and summed
fn tcp_frame() -> (VnetHeader, Vec<u8>) {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
    // IPv4: identification 1, DF, TTL 64, TCP, 10.0.0.1 to 10.0.0.2
    frame.extend([
        0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    // TCP: ports 40000 and 5001, ACK, with a timestamp option
    frame.extend([
        0x9c, 0x40, 0x13, 0x89, 0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10, 1, 0, 0, 0, 0, 0,
    ]);
    frame.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    let headers = frame.len();
    frame.resize(headers + PAYLOAD, 0x5a);
    let vnet = VnetHeader {
        flags: VnetHeader::NEEDS_CSUM,
        gso_type: VnetHeader::GSO_TCPV4,
        hdr_len: headers as u16,
        gso_size: SEGMENT as u16,
        csum_start: 34,
        csum_offset: 16,
    };
    (vnet, frame)
}

const SESSION: SessionId = SessionId::new(7, 0x12345);
const KEY: [u8; 32] = [0x42; 32];
const INNER: InnerHeader = InnerHeader {
    flags: 0,
    vni: Vni::new(ShortId::truncated(1), ShortId::truncated(2)),
};
const FRAME: usize = 1400;
const MTU: u16 = 1422;
/// TCP payload of a packet of that MTU
const SEGMENT: usize = MTU as usize - 52;
const SEGMENTS: usize = 47;
const PAYLOAD: usize = SEGMENTS * SEGMENT;
