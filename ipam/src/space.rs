//! Whose each address is: a register for each, kept as stretches of equal ones.
//!
//! Two spaces become one by taking the greater register for each address. Nobody but an address's
//! owner writes a greater one, other than its heir, once it is gone.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ledger::Lineage;
use crate::owner::Owner;
use crate::range::Span;

/// Whose an address is, by whom, and what comes before what
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Register {
    /// Which first owners this goes back to
    pub(crate) lineage: Lineage,
    /// How often an heir took it
    pub(crate) epoch: u64,
    /// How often it was given since
    pub(crate) version: u64,
    pub(crate) owner: Owner,
    /// Who wrote this
    pub(crate) by: Owner,
}

impl Register {
    /// What its owner writes to give it away
    pub(crate) const fn given(self, to: Owner) -> Self {
        Self {
            version: self.version + 1,
            owner: to,
            by: self.owner,
            ..self
        }
    }

    /// What an heir writes to take it
    pub(crate) const fn inherited(self, heir: Owner) -> Self {
        Self {
            epoch: self.epoch + 1,
            version: 0,
            owner: heir,
            by: heir,
            ..self
        }
    }

    const fn order(&self) -> (Lineage, u64, u64, Reverse<Owner>, Reverse<Owner>) {
        (
            self.lineage,
            self.epoch,
            self.version,
            Reverse(self.owner),
            Reverse(self.by),
        )
    }
}

impl PartialOrd for Register {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Register {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// Addresses with equal registers
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) span: Span,
    pub(crate) register: Register,
}

/// Addresses whose register became another
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) span: Span,
    pub(crate) before: Option<Register>,
    pub(crate) after: Register,
}

/// All registers
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Space {
    pieces: BTreeMap<u32, Piece>,
    /// How many addresses each owner has
    holdings: BTreeMap<Owner, u64>,
}

impl Space {
    pub(crate) fn get(&self, address: u32) -> Option<Register> {
        let (_, piece) = self.pieces.range(..=address).next_back()?;
        piece.span.contains(address).then_some(piece.register)
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> {
        self.pieces.values().copied()
    }

    /// How many addresses each owner has, if any
    pub(crate) const fn holdings(&self) -> &BTreeMap<Owner, u64> {
        &self.holdings
    }

    /// How many addresses an owner has
    pub(crate) fn held_by(&self, owner: Owner) -> u64 {
        self.holdings.get(&owner).copied().unwrap_or(0)
    }

    /// The pieces, cut to what of them is in `span`
    pub(crate) fn within(&self, span: Span) -> impl Iterator<Item = Piece> {
        let before = self.pieces.range(..span.first).next_back();
        let from = before
            .into_iter()
            .chain(self.pieces.range(span.first..=span.last));
        from.filter_map(move |(_, piece)| {
            let span = piece.span.meet(span)?;
            Some(Piece { span, ..*piece })
        })
    }

    /// Takes the greater register for each address of `span`; what became another by that
    pub(crate) fn join(&mut self, span: Span, register: Register) -> Vec<Moved> {
        let mut moved = Vec::new();
        let mut next = Some(span.first);
        let fresh = |first, last| {
            Span::new(first, last).map(|span| Moved {
                span,
                before: None,
                after: register,
            })
        };
        for piece in self.within(span) {
            if let (Some(first), Some(last)) = (next, piece.span.first.checked_sub(1)) {
                moved.extend(fresh(first, last));
            }
            if piece.register < register {
                moved.push(Moved {
                    span: piece.span,
                    before: Some(piece.register),
                    after: register,
                });
            }
            next = piece.span.last.checked_add(1);
        }
        moved.extend(next.and_then(|first| fresh(first, span.last)));
        for Moved { span, before, .. } in &moved {
            self.count(before.map(|before| before.owner), register.owner, span.len());
            self.put(*span, register);
        }
        moved
    }

    fn count(&mut self, from: Option<Owner>, to: Owner, addresses: u64) {
        *self.holdings.entry(to).or_default() += addresses;
        if let Some(held) = from.and_then(|from| self.holdings.get_mut(&from)) {
            *held -= addresses;
        }
        self.holdings.retain(|_, held| *held > 0);
    }

    fn put(&mut self, span: Span, register: Register) {
        let old: Vec<Piece> = self.within(span).collect();
        for piece in old {
            let (start, whole) = self
                .pieces
                .range(..=piece.span.first)
                .next_back()
                .map(|(start, whole)| (*start, *whole))
                .expect("the piece was just found");
            self.pieces.remove(&start);
            let before = span
                .first
                .checked_sub(1)
                .and_then(|last| Span::new(whole.span.first, last));
            let after = span
                .last
                .checked_add(1)
                .and_then(|first| Span::new(first, whole.span.last));
            for span in before.into_iter().chain(after) {
                self.pieces.insert(span.first, Piece { span, ..whole });
            }
        }
        self.insert(span, register);
    }

    /// Puts a piece where there is none, and joins it with equal neighbours
    fn insert(&mut self, mut span: Span, register: Register) {
        let left = self
            .pieces
            .range(..span.first)
            .next_back()
            .map(|(_, piece)| *piece);
        if let Some(left) = left.filter(|left| left.register == register && left.span.last + 1 == span.first)
        {
            self.pieces.remove(&left.span.first);
            span.first = left.span.first;
        }
        let right = span
            .last
            .checked_add(1)
            .and_then(|next| self.pieces.get(&next))
            .copied();
        if let Some(right) = right.filter(|right| right.register == register) {
            self.pieces.remove(&right.span.first);
            span.last = right.span.last;
        }
        self.pieces.insert(span.first, Piece { span, register });
    }

    /// A hash of the pieces in `span`
    pub(crate) fn digest(&self, span: Span) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        for Piece { span, register } in self.within(span) {
            hasher.update(&span.first.to_be_bytes());
            hasher.update(&span.last.to_be_bytes());
            for number in [register.lineage.0, register.epoch, register.version] {
                hasher.update(&number.to_be_bytes());
            }
            for owner in [register.owner, register.by] {
                hasher.update(&owner.name.mac().octets());
                hasher.update(&owner.incarnation.0.to_be_bytes());
            }
        }
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        digest
    }
}

#[cfg(test)]
mod tests;
