//! Who is gone, and who has what it had.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::owner::Owner;

/// Who has what an owner had that is gone
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heir {
    /// Counts decisions about one owner: there is more than one if heirs turned out to be each other's
    pub(crate) generation: u64,
    pub(crate) heir: Owner,
}

impl Heir {
    /// Whether `other` is right of the two
    pub(crate) fn is_less(&self, other: Self) -> bool {
        self.order() < other.order()
    }

    const fn order(&self) -> (u64, Reverse<Owner>) {
        (self.generation, Reverse(self.heir))
    }
}

/// The heir of each owner that is gone; of two heirs the later decision's is right, then the lower
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gone(BTreeMap<Owner, Heir>);

impl Gone {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, owner: Owner) -> bool {
        self.0.contains_key(&owner)
    }

    pub(crate) fn get(&self, owner: Owner) -> Option<Heir> {
        self.0.get(&owner).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Owner, Heir)> {
        self.0.iter().map(|(owner, heir)| (*owner, *heir))
    }

    /// Whether this was news
    pub(crate) fn join(&mut self, owner: Owner, heir: Heir) -> bool {
        match self.0.get(&owner) {
            Some(known) if known.order() >= heir.order() => false,
            Some(_) | None => {
                self.0.insert(owner, heir);
                true
            }
        }
    }

    /// Who has what `owner` had: itself, if it is not gone. Where heirs are each other's, none of them
    /// is there, and the lowest stands for all.
    pub(crate) fn resolve(&self, owner: Owner) -> Owner {
        let mut at = owner;
        let mut passed = BTreeSet::new();
        while let Some(next) = self.0.get(&at) {
            if !passed.insert(at) {
                return self.circle(at);
            }
            at = next.heir;
        }
        at
    }

    fn circle(&self, start: Owner) -> Owner {
        let mut lowest = start;
        let mut at = start;
        while let Some(next) = self.0.get(&at).filter(|next| next.heir != start) {
            at = next.heir;
            lowest = lowest.min(at);
        }
        lowest
    }

    /// Whether it is somebody's heir
    pub(crate) fn names(&self, heir: Owner) -> bool {
        self.0.values().any(|of| of.heir == heir)
    }

    /// The first that came, or were to come, after `owner`
    pub(crate) fn heirs(&self, owner: Owner, most: usize) -> BTreeSet<Owner> {
        let mut heirs = BTreeSet::new();
        let mut at = owner;
        while let Some(next) = self.0.get(&at) {
            if heirs.len() >= most || !heirs.insert(next.heir) {
                break;
            }
            at = next.heir;
        }
        heirs
    }

    /// Forgets the oldest that `has` finds no use for and of which there are more than `most`: their heirs
    /// take their place with those whose heirs they were
    pub(crate) fn prune(&mut self, most: usize, has: impl Fn(Owner) -> bool) -> bool {
        let Some(over) = self.0.len().checked_sub(most).filter(|over| *over > 0) else {
            return false;
        };
        let mut idle: Vec<Owner> = self.0.keys().filter(|owner| !has(**owner)).copied().collect();
        idle.sort_unstable_by_key(|owner| (owner.incarnation, owner.name));
        idle.truncate(over);
        let ends: BTreeMap<Owner, Owner> = idle.iter().map(|owner| (*owner, self.resolve(*owner))).collect();
        for owner in &idle {
            self.0.remove(owner);
        }
        for (owner, heir) in &mut self.0 {
            if let Some(end) = ends.get(&heir.heir).filter(|end| *end != owner) {
                heir.heir = *end;
            }
        }
        !idle.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::Incarnation;

    fn owner(n: u8) -> Owner {
        Owner {
            name: model::PeerName::from(model::Mac::new([2, 0, 0, 0, 0, n])),
            incarnation: Incarnation(n.into()),
        }
    }

    fn heir(generation: u64, n: u8) -> Heir {
        Heir {
            generation,
            heir: owner(n),
        }
    }

    #[test]
    fn heirs_of_heirs_have_it() {
        let mut gone = Gone::default();
        assert!(gone.join(owner(1), heir(0, 2)));
        assert!(gone.join(owner(2), heir(0, 3)));
        assert_eq!(gone.resolve(owner(1)), owner(3));
        assert_eq!(gone.resolve(owner(4)), owner(4));
    }

    #[test]
    fn of_two_heirs_the_lower_is_right_and_a_later_decision_more_so() {
        let mut gone = Gone::default();
        assert!(gone.join(owner(1), heir(0, 3)));
        assert!(gone.join(owner(1), heir(0, 2)));
        assert!(!gone.join(owner(1), heir(0, 3)));
        assert!(gone.join(owner(1), heir(1, 4)));
        assert_eq!(gone.resolve(owner(1)), owner(4));
    }

    #[test]
    fn heirs_of_each_other_do_not_go_round_for_ever() {
        let mut gone = Gone::default();
        gone.join(owner(1), heir(0, 3));
        gone.join(owner(2), heir(0, 3));
        gone.join(owner(3), heir(0, 2));
        for n in 1..=3 {
            assert_eq!(gone.resolve(owner(n)), owner(2), "{n}");
        }
        gone.join(owner(2), heir(1, 4));
        assert_eq!(gone.resolve(owner(1)), owner(4));
    }

    #[test]
    fn the_oldest_that_had_nothing_left_are_forgotten() {
        let mut gone = Gone::default();
        for n in 1..=6 {
            gone.join(owner(n), heir(0, 9));
        }
        assert!(gone.prune(3, |has| has == owner(2)));
        let left: Vec<Owner> = gone.iter().map(|(owner, _)| owner).collect();
        assert_eq!(left, [owner(2), owner(5), owner(6)]);
    }

    #[test]
    fn a_chain_of_those_that_are_gone_is_forgotten_from_its_oldest() {
        let mut gone = Gone::default();
        for n in 1..=100 {
            gone.join(owner(n), heir(0, n + 1));
        }
        assert!(gone.prune(3, |has| has == owner(1)));
        assert_eq!(gone.iter().count(), 3);
        assert_eq!(gone.resolve(owner(1)), owner(101));
    }
}
