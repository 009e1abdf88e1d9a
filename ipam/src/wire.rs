//! The bytes that neighbours tell each other, and those that are kept; the only place that knows the
//! encoding: bincode, varint, little endian.

use std::collections::BTreeSet;

use gossip::{IdentityKey, Malformed};
use ipnetwork::Ipv4Network;
use model::PeerName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::MAX_OWNERS;
use crate::gone::Heir;
use crate::ledger::{Decision, Lineage, Roll, Word};
use crate::owner::{Incarnation, Owner};
use crate::range::Span;
use crate::record::{LIMIT, Record, is_ballot, is_owner, is_value};
use crate::space::Piece;

/// Something of the state
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// What the teller hands out from: of another range nothing is taken over
    pub(crate) range: Ipv4Network,
    pub(crate) teller: PeerName,
    /// Of those who signed something in it, other than records, which bring their own
    pub(crate) keys: Vec<(PeerName, IdentityKey)>,
    pub(crate) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// Only that the teller is there
    Nothing,
    Space(Vec<Piece>),
    Ledger(Ledger),
    Records(Vec<Record>),
}

/// Who votes and who is gone, in one, so that nobody knows of a roll and not of those whom it removed
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) roll: Option<Roll>,
    pub(crate) gone: Vec<(Owner, Heir)>,
    /// The last ones that led there, in order
    pub(crate) decisions: Vec<Decision>,
    pub(crate) words: Vec<Word>,
}

/// What is here, in short
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) range: Ipv4Network,
    /// A hash of each part of the range
    pub(crate) space: Vec<[u8; 16]>,
    pub(crate) ledger: [u8; 16],
    pub(crate) lineage: Option<Lineage>,
    pub(crate) records: Vec<(Owner, Incarnation, u64)>,
}

/// The most pieces in a part: each takes less than 180 bytes
pub(crate) const MOST_PIECES: usize = 4096;

/// The most decisions, and words, that are kept and told
pub(crate) const MOST_DECISIONS: usize = 256;
/// The most bytes of decisions that are kept and told
pub(crate) const MOST_DECISION_BYTES: usize = 384 << 10;
/// The most that are remembered to be gone, and are told
pub(crate) const MOST_GONE: usize = 2048;

impl Part {
    /// # Errors
    ///
    /// If no peer would send it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let part: Self = decode(bytes).ok_or(Malformed("no part of an address space"))?;
        if part.is_sound() {
            Ok(part)
        } else {
            Err(Malformed("a part of an address space is out of bounds"))
        }
    }

    fn is_sound(&self) -> bool {
        let range = Span::of(self.range);
        if self.keys.len() > MAX_OWNERS {
            return false;
        }
        match &self.body {
            Body::Nothing => true,
            Body::Space(pieces) => pieces.iter().all(|piece| is_piece(piece, range)),
            Body::Ledger(Ledger {
                roll,
                gone,
                decisions,
                words,
            }) => {
                let some = |owners: &BTreeSet<Owner>| {
                    (1..=MAX_OWNERS).contains(&owners.len()) && owners.iter().all(|owner| is_owner(*owner))
                };
                let sound = |roll: &Roll| {
                    roll.at.index < LIMIT && some(&roll.first) && some(&roll.voters) && roll.is_begun()
                };
                let heirs = |(owner, heir): &(Owner, Heir)| {
                    is_owner(*owner) && is_owner(heir.heir) && heir.generation < LIMIT && *owner != heir.heir
                };
                let decided = |decision: &Decision| {
                    decision.at.index < LIMIT
                        && is_ballot(decision.ballot)
                        && is_value(&decision.value)
                        && decision.by.len() <= MAX_OWNERS
                };
                let said = |word: &Word| {
                    is_owner(word.owner)
                        && is_owner(word.by)
                        && word.generation < LIMIT
                        && word.owner != word.by
                };
                roll.as_ref().is_none_or(sound)
                    && gone.len() <= MOST_GONE
                    && gone.iter().all(heirs)
                    && decisions.len() <= MOST_DECISIONS
                    && decisions.iter().all(decided)
                    && words.len() <= MOST_DECISIONS
                    && words.iter().all(said)
            }
            Body::Records(records) => records.iter().all(|record| record.is_sound(range)),
        }
    }
}

fn is_piece(piece: &Piece, range: Span) -> bool {
    let Piece { span, register, deed } = piece;
    span.first <= span.last
        && range.covers(*span)
        && deed.is_none_or(|deed| deed.span.first <= deed.span.last && range.covers(deed.span))
        && register.epoch < LIMIT
        && register.version < LIMIT
        && is_owner(register.owner)
        && is_owner(register.by)
}

impl Summary {
    /// # Errors
    ///
    /// If no peer would send it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let summary: Self = decode(bytes).ok_or(Malformed("no summary of an address space"))?;
        if summary.space.len() <= BUCKETS as usize && summary.records.len() <= MAX_OWNERS {
            Ok(summary)
        } else {
            Err(Malformed("a summary of an address space is out of bounds"))
        }
    }
}

/// In how many parts the range is compared
const BUCKETS: u64 = 64;

/// The parts in which a range is compared
pub(crate) fn buckets(range: Span) -> impl Iterator<Item = Span> {
    let len = (range.len() / BUCKETS).max(16);
    let count = range.len().div_ceil(len);
    (0..count).filter_map(move |n| {
        let first = u64::from(range.first).saturating_add(n.saturating_mul(len));
        let last = first
            .saturating_add(len.saturating_sub(1))
            .min(u64::from(range.last));
        Span::new(first as u32, last as u32)
    })
}

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("nothing here is of a kind that cannot be encoded")
}

/// The most bytes of a part, and of anything that is kept
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// The value that the bytes are, and nothing more
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let config = bincode::config::standard().with_limit::<MOST_BYTES>();
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((value, read)) if read == bytes.len() => Some(value),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
