//! The words every crate of the project shares.
//!
//! Newtypes for what has a wire or text form of its own: a [`Mac`], a [`PeerName`], a [`ShortId`],
//! a [`Vni`], an [`IfName`], a [`ContainerId`]. Each parses (`"7a:…".parse::<PeerName>()`), prints,
//! and orders; a value that exists is valid.
//!
//! Beside them the arithmetic that all need: [`later`] and [`until_next`] for deadlines, [`bump`] for counters.
//!
//! Not here: behaviour, state, I/O. Anything that two crates only happen to name alike stays in them.
//!
//! ```
//! use model::{Mac, ShortId, Vni};
//! let vni = Vni::new(ShortId::new(0x123)?, ShortId::new(0xabc)?);
//! assert_eq!(u32::from(vni), 0xabc123);
//! assert!("ff:ff:ff:ff:ff:ff".parse::<Mac>()?.is_group());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

mod container;
mod counter;
#[cfg(fuzzing)]
pub mod fuzz;
mod ifname;
mod mac;
mod path;
mod peer;
mod target;
mod text;
mod time;
mod vni;

pub use container::{ContainerId, ContainerIdError};
pub use counter::bump;
pub use ifname::{IfName, IfNameError};
pub use mac::{Mac, MacError};
pub use path::PathKind;
pub use peer::{NickName, NickNameError, PeerName, PeerNameError, Uid};
pub use target::{Target, TargetError};
pub use time::{later, until_next};
pub use vni::{ShortId, ShortIdError, Vni};
