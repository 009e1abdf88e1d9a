//! The owner of each address: a register for each, kept as stretches of equal ones.
//!
//! Two spaces become one by taking the greater register for each address. Only an address's owner writes a
//! greater one, or its heir, once the owner is gone; [`crate::title`] checks that.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gossip::Signature;
use serde::{Deserialize, Serialize};

use crate::ledger::Lineage;
use crate::owner::Owner;
use crate::pieces::Pieces;
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
            version: self.version.saturating_add(1),
            owner: to,
            by: self.owner,
            ..self
        }
    }

    /// What an heir writes to take it
    pub(crate) const fn inherited(self, heir: Owner) -> Self {
        Self {
            epoch: self.epoch.saturating_add(1),
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

/// The writer's signature of a register, for all addresses it was written for at once
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deed {
    pub(crate) span: Span,
    pub(crate) signature: Signature,
}

/// Addresses with equal registers
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) span: Span,
    pub(crate) register: Register,
    /// None for the shares of the first owners, which follow from the roll
    pub(crate) deed: Option<Deed>,
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
    pieces: Pieces,
    /// The number of addresses of each owner
    holdings: BTreeMap<Owner, u64>,
}

impl Space {
    pub(crate) fn get(&self, address: u32) -> Option<Register> {
        self.pieces.get(address).map(|piece| piece.register)
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> {
        self.pieces.iter()
    }

    /// The number of pieces
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The number of addresses of each owner that has any
    pub(crate) const fn holdings(&self) -> &BTreeMap<Owner, u64> {
        &self.holdings
    }

    /// The number of addresses of an owner
    pub(crate) fn held_by(&self, owner: Owner) -> u64 {
        self.holdings.get(&owner).copied().unwrap_or(0)
    }

    /// Who wrote the pieces
    pub(crate) fn writers(&self) -> impl Iterator<Item = Owner> {
        self.pieces.writers()
    }

    /// The number of pieces that an owner wrote
    pub(crate) fn written_by(&self, writer: Owner) -> usize {
        self.pieces.written_by(writer)
    }

    /// The pieces, cut to the part of them in `span`
    pub(crate) fn within(&self, span: Span) -> impl Iterator<Item = Piece> {
        self.pieces.within(span)
    }

    /// Takes the greater register for each address of `span`; returns the changes
    pub(crate) fn join(&mut self, span: Span, register: Register, deed: Option<Deed>) -> Vec<Moved> {
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
            self.pieces.put(Piece {
                span: *span,
                register,
                deed,
            });
        }
        moved
    }

    fn count(&mut self, from: Option<Owner>, to: Owner, addresses: u64) {
        let held = self.holdings.entry(to).or_default();
        *held = held.saturating_add(addresses);
        if let Some(held) = from.and_then(|from| self.holdings.get_mut(&from)) {
            *held = held.saturating_sub(addresses);
        }
        self.holdings.retain(|_, held| *held > 0);
    }

    /// A hash of the registers in `span`; independent of signatures
    pub(crate) fn digest(&self, span: Span) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        let mut run: Option<(Span, Register)> = None;
        for Piece { span, register, .. } in self.within(span) {
            match &mut run {
                Some((whole, same)) if *same == register && whole.touches(span) => whole.last = span.last,
                Some(done) => {
                    hash(&mut hasher, *done);
                    *done = (span, register);
                }
                None => run = Some((span, register)),
            }
        }
        if let Some(done) = run {
            hash(&mut hasher, done);
        }
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        digest
    }
}

fn hash(hasher: &mut blake3::Hasher, (span, register): (Span, Register)) {
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

#[cfg(test)]
mod tests;
