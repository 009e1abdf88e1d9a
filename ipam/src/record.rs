//! What each owner says of itself, and the table of it.
//!
//! Nobody else writes an owner's record. A request for addresses is a change of it, and so is a vote:
//! they travel like everything else, through peers that are no neighbours of who they are for.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gossip::{Identity, IdentityKey, Purpose, Signature};
use model::{Mac, PeerName};
use serde::{Deserialize, Serialize};

use crate::MAX_OWNERS;
use crate::ledger::{Accepted, At, Ballot, Value, Vote};
use crate::owner::{Incarnation, Owner};
use crate::range::Span;
use crate::wire::encode;

/// What an owner says of itself
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) owner: Owner,
    /// When its state was made: tells one that was named by seed from itself, having lost its state
    pub(crate) born: Incarnation,
    /// Counts the changes
    pub(crate) version: u64,
    /// It has a vote in who the first owners are
    pub(crate) elector: bool,
    /// It wants the first owners to be found
    pub(crate) calls: bool,
    /// It gave everything away
    pub(crate) left: bool,
    /// The magnitude of how many free addresses it has; 0 for none
    pub(crate) free: u8,
    pub(crate) vote: Option<Vote>,
    /// How far it knows the chain
    pub(crate) at: At,
    /// What it asks others to repeat, so that it knows what they know; 0 for nothing
    pub(crate) question: u64,
    /// What it was asked to repeat, and by whom
    pub(crate) repeats: Vec<(Owner, u64)>,
    /// Whom it did not see for a lease, as a voter at this place of the chain; never taken back there
    pub(crate) lapsed: (At, Vec<Owner>),
    /// Who is dead, as its operator said
    pub(crate) said: Vec<Owner>,
    /// Whose addresses it is to have, once all that could have been given some of them were heard
    pub(crate) inherits: Vec<Owner>,
    /// Of those, who is gone as far as it knows: it takes nothing from them any more
    pub(crate) acks: Vec<Owner>,
    pub(crate) wants: Vec<Want>,
    pub(crate) refused: Vec<Refused>,
    /// Addresses of its containers that are not its own, or that others use as well; ascending
    pub(crate) uses: Vec<u32>,
    /// The key that its name is bound to
    pub(crate) key: IdentityKey,
    /// Of all that comes before
    pub(crate) signature: Signature,
}

/// A request for addresses
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Want {
    pub(crate) number: u64,
    pub(crate) of: Owner,
    pub(crate) span: Span,
    /// All of it, a single address, rather than some
    pub(crate) exact: bool,
}

/// A request that was not granted
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) to: Owner,
    pub(crate) number: u64,
    /// A container has it; otherwise there is nothing to give
    pub(crate) in_use: bool,
}

/// How many of each thing a record holds at most
pub(crate) const MOST_OWNERS: usize = 64;
pub(crate) const MOST_ACKS: usize = 512;
pub(crate) const MOST_REPEATS: usize = 1024;
pub(crate) const MOST_WANTS: usize = 16;
pub(crate) const MOST_REFUSED: usize = 256;
pub(crate) const MOST_USES: usize = 1024;

impl Record {
    pub(crate) fn new(owner: Owner, born: Incarnation, elector: bool, key: IdentityKey) -> Self {
        Self {
            owner,
            born,
            version: 0,
            elector,
            calls: false,
            left: false,
            free: 0,
            vote: None,
            at: At::NONE,
            question: 0,
            repeats: vec![],
            lapsed: (At::NONE, vec![]),
            said: vec![],
            inherits: vec![],
            acks: vec![],
            wants: vec![],
            refused: vec![],
            uses: vec![],
            key,
            signature: Signature::default(),
        }
    }

    pub(crate) fn sign(&mut self, identity: &Identity) {
        self.signature = identity.sign(Purpose::Addresses, &self.message());
    }

    /// Whether the record, and what it says to have accepted, are signed by its key
    pub(crate) fn is_signed(&self) -> bool {
        let accepted = |vote: &Vote| {
            let accepted = vote.accepted.as_ref();
            accepted.is_none_or(|accepted| accepted.is_by(self.owner, vote.at, &self.key))
        };
        self.key
            .verify(Purpose::Addresses, &self.message(), &self.signature)
            && self.vote.as_ref().is_none_or(accepted)
    }

    fn message(&self) -> Vec<u8> {
        let unsigned = Self {
            signature: Signature::default(),
            ..self.clone()
        };
        encode(&("record", unsigned))
    }

    /// Which of the record's versions this is. The one that was born first is right: the other learns by
    /// that that it forgot something.
    pub(crate) const fn stamp(&self) -> (Reverse<Incarnation>, u64) {
        (Reverse(self.born), self.version)
    }

    /// Whom it lists as lapsed at this place of the chain
    pub(crate) fn lists(&self, at: At, owner: Owner) -> bool {
        self.lapsed.0 == at && self.lapsed.1.contains(&owner)
    }

    /// What it accepted at this place
    pub(crate) fn vote_at(&self, at: At) -> Option<&Vote> {
        self.vote.as_ref().filter(|vote| vote.at == at)
    }

