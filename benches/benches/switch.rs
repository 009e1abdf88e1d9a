//! What the switch does to a frame that no flow matched.
#![forbid(unsafe_code)]

use benches::pieces::switch::{Host, encoded, flow};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// From a container to a station at a peer, one of 10,000 at 100 peers
#[divan::bench]
fn miss_unicast(bencher: Bencher<'_, '_>) {
    let mut host = Host::new();
    bencher.bench_local(|| {
        let verdict = host.miss_unicast();
        debug_assert!(verdict.install.is_some());
        verdict
    });
}

/// From a container to everybody: 100 peers
#[divan::bench]
fn miss_broadcast(bencher: Bencher<'_, '_>) {
    let mut host = Host::new();
    bencher.bench_local(|| host.miss_broadcast());
}

#[divan::bench]
fn encode_flow(bencher: Bencher<'_, '_>) {
    let (key, actions) = flow();
    bencher.bench_local(|| encoded(black_box(&key), black_box(&actions)));
}
