//! The other end of [`fragment`](crate::fragment): pieces become frames again.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{Vni, bump};

use crate::fragment::{FragmentHeader, MAX_PIECES};

/// Puts the frames of one neighbour together; bounded in memory and time
pub struct Reassembler {
    /// By who sent whose frame, and its id
    partials: BTreeMap<(u32, u32), Partial>,
    /// Bytes of all partial frames
    bytes: usize,
    counters: ReassemblyCounters,
}

/// What became of the pieces
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReassemblyCounters {
    /// Frames completed
    pub completed: u64,
    /// Frames dropped for pieces that did not come in time
    pub timed_out: u64,
    /// Frames dropped to make room for newer ones
    pub evicted: u64,
    /// Pieces that are none, and frames dropped for them
    pub refused: u64,
}

/// A frame with holes
struct Partial {
    frame: Vec<u8>,
    /// Offset and end of the pieces that are in
    pieces: BTreeMap<u16, u16>,
    /// Bytes that are in
    received: usize,
    first_heard: Instant,
}

impl Reassembler {
    /// The longest wait for the rest of a frame
    pub const TIMEOUT: Duration = Duration::from_secs(1);
    /// The most frames in pieces
    pub const MAX_FRAMES: usize = 64;
    /// The most memory for them
    pub const MAX_BYTES: usize = 1 << 20;

    /// An empty one
    pub fn new() -> Self {
        Self {
            partials: BTreeMap::new(),
            bytes: 0,
            counters: ReassemblyCounters::default(),
        }
    }

    /// What became of the pieces so far
    pub fn counters(&self) -> ReassemblyCounters {
        self.counters
    }

    /// Takes the body of a fragment, and gives the frame if that was its last hole
    ///
    /// A repeated piece is ignored. On error a piece was dropped, and where it contradicts others, the
    /// frame with it.
    pub fn insert(
        &mut self,
        vni: Vni,
        body: &[u8],
        now: Instant,
    ) -> Result<Option<Vec<u8>>, ReassembleError> {
        self.expire(now);
        let inserted = self.try_insert(vni, body, now);
        match inserted {
            Ok(None) => {}
            Ok(Some(_)) => bump(&mut self.counters.completed),
            Err(_) => bump(&mut self.counters.refused),
        }
        inserted
    }

    /// Drops frames that waited too long; needed only where no pieces come that would do it
    pub fn expire(&mut self, now: Instant) {
        let before = self.partials.len();
        let bytes = &mut self.bytes;
        self.partials.retain(|_, partial| {
            let keep = now.saturating_duration_since(partial.first_heard) < Self::TIMEOUT;
            if !keep {
                *bytes = bytes.saturating_sub(partial.frame.len());
            }
            keep
        });
        let dropped = before.saturating_sub(self.partials.len());
        self.counters.timed_out = self.counters.timed_out.saturating_add(dropped as u64);
    }

    fn try_insert(
        &mut self,
        vni: Vni,
        body: &[u8],
        now: Instant,
    ) -> Result<Option<Vec<u8>>, ReassembleError> {
        let Some((header, piece)) = FragmentHeader::split(body) else {
            return Err(ReassembleError::TooShort(body.len()));
        };
        let FragmentHeader { id, offset, length } = header;
        let end = piece.len().saturating_add(offset.into());
        if piece.is_empty() || end > usize::from(length) {
            return Err(ReassembleError::Outside(header));
        }
        let key = (u32::from(vni), id);
        if !self.partials.contains_key(&key) {
            self.make_room(usize::from(length));
            self.bytes = self.bytes.saturating_add(length.into());
        }
        let partial = self
            .partials
            .entry(key)
            .or_insert_with(|| Partial::new(length, now));
        let inserted = partial.insert(header, end as u16, piece);
        if inserted == Ok(false) {
            return Ok(None);
        }
        // Complete or contradictory: either way it leaves the table.
        let frame = self
            .partials
            .remove(&key)
            .map(|partial| partial.frame)
            .unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(frame.len());
        inserted.map(|_complete| Some(frame))
    }

    /// Drops the oldest frames until another of `length` bytes fits
    fn make_room(&mut self, length: usize) {
        while self.partials.len() >= Self::MAX_FRAMES || self.bytes.saturating_add(length) > Self::MAX_BYTES {
            let oldest = self
                .partials
                .iter()
                .min_by_key(|(_, partial)| partial.first_heard);
            let Some(key) = oldest.map(|(key, _)| *key) else {
                return;
            };
            if let Some(partial) = self.partials.remove(&key) {
                self.bytes = self.bytes.saturating_sub(partial.frame.len());
                bump(&mut self.counters.evicted);
            }
        }
    }
}

impl Default for Reassembler {
    fn default() -> Self {
        Self::new()
    }
}

impl Partial {
    fn new(length: u16, now: Instant) -> Self {
        Self {
            frame: vec![0; usize::from(length)],
            pieces: BTreeMap::new(),
            received: 0,
            first_heard: now,
        }
    }

    /// Takes a piece that ends at `end`, and tells whether the frame is whole
    fn insert(&mut self, header: FragmentHeader, end: u16, piece: &[u8]) -> Result<bool, ReassembleError> {
        if usize::from(header.length) != self.frame.len() {
            return Err(ReassembleError::Length {
                header,
                expected: self.frame.len() as u16,
            });
        }
        if self.pieces.get(&header.offset) == Some(&end) {
            return Ok(false);
        }
        let before = self.pieces.range(..=header.offset).next_back();
        let after = self.pieces.range(header.offset..).next();
        if before.is_some_and(|(_, before_end)| *before_end > header.offset)
            || after.is_some_and(|(after_offset, _)| *after_offset < end)
        {
            return Err(ReassembleError::Overlap(header));
        }
        if self.pieces.len() == MAX_PIECES {
            return Err(ReassembleError::TooMany(header));
        }
        let start = usize::from(header.offset);
        if let Some(hole) = self.frame.get_mut(start..start.saturating_add(piece.len())) {
            hole.copy_from_slice(piece);
        }
        self.pieces.insert(header.offset, end);
        self.received = self.received.saturating_add(piece.len());
        Ok(self.received == self.frame.len())
    }
}

/// A piece was dropped
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReassembleError {
    /// No header
    #[error("{0} bytes are no fragment")]
    TooShort(usize),
    /// Empty, or beyond the frame's end
    #[error("no piece of its frame: {0:?}")]
    Outside(FragmentHeader),
    /// Pieces disagree on the frame's length; the frame was dropped
    #[error("pieces of one frame disagree on its length: {header:?}, {expected}")]
    Length {
        /// The piece
        header: FragmentHeader,
        /// What the pieces before said
        expected: u16,
    },
    /// It overlaps another piece; the frame was dropped
    #[error("overlapping pieces: {0:?}")]
    Overlap(FragmentHeader),
    /// More pieces than any frame has; the frame was dropped
    #[error("too many pieces: {0:?}")]
    TooMany(FragmentHeader),
}
