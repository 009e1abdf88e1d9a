//! What is given away.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::machine::Ipam;
use crate::output::Why;
use crate::owner::Owner;
use crate::range::{Span, free_of};
use crate::record::{MOST_REFUSED, Refused, Want};
use crate::space::Register;

impl Ipam {
    /// Gives what other peers' containers use, and what other peers ask for
    pub(crate) fn give(&mut self, now: Instant) {
        self.forget_answers();
        if self.left || !self.sure(now) {
            return;
        }
        self.give_what_is_used();
        self.answer_wants();
    }

    /// What was answered is remembered as long as the question stands
    fn forget_answers(&mut self) {
        let records = &self.records;
        let stands = |owner: Owner, number: u64| {
            let record = records.get(owner);
            record.is_some_and(|record| record.wants.iter().any(|want| want.number == number))
        };
        self.answered.retain(|(owner, number)| stands(*owner, *number));
        self.draft
            .refused
            .retain(|refused| stands(refused.to, refused.number));
    }

    fn give_what_is_used(&mut self) {
        let others = self
            .records
            .iter()
            .filter(|record| record.owner != self.me && !self.is_dead(record.owner));
        let used = others.flat_map(|record| record.uses.iter().map(|address| (*address, record.owner)));
        let used: Vec<(u32, Owner)> = used
            .filter(|(address, _)| !self.held.contains_key(address))
            .collect();
        for (address, owner) in used {
            if let Some(register) = self.own(address) {
                self.write(Span::one(address), register.given(owner), Why::Given, true);
            }
        }
    }

    fn answer_wants(&mut self) {
        let others = self
            .records
            .iter()
            .filter(|record| record.owner != self.me && !self.is_dead(record.owner));
        let wants = others.flat_map(|record| record.wants.iter().map(|want| (record.owner, *want)));
        let open =
            |(to, want): &(Owner, Want)| want.of == self.me && !self.answered.contains(&(*to, want.number));
        let wants = wants.filter(open);
        let wants: Vec<(Owner, Want)> = wants.collect();
        for (to, want) in wants {
            self.answer(to, want);
        }
    }

    fn answer(
        &mut self,
        to: Owner,
        Want {
            number, span, exact, ..
        }: Want,
    ) {
        let elsewhere = self.used_elsewhere(span);
        let held = |address: u32| self.held.contains_key(&address) || elsewhere.contains(&address);
        let block = if exact {
            Some(span).filter(|span| span.len() == 1 && self.own(span.first).is_some() && !held(span.first))
        } else {
            self.share_of(span, &elsewhere)
        };
        let Some(block) = block else {
            // Something here is still to be inherited: the answer may yet be another.
            let awaited = |owner: &Owner| {
                self.space
                    .within(span)
                    .any(|piece| piece.register.owner == *owner)
            };
            if self.draft.inherits.iter().any(awaited) {
                return;
            }
            let in_use = exact && held(span.first);
            self.refuse(Refused { to, number, in_use });
            return;
        };
        self.answered.insert((to, number));
        self.draft
            .refused
            .retain(|refused| (refused.to, refused.number) != (to, number));
        let registers: Vec<(Span, Register)> = self.own_within(block).collect();
        for (span, register) in registers {
            self.write(span, register.given(to), Why::Given, true);
        }
    }

    fn refuse(&mut self, refused: Refused) {
        let known = |known: &Refused| (known.to, known.number) == (refused.to, refused.number);
        if !self.draft.refused.iter().any(known) && self.draft.refused.len() < MOST_REFUSED {
            self.draft.refused.push(refused);
        }
    }

    /// The largest free block there that begins at a multiple of its length, of at most half of what is
    /// free there; the last address, if it is one
    fn share_of(&self, span: Span, elsewhere: &BTreeSet<u32>) -> Option<Span> {
        let free = self.free_within(span, elsewhere);
        let ends = |address: u32| address == span.first || address == span.last;
        let usable = |block: &Span| {
            let ends = [span.first, span.last]
                .into_iter()
                .filter(|end| block.contains(*end));
            block.len().saturating_sub(ends.count() as u64)
        };
        let total: u64 = free.iter().map(usable).sum();
        let most = (total / 2).max(1);
        let mut len = 1 << most.ilog2();
        if total == 0 {
            return None;
        }
        while len > 1 {
            let blocks = free.iter().filter_map(|free| free.aligned(len));
            if let Some(block) = blocks.rev().find(|block| usable(block) > 0) {
                return Some(block);
            }
            len /= 2;
        }
        let mut single = free
            .iter()
            .flat_map(|free| [free.last, free.last.saturating_sub(1), free.first]);
        let within = |address: &u32| free.iter().any(|free| free.contains(*address)) && !ends(*address);
        single.find(within).map(Span::one)
    }

    /// What is free of what this peer has there
    pub(crate) fn free_within(&self, span: Span, elsewhere: &BTreeSet<u32>) -> Vec<Span> {
        let own = self.own_within(span);
        own.flat_map(|(own, _)| {
            let held = self.held.range(own.first..=own.last).map(|(address, _)| *address);
            let mut taken: Vec<u32> = held
                .chain(elsewhere.range(own.first..=own.last).copied())
                .collect();
            taken.sort_unstable();
            taken.dedup();
            free_of(own, taken)
        })
        .collect()
    }

    /// Which addresses there other peers say that their containers use
    pub(crate) fn used_elsewhere(&self, span: Span) -> BTreeSet<u32> {
        let others = self.records.iter().filter(|record| record.owner != self.me);
        let used = others.flat_map(|record| record.uses.iter().copied());
        used.filter(|address| span.contains(*address)).collect()
    }

    /// The register of an address, if this peer has it
    pub(crate) fn own(&self, address: u32) -> Option<Register> {
        self.space.get(address).filter(|register| self.is_own(register))
    }

    pub(crate) fn is_own(&self, register: &Register) -> bool {
        let lineage = self.roll.as_ref().map(|roll| roll.at.lineage);
        register.owner == self.me && Some(register.lineage) == lineage
    }

    /// What this peer has there
    pub(crate) fn own_within(&self, span: Span) -> impl Iterator<Item = (Span, Register)> {
        let pieces = self.space.within(span);
        let own = pieces.filter(|piece| self.is_own(&piece.register));
        own.map(|piece| (piece.span, piece.register))
    }

    /// Pieces that lie beside each other and are this peer's become one
    pub(crate) fn tidy(&mut self, now: Instant) {
        if self.left || !self.sure(now) {
            return;
        }
        self.confirm();
        let own: Vec<(Span, Register)> = self.own_within(self.range).collect();
        let mut runs: Vec<(Span, Register, usize)> = Vec::new();
        for (span, register) in own {
            match runs.last_mut() {
                Some((run, greatest, count)) if run.touches(span) && greatest.epoch == register.epoch => {
                    run.last = span.last;
                    *greatest = (*greatest).max(register);
                    *count = count.saturating_add(1);
                }
                Some(_) | None => runs.push((span, register, 1)),
            }
        }
        for (span, register, _) in runs.into_iter().filter(|(.., count)| *count > 1) {
            self.write(span, register.given(self.me), Why::Given, true);
        }
    }
}
