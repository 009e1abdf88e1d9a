//! How many instructions the hot pieces take: the same on a busy machine as on an idle one.
//!
//! Valgrind counts them, and simulates caches; `cargo xtask bench --pieces` sets up what that needs. Under it
//! the CPU has no AES instructions of the widest kind: seal and open are to be compared with themselves.
//! What a benchmark was given it returns, so that its end is not counted.
#![forbid(unsafe_code)]
// What the macros of gungraun make is documented nowhere and qualifies everything.
#![allow(missing_docs, unused_qualifications)]

use std::hint::black_box;

use benches::pieces::mesh::{Records, Shape, Star, records, routes};
use benches::pieces::sleeve::{INNER, datagram, sealed, segment, session, tcp_frame};
use benches::pieces::switch::{Host, encoded, flow};
use fallback_sleeve::coalesce::{Coalescer, Received};
use fallback_sleeve::datagram::Kind;
use fallback_sleeve::{Opener, Sealer, Suite, VnetHeader};
use gungraun::{library_benchmark, library_benchmark_group, main};
use model::PeerName;
use openvswitch_sys::{Action, FlowKey};

fn to_seal(suite: Suite) -> (Sealer, Vec<u8>) {
    let (sealer, _opener) = session(suite);
    let datagram = datagram(&sealer);
    (sealer, datagram)
}

#[library_benchmark]
#[bench::clear(to_seal(Suite::Clear))]
#[bench::aes(to_seal(Suite::Aes256Gcm))]
#[bench::chacha(to_seal(Suite::ChaCha20Poly1305))]
fn seal_1400_bytes((sealer, mut datagram): (Sealer, Vec<u8>)) -> (Sealer, Vec<u8>) {
    let sealed = sealer.seal_in_place(Kind::Data, INNER, black_box(&mut datagram));
    black_box(sealed.is_ok());
    (sealer, datagram)
}

fn to_open(suite: Suite) -> (Opener, Vec<u8>) {
    let (sealer, opener) = session(suite);
    let datagram = sealed(&sealer);
    (opener, datagram)
}

#[library_benchmark]
#[bench::clear(to_open(Suite::Clear))]
#[bench::aes(to_open(Suite::Aes256Gcm))]
#[bench::chacha(to_open(Suite::ChaCha20Poly1305))]
fn open_1400_bytes((mut opener, mut datagram): (Opener, Vec<u8>)) -> (Opener, Vec<u8>) {
    black_box(opener.open_in_place(black_box(&mut datagram)).is_ok());
    (opener, datagram)
}

fn to_segment() -> (VnetHeader, Vec<u8>, Vec<u8>) {
    let (vnet, frame) = tcp_frame();
    (vnet, frame, vec![0; 1 << 17])
}

#[library_benchmark]
#[bench::tcp(to_segment())]
fn segment_64_kib(
    (vnet, frame, mut out): (VnetHeader, Vec<u8>, Vec<u8>),
) -> (Vec<u8>, Vec<u8>, Vec<Received>) {
    let received = segment(vnet, black_box(&frame), &mut out);
    (frame, out, received)
}

fn to_coalesce() -> (Coalescer, Vec<u8>, Vec<Received>) {
    let (vnet, frame, mut arena) = to_segment();
    let received = segment(vnet, &frame, &mut arena);
    (Coalescer::new(true), arena, received)
}

#[library_benchmark]
#[bench::tcp(to_coalesce())]
fn coalesce_47_segments(
    (mut coalescer, arena, received): (Coalescer, Vec<u8>, Vec<Received>),
) -> (Coalescer, Vec<u8>, Vec<Received>) {
    coalescer.coalesce(black_box(&arena), &received, |pieces| {
        black_box(pieces);
    });
    (coalescer, arena, received)
}

/// What a host does at its first misses alone is behind it
fn warm() -> Host {
    let mut host = Host::new();
    for _time in 0..100 {
        host.miss_unicast();
        host.miss_broadcast();
    }
    host
}

// A hundred: some of them find a table full and make it larger
#[library_benchmark]
#[bench::stations_10000(warm())]
fn misses_unicast_100(mut host: Host) -> Host {
    for _time in 0..100 {
        black_box(host.miss_unicast());
    }
    host
}

#[library_benchmark]
#[bench::peers_100(warm())]
fn misses_broadcast_100(mut host: Host) -> Host {
    for _time in 0..100 {
        black_box(host.miss_broadcast());
    }
    host
}

#[library_benchmark]
#[bench::into_a_tunnel(flow())]
fn encode_flow((key, actions): (FlowKey, [Action; 2])) -> [Vec<u8>; 4] {
    encoded(black_box(&key), black_box(&actions))
}

#[library_benchmark]
// With 1,000 peers the handshakes before it would take minutes.
#[bench::peers_100(Star::new(100))]
fn a_path_changes_in_a_star(mut star: Star) -> Star {
    star.change();
    star
}

#[library_benchmark]
#[bench::star_100(records(Shape::Star, 100))]
#[bench::star_1000(records(Shape::Star, 1000))]
#[bench::mesh_100(records(Shape::Mesh, 100))]
#[bench::mesh_1000(records(Shape::Mesh, 1000))]
fn routes_of((records, own): (Records, PeerName)) -> (Records, usize) {
    let children = routes(black_box(&records), own);
    (records, children)
}

library_benchmark_group!(
    name = sleeve,
    benchmarks = [
        seal_1400_bytes,
        open_1400_bytes,
        segment_64_kib,
        coalesce_47_segments
    ]
);
library_benchmark_group!(
    name = switch,
    benchmarks = [misses_unicast_100, misses_broadcast_100, encode_flow]
);
library_benchmark_group!(name = mesh, benchmarks = [a_path_changes_in_a_star, routes_of]);

main!(library_benchmark_groups = [sleeve, switch, mesh]);
