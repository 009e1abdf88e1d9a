//! Registers that were superseded: they prove by whose right the later ones were written.
//!
//! A peer that was away knows an earlier owner of an address. It believes the present one by the registers
//! that lead from the one to the other; of each writer, the last one suffices.

use std::collections::BTreeMap;

use crate::owner::Owner;
use crate::pieces::Pieces;
use crate::range::Span;
use crate::space::Piece;

/// For each address the last superseded register of each writer
#[derive(Debug, Clone, Default)]
pub(crate) struct Links(BTreeMap<Owner, Pieces>);

/// The most pieces of all writers
pub(crate) const MOST_LINKS: usize = 16_384;

impl Links {
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(Pieces::len).sum()
    }

    /// Keeps a register that another one supersedes; of too many, those of the writer with most are dropped
    pub(crate) fn keep(&mut self, piece: Piece) {
        self.0.entry(piece.register.by).or_default().put(piece);
        while self.len() > MOST_LINKS {
            let most = self.0.iter().max_by_key(|(_, pieces)| pieces.len());
            let Some(writer) = most.map(|(writer, _)| *writer) else {
                return;
            };
            self.0.remove(&writer);
        }
    }

    /// Forgets what `writer` wrote there before
    pub(crate) fn forget(&mut self, writer: Owner, span: Span) {
        if let Some(pieces) = self.0.get_mut(&writer) {
            pieces.clear(span);
            if pieces.len() == 0 {
                self.0.remove(&writer);
            }
        }
    }

    /// All that is in `span`
    pub(crate) fn within(&self, span: Span) -> impl Iterator<Item = Piece> {
        self.0.values().flat_map(move |pieces| pieces.within(span))
    }

    /// What is in `span` of one writer
    pub(crate) fn of(&self, writer: Owner, span: Span) -> impl Iterator<Item = Piece> {
        let pieces = self.0.get(&writer);
        pieces.into_iter().flat_map(move |pieces| pieces.within(span))
    }

    pub(crate) fn writers(&self) -> impl Iterator<Item = Owner> {
        self.0.keys().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Piece> {
        self.0.values().flat_map(Pieces::iter)
    }
}
