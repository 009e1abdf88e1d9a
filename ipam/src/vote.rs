//! A peer's part in deciding who votes and who is gone: Paxos by records, as in [`crate::ledger`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand::RngExt;

use crate::config::Init;
use crate::ledger::{At, Ballot, Lineage, Roll, Value, Vote, is_quorum};
use crate::machine::Ipam;
use crate::output::{Event, Output, Why};
use crate::owner::{Incarnation, Owner};
use crate::space::Register;

/// Who decides next
#[derive(Debug)]
pub(crate) enum Electorate {
    /// Before there is a roll: so many of these
    First {
        electors: BTreeSet<Owner>,
        quorum: usize,
    },
    /// A quorum of the voters, or all of them that are not known to be dead
    Next {
        voters: BTreeSet<Owner>,
        live: BTreeSet<Owner>,
    },
}

impl Electorate {
    pub(crate) fn has(&self, owner: Owner) -> bool {
        match self {
            Self::First { electors, .. } => electors.contains(&owner),
            Self::Next { voters, .. } => voters.contains(&owner),
        }
    }

    /// Whether those can decide; `strict`: not by being all that live
    pub(crate) fn suffice(&self, those: &BTreeSet<Owner>, strict: bool) -> bool {
        match self {
            Self::First { electors, quorum } => electors.intersection(those).count() >= *quorum,
            Self::Next { voters, live } => {
                is_quorum(voters, those) || (!strict && !live.is_empty() && live.is_subset(those))
            }
        }
    }

    fn able(&self) -> &BTreeSet<Owner> {
        match self {
            Self::First { electors, .. } => electors,
            Self::Next { live, .. } => live,
        }
    }
}

impl Ipam {
    pub(crate) fn electorate(&self) -> Electorate {
        let Some(roll) = &self.roll else {
            let latest = |owner: &Owner| self.records.latest(owner.name) == Some(*owner);
            let electors = self
                .records
                .iter()
                .filter(|record| record.elector && !record.left);
            return Electorate::First {
                electors: electors.map(|record| record.owner).filter(latest).collect(),
                quorum: self.first_quorum(),
            };
        };
        let alive = |owner: &Owner| !self.is_dead(*owner);
        let live: BTreeSet<Owner> = roll.voters.iter().copied().filter(alive).collect();
        if live.is_empty() {
            // Nobody is left whose right it would be, so it falls to all.
            let all = self.records.iter().map(|record| record.owner);
            let all: BTreeSet<Owner> = all.filter(alive).collect();
            return Electorate::Next {
                voters: all.clone(),
                live: all,
            };
        }
        Electorate::Next {
            voters: roll.voters.clone(),
            live,
        }
    }

    /// How many peers it takes to agree on the first owners
    pub(crate) fn first_quorum(&self) -> usize {
        let peers = match &self.config.init {
            Init::Consensus { peers } => peers.unwrap_or(self.config.expected_peers),
            Init::Seed(_) | Init::Observer => self.config.expected_peers,
        };
        peers.max(1) / 2 + 1
    }

    /// Which decision is next
    fn next(&self) -> At {
        self.roll.as_ref().map_or_else(At::default, Roll::next)
    }

    /// Reads the votes, and does what follows from them
    pub(crate) fn vote(&mut self, now: Instant) {
        let at = self.next();
        let electorate = self.electorate();
        if self.decided(at, &electorate, now) {
            return;
        }
        if !electorate.has(self.me) {
            self.patience = None;
            return;
        }
        self.follow(at, &electorate, now);
        self.lead(at, &electorate, now);
        self.propose(at, &electorate, now);
    }

