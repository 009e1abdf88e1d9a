//! How fast the packet path is on this CPU, one thread: `cargo run --release --example throughput`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement, not the crate"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use fallback_sleeve::coalesce::{Coalescer, Received};
use fallback_sleeve::datagram::{InnerHeader, Kind, SessionId};
use fallback_sleeve::segment::Segmenter;
use fallback_sleeve::vlan::Tags;
use fallback_sleeve::{Opener, Sealer, Suite, VnetHeader, checksum};
use model::{ShortId, Vni};

const MTU: u16 = 1422;
const SIZE: usize = 1370;
const HEADERS: usize = 66;

fn main() {
    let bytes = vec![0x5a; 1400];
    report("checksum, 1400 B", 1400, || {
        black_box(checksum::sum(black_box(&bytes)));
    });
    for suite in [Suite::Clear, Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        seal_and_open(suite);
    }
    let (vnet, frame) = tcp_frame(47 * SIZE);
    let payload = frame.len() - HEADERS;
    let mut out = vec![0; 1 << 17];
    for suite in [Suite::Clear, Suite::Aes256Gcm] {
        let sealer = Sealer::new(SessionId::new(1, 1), suite, &[1; 32]);
        report(&format!("segment, 64 KiB, room for {suite:?}"), payload, || {
            let mut segmenter = Segmenter::new(vnet, black_box(&frame), 0, MTU, sealer.room()).unwrap();
            while let Some(segments) = segmenter.fill(&mut out).unwrap() {
                black_box(segments);
            }
        });
        report(&format!("segment and seal, 64 KiB, {suite:?}"), payload, || {
            let mut segmenter = Segmenter::new(vnet, black_box(&frame), 0, MTU, sealer.room()).unwrap();
            while let Some(segments) = segmenter.fill(&mut out).unwrap() {
                sealer
                    .seal_batch(Kind::Data, inner(), &mut out[..segments.len], segments.stride)
                    .unwrap();
            }
        });
    }
    let mut arena = vec![0; 1 << 17];
    let mut received = Vec::new();
    let mut segmenter = Segmenter::new(vnet, &frame, 0, MTU, Suite::Clear.room()).unwrap();
    let mut at = 0;
    while let Some(segments) = segmenter.fill(&mut arena[at..]).unwrap() {
        for start in (at..at + segments.len).step_by(segments.stride) {
            let end = (start + segments.stride).min(at + segments.len);
            let frame = start + Suite::Clear.room().head..end;
            received.push(Received {
                frame,
                tags: Tags::NONE,
            });
        }
        at += segments.len;
    }
    let mut coalescer = Coalescer::new(true);
    let mut writes = 0;
    report("coalesce, 47 segments", payload, || {
        coalescer.coalesce(black_box(&arena), &received, |pieces| {
            writes += 1;
            black_box(pieces);
        });
    });
    let pieces = received.len();
    println!(
        "{pieces} segments, {:.2} writes each time",
        f64::from(writes) / f64::from(calls())
    );
}

fn seal_and_open(suite: Suite) {
    let sealer = Sealer::new(SessionId::new(1, 1), suite, &[1; 32]);
    let mut opener = Opener::new(SessionId::new(1, 1), suite, &[1; 32]);
    let stride = 1400 + sealer.room().total();
    let mut buffer = vec![0; 44 * stride];
    report(&format!("seal, 44 x 1400 B, {suite:?}"), 44 * 1400, || {
        sealer
            .seal_batch(Kind::Data, inner(), &mut buffer, stride)
            .unwrap();
    });
    let mut opened = 0;
    report(
        &format!("seal and open, 44 x 1400 B, {suite:?}"),
        44 * 1400,
        || {
            sealer
                .seal_batch(Kind::Data, inner(), &mut buffer, stride)
                .unwrap();
            for datagram in buffer.chunks_mut(stride) {
                opened += opener.open_in_place(datagram).unwrap().body.len();
            }
        },
    );
    black_box(opened);
}

fn inner() -> InnerHeader {
    InnerHeader {
        flags: 0,
        vni: Vni::new(ShortId::truncated(1), ShortId::truncated(2)),
    }
}

/// A TCP/IPv4 frame as a TAP gives it, to be cut up and summed
fn tcp_frame(payload: usize) -> (VnetHeader, Vec<u8>) {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
    frame.extend([
        0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    frame.extend([
        0x9c, 0x40, 0x13, 0x89, 0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10, 1, 0, 0, 0, 0, 0,
    ]);
    frame.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    frame.extend((0..payload).map(|i| (i % 251) as u8));
    let vnet = VnetHeader {
        flags: VnetHeader::NEEDS_CSUM,
        gso_type: VnetHeader::GSO_TCPV4,
        hdr_len: HEADERS as u16,
        gso_size: SIZE as u16,
        csum_start: 34,
        csum_offset: 16,
    };
    (vnet, frame)
}

/// Runs `work` for a while and prints how many of its bytes it does in a second, at best of several runs
fn report(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        best = best.min(start.elapsed());
    }
    let seconds = best.as_secs_f64() / f64::from(CALLS);
    println!(
        "{name:46} {:7.2} GB/s {:9.0} ns",
        bytes as f64 / seconds / 1e9,
        seconds * 1e9
    );
}

fn calls() -> u32 {
    RUNS * CALLS
}

const RUNS: u32 = 20;
const CALLS: u32 = 500;
