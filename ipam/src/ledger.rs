//! Who decides who is gone: what is voted on, and what a vote is.
//!
//! A chain of rolls of voters. Each is decided by Paxos among the voters of the one before; a voter's
//! promise and acceptance are in its record, and everybody reads the records.
//!
//! ```text
//!  proposer's record      others' records           proposer's record          others' records
//!  promised: b        ──► promised: b           ──► accepted: (b, value)   ──► accepted: (b, value)
//!                         (with what they             of a quorum's promises,    a quorum of these:
//!                          accepted before)           what was accepted last     it is decided
//! ```

use std::cmp::Reverse;
use std::collections::BTreeSet;

use gossip::{Identity, IdentityKey, Purpose, Signature};
use model::PeerName;
use serde::{Deserialize, Serialize};

use crate::owner::{Incarnation, Owner};
use crate::wire::encode;

/// Which first owners everything goes back to: of two that meet, the greater is right
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Lineage(pub(crate) u64);

impl Lineage {
    /// One that was begun now: the older one is greater, because more will hang on it
    pub(crate) const fn begun(at: Incarnation) -> Self {
        Self(SEEDED.saturating_sub(at.0))
    }

    /// The one that begins with these; it is greater than any that peers agreed on
    pub(crate) fn seeded(names: &BTreeSet<PeerName>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for name in names {
            hasher.update(&name.mac().octets());
        }
        let mut hash = [0; 4];
        hasher.finalize_xof().fill(&mut hash);
        Self(
            SEEDED
                .saturating_add(1)
                .saturating_add(u32::from_be_bytes(hash) as u64),
        )
    }

    /// Whether no vote was needed for its beginning
    pub(crate) const fn is_seeded(self) -> bool {
        self.0 > SEEDED
    }
}

/// Above all lineages that begin at a time
const SEEDED: u64 = 1 << 63;

/// The milliseconds of 2020-01-01: no network is older
pub(crate) const EARLIEST_MS: u64 = 1_577_836_800_000;
/// The bits of a lineage below its milliseconds
pub(crate) const SALT_BITS: u32 = 20;

/// One of the chain of decisions
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct At {
    /// None, that is zero, for the first
    pub(crate) lineage: Lineage,
    pub(crate) index: u64,
}

impl At {
    /// Nothing was decided
    pub(crate) const NONE: Self = Self {
        lineage: Lineage(0),
        index: 0,
    };
}

/// Who votes
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roll {
    pub(crate) at: At,
    /// The first owners: whoever knows a roll knows by this how the range was shared among them, so that
    /// no address is without an owner to anybody
    pub(crate) first: BTreeSet<Owner>,
    pub(crate) voters: BTreeSet<Owner>,
}

impl Roll {
    /// Whether a peer can have begun this lineage: after 2020, or by the names that it is the hash of
    pub(crate) fn is_begun(&self) -> bool {
        let lineage = self.at.lineage;
        if lineage.is_seeded() {
            let names = self.first.iter().map(|owner| owner.name).collect();
            return lineage == Lineage::seeded(&names)
                && self
                    .first
                    .iter()
                    .all(|owner| owner.incarnation == Incarnation::SEED);
        }
        let oldest = Lineage::begun(Incarnation(EARLIEST_MS << SALT_BITS));
        lineage > Lineage::default() && lineage <= oldest
    }

    /// The first one
    pub(crate) fn first(lineage: Lineage, owners: BTreeSet<Owner>) -> Self {
        Self {
            at: At { lineage, index: 0 },
            first: owners.clone(),
            voters: owners,
        }
    }

    /// Later in the chain, or of a greater lineage. Of two that are equal in that, which takes an
    /// operator's wrong word, the lesser voters are right.
    pub(crate) fn order(&self) -> (At, Reverse<&BTreeSet<Owner>>) {
        (self.at, Reverse(&self.voters))
    }

    /// The one after it
    pub(crate) const fn next(&self) -> At {
        At {
            index: self.at.index.saturating_add(1),
            ..self.at
        }
    }
}

/// More than half of the voters, or half of them with the lowest: of a set and the rest, exactly one is
pub(crate) fn is_quorum(voters: &BTreeSet<Owner>, those: &BTreeSet<Owner>) -> bool {
    let count = voters.intersection(those).count().saturating_mul(2);
    let lowest = voters.first().is_some_and(|lowest| those.contains(lowest));
    count > voters.len() || (count == voters.len() && lowest)
}

/// Of two the greater counts
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Ballot {
    pub(crate) round: u64,
    pub(crate) proposer: Owner,
}

/// What is voted on
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// The first voters, among whom the range is shared
    First { lineage: Lineage, voters: Vec<Owner> },
    /// What makes the next roll of the last one
    Next { add: Vec<Owner>, remove: Vec<Removal> },
}

