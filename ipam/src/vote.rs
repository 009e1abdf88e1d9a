//! A peer's part in deciding who votes and who is gone: Paxos by records, as in [`crate::ledger`].

use std::collections::BTreeSet;
use std::time::Instant;

use rand::RngExt;

use crate::config::Init;
use crate::ledger::{
    Accepted, At, Ballot, Decision, EARLIEST_MS, Lineage, Roll, SALT_BITS, Value, Vote, is_quorum,
};
use crate::links::Links;
use crate::machine::Ipam;
use crate::output::{Event, Output, Why};
use crate::owner::{Incarnation, Owner};
use crate::space::{Register, Space};
use crate::time::after;
use crate::wire::MOST_DECISIONS;

/// How far ahead of the round known here another one may be
const MOST_ROUNDS_AHEAD: u64 = 1 << 16;
/// How many ballots of one proposer are followed for one decision: who outbids all others for ever is left alone
const MOST_PROMISES: u32 = 64;

/// The most voters of earlier rolls that are remembered
pub(crate) const MOST_PAST_VOTERS: usize = 65_536;

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
        (peers.max(1) / 2).saturating_add(1)
    }

    /// Which decision is next
    pub(crate) fn next(&self) -> At {
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
        let mut accepted: Vec<(Decision, BTreeSet<Owner>)> = Vec::new();
        for (owner, vote) in self.votes(at, electorate) {
            let Some(Accepted {
                ballot,
                value,
                signature,
            }) = &vote.accepted
            else {
                continue;
            };
            let same = |(of, _): &&mut (Decision, _)| of.ballot == *ballot && of.value == *value;
            match accepted.iter_mut().find(same) {
                Some((decision, owners)) => {
                    decision.by.push((owner, *signature));
                    owners.insert(owner);
                }
                None => {
                    let decision = Decision {
                        at,
                        ballot: *ballot,
                        value: value.clone(),
                        by: vec![(owner, *signature)],
                    };
                    accepted.push((decision, BTreeSet::from([owner])));
                }
            }
        }
        accepted.sort_by_key(|(decision, _)| decision.ballot);
        let by_enough = |(decision, owners): &(Decision, BTreeSet<Owner>)| {
            electorate.suffice(owners, decision.value.has_lapse())
        };
        let Some((decision, _)) = accepted.into_iter().find(by_enough) else {
            return false;
        };
        // How many it takes at first may be fewer here than at who proposed it, who then does not know.
        let tell = decision.ballot.proposer == self.me || self.roll.is_none();
        self.adopt(decision, tell, now);
        true
    }

    /// The ballots that count: of each proposer only so many, and none that leaps ahead
    fn ballots(&self, at: At, electorate: &Electorate) -> Vec<Ballot> {
        let own = self.own_vote(at).map_or(0, |own| own.promised.round);
        let counts = |ballot: &Ballot| {
            let outbids = self.promised.get(&ballot.proposer).copied().unwrap_or(0);
            let known = self.own_vote(at).is_some_and(|own| own.promised == *ballot);
            known || (ballot.round <= own.saturating_add(MOST_ROUNDS_AHEAD) && outbids < MOST_PROMISES)
        };
        let ballots = self.votes(at, electorate).map(|(_, vote)| vote.promised);
        ballots.filter(counts).collect()
    }

    /// Promises and accepts what a greater ballot asks for
    fn follow(&mut self, at: At, electorate: &Electorate, now: Instant) {
        let greatest = self.ballots(at, electorate).into_iter().max();
        let Some(greatest) = greatest else { return };
        if self.own_vote(at).is_none_or(|own| own.promised < greatest) {
            let accepted = self.own_vote(at).and_then(|own| own.accepted.clone());
            self.draft.vote = Some(Vote {
                at,
                promised: greatest,
                accepted,
            });
            if greatest.proposer != self.me {
                let promised = self.promised.entry(greatest.proposer).or_default();
                *promised = promised.saturating_add(1);
            }
            self.be_patient(now);
        }
        if let Some((ballot, value)) = self.greatest_accepted(at, electorate, now) {
            self.accept(at, ballot, value);
        }
    }

    /// What was accepted last of what this peer itself finds right
    fn greatest_accepted(&self, at: At, electorate: &Electorate, now: Instant) -> Option<(Ballot, Value)> {
        let accepted = self.votes(at, electorate).filter_map(|(owner, vote)| {
            let accepted = vote.accepted.as_ref()?;
            let right = owner == self.me || self.is_admissible(&accepted.value, electorate, now);
            right.then_some((accepted.ballot, &accepted.value))
        });
        let last = accepted.max_by_key(|(ballot, _)| *ballot);
        last.map(|(ballot, value)| (ballot, value.clone()))
    }

    fn accept(&mut self, at: At, ballot: Ballot, value: Value) {
        let Some(own) = self.draft.vote.as_mut().filter(|own| own.at == at) else {
            return;
        };
        let known = own
            .accepted
            .as_ref()
            .is_some_and(|before| before.ballot >= ballot);
        if ballot >= own.promised && !known {
            let accepted = Accepted::sign(self.me, at, ballot, value, &self.config.identity);
            own.accepted = Some(accepted);
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
            .is_some_and(|accepted| accepted.ballot == ballot)
        {
            return;
        }
        let promised = self
            .votes(at, electorate)
            .filter(|(_, vote)| vote.promised == ballot);
        if !electorate.suffice(&promised.map(|(owner, _)| owner).collect(), false) {
            return;
        }
        let before = self
            .greatest_accepted(at, electorate, now)
            .map(|(_, value)| value);
        if let Some(value) = before.or_else(|| self.wanted(electorate, now)) {
            self.accept(at, ballot, value);
        }
    }

    /// Starts a ballot if something has to be decided, and it is this peer's turn
    fn propose(&mut self, at: At, electorate: &Electorate, now: Instant) {
        let begun = self.greatest_accepted(at, electorate, now).is_some();
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
        let greatest = self.ballots(at, electorate).into_iter().max();
        let first = here.first() == Some(&self.me) && greatest.is_none();
        match self.patience {
            _ if first => {}
            None => return self.be_patient(now),
            Some(until) if until > now => return,
            Some(_) => {}
        }
        let promised = Ballot {
            round: greatest.map_or(0, |ballot| ballot.round).saturating_add(1),
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
        self.patience = Some(after(now, wait));
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
                let ms = self
                    .unix_ms(now)
                    .clamp(EARLIEST_MS, Incarnation::MAX.0 >> SALT_BITS);
                // Two peers that begin in the same millisecond differ in their names.
                let [.., a, b, c] = self.me.name.mac().octets();
                let salt = u64::from(u32::from_be_bytes([0, a, b, c]) >> 4);
                Value::First {
                    lineage: Lineage::begun(Incarnation((ms << SALT_BITS) | salt)),
                    voters,
                }
            }
            value @ Value::Next { .. } => value,
        }
    }

    /// Goes on as was decided
    pub(crate) fn adopt(&mut self, decision: Decision, tell: bool, now: Instant) {
        let (roll, gone) = match (decision.value.clone(), &self.roll) {
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
        self.keep_decision(decision);
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
                self.space = Space::default();
                self.links = Links::default();
                self.untitled.clear();
                self.missed.clear();
                self.past.clear();
                self.share(&roll, Why::Joined);
                self.event(Event::Joined);
            }
            Some(_) => {}
        }
        self.draft.lapsed = (roll.at, vec![]);
        self.past.insert(roll.at.index, roll.voters.clone());
        while self.past.len() > MOST_DECISIONS || self.past_voters() > MOST_PAST_VOTERS {
            self.past.pop_first();
        }
        self.roll = Some(roll);
        self.learned = now;
        self.patience = None;
        self.promised.clear();
        self.dirty.keep_ledger = true;
        self.dirty.work = true;
    }

    /// The number of voters of all rolls that are remembered
    pub(crate) fn past_voters(&self) -> usize {
        let voters = self.past.values().map(BTreeSet::len);
        voters.fold(0, usize::saturating_add)
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
