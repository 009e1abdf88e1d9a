//! Segmentation, coalescing and sealing, judged by `etherparse`: a crate that nobody here wrote builds the
//! packets, computes the checksums, and reads what comes out.
//!
//! What the kernel does with a large packet is written down once, in
//! [`Packet::segments`](packet::Packet::segments), as Linux's `tcp_gso_segment` and `__udp_gso_segment` do it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod any;
mod coalesce;
mod judge;
mod packet;
mod segment;
mod trains;