impl Value {
    /// How many of anything a value holds at most
    pub(crate) const MOST: usize = 64;

    /// Whether it removes somebody only because it is out of sight
    pub(crate) fn has_lapse(&self) -> bool {
        match self {
            Self::First { .. } => false,
            Self::Next { remove, .. } => remove.iter().any(|removal| removal.lapsed),
        }
    }
}

/// Somebody votes no more
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removal {
    pub(crate) owner: Owner,
    /// None if that is known already
    pub(crate) heir: Option<crate::gone::Heir>,
    /// It is only out of sight: that takes a quorum's word
    pub(crate) lapsed: bool,
}

/// A voter's part in a decision
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vote {
    pub(crate) at: At,
    /// No lesser ballot is accepted any more
    pub(crate) promised: Ballot,
    pub(crate) accepted: Option<Accepted>,
}

/// What a voter accepted
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) ballot: Ballot,
    pub(crate) value: Value,
    /// The voter's, on its own: those of a quorum prove the decision
    pub(crate) signature: Signature,
}

impl Accepted {
    pub(crate) fn sign(voter: Owner, at: At, ballot: Ballot, value: Value, identity: &Identity) -> Self {
        let message = acceptance(voter, at, ballot, &value);
        Self {
            signature: identity.sign(Purpose::Addresses, &message),
            ballot,
            value,
        }
    }

    pub(crate) fn is_by(&self, voter: Owner, at: At, key: &IdentityKey) -> bool {
        let message = acceptance(voter, at, self.ballot, &self.value);
        key.verify(Purpose::Addresses, &message, &self.signature)
    }
}

pub(crate) fn acceptance(voter: Owner, at: At, ballot: Ballot, value: &Value) -> Vec<u8> {
    encode(&("acceptance", voter, at, ballot, value))
}

/// Something that was decided, and by whom
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) at: At,
    pub(crate) ballot: Ballot,
    pub(crate) value: Value,
    pub(crate) by: Vec<(Owner, Signature)>,
}

impl Decision {
    pub(crate) fn signers(&self) -> BTreeSet<Owner> {
        self.by.iter().map(|(owner, _)| *owner).collect()
    }
}

/// An operator's word that an owner is gone, where nobody could decide it
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) owner: Owner,
    pub(crate) generation: u64,
    /// Who was told, and is the heir
    pub(crate) by: Owner,
    pub(crate) signature: Signature,
}

impl Word {
    pub(crate) fn sign(owner: Owner, generation: u64, by: Owner, identity: &Identity) -> Self {
        let message = encode(&("word", owner, generation, by));
        Self {
            owner,
            generation,
            by,
            signature: identity.sign(Purpose::Addresses, &message),
        }
    }

    pub(crate) fn is_by(&self, key: &IdentityKey) -> bool {
        let message = encode(&("word", self.owner, self.generation, self.by));
        key.verify(Purpose::Addresses, &message, &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owners(numbers: &BTreeSet<u8>) -> BTreeSet<Owner> {
        let owner = |n: &u8| Owner {
            name: PeerName::from(model::Mac::new([2, 0, 0, 0, 0, *n])),
            incarnation: Incarnation(1),
        };
        numbers.iter().map(owner).collect()
    }

    #[test]
    fn a_seeded_lineage_is_greater_than_an_old_one_and_that_than_a_young_one() {
        let old = Lineage::begun(Incarnation(1000));
        let young = Lineage::begun(Incarnation(2000));
        let seeded = Lineage::seeded(&BTreeSet::new());
        assert!(seeded > old && old > young && young > Lineage::default());
        assert!(seeded.is_seeded() && !old.is_seeded());
        assert!(Lineage::begun(Incarnation::MAX) > Lineage::default());
    }

    proptest! {
        #[test]
        fn of_some_voters_and_the_others_exactly_one_is_a_quorum(
            voters in prop::collection::btree_set(0..12u8, 1..12), mask: u16,
        ) {
            let some = voters.iter().copied().filter(|n| mask & (1 << n) != 0).collect();
            let others = &voters - &some;
            let (voters, some, others) = (owners(&voters), owners(&some), owners(&others));
            prop_assert_ne!(is_quorum(&voters, &some), is_quorum(&voters, &others));
        }

        #[test]
        fn two_quorums_have_a_voter_in_common(
            voters in prop::collection::btree_set(0..12u8, 1..12), one: u16, other: u16,
        ) {
            let of = |mask: u16| owners(&voters.iter().copied().filter(|n| mask & (1 << n) != 0).collect());
            let (voters, one, other) = (owners(&voters), of(one), of(other));
            if is_quorum(&voters, &one) && is_quorum(&voters, &other) {
                prop_assert!(!one.is_disjoint(&other));
            }
        }
    }
}
