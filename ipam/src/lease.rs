//! Whether this peer may hand out what it has.
//!
//! A peer that a quorum did not see for a lease is removed, and others hand out what it had. So it hands
//! out only while that cannot have happened: it saw a quorum of the voters within the lease less a fifth,
//! and none of them lists it as unseen, or went on to a decision that it has not heard of. Two quorums
//! have a voter in common; so who was seen by one was not removed by the other. The fifth is for clocks
//! that differ, and for what is on its way.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::config::Init;
use crate::ledger::{Roll, is_quorum};
use crate::machine::Ipam;
use crate::output::{Event, Output};
use crate::owner::Owner;

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
        let within = lease * 4 / 5;
        let seen = |voter: &&Owner| **voter == self.me || self.sight.saw(**voter, within, now);
        roll.voters.iter().filter(seen).copied().collect()
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
