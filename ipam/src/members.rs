//! Who is there, who is dead, who ought to vote.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::gone::Heir;
use crate::ledger::{At, Removal, Roll, Value, is_quorum};
use crate::machine::Ipam;
use crate::output::{Event, Output};
use crate::owner::{Incarnation, Owner};
use crate::record::{MOST_OWNERS, Record};

impl Ipam {
    /// Whether the owner cannot be running: it left, its peer lost its state, or somebody said so
    pub(crate) fn is_dead(&self, owner: Owner) -> bool {
        owner != self.me
            && (self.gone.contains(owner)
                || self.is_said(owner)
                || self.records.is_succeeded(owner)
                || self.records.get(owner).is_some_and(|record| record.left))
    }

    /// Whether an operator said so, and nothing speaks against it; those of other hosts are believed once it has
    /// been out of sight for longer than a restart takes
    fn is_said(&self, owner: Owner) -> bool {
        self.said.contains(&owner)
            && !self.reaches(owner)
            && (self.sight.is_absent(owner) || self.draft.said.contains(&owner) || self.never_ran(owner))
    }

    /// Whether the mesh reaches the peer, and it is this owner
    pub(crate) fn reaches(&self, owner: Owner) -> bool {
        self.sight.reaches(owner.name) && self.records.latest(owner.name) == Some(owner)
    }

    /// All owners that there is any sign of, and that are not gone
    pub(crate) fn known(&self) -> BTreeSet<Owner> {
        self.signs().collect()
    }

    /// The same, some of them more than once
    pub(crate) fn signs(&self) -> impl Iterator<Item = Owner> {
        let recorded = self.records.iter().map(|record| record.owner);
        let holders = self.space.holdings().keys().copied();
        let voters = self.roll.iter().flat_map(|roll| roll.voters.iter().copied());
        let all = recorded.chain(holders).chain(self.heirs()).chain(voters);
        all.filter(|owner| !self.gone.contains(*owner))
    }

    /// Whether the record is of one whose peer lost its state, and who had nothing
    pub(crate) fn is_forgettable(&self, owner: Owner) -> bool {
        self.records.is_succeeded(owner)
            && !self
                .roll
                .as_ref()
                .is_some_and(|roll| roll.voters.contains(&owner))
            && self.space.held_by(owner) == 0
            && !self.heirs().any(|heir| heir == owner)
    }

    /// Whether the record is of an owner in sight that goes on by another ledger, of another lineage or of a
    /// fork: to be gone by the one known here says nothing about it there. Without its record this peer would
    /// count less support for the other ledger than others do, and the two would never become one.
    pub(crate) fn is_elsewhere(&self, record: &Record) -> bool {
        let own = self.roll.as_ref().map_or(At::NONE, |roll| roll.at);
        let at = record.at;
        let other = at.lineage != At::NONE.lineage && (at.lineage != own.lineage || at.index >= own.index);
        let latest = self.records.latest(record.owner.name);
        other
            && !record.left
            && self.sight.reaches(record.owner.name)
            && latest.is_none_or(|latest| latest <= record.owner)
    }

    /// Who is to have what those had who are gone
    fn heirs(&self) -> impl Iterator<Item = Owner> {
        let holders = self.space.holdings().keys();
        holders
            .filter(|owner| self.gone.contains(**owner))
            .map(|owner| self.gone.resolve(*owner))
    }

    /// The owner is gone
    pub(crate) fn take_gone(&mut self, owner: Owner, heir: Heir) -> bool {
        if owner == heir.heir || !self.gone.join(owner, heir) {
            return false;
        }
        if self.may_have_missed_gifts(self.ran()) {
            self.missed.insert(owner);
        }
        self.list_heirs();
        let heir = heir.heir;
        self.dirty.later.push(Output::Event(Event::Gone { owner, heir }));
        self.dirty.keep_ledger = true;
        self.dirty.work = true;
        true
    }

    /// Lists those that were not seen for a lease, if this peer votes and is not itself out of sight
    pub(crate) fn list_lapsed(&mut self, now: Instant) {
        let (Some(roll), Some(lease)) = (&self.roll, self.config.lease) else {
            return;
        };
        let aged = now.saturating_duration_since(self.learned) >= lease;
        if !aged || !roll.voters.contains(&self.me) || !self.sure(now) {
            return;
        }
        let at = roll.at;
        let lapsed = |owner: &Owner| {
            *owner != self.me
                && !self.draft.lists(at, *owner)
                && !self.is_dead(*owner)
                && !self.never_ran(*owner)
                && self.sight.unseen(*owner, now) >= lease
        };
        let lapsed: Vec<Owner> = self.known().into_iter().filter(lapsed).collect();
        for owner in lapsed {
            if self.draft.lapsed.1.len() < MOST_OWNERS {
                self.draft.lapsed.1.push(owner);
            }
        }
    }

    /// Named by seed, and nobody heard of it: it may begin at any time
    fn never_ran(&self, owner: Owner) -> bool {
        owner.incarnation == Incarnation::SEED && self.records.get(owner).is_none()
    }