    /// Whether it accepted, or promised, something at this place of the chain or after it
    pub(crate) fn went_beyond(&self, at: At) -> bool {
        let beyond = |vote: &Vote| {
            vote.at.lineage == at.lineage && (vote.at > at || (vote.at == at && vote.accepted.is_some()))
        };
        self.vote.as_ref().is_some_and(beyond)
    }

    /// Whether a peer can have written this
    pub(crate) fn is_sound(&self, range: Span) -> bool {
        let lists = [&self.lapsed.1, &self.said, &self.inherits];
        let sound_vote = |vote: &Vote| {
            is_ballot(vote.promised)
                && vote.at.index < LIMIT
                && vote
                    .accepted
                    .as_ref()
                    .is_none_or(|Accepted { ballot, value, .. }| is_ballot(*ballot) && is_value(value))
        };
        is_owner(self.owner)
            && self.born <= Incarnation::MAX
            && self.version < LIMIT
            && lists
                .iter()
                .all(|list| list.len() <= MOST_OWNERS && list.iter().all(|owner| is_owner(*owner)))
            && self.acks.len() <= MOST_ACKS
            && self.repeats.len() <= MOST_REPEATS
            && self.at.index < LIMIT
            && self.question < QUESTIONS
            && self.wants.len() <= MOST_WANTS
            && self
                .wants
                .iter()
                .all(|want| want.span.first <= want.span.last && range.covers(want.span))
            && self.refused.len() <= MOST_REFUSED
            && self.uses.len() <= MOST_USES
            && self.uses.iter().all(|address| range.contains(*address))
            && self.uses.is_sorted()
            && self.vote.as_ref().is_none_or(sound_vote)
    }
}

/// Counters beyond this are nobody's: there has to be room for one more
pub(crate) const LIMIT: u64 = 1 << 62;

/// No question is greater; the first one of a run is drawn below [`LIMIT`]
const QUESTIONS: u64 = 1 << 63;

/// Whether a peer can be this owner
pub(crate) fn is_owner(owner: Owner) -> bool {
    let mac = owner.name.mac();
    !mac.is_group() && mac != Mac::ZERO && owner.incarnation <= Incarnation::MAX
}

pub(crate) fn is_ballot(ballot: Ballot) -> bool {
    is_owner(ballot.proposer) && ballot.round < LIMIT
}

pub(crate) fn is_value(value: &Value) -> bool {
    match value {
        Value::First { voters, .. } => {
            !voters.is_empty() && voters.len() <= MAX_OWNERS && voters.iter().all(|owner| is_owner(*owner))
        }
        Value::Next { add, remove } => {
            let heirs = || remove.iter().filter_map(|removal| removal.heir);
            add.len() <= Value::MOST
                && remove.len() <= Value::MOST
                && add.iter().all(|owner| is_owner(*owner))
                && remove.iter().all(|removal| is_owner(removal.owner))
                && heirs().all(|heir| is_owner(heir.heir) && heir.generation < LIMIT)
        }
    }
}

/// The newest record of each owner
#[derive(Debug, Default)]
pub(crate) struct Records {
    records: BTreeMap<Owner, Record>,
    /// The encoded length of each
    lens: BTreeMap<Owner, usize>,
    bytes: usize,
}

/// The most bytes of all records that are not small
pub(crate) const MOST_RECORD_BYTES: usize = 16 << 20;
/// A record of no more bytes is small: there is room for as many of them as there are owners
const SMALL: usize = 2048;

impl Records {
    pub(crate) fn get(&self, owner: Owner) -> Option<&Record> {
        self.records.get(&owner)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The owners of a name, the oldest first
    pub(crate) fn of(&self, name: PeerName) -> impl DoubleEndedIterator<Item = Owner> {
        let of = |incarnation| Owner { name, incarnation };
        let range = of(Incarnation(0))..=of(Incarnation(u64::MAX));
        self.records.range(range).map(|(owner, _)| *owner)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The last owner of this name: its peer has lost what earlier ones had
    pub(crate) fn latest(&self, name: PeerName) -> Option<Owner> {
        self.of(name).next_back()
    }

    /// Whether there is a later owner of the same name
    pub(crate) fn is_succeeded(&self, owner: Owner) -> bool {
        self.latest(owner.name).is_some_and(|latest| latest > owner)
    }

    /// Whether it is newer than the one here
    pub(crate) fn is_news(&self, record: &Record) -> bool {
        let known = self.records.get(&record.owner);
        known.is_none_or(|known| known.stamp() < record.stamp())
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the bytes of the record fit
    pub(crate) fn has_room_for(&self, record: &Record) -> bool {
        let len = encode(record).len();
        len <= SMALL || self.bytes.saturating_add(len) <= MOST_RECORD_BYTES
    }

    pub(crate) fn put(&mut self, record: Record) {
        let owner = record.owner;
        self.remove(owner);
        let len = encode(&record).len();
        self.bytes = self.bytes.saturating_add(len);
        self.lens.insert(owner, len);
        self.records.insert(owner, record);
    }

    pub(crate) fn remove(&mut self, owner: Owner) {
        if self.records.remove(&owner).is_some() {
            let len = self.lens.remove(&owner).unwrap_or(0);
            self.bytes = self.bytes.saturating_sub(len);
        }
    }
}
