//! Many meshes on one virtual clock.
//!
//! `WEAVE_SIM_SEED=n` repeats one run of the random scenario, `WEAVE_SIM_TRACE=1` prints it.
#![allow(
    clippy::disallowed_methods,
    reason = "the first instant of a virtual clock has to come from somewhere"
)]

mod chaos;
mod scenarios;
mod world;
