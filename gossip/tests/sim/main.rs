//! Many meshes on one virtual clock.
//!
//! `WEAVE_SIM_SEED=n` makes each test of random disturbances run that seed only (`n-m`: those seeds),
//! `WEAVE_SIM_TRACE=1` prints what happens.
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

mod chaos;
mod scenarios;
mod world;
