//! What one peer says: its entries, and what it took back of late.
//!
//! The sequence counts the peer's changes, each an entry that comes or one that goes; an entry is known
//! by the sequence that it came with. A copy of a part at a sequence is what the part was at that
//! sequence, on whichever peer. So what has happened between two sequences can be said by anybody who
//! is at the second and remembers what went since the first, and nothing that went can come back.

use std::collections::BTreeMap;

use gossip::{MAX_PART_BYTES, Malformed};
use model::PeerName;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::told::{Delta, Lent, Told, Whole, encode};

/// The most entries of one peer
pub const MAX_ENTRIES: usize = 65_536;

/// How many entries that went are remembered: whoever lags more than that is told the whole part
pub(crate) const MAX_REMOVED: usize = 1024;

/// What a message needs beside its entries
const HEADER_BYTES: usize = 64;

/// Which state of a peer's part it is; of two the greater is the later
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Greater at every start of the peer
    pub(crate) epoch: u64,
    /// Counts the changes since
    pub(crate) sequence: u64,
}

impl Stamp {
    /// Whether a peer can be there; and there is room to outbid it
    pub(crate) const fn is_sound(self) -> bool {
        self.epoch < u64::MAX / 2 && self.sequence < u64::MAX / 2
    }
}

/// The part of one peer
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) stamp: Stamp,
    /// By the sequence that each came with
    entries: BTreeMap<u64, Entry>,
    /// By the sequence that each went with, the sequence that it had come with; all after `floor`
    removed: BTreeMap<u64, u64>,
    floor: u64,
}

/// What became of a part that was told of
#[derive(Debug, Clone, Default)]
pub(crate) struct Difference {
    pub(crate) came: Vec<Entry>,
    pub(crate) went: Vec<Entry>,
}

impl Part {
    /// The part of a peer that has said nothing since it started
    pub(crate) const fn new(epoch: u64) -> Self {
        Self {
            stamp: Stamp { epoch, sequence: 0 },
            entries: BTreeMap::new(),
            removed: BTreeMap::new(),
            floor: 0,
        }
    }

    /// A part of which nothing is remembered but what it is
    pub(crate) const fn whole(stamp: Stamp, entries: BTreeMap<u64, Entry>) -> Self {
        Self {
            stamp,
            entries,
            removed: BTreeMap::new(),
            floor: stamp.sequence,
        }
    }

    pub(crate) fn add(&mut self, entry: Entry) -> u64 {
        self.stamp.sequence += 1;
        self.entries.insert(self.stamp.sequence, entry);
        self.stamp.sequence
    }

    pub(crate) fn remove(&mut self, came: u64) -> Option<Entry> {
        let entry = self.entries.remove(&came)?;
        self.stamp.sequence += 1;
        self.remember(self.stamp.sequence, came);
        Some(entry)
    }

    pub(crate) const fn entries(&self) -> &BTreeMap<u64, Entry> {
        &self.entries
    }

    /// The last sequence before which it is not remembered what went
    pub(crate) const fn floor(&self) -> u64 {
        self.floor
    }

    /// What to tell somebody whose copy is at `known`, and older than this; whoever has no copy has one
    /// of the epoch with nothing in it
    pub(crate) fn tell(&self, origin: PeerName, known: Option<Stamp>) -> Vec<Vec<u8>> {
        let from = match known {
            Some(known) if known.epoch == self.stamp.epoch => known.sequence,
            Some(_) | None => 0,
        };
        let room = MAX_PART_BYTES - HEADER_BYTES;
        if from >= self.floor && self.stamp.sequence > from {
            let delta = Delta {
                origin,
                stamp: self.stamp,
                from,
                came: self
                    .entries
                    .range(from + 1..)
                    .map(|(came, entry)| (*came, entry.into()))
                    .collect(),
                went: self
                    .removed
                    .range(from + 1..)
                    .map(|(went, came)| (*went, *came))
                    .collect(),
            };
            if delta.bytes() <= room {
                return vec![encode(&Told::Delta(delta))];
            }
        }
        let pieces = self.pieces(room);
        let count = pieces.len() as u32;
        let whole = |(piece, entries)| {
            Told::Whole(Whole {
                origin,
                stamp: self.stamp,
                piece,
                pieces: count,
                entries,
            })
        };
        (0..).zip(pieces).map(whole).map(|told| encode(&told)).collect()
    }

    /// The entries in pieces that have room in a message; the same ones on every peer. At least one.
    fn pieces(&self, room: usize) -> Vec<Vec<(u64, Lent<'_>)>> {
        let (mut pieces, mut piece, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (came, entry) in &self.entries {
            let entry = Lent::from(entry);
            bytes += entry.bytes();
            if bytes > room {
                pieces.push(std::mem::take(&mut piece));
                bytes = entry.bytes();
            }
            piece.push((*came, entry));
        }
        pieces.push(piece);
        pieces
    }

    /// Takes over what happened since `delta.from`, which this copy has to be at or after
    pub(crate) fn apply(&mut self, delta: Delta<Entry>) -> Result<Difference, Malformed> {
        let known = self.stamp.sequence;
        let went: Vec<(u64, u64)> = delta.went.into_iter().filter(|(went, _)| *went > known).collect();
        let came: Vec<(u64, Entry)> = delta.came.into_iter().filter(|(came, _)| *came > known).collect();
        let going = went
            .iter()
            .filter(|(_, came)| self.entries.contains_key(came))
            .count();
        if self.entries.len() - going + came.len() > MAX_ENTRIES {
            return Err(Malformed("more names than a peer may have"));
        }
        let mut difference = Difference::default();
        for (went, came) in went {
            difference.went.extend(self.entries.remove(&came));
            self.remember(went, came);
        }
        for (sequence, entry) in came {
            difference.came.push(entry.clone());
            self.entries.insert(sequence, entry);
        }
        self.stamp = delta.stamp;
        Ok(difference)
    }

    fn remember(&mut self, went: u64, came: u64) {
        self.removed.insert(went, came);
        while self.removed.len() > MAX_REMOVED {
            if let Some((oldest, _)) = self.removed.pop_first() {
                self.floor = oldest;
            }
        }
    }
}
