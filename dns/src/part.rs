//! What one peer says: its entries, and what it took back of late.
//!
//! The sequence counts the peer's changes, each an entry that comes or one that goes; an entry is known
//! by the sequence that it came with. A copy of a part at a sequence is what the part was at that
//! sequence, on whichever peer, which the digest proves. So what has happened between two sequences can be
//! said by anybody who is at the second and remembers what went since the first, and nothing that went can
//! come back.

use std::collections::{BTreeMap, BTreeSet};

use gossip::MAX_PART_BYTES;
use model::PeerName;

use crate::budget::{self, MAX_ENTRIES, MAX_TEXT_BYTES, Refused};
use crate::entry::Entry;
use crate::proof::Proof;
use crate::stamp::Stamp;
use crate::sum::Sum;
use crate::told::{Delta, Head, Lent, Told, Whole, encode};

/// How many entries that went are remembered: whoever lags more than that is told the whole part
pub(crate) const MAX_REMOVED: usize = 1024;

/// What a message needs beside its entries
const HEADER_BYTES: usize = 256;

/// What messages have room for beside that
const ROOM: usize = MAX_PART_BYTES.saturating_sub(HEADER_BYTES);

/// The part of one peer
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) stamp: Stamp,
    /// By the sequence that each came with
    entries: BTreeMap<u64, Entry>,
    /// Entries that went: a sequence at which each was gone, and the one that it had come with; all after `floor`
    removed: BTreeSet<(u64, u64)>,
    floor: u64,
    sum: Sum,
    /// Bytes of names and containers
    text: usize,
}

/// What a delta makes of a part, before it is taken over
#[derive(Debug)]
pub(crate) struct Step {
    stamp: Stamp,
    came: Vec<(u64, Entry)>,
    went: Vec<u64>,
    sum: Sum,
    text: usize,
    entries: usize,
}

impl Step {
    /// Of the part after it
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.sum.digest()
    }

    /// What the part weighs after it
    pub(crate) const fn weight(&self) -> usize {
        budget::weight(self.entries, self.text)
    }
}

/// What became of a part that was told of
#[derive(Debug, Clone, Default)]
pub(crate) struct Difference {
    pub(crate) came: Vec<Entry>,
    pub(crate) went: Vec<Entry>,
}

impl Part {
    /// The part of a peer that has said nothing since it started
    pub(crate) fn new(epoch: u64) -> Self {
        Self {
            stamp: Stamp { epoch, sequence: 0 },
            entries: BTreeMap::new(),
            removed: BTreeSet::new(),
            floor: 0,
            sum: Sum::default(),
            text: 0,
        }
    }

    /// A part of which nothing is remembered but what it is
    ///
    /// # Errors
    ///
    /// If it is more than a peer may have.
    pub(crate) fn whole(stamp: Stamp, entries: BTreeMap<u64, Entry>) -> Result<Self, Refused> {
        let text = entries.values().map(budget::text).fold(0, usize::saturating_add);
        fits(entries.len(), text)?;
        let mut sum = Sum::default();
        for (came, entry) in &entries {
            sum.add(*came, entry);
        }
        Ok(Self {
            stamp,
            entries,
            removed: BTreeSet::new(),
            floor: stamp.sequence,
            sum,
            text,
        })
    }

    /// Adds an entry to the own part; its sequence
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<u64, Refused> {
        let text = self.text.saturating_add(budget::text(&entry));
        fits(self.entries.len().saturating_add(1), text)?;
        let came = self.advance();
        self.sum.add(came, &entry);
        self.text = text;
        self.entries.insert(came, entry);
        Ok(came)
    }

    /// Takes an entry out of the own part
    pub(crate) fn remove(&mut self, came: u64) -> Option<Entry> {
        let entry = self.entries.remove(&came)?;
        self.sum.remove(came, &entry);
        self.text = self.text.saturating_sub(budget::text(&entry));
        let went = self.advance();
        self.remember(went, came);
        Some(entry)
    }

    /// The next sequence: a run counts from 0 one by one, and makes less than 2^62 changes
    const fn advance(&mut self) -> u64 {
        self.stamp.sequence = self.stamp.sequence.saturating_add(1);
        self.stamp.sequence
    }

    pub(crate) const fn entries(&self) -> &BTreeMap<u64, Entry> {
        &self.entries
    }