    fn votes<'a>(&'a self, at: At, electorate: &'a Electorate) -> impl Iterator<Item = (Owner, &'a Vote)> {
        let votes = self.records.iter().filter(|record| electorate.has(record.owner));
        votes.filter_map(move |record| Some((record.owner, record.vote_at(at)?)))
    }

    fn decided(&mut self, at: At, electorate: &Electorate, now: Instant) -> bool {
        if self.roll.is_none() && !matches!(self.config.init, Init::Consensus { .. }) {
            // How many it takes, only they know.
            return false;
        }
        let mut accepted: BTreeMap<Ballot, (BTreeSet<Owner>, &Value)> = BTreeMap::new();
        for (owner, vote) in self.votes(at, electorate) {
            if let Some((ballot, value)) = &vote.accepted {
                let entry = accepted.entry(*ballot).or_insert((BTreeSet::new(), value));
                entry.0.insert(owner);
            }
        }
        let by_enough =
            |(owners, value): &(BTreeSet<Owner>, &Value)| electorate.suffice(owners, value.has_lapse());
        let decided = accepted.into_iter().find(|(_, of)| by_enough(of));
        let Some((ballot, value)) = decided.map(|(ballot, (_, value))| (ballot, value.clone())) else {
            return false;
        };
        // How many it takes at first may be fewer here than at who proposed it, who then does not know.
        let tell = ballot.proposer == self.me || self.roll.is_none();
        self.adopt(value, tell, now);
        true
    }

    /// Promises and accepts what a greater ballot asks for
    fn follow(&mut self, at: At, electorate: &Electorate, now: Instant) {
        let greatest = self.votes(at, electorate).map(|(_, vote)| vote.promised).max();
        let Some(greatest) = greatest else { return };
        if self.own_vote(at).is_none_or(|own| own.promised < greatest) {
            let accepted = self.own_vote(at).and_then(|own| own.accepted.clone());
            self.draft.vote = Some(Vote {
                at,
                promised: greatest,
                accepted,
            });
            self.be_patient(now);
        }
        let accepted = self
            .votes(at, electorate)
            .filter_map(|(_, vote)| vote.accepted.clone());
        let Some(accepted) = accepted.max_by_key(|(ballot, _)| *ballot) else {
            return;
        };
        self.accept(at, accepted);
    }

    fn accept(&mut self, at: At, (ballot, value): (Ballot, Value)) {
        let Some(own) = self.draft.vote.as_mut().filter(|own| own.at == at) else {
            return;
        };
        let known = own.accepted.as_ref().is_some_and(|(before, _)| *before >= ballot);
        if ballot >= own.promised && !known {
            own.accepted = Some((ballot, value));
        }
    }

    fn own_vote(&self, at: At) -> Option<&Vote> {
        self.draft.vote_at(at)
    }

    /// Once a quorum promised the own ballot: accepts a value by it, for the others to do the same
    fn lead(&mut self, at: At, electorate: &Electorate, now: Instant) {
        let Some(own) = self.own_vote(at).filter(|own| own.promised.proposer == self.me) else {
            return;
        };
        let ballot = own.promised;
        if own
            .accepted
            .as_ref()
            .is_some_and(|(accepted, _)| *accepted == ballot)
        {
            return;
        }
        let promised = self
            .votes(at, electorate)
            .filter(|(_, vote)| vote.promised == ballot);
        if !electorate.suffice(&promised.map(|(owner, _)| owner).collect(), false) {
            return;
        }
        let accepted = self
            .votes(at, electorate)
            .filter_map(|(_, vote)| vote.accepted.clone());
        let before = accepted.max_by_key(|(ballot, _)| *ballot).map(|(_, value)| value);
        if let Some(value) = before.or_else(|| self.wanted(electorate, now)) {
            self.accept(at, (ballot, value));
        }
    }

    /// Starts a ballot if something has to be decided, and it is this peer's turn
    fn propose(&mut self, at: At, electorate: &Electorate, now: Instant) {
        let begun = self
            .votes(at, electorate)
            .any(|(_, vote)| vote.accepted.is_some());
        if !begun && self.wanted(electorate, now).is_none() {
            self.patience = None;
            return;
        }
        let here = |owner: &&Owner| **owner == self.me || self.reaches(**owner);
        let here: BTreeSet<Owner> = electorate.able().iter().filter(here).copied().collect();
        if !electorate.suffice(&here, false) {
            self.patience = None;
            return;
        }
        let greatest = self.votes(at, electorate).map(|(_, vote)| vote.promised).max();
        let first = here.first() == Some(&self.me) && greatest.is_none();
        match self.patience {
            _ if first => {}
            None => return self.be_patient(now),
            Some(until) if until > now => return,
            Some(_) => {}
        }
        let promised = Ballot {
            round: greatest.map_or(0, |ballot| ballot.round) + 1,
            proposer: self.me,
        };
        let accepted = self.own_vote(at).and_then(|own| own.accepted.clone());
        self.draft.vote = Some(Vote {
            at,
            promised,
            accepted,
        });
        self.be_patient(now);
    }

    /// Leaves it to others for a while
    fn be_patient(&mut self, now: Instant) {
        let wait = self.config.timers.retry.mul_f64(self.rng.random_range(1.0..2.0));
        self.patience = Some(now + wait);
    }

    fn wanted(&self, electorate: &Electorate, now: Instant) -> Option<Value> {
        match electorate {
            Electorate::Next { .. } => self.change_of_roll(now),
            Electorate::First { electors, quorum } => {
                let called = self.records.iter().any(|record| record.calls);
                if !called || electors.len() < *quorum {
                    return None;
                }
                let voted = |owner: &Owner| {
                    self.reaches(*owner)
                        || *owner == self.me
                        || self
                            .records
                            .get(*owner)
                            .is_some_and(|record| record.vote.is_some())
                };
                Some(Value::First {
                    lineage: Lineage(0),
                    voters: electors.iter().copied().filter(voted).collect(),
                })
            }
        }
        .map(|value| self.begun(value, now))
    }

    fn begun(&self, value: Value, now: Instant) -> Value {
        match value {
            Value::First { voters, .. } => {
                let ms = self.unix_ms(now).min(Incarnation::MAX.0 >> 20);
                // Two peers that begin in the same millisecond differ in their names.
                let [.., a, b, c] = self.me.name.mac().octets();
                let salt = u64::from(u32::from_be_bytes([0, a, b, c]) >> 4);
                Value::First {
                    lineage: Lineage::begun(Incarnation((ms << 20) | salt)),
                    voters,
                }
            }
            value @ Value::Next { .. } => value,
        }
    }

    /// Goes on as was decided
    fn adopt(&mut self, value: Value, tell: bool, now: Instant) {
        let (roll, gone) = match (value, &self.roll) {
            (Value::First { lineage, voters }, _) => {
                (Roll::first(lineage, voters.into_iter().collect()), vec![])
            }
            (Value::Next { add, remove }, Some(last)) => {
                let mut voters = last.voters.clone();
                for removal in &remove {
                    voters.remove(&removal.owner);
                }
                voters.extend(add);
                if voters.is_empty() {
                    voters.clone_from(&last.voters);
                }
                let heirs = remove
                    .iter()
                    .filter_map(|removal| Some((removal.owner, removal.heir?)));
                (
                    Roll {
                        at: last.next(),
                        first: last.first.clone(),
                        voters,
                    },
                    heirs.collect(),
                )
            }
            (Value::Next { .. }, None) => return,
        };
        self.take_roll(roll, now);
        for (owner, heir) in gone {
            self.take_gone(owner, heir);
        }
        self.dirty.tell_ledger |= tell;
    }

    /// The roll is this from now on
    pub(crate) fn take_roll(&mut self, roll: Roll, now: Instant) {
        match &self.roll {
            None => {
                self.share(&roll, Why::First);
                self.event(Event::Ready {
                    voters: roll.voters.iter().copied().collect(),
                });
            }
            Some(last) if last.at.lineage != roll.at.lineage => {
                self.share(&roll, Why::Joined);
                self.event(Event::Joined);
            }
            Some(_) => {}
        }
        self.draft.lapsed = (roll.at, vec![]);
        self.roll = Some(roll);
        self.learned = now;
        self.patience = None;
        self.dirty.keep_ledger = true;
        self.dirty.work = true;
    }

    fn event(&mut self, event: Event) {
        self.dirty.later.push(Output::Event(event));
    }

    /// Shares the range among the first owners; whoever knows the roll does the same
    fn share(&mut self, roll: &Roll, why: Why) {
        let shares = self.range.shares(roll.first.len());
        for (owner, span) in roll.first.iter().copied().zip(shares) {
            let register = Register {
                lineage: roll.at.lineage,
                epoch: 0,
                version: 0,
                owner,
                by: owner,
            };
            if let Some(span) = span {
                self.write(span, register, why, false);
            }
        }
    }
}
