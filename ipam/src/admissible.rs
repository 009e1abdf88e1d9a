//! What an honest voter agrees to: only what it finds right itself, so that some that are not honest
//! decide nothing alone.

use std::time::Instant;

use crate::gone::Heir;
use crate::ledger::{Removal, Roll, Value};
use crate::machine::Ipam;
use crate::owner::Owner;
use crate::vote::Electorate;

impl Ipam {
    pub(crate) fn is_admissible(&self, value: &Value, electorate: &Electorate, _now: Instant) -> bool {
        match (value, electorate, &self.roll) {
            (Value::First { lineage, voters }, Electorate::First { electors, quorum }, None) => {
                let roll = Roll::first(*lineage, voters.iter().copied().collect());
                voters.len() >= *quorum
                    && roll.voters.len() == voters.len()
                    && roll.voters.is_subset(electors)
                    && roll.voters.contains(&self.me)
                    && !lineage.is_seeded()
                    && roll.is_begun()
            }
            (Value::Next { add, remove }, Electorate::Next { .. }, Some(roll)) => {
                add.iter().all(|owner| self.may_vote(*owner))
                    && remove.iter().all(|removal| self.may_go(roll, removal))
            }
            (Value::First { .. } | Value::Next { .. }, ..) => false,
        }
    }

    fn may_vote(&self, owner: Owner) -> bool {
        owner == self.me || (self.records.get(owner).is_some() && !self.is_dead(owner))
    }

    fn may_go(&self, roll: &Roll, removal: &Removal) -> bool {
        let Removal { owner, heir, lapsed } = *removal;
        let Some(Heir { generation, heir }) = heir else {
            return self.gone.contains(owner);
        };
        let known = self.gone.get(owner);
        let next = known.map_or(0, |known| known.generation.saturating_add(1));
        let stuck = known.is_some() && self.gone.contains(self.gone.resolve(owner));
        let dead = self.is_dead(owner) && known.is_none();
        let leaves = owner == self.me && self.left;
        generation == next
            && owner != heir
            && (heir == self.me || self.records.get(heir).is_some())
            && if lapsed {
                self.is_listed(roll, owner)
            } else {
                dead || stuck || leaves
            }
    }
}
