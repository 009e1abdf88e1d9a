//! The words every crate of the project shares.
//!
//! Newtypes for what has a wire or text form of its own: a [`Mac`], a [`PeerName`], a [`ShortId`],
//! a [`Vni`], an [`IfName`], a [`ContainerId`]. Each parses (`"7a:…".parse::<PeerName>()`), prints,
//! and orders; a value that exists is valid.
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

mod container;
mod ifname;
mod mac;
mod path;
mod peer;
mod target;
mod text;
mod vni;

pub use container::{ContainerId, ContainerIdError};
pub use ifname::{IfName, IfNameError};
pub use mac::{Mac, MacError};
pub use path::PathKind;
pub use peer::{NickName, NickNameError, PeerName, PeerNameError, Uid};
pub use target::{Target, TargetError};
pub use vni::{ShortId, ShortIdError, Vni};
