//! The kernel's Open vSwitch interface as data: the constants of `linux/openvswitch.h` under their
//! own names, and a codec between its generic-netlink messages and Rust values.
//!
//! | module | what |
//! |---|---|
//! | [`uapi`] | constants, kernel names |
//! | [`attr`] | netlink attributes: borrowed reader, appending writer |
//! | [`netlink`] | message framing, acknowledgements, the family controller |
//! | [`key`] | [`FlowKey`], the one shape of flow key that this project installs, with its mask |
//! | [`action`] | [`Action`] lists |
//! | [`datapath`], [`vport`], [`flow`], [`upcall`] | the four families' messages |
//!
//! Not here: sockets, sequence numbers, retries (crate `odp`), and any opinion on which flow should
//! exist (crate `overlay`). No I/O, no clock, no `unsafe`. Decoders take any bytes without a panic and
//! keep what they do not know; encoders append to a `Vec<u8>` and patch lengths.
//!
//! Netlink is host-endian: encoded messages are for the machine they were made on.
//!
//! ```
//! use model::Mac;
//! use openvswitch_sys::{Attrs, FlowKey, PortNo, Vlans};
//!
//! let key = FlowKey {
//!     in_port: PortNo(2),
//!     src: Mac::new([2, 0, 0, 0, 0, 1]),
//!     dst: Mac::new([2, 0, 0, 0, 0, 2]),
//!     tunnel: None,
//!     vlans: Vlans::None,
//! };
//! let (bytes, mask) = (key.encode(), key.encode_mask());
//! assert_eq!(FlowKey::decode(Attrs::new(&bytes), Attrs::new(&mask)), Some(key));
//! assert_eq!(key.to_string(), "in_port(2),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)");
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod action;
pub mod attr;
pub mod datapath;
mod display;
pub mod flow;
pub mod key;
pub mod netlink;
#[cfg(test)]
mod samples;
pub mod uapi;
pub mod upcall;
pub mod vport;

pub use action::{Action, SetTunnel};
pub use attr::{Attr, AttrWriter, Attrs, TooLong};
pub use datapath::{Datapath, DatapathStats, UserFeatures};
pub use display::ActionList;
pub use flow::{Flow, FlowMatch, FlowStats};
pub use key::{FlowKey, PortNo, Tag, TunnelKey, Ufid, Vlans};
pub use netlink::DecodeError;
pub use upcall::{Upcall, UpcallCommand, UpcallKey};
pub use vport::{Vport, VportKind, VportStats};
