//! The proof of a ledger that others tell.
//!
//! | told | taken over |
//! |---|---|
//! | the decision after the roll known here | with the signatures of a quorum of that roll's voters |
//! | the same, by fewer | if it removes nobody for being out of sight, and all other voters are out of sight |
//! | an operator's word | if the owner is out of sight, for longer than a restart takes |
//! | a roll that no decision leads to | if a quorum of the known one's voters is out of sight, and at least as many voters in sight support the told one |
//! | a roll of another lineage | if more voters in sight support it; as many, if it is the older one |
//!
//! A voter supports the lineage that its own signed record names.

use std::collections::BTreeSet;
use std::time::Instant;

use gossip::Keys;

use crate::gone::{Gone, Heir};
use crate::ledger::{Accepted, Decision, Roll, Value, Word, is_quorum};
use crate::machine::Ipam;
use crate::owner::Owner;
use crate::rejection::Rejection;
use crate::title::{Hints, hint};
use crate::vote::Electorate;
use crate::wire::{Ledger, MOST_DECISION_BYTES, MOST_DECISIONS, encode};

/// The most rolls without enough support that are remembered
const MOST_RIVALS: usize = 4;

impl Ipam {
    /// Takes over what is proved; whether anything was news
    pub(crate) fn merge_ledger(
        &mut self,
        ledger: &Ledger,
        hints: &Hints,
        keys: &dyn Keys,
        now: Instant,
    ) -> bool {
        let mut news = false;
        if self.lineage() == ledger.roll.as_ref().map(|roll| roll.at.lineage) {
            for decision in &ledger.decisions {
                news |= self.follow_decision(decision, hints, keys, now);
            }
        }
        if let Some(roll) = &ledger.roll {
            if self.follow_roll(roll, ledger, now) {
                news = true;
            } else if self.is_rival(roll) {
                self.remember_rival(ledger);
            }
        }
        for word in &ledger.words {
            news |= self.believe(word, hints, keys);
        }
        news
    }

    fn follow_decision(&mut self, decision: &Decision, hints: &Hints, keys: &dyn Keys, now: Instant) -> bool {
        if self.roll.is_none() || decision.at != self.next() {
            return false;
        }
        let electorate = self.electorate();
        let mut by = BTreeSet::new();
        for (voter, signature) in &decision.by {
            if !electorate.has(*voter) || by.contains(voter) {
                continue;
            }
            let accepted = Accepted {
                ballot: decision.ballot,
                value: decision.value.clone(),
                signature: *signature,
            };
            match self.key_of(voter.name, hint(hints, voter.name), keys) {
                Some(key) if accepted.is_by(*voter, decision.at, &key) => {
                    self.ring.remember(voter.name, key);
                    by.insert(*voter);
                }
                Some(_) => self.reject(Rejection::BadSignature),
                None => self.reject(Rejection::ForeignKey),
            }
        }
        if !electorate.suffice(&by, true) && !self.are_all_here(&electorate, &by, &decision.value) {
            self.reject(Rejection::NoQuorum);
            return false;
        }
        self.adopt(decision.clone(), true, now);
        true
    }

    /// Whether all voters that are in sight are among those
    fn are_all_here(&self, electorate: &Electorate, those: &BTreeSet<Owner>, value: &Value) -> bool {
        let Electorate::Next { voters, .. } = electorate else {
            return false;
        };
        let away = |owner: &Owner| *owner != self.me && (self.is_dead(*owner) || !self.reaches(*owner));
        !value.has_lapse() && !those.is_empty() && voters.difference(those).all(away)
    }

    fn follow_roll(&mut self, roll: &Roll, ledger: &Ledger, now: Instant) -> bool {
        let news = match &self.roll {
            None => roll.voters.iter().any(|owner| self.is_of(*owner, roll)),
            Some(own) if own.at.lineage != roll.at.lineage => self.yields(own, roll),
            Some(own) => own.order() < roll.order() && self.may_have_missed(own, roll),
        };
        if news {
            let mut gone = Gone::default();
            for (owner, heir) in &ledger.gone {
                gone.join(*owner, *heir);
            }
            self.gone = gone;
            self.decisions.clone_from(&ledger.decisions);
            self.words = ledger.words.iter().map(|word| (word.owner, *word)).collect();
            self.take_roll(roll.clone(), now);
        }
        news
    }

