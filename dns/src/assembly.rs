//! Pieces of a whole part, put aside until all of them are there: half a part is nobody's part.

use std::collections::BTreeMap;
use std::time::Instant;

use gossip::Malformed;

use crate::entry::Entry;
use crate::part::{MAX_ENTRIES, Part, Stamp};
use crate::told::Whole;

/// A part of which some pieces are there
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) stamp: Stamp,
    pieces: u32,
    there: BTreeMap<u32, Vec<(u64, Entry)>>,
    /// When the last of them came
    pub(crate) came_at: Instant,
}

impl Assembly {
    /// The assembly that this piece is one of
    pub(crate) const fn new(whole: &Whole<Entry>, now: Instant) -> Self {
        Self {
            stamp: whole.stamp,
            pieces: whole.pieces,
            there: BTreeMap::new(),
            came_at: now,
        }
    }

    /// Puts a piece aside; whether it was news
    pub(crate) fn insert(&mut self, whole: Whole<Entry>, now: Instant) -> Result<bool, Malformed> {
        let entries: usize = self.there.values().map(Vec::len).sum();
        if whole.pieces != self.pieces || entries + whole.entries.len() > MAX_ENTRIES {
            return Err(Malformed("pieces of names that no peer has"));
        }
        if self.there.contains_key(&whole.piece) {
            return Ok(false);
        }
        self.there.insert(whole.piece, whole.entries);
        self.came_at = now;
        Ok(true)
    }

    /// Whether nothing is missing
    pub(crate) fn is_complete(&self) -> bool {
        self.there.len() as u64 == u64::from(self.pieces)
    }

    /// The part that all pieces make
    pub(crate) fn part(self) -> Result<Part, Malformed> {
        let entries: Vec<(u64, Entry)> = self.there.into_values().flatten().collect();
        if !entries.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(Malformed("pieces of names out of order"));
        }
        Ok(Part::whole(self.stamp, entries.into_iter().collect()))
    }
}