    /// What should be decided next, as far as this peer sees
    pub(crate) fn change_of_roll(&self, now: Instant) -> Option<Value> {
        let roll = self.roll.as_ref()?;
        let known = self.known();
        let holdings = self.space.holdings();
        let mut remove = self.removals(roll, &known);
        remove.truncate(Value::MOST);
        let removed: BTreeSet<Owner> = remove.iter().map(|removal| removal.owner).collect();
        let mut add: Vec<Owner> = Vec::new();
        if self.may_admit(&known, now) || !remove.is_empty() {
            let fit = |owner: &Owner| {
                !(roll.voters.contains(owner) || self.is_dead(*owner) || (self.left && *owner == self.me))
                    && (*owner == self.me || self.reaches(*owner))
                    && holdings.contains_key(owner)
            };
            add = known.iter().copied().filter(fit).take(Value::MOST).collect();
        }
        if add.is_empty() && roll.voters.is_subset(&removed) {
            add.extend(self.heir(None));
        }
        let wanted = !add.is_empty() || !remove.is_empty() || self.is_mislisted(roll);
        wanted.then_some(Value::Next { add, remove })
    }

    fn removals(&self, roll: &Roll, known: &BTreeSet<Owner>) -> Vec<Removal> {
        let holdings = self.space.holdings();
        let mut removals = Vec::new();
        let mut remove = |owner, heir, lapsed| removals.push(Removal { owner, heir, lapsed });
        let heir = |owner| {
            let generation = self
                .gone
                .get(owner)
                .map_or(0, |heir| heir.generation.saturating_add(1));
            self.heir(Some(owner)).map(|heir| Heir { generation, heir })
        };
        for owner in known.iter().copied() {
            let dead = self.is_dead(owner) || (owner == self.me && self.left);
            let lapsed = !dead && self.is_listed(roll, owner);
            // Of a peer that lost its state and had nothing, the record is forgotten without a decision.
            let decide = dead && !self.is_forgettable(owner);
            if let Some(heir) = (decide || lapsed).then(|| heir(owner)).flatten() {
                remove(owner, Some(heir), lapsed);
            }
        }
        for owner in roll
            .voters
            .iter()
            .copied()
            .filter(|owner| self.gone.contains(*owner))
        {
            remove(owner, None, false);
        }
        // Heirs of each other: one of them gets an heir that is there.
        let stuck = holdings.keys().map(|owner| self.gone.resolve(*owner));
        let stuck: BTreeSet<Owner> = stuck.filter(|owner| self.gone.contains(*owner)).collect();
        for owner in stuck {
            if let Some(heir) = heir(owner) {
                remove(owner, Some(heir), false);
            }
        }
        removals
    }

    /// Whether a quorum did not see the owner for a lease
    pub(crate) fn is_listed(&self, roll: &Roll, owner: Owner) -> bool {
        let lists = |voter: &&Owner| {
            let record = self.records.get(**voter);
            record.is_some_and(|record| record.lists(roll.at, owner))
        };
        let by: BTreeSet<Owner> = roll.voters.iter().filter(lists).copied().collect();
        is_quorum(&roll.voters, &by)
    }

    /// Whether some, and not enough, list one that is in sight: only another roll clears that
    fn is_mislisted(&self, roll: &Roll) -> bool {
        let listed = self.records.iter().filter(|record| record.lapsed.0 == roll.at);
        listed
            .flat_map(|record| &record.lapsed.1)
            .any(|owner| self.reaches(*owner))
    }

    /// A new roll begins the lease of those out of sight anew, so newcomers wait for a decision about them
    fn may_admit(&self, known: &BTreeSet<Owner>, now: Instant) -> bool {
        let Some(lease) = self.config.lease else {
            return true;
        };
        let missing = |owner: &Owner| {
            *owner != self.me && !self.is_dead(*owner) && !self.reaches(*owner) && !self.never_ran(*owner)
        };
        now.saturating_duration_since(self.learned) >= lease || !known.iter().any(missing)
    }

    /// Who is to have what an owner had: who said that it is dead, who it is now, or who has the least
    pub(crate) fn heir(&self, of: Option<Owner>) -> Option<Owner> {
        let fit = |owner: &Owner| {
            !self.is_dead(*owner)
                && Some(*owner) != of
                && (*owner != self.me || !self.left)
                && (*owner == self.me || self.reaches(*owner))
        };
        let said = |of| {
            let by = self
                .records
                .iter()
                .filter(move |record| record.said.contains(&of));
            by.map(|record| record.owner).find(fit)
        };
        let renewed = |of: Owner| self.records.latest(of.name).filter(fit);
        let least = || {
            let all = self.records.iter().map(|record| record.owner).filter(fit);
            all.min_by_key(|owner| (self.space.held_by(*owner), *owner))
        };
        of.and_then(said).or_else(|| of.and_then(renewed)).or_else(least)
    }
}
