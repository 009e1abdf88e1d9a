//! How fast it is.
//!
//! What it is: two kinds of measurement. `benches/` measures the hot pure pieces, one thread, nothing but
//! the CPU: their time, and the instructions that they take. The program `weave-bench` measures whole
//! paths between hosts, with the kernel and real weaveds, beside what the kernel does by itself and what
//! WireGuard does in user space; what a weaved costs at rest; and how it answers
//! names.
//!
//! ```sh
//! cargo xtask bench --quick           # everything, a first look
//! cargo xtask bench                   # everything, for numbers to decide by
//! cargo xtask bench --pieces          # the pieces
//! target/release/weave-bench --help   # one thing, again and again
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`plan`], [`run`] | what is to be measured, and its rounds |
//! | [`path`] | ways from host to host, up |
//! | [`taking`], [`figure`] | what is measured of each way |
//! | [`load`] | what is put on a path: both ends of it |
//! | [`rest`] | a weaved that is left alone |
//! | [`names`] | a weaved that is asked for names |
//! | [`containers`] | Docker, which starts containers |
//! | [`report`], [`target`], [`plot`] | what came of it: tables, verdicts, a picture |
//! | [`pieces`] | what the pieces are measured with |
//!
//! What it is not: a test. No number here fails anything; `docs/benchmarks.md` holds those that were
//! measured, and what they are held against.
//!
//! Where its I/O happens: in [`path`], [`load`], [`rest`], [`names`] and [`containers`], all of it in namespaces that a
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

pub mod containers;
pub mod figure;
pub mod load;
pub mod machine;
pub mod names;
pub mod path;
pub mod pieces;
pub mod plan;
pub mod plot;
pub mod report;
pub mod rest;
pub mod run;
pub mod series;
pub mod table;
pub mod taking;
pub mod target;
