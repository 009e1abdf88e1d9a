//! What follows from what the machine was told, until nothing more follows.

use std::collections::BTreeSet;
use std::time::Instant;

use model::PeerName;

use crate::machine::{Dirty, Ipam};
use crate::output::{Event, Output, Why};
use crate::owner::Owner;
use crate::range::Span;
use crate::record::{MOST_USES, Record};
use crate::space::{Moved, Register};
use crate::status::Conflict;
use crate::time::after;
use crate::wire::MOST_GONE;

/// How often what was done may lead to more; it never takes so many, and the next call goes on
const ROUNDS: usize = 32;

impl Ipam {
    /// Does what follows, and says what has to be kept and told
    pub(crate) fn step(&mut self, now: Instant) {
        self.advance(now);
        self.summary.take();
        for _ in 0..ROUNDS {
            self.dirty.work = false;
            self.reconsider(now);
            self.retry_untitled();
            self.forget();
            self.renew_if_gone(now);
            self.question(now);
            self.vote(now);
            self.list_lapsed(now);
            self.inherit(now);
            self.give(now);
            self.serve(now);
            self.publish();
            if !self.dirty.work {
                break;
            }
        }
        let mut known = self.known();
        known.extend(self.records.iter().map(|record| record.owner));
        self.sight.know(&known, now);
        self.forget_keys(&known);
        self.tell_fence(now);
        self.tell_conflicts();
        if self.dirty.tell_record {
            self.draft.sign(&self.config.identity);
            self.records.put(self.draft.clone());
        }
        if self.tick_at.is_none() && self.roll.is_some() && self.config.lease.is_some() {
            self.tick_at = Some(after(now, self.tick()));
        }
        self.flush(now);
    }

    /// Goes on to `now`, if there is nothing else to do
    pub(crate) fn advance(&mut self, now: Instant) {
        let Self { sight, records, .. } = self;
        sight.advance(|name| records.latest(name), now);
    }

    /// Drops the records of those that are gone, or of which nothing is left
    fn forget(&mut self) {
        let useless = |record: &&Record| {
            let over = self.gone.contains(record.owner) && !self.is_elsewhere(record);
            record.owner != self.me && (over || self.is_forgettable(record.owner))
        };
        let useless = self.records.iter().filter(useless);
        let useless: Vec<Owner> = useless.map(|record| record.owner).collect();
        for owner in useless {
            self.records.remove(owner);
        }
        let Self { space, roll, .. } = self;
        let first = |owner| roll.as_ref().is_some_and(|roll| roll.first.contains(&owner));
        if self
            .gone
            .prune(MOST_GONE / 2, |owner| space.held_by(owner) > 0 || first(owner))
        {
            self.dirty.keep_ledger = true;
        }
        let gone = &self.gone;
        self.words.retain(|(owner, _), _| gone.contains(*owner));
        let gone = &self.gone;
        self.draft.said.retain(|owner| !gone.contains(*owner));
        let said = self.records.iter().flat_map(|record| &record.said);
        self.said = said.chain(&self.draft.said).copied().collect();
        self.said.remove(&self.me);
    }

    /// Keeps the keys of those of whom anything is held here
    fn forget_keys(&mut self, known: &BTreeSet<Owner>) {
        if self.ring.len() <= known.len() {
            return;
        }
        let mut names: BTreeSet<PeerName> = known.iter().map(|owner| owner.name).collect();
        names.append(&mut self.writers());
        names.append(&mut self.signers());
        self.ring.retain(&names);
    }

    /// Those whose signatures prove the space
    pub(crate) fn writers(&self) -> BTreeSet<PeerName> {
        let writers = self.space.writers().chain(self.links.writers());
        let untitled = self.untitled.iter().map(|piece| piece.register.by);
        writers.chain(untitled).map(|owner| owner.name).collect()
    }

    /// Those whose signatures prove the ledger
    pub(crate) fn signers(&self) -> BTreeSet<PeerName> {
        let voters = self.decisions.iter().flat_map(|decision| &decision.by);
        let said = self.words.values().map(|word| word.by.name);
        voters.map(|(voter, _)| voter.name).chain(said).collect()
    }

