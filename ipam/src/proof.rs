//! The proof of a ledger that others tell.
//!
//! | told | taken over |
//! |---|---|
//! | the decision after the roll known here | with the signatures of a quorum of that roll's voters |
//! | the same, by fewer | if it removes nobody for being out of sight, and all other voters are dead or out of sight |
//! | a removal by a decision beside the known chain | with the signatures of a quorum of the voters at its place; by fewer, as a word |
//! | an operator's word | with the signature of the heir, who was an owner or a voter, if the owner is dead, or out of sight for longer than a restart takes |
//! | a later roll that no decision leads to | if fewer than a quorum of the known one's voters is in sight and stays there, and at least as many voters in sight support the told one |
//! | a roll of a fork | if more voters in sight are at its place than at the known one's; as many, if it is the later one |
//! | a roll of another lineage | if more voters in sight support it; as many, if it is the older one |
//! | who is gone by a roll | with the roll; of those in sight nobody |
//!
//! A voter supports the lineage that its own signed record names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use gossip::Keys;

use crate::gone::{Gone, Heir};
use crate::ledger::{Accepted, Decision, Removal, Roll, Value, Word, is_quorum};
use crate::machine::Ipam;
use crate::owner::Owner;
use crate::rejection::Rejection;
use crate::title::{Hints, hint};
use crate::vote::Electorate;
use crate::wire::{Ledger, MOST_DECISION_BYTES, MOST_DECISIONS, encode};

