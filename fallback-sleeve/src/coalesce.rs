//! From received frames to what a TAP takes in one write: segments of a flow become one large frame.
//!
//! The reverse of [`segment`](crate::segment), and only where it is exactly that: cutting the result up
//! by its vnet header gives the frames back, bit by bit. So segments are joined only if they
//!
//! - belong to one TCP connection (or one UDP flow, where the TAP takes USO) and carry the same tags,
//! - follow each other without a gap, by sequence number and IPv4 identification,
//! - agree in every other header field: TTL, ECN, DF, flow label, acknowledgment, window, flags, options,
//! - are equally long, but for a shorter last one; PSH and FIN end the frame as well,
//! - have right checksums, since the result says "not yet computed" and so vouches for them.
//!
//! Anything else passes through as it came. The order within a flow is kept; flows may change places.
//!
//! Nothing is copied but headers: a frame goes out as a list of slices for `writev`, the first holding
//! vnet header and patched headers, the others the payloads where they were decrypted.

mod candidate;
mod slot;
#[cfg(test)]
mod tests;

use std::io::IoSlice;
use std::ops::Range;

use crate::headers::{ADDRESSES, IPPROTO_TCP};
use crate::vlan::{TAG, Tags};
use crate::vnet::VnetHeader;
use candidate::{Candidate, Class};
use slot::Slot;

/// A received frame, as a range of the arena that it was received into
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it lies
    pub frame: Range<usize>,
    /// Tags to put in for the datapath
    pub tags: Tags,
}

/// Joins the frames of a batch; holds buffers only, so that one serves a thread for its life
pub struct Coalescer {
    /// Open frames, oldest first, and behind them spare slots
    slots: Vec<Slot>,
    open: usize,
    udp: bool,
}

impl Coalescer {
    /// How many flows may be open at once
    pub const FLOWS: usize = 8;

    /// A coalescer that joins TCP and, where the TAP takes USO (Linux 6.2), UDP
    pub fn new(udp: bool) -> Self {
        Self {
            slots: (0..Self::FLOWS).map(|_| Slot::new()).collect(),
            open: 0,
            udp,
        }
    }

    /// Hands the frames of one batch to `write`, joined where they can be
    ///
    /// `write` gets what one `writev` to the TAP takes. Nothing is held back for the next batch. A range
    /// outside of `arena` is left out.
    pub fn coalesce(&mut self, arena: &[u8], frames: &[Received], mut write: impl FnMut(&[IoSlice<'_>])) {
        for Received { frame: range, tags } in frames {
            let Some(frame) = arena.get(range.clone()) else {
                continue;
            };
            let candidate = match Candidate::classify(frame) {
                Class::Segment(candidate) if candidate.protocol == IPPROTO_TCP || self.udp => candidate,
                Class::Segment(candidate) | Class::Alone(candidate) => {
                    if let Some(at) = self.find(arena, frame, &candidate, tags) {
                        self.flush(at, arena, &mut write);
                    }
                    pass(frame, tags, &mut write);
                    continue;
                }
                Class::Other => {
                    // It may be of any flow: a fragment, a header that is not understood.
                    self.flush_all(arena, &mut write);
                    pass(frame, tags, &mut write);
                    continue;
                }
            };
            let found = self.find(arena, frame, &candidate, tags);
            let joined = match found.and_then(|at| self.slots.get_mut(at)) {
                Some(slot) => slot.join(arena, frame, range.start, &candidate),
                None => slot::Joined::No,
            };
            match (joined, found) {
                (slot::Joined::Open, _) => continue,
                (slot::Joined::Complete, Some(at)) => {
                    self.flush(at, arena, &mut write);
                    continue;
                }
                (slot::Joined::No, Some(at)) => self.flush(at, arena, &mut write),
                (slot::Joined::No | slot::Joined::Complete, None) => {}
            }
            if self.open == self.slots.len() {
                self.flush(0, arena, &mut write);
            }
            if candidate.ends {
                pass(frame, tags, &mut write);
            } else if let Some(slot) = self.slots.get_mut(self.open) {
                slot.start(range.clone(), *tags, &candidate);
                self.open = self.open.saturating_add(1);
            }
        }
        self.flush_all(arena, &mut write);
    }

    /// The open slot of the frame's flow; the latest ones first, since flows come in runs
    fn find(&self, arena: &[u8], frame: &[u8], candidate: &Candidate, tags: &Tags) -> Option<usize> {
        let open = self.slots.get(..self.open)?;
        open.iter()
            .rposition(|slot| slot.is_flow(arena, frame, candidate, tags))
    }

    fn flush(&mut self, at: usize, arena: &[u8], write: &mut impl FnMut(&[IoSlice<'_>])) {
        let Some(open) = self.slots.get_mut(at..self.open) else {
            return;
        };
        if let Some(slot) = open.first_mut() {
            slot.write(arena, write);
        }
        open.rotate_left(1);
        self.open = self.open.saturating_sub(1);
    }

    fn flush_all(&mut self, arena: &[u8], write: &mut impl FnMut(&[IoSlice<'_>])) {
        for slot in self.slots.iter_mut().take(self.open) {
            slot.write(arena, write);
        }
        self.open = 0;
    }
}

/// Writes a frame as it came, with an empty vnet header and `tags` put in
fn pass(frame: &[u8], tags: &Tags, write: &mut impl FnMut(&[IoSlice<'_>])) {
    let tags = tags.as_bytes();
    let Some((addresses, rest)) = frame.split_at_checked(ADDRESSES).filter(|_| !tags.is_empty()) else {
        return write(&[IoSlice::new(&NO_OFFLOAD), IoSlice::new(frame)]);
    };
    let mut head = [0; VnetHeader::LEN + ADDRESSES + 2 * TAG];
    let parts = NO_OFFLOAD.iter().chain(addresses).chain(tags);
    for (to, from) in head.iter_mut().zip(parts) {
        *to = *from;
    }
    let head = head
        .get(..tags.len().saturating_add(VnetHeader::LEN + ADDRESSES))
        .unwrap_or_default();
    write(&[IoSlice::new(head), IoSlice::new(rest)]);
}

/// A vnet header that asks for nothing
const NO_OFFLOAD: [u8; VnetHeader::LEN] = [0; VnetHeader::LEN];