    /// Writes registers that are this peer's to write
    pub(crate) fn write(&mut self, span: Span, register: Register, why: Why, tell: bool) {
        let deed = (tell && register.by == self.me).then(|| self.deed(span, &register));
        let moved = self.put(span, register, deed);
        if moved.is_empty() {
            return;
        }
        self.moved(&moved, why);
        if tell {
            self.dirty.tell_space.push(span);
        }
    }

    /// Notes that registers became others
    pub(crate) fn moved(&mut self, moved: &[Moved], why: Why) {
        self.dirty.keep_space |= !moved.is_empty();
        self.dirty.work |= !moved.is_empty();
        for Moved { span, before, after } in moved {
            if after.owner == self.me {
                self.came(*span);
            }
            let from = before.map(|before| before.owner);
            if from == Some(after.owner) {
                continue;
            }
            let (first, last) = span.addresses();
            self.dirty.later.push(Output::Event(Event::Moved {
                first,
                last,
                from,
                to: after.owner,
                why,
                epoch: after.epoch,
            }));
        }
    }

    /// Makes the record say what is so; if that is another than was told, it is to be told
    fn publish(&mut self) {
        self.draft.calls = self.roll.is_none() && !self.requests.is_empty();
        self.draft.free = self.magnitude_of_free();
        self.draft.uses = self.uses();
        let told = self.records.get(self.me);
        let version = told.map_or(self.draft.version, |told| told.version.max(self.draft.version));
        self.draft.version = version;
        if told == Some(&self.draft) {
            return;
        }
        self.draft.version = self.draft.version.saturating_add(1);
        self.records.put(self.draft.clone());
        self.dirty.keep_record = true;
        self.dirty.tell_record = true;
        self.dirty.work = true;
    }

    fn magnitude_of_free(&self) -> u8 {
        if self.left {
            return 0;
        }
        let own = self.own_within(self.range).map(|(span, _)| {
            let held = self.held.range(span.first..=span.last).count() as u64;
            span.len().saturating_sub(held)
        });
        let free: u64 = own.sum();
        free.checked_ilog2()
            .map_or(0, |log| (log as u8).saturating_add(1))
    }

    /// Addresses of containers here that are not this peer's, or that others use as well
    fn uses(&self) -> Vec<u32> {
        if self.left {
            return vec![];
        }
        let elsewhere = self.used_elsewhere(self.range);
        let held = self
            .held
            .range(self.range.first..=self.range.last)
            .map(|(address, _)| *address);
        let used = held.filter(|address| self.own(*address).is_none() || elsewhere.contains(address));
        used.take(MOST_USES).collect()
    }

    fn tell_conflicts(&mut self) {
        let others = self.records.iter().filter(|record| record.owner != self.me);
        let used = others.flat_map(|record| record.uses.iter().map(|address| (*address, record.owner.name)));
        let conflicts = used.filter_map(|(address, peer)| {
            let held = self.held.get(&address)?;
            Some(Conflict {
                address: address.into(),
                container: held.container.clone(),
                peer,
            })
        });
        let conflicts: BTreeSet<Conflict> = conflicts.collect();
        for Conflict {
            address,
            container,
            peer,
        } in conflicts.difference(&self.conflicts)
        {
            self.dirty.later.push(Output::Event(Event::Conflict {
                address: *address,
                container: container.clone(),
                peer: *peer,
            }));
        }
        self.conflicts = conflicts;
    }

    /// Says what has to be kept, then what follows from that
    fn flush(&mut self, now: Instant) {
        let change = self.change(now);
        let Dirty {
            tell_space,
            tell_ledger,
            tell_record,
            ..
        } = &self.dirty;
        let tell = !tell_space.is_empty() || *tell_ledger || *tell_record;
        if !change.is_empty() {
            self.outputs.push_back(Output::Keep(change));
        }
        if tell {
            self.outputs.push_back(Output::Flood);
        }
        self.outputs.extend(self.dirty.later.drain(..));
    }
}