/// The most rolls without enough support that are remembered
const MOST_RIVALS: usize = 4;
/// The most words of one owner that are kept
const MOST_WORDS_OF_ONE: usize = MOST_DECISIONS / 2;
/// The most heirs of heirs of one owner that are listed, beside the last one
const MOST_HEIRS: usize = 256;

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
                news |= self.follow_decision(decision, hints, keys, now)
                    || self.learn_removals(decision, hints, keys);
            }
        }
        if let Some(roll) = &ledger.roll {
            if self.follow_roll(roll, ledger, now) {
                news = true;
            } else if self.is_rival(roll) {
                self.remember_rival(ledger);
            }
        }
        news |= self.catch_up(ledger);
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
        let signed = self.signed_by(decision, hints, keys, |voter| electorate.has(voter));
        let by = signed.signers();
        if !electorate.suffice(&by, true) && !self.are_all_here(&electorate, &by, &signed.value) {
            self.reject(Rejection::NoQuorum);
            return false;
        }
        self.adopt(signed, true, now);
        true
    }

    /// The decision with the signatures of those that count, and that verify, one of each
    fn signed_by(
        &mut self,
        decision: &Decision,
        hints: &Hints,
        keys: &dyn Keys,
        counts: impl Fn(Owner) -> bool,
    ) -> Decision {
        let mut by = BTreeMap::new();
        for (voter, signature) in &decision.by {
            if !counts(*voter) || by.contains_key(voter) {
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
                    by.insert(*voter, *signature);
                }
                Some(_) => self.reject(Rejection::BadSignature),
                None => self.reject(Rejection::ForeignKey),
            }
        }
        Decision {
            by: by.into_iter().collect(),
            ..decision.clone()
        }
    }

    /// Believes whom a decision beside the known chain removed: two parts of a network that voters died in
    /// may each have gone on. It takes a quorum of the voters at that place, or as much as a word takes: the
    /// signature of one that was an owner or a voter, about one that is out of sight, for a known heir.
    fn learn_removals(&mut self, decision: &Decision, hints: &Hints, keys: &dyn Keys) -> bool {
        let Value::Next { remove, .. } = &decision.value else {
            return false;
        };
        let news = |removal: &Removal| {
            let heir = removal.heir.filter(|heir| heir.heir != removal.owner)?;
            let known = self.gone.get(removal.owner);
            let later = known.is_none_or(|known| known.is_less(heir));
            (later || !self.is_named(removal.owner, heir.heir)).then_some((removal.owner, heir))
        };
        let news: Vec<(Owner, Heir)> = remove.iter().filter_map(news).collect();
        if news.is_empty() || self.roll.is_none() || decision.at >= self.next() {
            return false;
        }
        let before = decision.at.index.checked_sub(1);
        let voters = before.and_then(|before| self.past.get(&before)).cloned();
        let voters = voters.unwrap_or_default();
        let mut known = self.known();
        known.extend(self.past.values().flatten());
        let signed = self.signed_by(decision, hints, keys, |voter| known.contains(&voter));
        let by = signed.signers();
        let decided = is_quorum(&voters, &by);
        let another = |owner: &Owner| self.decided_another(*owner, decision);
        let said = !by.is_empty() && !by.iter().any(another);
        let mut learned = false;
        for (owner, heir) in news {
            if decided || (said && self.may_be_gone(owner, heir)) {
                self.take_gone(owner, heir);
                learned = true;
            } else {
                self.reject(Rejection::NoQuorum);
            }
        }
        if learned {
            self.keep_decision(signed);
            self.dirty.keep_ledger = true;
        }
        learned
    }

    /// Whether the owner signed another value for the same place of the chain, of which at most one is decided:
    /// so no owner makes others keep more than one for each place
    fn decided_another(&self, owner: Owner, decision: &Decision) -> bool {
        let other = |known: &&Decision| known.at == decision.at && known.value != decision.value;
        let mut others = self.decisions.iter().filter(other);
        others.any(|known| known.signers().contains(&owner))
    }

    /// Whether a single member's word suffices that the owner is gone, and who its heir is
    fn may_be_gone(&self, owner: Owner, Heir { generation, heir }: Heir) -> bool {
        let known = self.gone.get(owner);
        let next = known.map_or(0, |known| known.generation.saturating_add(1));
        generation <= next && self.has_met(heir) && (known.is_some() || self.is_away(owner))
    }

    /// Whether another owner is dead, or out of sight for longer than a restart takes
    fn is_away(&self, owner: Owner) -> bool {
        owner.name != self.me.name && (self.is_dead(owner) || self.sight.is_absent(owner))
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
            Some(own) => {
                let later = own.order() < roll.order() && self.may_have_missed(own, roll);
                later || (self.is_fork(roll) && self.outweighs(own, roll))
            }
        };
        if news {
            if self.lineage() != Some(roll.at.lineage) {
                self.gone = Gone::default();
                self.decisions.clear();
                self.words.clear();
            }
            for decision in &ledger.decisions {
                if !self.decisions.contains(decision) {
                    self.keep_decision(decision.clone());
                }
            }
            self.take_roll(roll.clone(), now);
            // Nothing proves them: who tells the roll cannot say that others are gone who are in sight.
            for (owner, heir) in &ledger.gone {
                if !self.reaches(*owner) {
                    self.take_gone(*owner, *heir);
                }
            }
        }
        news
    }

    /// Takes over who is gone by the roll known here, and was in sight when that was taken over
    fn catch_up(&mut self, ledger: &Ledger) -> bool {
        if ledger.roll.is_none() || ledger.roll != self.roll {
            return false;
        }
        let known = self.known();
        let mut news = false;
        for (owner, heir) in &ledger.gone {
            if known.contains(owner) && self.may_be_gone(*owner, *heir) {
                self.missed.insert(*owner);
                news |= self.take_gone(*owner, *heir);
            }
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
        own.is_none_or(|own| {
            own.at.lineage != roll.at.lineage || own.order() < roll.order() || self.is_fork(roll)
        })
    }

    /// Whether the chain known here does not lead past this roll, nor to its place
    fn is_fork(&self, roll: &Roll) -> bool {
        let last = self.roll.as_ref().map_or(0, |own| own.at.index);
        let known = self.past.get(&roll.at.index);
        known.is_some_and(|known| *known != roll.voters) || roll.at.index > last
    }

    /// Whether more voters in sight are at the place of the other roll, or as many and it is the later one
    fn outweighs(&self, own: &Roll, other: &Roll) -> bool {
        let count = |roll: &Roll| {
            let at = |owner: &&Owner| {
                let record = self.records.get(**owner);
                record.is_some_and(|record| record.at == roll.at) && self.reaches(**owner)
            };
            roll.voters.iter().filter(at).count()
        };
        let me = usize::from(own.voters.contains(&self.me));
        (count(own).saturating_add(me), own.order()) < (count(other), other.order())
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
            let stays = record.is_some_and(|record| record.at <= own.at) && !self.is_dead(**owner);
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
        if self.words.contains_key(&(owner, by)) || owner == self.me || !self.has_met(by) {
            return false;
        }
        if !self.may_be_gone(owner, heir) {
            self.reject(Rejection::NoQuorum);
            return false;
        }
        let of_one = self.words.keys().filter(|(_, other)| *other == by).count();
        if self.words.len() >= MOST_DECISIONS || of_one >= MOST_WORDS_OF_ONE {
            self.reject(Rejection::OverBudget);
            return false;
        }
        match self.key_of(by.name, hint(hints, by.name), keys) {
            Some(key) if word.is_by(&key) => self.ring.remember(by.name, key),
            Some(_) | None => {
                self.reject(Rejection::BadSignature);
                return false;
            }
        }
        self.words.insert((owner, by), *word);
        self.dirty.keep_ledger = true;
        self.list_heirs();
        self.take_gone(owner, heir);
        true
    }

    /// Whether it is, or was, an owner or a voter
    pub(crate) fn has_met(&self, owner: Owner) -> bool {
        self.records.get(owner).is_some()
            || self.gone.contains(owner)
            || self.past.values().any(|voters| voters.contains(&owner))
    }

    /// Lists anew whom words and decisions name as heirs
    pub(crate) fn list_heirs(&mut self) {
        let mut named: BTreeMap<Owner, BTreeSet<Owner>> = BTreeMap::new();
        let values = self.decisions.iter().map(|decision| &decision.value);
        let removals = values.flat_map(|value| match value {
            Value::First { .. } => &[][..],
            Value::Next { remove, .. } => remove,
        });
        let decided = removals.filter_map(|removal| Some((removal.owner, removal.heir?.heir)));
        for (owner, heir) in decided.chain(self.words.keys().copied()) {
            named.entry(owner).or_default().insert(heir);
        }
        named.retain(|owner, _| self.gone.contains(*owner));
        for (owner, _) in self.gone.iter() {
            let named = named.entry(owner).or_default();
            named.extend(self.gone.heirs(owner, MOST_HEIRS));
            named.insert(self.gone.resolve(owner));
        }
        self.named = named;
    }

    /// Whether a word or a decision named `heir` the heir of `owner`, or of its heirs
    pub(crate) fn is_named(&self, owner: Owner, heir: Owner) -> bool {
        self.named.get(&owner).is_some_and(|named| named.contains(&heir))
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
        self.decisions.sort_by_key(|decision| decision.at.index);
        let len = |decision: &Decision| encode(decision).len();
        let mut total: usize = self.decisions.iter().map(len).sum();
        while self.decisions.len() > MOST_DECISIONS || total > MOST_DECISION_BYTES {
            total = total.saturating_sub(len(&self.decisions.remove(0)));
        }
        self.list_heirs();
    }
}
