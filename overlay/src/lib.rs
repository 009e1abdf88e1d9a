//! The switch: which frame goes to which peer, by which path.
//!
//! | type | one per | what |
//! |---|---|---|
//! | [`Switch`] | host with Open vSwitch | answers misses, remembers and repairs the kernel's flows |
//! | [`Forwarding`] | published topology | where the sleeve's threads send a frame; immutable |
//! | [`MacTable`] | host | which station is where; lock-free, read by the sleeve's threads |
//! | [`PathChooser`] | neighbour | fastdp or sleeve, and why |
//! | [`Announcer`] | neighbour | which of its choices people are told of |
//!
//! Not here: how a frame is encapsulated (`fallback-sleeve`), how a flow is written
//! (`openvswitch-sys`, `odp`), who is a peer (`gossip`). No I/O, no clock: the daemon feeds upcalls,
//! dumps and changes in, and carries the answers out.
//!
//! What crosses the crate's border about the mesh is the trait [`Routes`]; about a neighbour, a
//! [`Path`].
//!
//! ```
//! use model::{Mac, ShortId};
//! use overlay::{MacTable, Station};
//!
//! let table = MacTable::new(1024, 0x5eed);
//! let (mac, peer) = (Mac::new([2, 0, 0, 0, 0, 1]), ShortId::new(7)?);
//! table.learn(mac, Station::Peer(peer), 1);
//! assert_eq!(table.lookup(mac), Some(Station::Peer(peer)));
//! # Ok::<(), model::ShortIdError>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

mod announcer;
mod chooser;
mod drops;
mod forwarding;
mod mac_table;
mod routes;
#[cfg(test)]
mod sim;
mod switch;

pub use announcer::Announcer;
pub use chooser::{Choice, ChooserConfig, FastdpHere, Health, Inputs, PathChooser, Reason};
pub use drops::{DropReason, Drops};
pub use forwarding::{Forwarding, Inject, Mode, Neighbour};
pub use mac_table::{Learnt, MacTable, Station};
pub use routes::{Path, Routes, Tunnel};
pub use switch::{
    Command, Config, Counters, Decision, Event, Oversize, Place, PortRole, SeenFlow, Switch, SwitchOutput,
    Verdict,
};