    /// Remembers a roll without enough support: the records of its voters, or the sight of them, may follow
    fn remember_rival(&mut self, ledger: &Ledger) {
        let lineage = |of: &Ledger| of.roll.as_ref().map(|roll| roll.at.lineage);
        self.reject(Rejection::NoSupport);
        self.rivals.retain(|rival| lineage(rival) != lineage(ledger));
        self.rivals.push_back(ledger.clone());
        while self.rivals.len() > MOST_RIVALS {
            self.rivals.pop_front();
        }
    }

    /// Goes on with a rival that has found enough support
    pub(crate) fn reconsider(&mut self, now: Instant) {
        for rival in std::mem::take(&mut self.rivals) {
            let Some(roll) = rival.roll.clone() else { continue };
            if self.follow_roll(&roll, &rival, now) {
                self.dirty.tell_ledger = true;
            } else if self.is_rival(&roll) {
                self.rivals.push_back(rival);
            }
        }
    }

    fn is_rival(&self, roll: &Roll) -> bool {
        let own = self.roll.as_ref();
        own.is_none_or(|own| own.at.lineage != roll.at.lineage || own.order() < roll.order())
    }

    /// The number of voters in sight whose own word is that they are of this lineage
    fn support(&self, roll: &Roll) -> usize {
        let supports = |owner: &&Owner| {
            let there = **owner == self.me || self.reaches(**owner);
            there && self.is_of(**owner, roll)
        };
        roll.voters.iter().filter(supports).count()
    }

    /// Whether the owner's own word is that it is of this lineage
    fn is_of(&self, owner: Owner, roll: &Roll) -> bool {
        let record = self.records.get(owner);
        record.is_some_and(|record| record.at.lineage == roll.at.lineage)
    }

    fn yields(&self, own: &Roll, other: &Roll) -> bool {
        (self.support(own), own.order()) < (self.support(other), other.order())
    }

    /// Whether the chain may have gone on without this peer: no quorum of the voters it knows says otherwise
    fn may_have_missed(&self, own: &Roll, later: &Roll) -> bool {
        let stays = |owner: &&Owner| {
            let record = self.records.get(**owner);
            let stays = record.is_some_and(|record| record.at <= own.at);
            **owner == self.me || (self.reaches(**owner) && stays)
        };
        let stay: BTreeSet<Owner> = own.voters.iter().filter(stays).copied().collect();
        !is_quorum(&own.voters, &stay) && self.support(later) >= stay.len()
    }

    /// Believes an operator, as it believes what records say, if the owner is out of sight
    fn believe(&mut self, word: &Word, hints: &Hints, keys: &dyn Keys) -> bool {
        let Word {
            owner,
            generation,
            by,
            ..
        } = *word;
        let heir = Heir { generation, heir: by };
        let known = self.gone.get(owner).is_some_and(|known| !known.is_less(heir));
        let next = self
            .gone
            .get(owner)
            .map_or(0, |known| known.generation.saturating_add(1));
        if known || owner.name == self.me.name || self.records.get(by).is_none() || generation > next {
            return false;
        }
        let away = self.sight.unseen(owner, self.ran()) >= self.config.timers.retry;
        if self.sight.reaches(owner.name) || !away {
            self.reject(Rejection::NoQuorum);
            return false;
        }
        match self.key_of(by.name, hint(hints, by.name), keys) {
            Some(key) if word.is_by(&key) => {}
            Some(_) | None => {
                self.reject(Rejection::BadSignature);
                return false;
            }
        }
        self.words.insert(owner, *word);
        self.take_gone(owner, heir)
    }

    /// Whether those in sight can decide who is gone
    pub(crate) fn can_decide(&self) -> bool {
        let here = |owner: &Owner| *owner == self.me || self.reaches(*owner);
        let known: BTreeSet<Owner> = self.known().into_iter().filter(here).collect();
        self.electorate().suffice(&known, false)
    }

    /// Keeps a decision, for those that missed it
    pub(crate) fn keep_decision(&mut self, decision: Decision) {
        self.decisions.push(decision);
        let len = |decision: &Decision| encode(decision).len();
        let mut total: usize = self.decisions.iter().map(len).sum();
        while self.decisions.len() > MOST_DECISIONS || total > MOST_DECISION_BYTES {
            total = total.saturating_sub(len(&self.decisions.remove(0)));
        }
    }
}
