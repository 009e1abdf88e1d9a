//! What a mesh computes when something changes.
#![forbid(unsafe_code)]

use benches::pieces::mesh::{Shape, Star, records, routes};
use divan::Bencher;

fn main() {
    divan::main();
}

/// The whole of a change at the middle of a star: records, reachability, topology, own tree
///
/// Connections cannot be had without shaking hands over each, so a full mesh is not measured this way.
#[divan::bench(args = [100, 1000], sample_size = 1, max_time = 5)]
fn a_path_changes_in_a_star(bencher: Bencher<'_, '_>, peers: u16) {
    let mut star = Star::new(peers);
    bencher.bench_local(|| star.change());
}

/// The topology and the own tree, from records
#[divan::bench(args = SHAPES, sample_size = 1, max_time = 5)]
fn routes_of(bencher: Bencher<'_, '_>, (shape, peers): &(Shape, u16)) {
    let (records, own) = records(*shape, *peers);
    bencher.bench_local(|| routes(&records, own));
}

const SHAPES: &[(Shape, u16)] = &[
    (Shape::Star, 100),
    (Shape::Star, 1000),
    (Shape::Mesh, 100),
    (Shape::Mesh, 1000),
];
