//! How fast it is.
//!
//! What it is: two kinds of measurement. `benches/` times the hot pure pieces, one thread, nothing but
//! the CPU; the program `weave-bench` measures whole paths between two hosts, with the kernel, real
//! weaveds and `iperf3`, beside what the kernel does by itself, and what a weaved costs at rest.
//!
//! ```sh
//! cargo bench -p benches                                  # the pieces
//! cargo build --release -p daemon -p ctl -p benches
//! sudo target/release/weave-bench                         # the paths, on this machine's kernel
//! cargo xtask guest "$PWD/target/release/weave-bench"     # the paths, on a kernel with Open vSwitch
//! ```
//!
//! What it is not: a test. No number here fails anything; `docs/benchmarks.md` holds those that were
//! measured, and what they are held against.
//!
//! Where its I/O happens: in [`path`], [`load`] and [`rest`], all of it in namespaces that a
//! [`Lab`](lab::topology::Lab) makes and removes. [`series`], [`table`] and
//! [`report`] are pure.
//!
//! ```
//! use benches::series::Series;
//!
//! let series: Series = [4.2, 3.9, 4.0].into_iter().collect();
//! assert_eq!((series.low(), series.median(), series.high()), (Some(3.9), Some(4.0), Some(4.2)));
//! ```
#![forbid(unsafe_code)]

pub mod figure;
pub mod load;
pub mod machine;
pub mod path;
pub mod pieces;
pub mod plot;
pub mod report;
pub mod rest;
pub mod run;
pub mod series;
pub mod table;
pub mod taking;
pub mod target;
