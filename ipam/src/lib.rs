//! Addresses: which peer owns which, which container has which.
//!
//! What it is: one peer's part in handing out the addresses of a range with no central store, as one
//! pure machine, [`Ipam`]. What all peers know is the same once they have spoken ([`gossip::Replica`]):
//! the *space* (a register for each address), the *records* (one for each owner, which alone writes it),
//! the *ledger* (who votes, who is gone). `docs/decisions/013-ipam.md` says why it is so.
//!
//! What it is not: it puts no address on an interface, and nothing on disk (it says what to keep).
//!
//! How many: one [`Ipam`] per process; one range; at most [`MAX_OWNERS`] owners.
//!
//! Where its I/O happens: nowhere here. After every call that takes `&mut self`, also by an
//! `Exchange`, the driver polls outputs until there is none, and carries them out in order, before it
//! sends anything that the `Exchange` has for the neighbours.
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

mod admissible;
mod config;
mod donate;
#[cfg(fuzzing)]
pub mod fuzz;
mod gone;
mod inherit;
mod lease;
mod ledger;
mod links;
mod machine;
mod members;
mod output;
mod owner;
mod pieces;
mod proof;
mod range;
mod record;
mod rejection;
mod replica;
mod report;
mod requests;
mod restore;
mod ring;
mod sight;
mod space;
mod state;
mod status;
mod step;
mod time;
mod title;
mod vote;
mod wire;

pub use config::{Config, Init, Timers};
pub use machine::Ipam;
pub use output::{Event, Output, Refusal, Ticket, Why};
pub use owner::{Incarnation, Owner};
pub use rejection::Rejection;
pub use state::{Change, Held, State};
pub use status::{Budget, Conflict, Entry, Inheriting, OwnerStatus, Pending, Phase, Status, Waits, Wanted};

/// The most owners that are remembered
pub const MAX_OWNERS: usize = 4096;
