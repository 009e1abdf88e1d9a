//! Many allocators on one virtual clock.
//!
//! `IPAM_SEED=n` runs the random history of that seed only and prints what happens; `IPAM_SEEDS=n` says
//! how many histories there are. Before a release:
//! `IPAM_SEEDS=10000 cargo test -p ipam --test simulation -- --nocapture chaos:: byzantine::`
#![allow(
    clippy::disallowed_methods,
    reason = "the first instant of a virtual clock has to come from somewhere"
)]
#![allow(unreachable_pub, reason = "the modules of a test are its own")]
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test"
)]

mod attacks;
mod byzantine;
mod chaos;
mod forged;
mod host;
mod judge;
mod network;
mod scenarios;
mod turnover;
mod world;
