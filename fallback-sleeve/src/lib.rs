//! The sleeve: Ethernet frames in UDP datagrams, where the kernel cannot carry them itself.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod checksum;
pub mod coalesce;
pub mod datagram;
pub mod fragment;
mod headers;
pub mod heartbeat;
pub mod mtu;
mod open;
#[cfg(test)]
mod packets;
pub mod probe;
mod reassemble;
pub mod rekey;
mod replay;
mod seal;
pub mod segment;
mod suite;
pub mod too_big;
pub mod vlan;
mod vnet;

pub use open::{OpenCounters, OpenError, Opened, Opener};
pub use probe::PathProbe;
pub use reassemble::{ReassembleError, Reassembler, ReassemblyCounters};
pub use seal::{SealError, Sealer};
pub use suite::Suite;
pub use vnet::VnetHeader;