    /// The last sequence before which it is not remembered what went
    pub(crate) const fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.sum.digest()
    }

    /// What it takes of memory, about
    pub(crate) fn weight(&self) -> usize {
        budget::weight(self.entries.len(), self.text)
    }

    /// What to tell somebody whose copy is at `known`, and older than this; whoever has no copy has one
    /// of the epoch with nothing in it
    pub(crate) fn tell(&self, origin: PeerName, proof: Proof, known: Option<Stamp>) -> Vec<Vec<u8>> {
        let from = match known {
            Some(known) if known.epoch == self.stamp.epoch => known.sequence,
            Some(_) | None => 0,
        };
        let head = Head {
            origin,
            stamp: self.stamp,
            proof,
        };
        if from >= self.floor && self.stamp.sequence > from {
            let after = from.saturating_add(1);
            let came = self.entries.range(after..);
            let went: BTreeSet<u64> = self
                .removed
                .range((after, 0)..)
                .map(|(_gone_at, came)| *came)
                .collect();
            let delta = Delta {
                head,
                from,
                came: came.map(|(came, entry)| (*came, entry.into())).collect(),
                went: went.into_iter().collect(),
            };
            if delta.bytes() <= ROOM {
                return vec![encode(&Told::Delta(delta))];
            }
        }
        let pieces = self.pieces();
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let whole = |(piece, entries)| {
            Told::Whole(Whole {
                head,
                piece,
                pieces: count,
                entries,
            })
        };
        (0..).zip(pieces).map(whole).map(|told| encode(&told)).collect()
    }

    /// The entries in pieces that have room in a message; the same ones on every peer. At least one.
    fn pieces(&self) -> Vec<Vec<(u64, Lent<'_>)>> {
        let (mut pieces, mut piece, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        for (came, entry) in &self.entries {
            let entry = Lent::from(entry);
            bytes = bytes.saturating_add(entry.bytes());
            if bytes > ROOM {
                pieces.push(std::mem::take(&mut piece));
                bytes = entry.bytes();
            }
            piece.push((*came, entry));
        }
        pieces.push(piece);
        pieces
    }

    /// What happened since `delta.from`, which this copy has to be at or after, would make of it
    ///
    /// # Errors
    ///
    /// If that is more than a peer may have, or not what was signed.
    pub(crate) fn step(&self, delta: Delta<Entry>) -> Result<Step, Refused> {
        let signed = delta.head.proof.digest;
        let step = self.outcome(delta);
        fits(step.entries, step.text)?;
        if step.digest() != signed {
            return Err(Refused::Digest);
        }
        Ok(step)
    }

    /// What a delta would make of it, whether that is right or not
    pub(crate) fn outcome(&self, delta: Delta<Entry>) -> Step {
        let known = self.stamp.sequence;
        let mut step = Step {
            stamp: delta.head.stamp,
            came: delta.came.into_iter().filter(|(came, _)| *came > known).collect(),
            went: delta.went,
            sum: self.sum.clone(),
            text: self.text,
            entries: self.entries.len(),
        };
        for came in &step.went {
            if let Some(entry) = self.entries.get(came) {
                step.sum.remove(*came, entry);
                step.text = step.text.saturating_sub(budget::text(entry));
                step.entries = step.entries.saturating_sub(1);
            }
        }
        for (came, entry) in &step.came {
            step.sum.add(*came, entry);
            step.text = step.text.saturating_add(budget::text(entry));
            step.entries = step.entries.saturating_add(1);
        }
        step
    }

    /// Takes over a step that was made of this part as it is
    pub(crate) fn take(&mut self, step: Step) -> Difference {
        let mut difference = Difference::default();
        for came in step.went {
            difference.went.extend(self.entries.remove(&came));
            // Who told it may have been wrong about when it went; at the end of the step it was gone.
            self.remember(step.stamp.sequence, came);
        }
        for (came, entry) in step.came {
            difference.came.push(entry.clone());
            self.entries.insert(came, entry);
        }
        self.stamp = step.stamp;
        self.sum = step.sum;
        self.text = step.text;
        difference
    }

    fn remember(&mut self, gone_at: u64, came: u64) {
        self.removed.insert((gone_at, came));
        while self.removed.len() > MAX_REMOVED {
            if let Some((oldest, _came)) = self.removed.pop_first() {
                self.floor = oldest;
            }
        }
    }
}

const fn fits(entries: usize, text: usize) -> Result<(), Refused> {
    if entries <= MAX_ENTRIES && text <= MAX_TEXT_BYTES {
        Ok(())
    } else {
        Err(Refused::OriginFull)
    }
}
