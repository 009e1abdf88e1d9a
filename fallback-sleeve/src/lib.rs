//! The sleeve: Ethernet frames in UDP datagrams, where the kernel cannot carry them itself.
//!
//! What it is: formats and decisions. [`datagram`] is the format; [`Sealer`] and [`Opener`] protect it,
//! with the keys that one [`rekey::Keys`] per neighbour agrees on; [`segment`] and [`coalesce`] stand
//! between a TAP's large frames and the path's small ones; [`too_big`], [`fragment`] and [`Reassembler`]
//! deal with what does not fit; one [`PathProbe`] per neighbour and kind of path, fastdp's as well, tells
//! whether it carries packets and how large ones.
//!
//! What it is not: a switch. Which frame goes to which neighbour, and by which path, is the overlay's to
//! say. Nor a driver: there is no socket, no TAP, no clock, and no thread in here. Those who have them
//! call; the packet threads do it like this, without an allocation per packet:
//!
//! ```text
//! out:  read(tap) ► VnetHeader::split ► PeerTags::parse ► which neighbour?
//!           ► Segmenter::new ► fill ► Sealer::seal_batch ► sendmsg(UDP_SEGMENT), until fill says None
//! in:   recvmmsg(UDP_GRO) ► Header::parse ► which session? ► Opener::open_in_place
//!           ► all frames of the batch: Coalescer::coalesce ► writev(tap)
//! ```
//!
//! Of a [`Sealer`] there is one per neighbour, shared by the threads that send; of an [`Opener`] one per
//! session, of a [`coalesce::Coalescer`] one per thread, each owned by the thread that receives.
//!
//! ```
//! use fallback_sleeve::datagram::{InnerHeader, Kind, SessionId};
//! use fallback_sleeve::segment::Segmenter;
//! use fallback_sleeve::{Opener, Sealer, Suite, VnetHeader};
//! use model::{ShortId, Vni};
//!
//! let (session, key) = (SessionId::new(7, 0x0123_4567_89ab_cdef), [0x42; 32]);
//! let sealer = Sealer::new(session, Suite::Aes256Gcm, &key);
//! let mut opener = Opener::new(session, sealer.suite(), &key);
//! let inner = InnerHeader { flags: 0, vni: Vni::new(ShortId::new(1)?, ShortId::new(2)?) };
//!
//! let frame = [0x02; 60];
//! let mut segmenter = Segmenter::new(VnetHeader::default(), &frame, 0, 1422, sealer.room())?;
//! let mut out = vec![0; 65_536];
//! while let Some(segments) = segmenter.fill(&mut out)? {
//!     let datagrams = &mut out[..segments.len];
//!     sealer.seal_batch(Kind::Data, inner, datagrams, segments.stride)?;
//!     for datagram in datagrams.chunks_mut(segments.stride) {
//!         let opened = opener.open_in_place(datagram)?;
//!         assert_eq!(datagram[opened.body], frame);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

pub mod checksum;
pub mod coalesce;
pub mod datagram;
pub mod fragment;
mod headers;
pub mod heartbeat;
pub mod ip_fragment;
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
