//! How an heir comes to what an owner had that is gone.
//!
//! The one that is gone may have given some of it to a peer that the heir has not heard of since. So the
//! heir names whom it is to inherit from ([`crate::record::Record::inherits`]), and waits until every
//! other owner says that it knows who is gone, or has itself been out of sight for a lease. Who knows
//! takes nothing more from the one that is gone: it passes it on to the heir. Then the heir writes
//! itself into the registers, by which it also comes before a gift that nobody has heard of.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::machine::Ipam;
use crate::output::{Event, Output, Why};
use crate::owner::{Incarnation, Owner};
use crate::record::{MOST_ACKS, MOST_OWNERS, Record};
use crate::space::{Moved, Piece};
use crate::time::after;

impl Ipam {
    /// Becomes another owner, if this one is gone or its state is not the last one that it had
    pub(crate) fn renew_if_gone(&mut self, now: Instant) {
        let before = self.me;
        // A later one of this name signed a record: this peer lost that state, and its clock was set back.
        let last = self
            .records
            .latest(before.name)
            .map_or(before, |last| last.max(before));
        let forgot = self.forgot || last > before;
        if self.left || !(self.gone.contains(before) || forgot) {
            return;
        }
        let last = Some(last.incarnation);
        let incarnation = Incarnation::draw(self.unix_ms(now), last, &mut self.rng);
        self.me.incarnation = incarnation;
        self.born = incarnation;
        self.forgot = false;
        self.young_since = Some(now);
        self.draft = Record::new(self.me, self.born, self.draft.elector, self.draft.key);
        self.answered.clear();
        self.ready.clear();
        self.patience = None;
        self.dirty.keep_space = true;
        self.dirty.work = true;
        let event = Event::Renewed { before, now: self.me };
        self.dirty.later.push(Output::Event(event));
    }

    /// Says whom it knows to be gone, and takes over what it can
    pub(crate) fn inherit(&mut self, now: Instant) {
        let asked = self
            .records
            .iter()
            .flat_map(|record| record.inherits.iter().copied());
        let mut acks: BTreeSet<Owner> = asked.filter(|owner| self.gone.contains(*owner)).collect();
        while acks.len() > MOST_ACKS {
            acks.pop_last();
        }
        let told = std::mem::replace(&mut self.draft.acks, acks.iter().copied().collect());
        acks.retain(|owner| !told.contains(owner));
        self.tell_gifts_of(&acks);
        self.draft.inherits = self.inheritance();
        let inherits = self.draft.inherits.clone();
        self.ready.retain(|owner, _| inherits.contains(owner));
        if inherits.is_empty() {
            return;
        }
        if !self.sure(now) {
            self.ready.clear();
            return;
        }
        for owner in inherits {
            if !self.unheard(owner, now).is_empty() {
                self.ready.remove(&owner);
                continue;
            }
            let at = *self
                .ready
                .entry(owner)
                .or_insert_with(|| after(now, self.config.timers.settle));
            if at <= now {
                self.ready.remove(&owner);
                self.take_over(owner);
            }
        }
    }

    /// Tells what those gave away, before the word that they are known to be gone: who passed that on held
    /// them to have told it themselves, and the last that they said may be lost
    fn tell_gifts_of(&mut self, gone: &BTreeSet<Owner>) {
        let given =
            |piece: &Piece| gone.contains(&piece.register.by) && !gone.contains(&piece.register.owner);
        let given = self.space.pieces().filter(given).map(|piece| piece.span);
        self.dirty.tell_space.extend(given);
    }

    /// Those that are gone, have addresses, and whose heir this peer is
    fn inheritance(&self) -> Vec<Owner> {
        if self.left {
            return vec![];
        }
        let mine = |owner: &Owner| self.gone.contains(*owner) && self.gone.resolve(*owner) == self.me;
        let holders = self.space.holdings().keys().copied();
        holders.filter(mine).take(MOST_OWNERS).collect()
    }

    /// Who may have been given something by the one that is gone, unseen
    pub(crate) fn unheard(&self, gone: Owner, now: Instant) -> BTreeSet<Owner> {
        let heard = |owner: &Owner| {
            *owner == self.me
                || self.is_dead(*owner)
                || self
                    .records
                    .get(*owner)
                    .is_some_and(|record| record.acks.contains(&gone))
                || self
                    .config
                    .lease
                    .is_some_and(|lease| self.sight.unseen(*owner, now) >= lease)
        };
        self.known().into_iter().filter(|owner| !heard(owner)).collect()
    }

    fn take_over(&mut self, gone: Owner) {
        let pieces = self.space.pieces().filter(|piece| piece.register.owner == gone);
        let pieces: Vec<Piece> = pieces.collect();
        for Piece { span, register, .. } in pieces {
            self.write(span, register.inherited(self.me), Why::Inherited, true);
        }
    }

    /// Passes on what one that is gone gave to this peer before all could hear of it
    pub(crate) fn hand_back(&mut self, moved: &[Moved]) {
        for Moved {
            span, after: given, ..
        } in moved
        {
            let heir = self.gone.resolve(given.by);
            if given.owner == self.me && self.gone.contains(given.by) && heir != self.me {
                self.write(*span, given.given(heir), Why::Given, true);
            }
        }
    }
}
