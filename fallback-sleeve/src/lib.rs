//! The sleeve: Ethernet frames in UDP datagrams, where the kernel cannot carry them itself.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod checksum;
pub mod coalesce;
pub mod datagram;
mod headers;
pub mod mtu;
mod open;
mod replay;
mod seal;
pub mod segment;
mod suite;
pub mod vlan;
mod vnet;

pub use open::{OpenCounters, OpenError, Opened, Opener};
pub use seal::{SealError, Sealer};
pub use suite::Suite;
pub use vnet::VnetHeader;
