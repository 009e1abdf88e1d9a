//! What the sleeve's packet threads do to each frame.
#![forbid(unsafe_code)]

use benches::pieces::sleeve::{
    FRAME, INNER, PAYLOAD, SEGMENTS, datagram, sealed, segment, session, tcp_frame,
};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use fallback_sleeve::Suite;
use fallback_sleeve::coalesce::Coalescer;
use fallback_sleeve::datagram::Kind;

fn main() {
    divan::main();
}

const SUITES: [Suite; 3] = [Suite::Clear, Suite::Aes256Gcm, Suite::ChaCha20Poly1305];

#[divan::bench(args = SUITES)]
fn seal_1400_bytes(bencher: Bencher<'_, '_>, suite: Suite) {
    let (sealer, _opener) = session(suite);
    let mut datagram = datagram(&sealer);
    bencher
        .counter(BytesCount::new(FRAME))
        .bench_local(|| sealer.seal_in_place(Kind::Data, INNER, black_box(&mut datagram)));
}

#[divan::bench(args = SUITES)]
fn open_1400_bytes(bencher: Bencher<'_, '_>, suite: Suite) {
    let (sealer, mut opener) = session(suite);
    bencher
        .counter(BytesCount::new(FRAME))
        .with_inputs(|| sealed(&sealer))
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
