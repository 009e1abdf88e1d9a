//! Whether this peer may hand out what it has.
//!
//! A peer that a quorum did not see for a lease is removed, and others hand out what it had. So it hands
//! out only while that cannot have happened: it saw a quorum of the voters within the lease less a fifth,
//! and none of them lists it as unseen, or went on to a decision that it has not heard of. Two quorums
//! have a voter in common; so who was seen by one was not removed by the other. The fifth is for clocks
//! that differ, and for what is on its way.
//!
//! A voter that was out of sight for half a lease is doubted when it comes back: it may know of a removal
//! that is not known here yet. It counts again once it has repeated what it was asked, and this peer
//! knows the chain as far as that voter did then ([`crate::record::Record::repeats`]); or some time later, if
//! it was not needed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::config::Init;
use crate::ledger::{At, Roll, is_quorum};
use crate::machine::Ipam;
use crate::output::{Event, Output};
use crate::owner::Owner;
use crate::record::{MOST_REPEATS, Record};
use crate::time::part;

impl Ipam {
    /// Whether nobody else can have what this peer has
    pub(crate) fn sure(&self, now: Instant) -> bool {
        let Some(roll) = &self.roll else { return false };
        if self.gone.contains(self.me) || now < self.hold_until {
            return false;
        }
        if self.config.lease.is_none() || self.is_alone_by_seed(roll) {
            return true;
        }
        let next = roll.next();
        let counts = |voter: &&Owner| {
            let record = self.records.get(**voter);
            record.is_none_or(|record| !record.lists(roll.at, self.me) && !record.went_beyond(next))
        };
        let seen: BTreeSet<Owner> = self.in_sight(roll, now).iter().filter(counts).copied().collect();
        is_quorum(&roll.voters, &seen)
    }

    /// The voters that were seen lately, itself included
    fn in_sight(&self, roll: &Roll, now: Instant) -> BTreeSet<Owner> {
        let Some(lease) = self.config.lease else {
            return roll.voters.clone();
        };
        if self.is_young(lease, now) {
            return roll.voters.clone();
        }
        let within = part(lease, 5).saturating_mul(4);
        let seen = |voter: &&Owner| {
            let counts = self.sight.saw(**voter, within, now) && !self.sight.is_doubted(**voter);
            **voter == self.me || counts
        };
        roll.voters.iter().filter(seen).copied().collect()
    }

    /// Nobody can have removed this owner: it has not been there for a lease
    fn is_young(&self, lease: Duration, now: Instant) -> bool {
        let young = |since| now.saturating_duration_since(since) < part(lease, 2);
        self.young_since.is_some_and(young)
    }

    /// Whether the rest of the network may have gone on without what this peer has heard
    pub(crate) fn may_have_missed_gifts(&self, now: Instant) -> bool {
        let young = self.config.lease.is_some_and(|lease| self.is_young(lease, now));
        young || self.is_fenced(now)
    }

    /// Hears out those that are doubted, if it takes them, and repeats what others asked
    pub(crate) fn question(&mut self, now: Instant) {
        let at = self.roll.as_ref().map_or(At::NONE, |roll| roll.at);
        self.draft.at = at;
        self.repeat();
        self.draft.question = 0;
        if !self.is_fenced(now) {
            return;
        }
        let question = (self.me, self.sight.asked());
        let answers = |record: &&Record| record.at <= at && record.repeats.contains(&question);
        let answered = self.records.iter().filter(answers);
        let answered: Vec<Owner> = answered.map(|record| record.owner).collect();
        for owner in answered {
            self.sight.heard_out(owner);
        }
        if self.is_fenced(now) {
            self.draft.question = self.sight.asked();
        }
    }

    /// Voters repeat; what they repeated stays, since to take it back would be a change to tell
    fn repeat(&mut self) {
        if !self
            .roll
            .as_ref()
            .is_some_and(|roll| roll.voters.contains(&self.me))
        {
            self.draft.repeats.clear();
            return;
        }
        let records = &self.records;
        self.draft
            .repeats
            .retain(|(owner, _)| records.get(*owner).is_some());
        for record in records
            .iter()
            .filter(|record| record.question > 0 && record.owner != self.me)
        {
            let repeats = &mut self.draft.repeats;
            match repeats.iter().position(|(owner, _)| *owner == record.owner) {
                Some(at) => repeats[at].1 = record.question,
                None if repeats.len() < MOST_REPEATS => repeats.push((record.owner, record.question)),
                None => {}
            }
        }
    }

    /// It was named by seed and never met another: nobody has heard of it, so nobody misses it
    fn is_alone_by_seed(&self, roll: &Roll) -> bool {
        !self.met
            && roll.at.lineage.is_seeded()
            && roll.at.index == 0
            && matches!(self.config.init, Init::Seed(_))
    }

    /// Whether too few voters are in sight
    pub(crate) fn is_fenced(&self, now: Instant) -> bool {
        self.roll.as_ref().is_some_and(|roll| {
            self.config.lease.is_some()
                && !self.is_alone_by_seed(roll)
                && !is_quorum(&roll.voters, &self.in_sight(roll, now))
        })
    }

    /// Tells when that changes
    pub(crate) fn tell_fence(&mut self, now: Instant) {
        let fenced = self.is_fenced(now) && !self.left;
        if fenced != self.fenced.is_some() {
            self.fenced = fenced.then_some(now);
            let event = if fenced { Event::Fenced } else { Event::Unfenced };
            self.dirty.later.push(Output::Event(event));
        }
    }
}
