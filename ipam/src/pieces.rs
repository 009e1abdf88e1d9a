//! Stretches of addresses that do not overlap, each with a signed register.

use std::collections::BTreeMap;

use crate::owner::Owner;
use crate::range::Span;
use crate::space::Piece;

/// Pieces by their first address
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    by_first: BTreeMap<u32, Piece>,
    /// The number of pieces of each writer
    written: BTreeMap<Owner, usize>,
}

impl Pieces {
    pub(crate) fn get(&self, address: u32) -> Option<Piece> {
        let (_, piece) = self.by_first.range(..=address).next_back()?;
        piece.span.contains(address).then_some(*piece)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Piece> {
        self.by_first.values().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_first.len()
    }

    pub(crate) fn writers(&self) -> impl Iterator<Item = Owner> {
        self.written.keys().copied()
    }

    pub(crate) fn written_by(&self, writer: Owner) -> usize {
        self.written.get(&writer).copied().unwrap_or(0)
    }

    /// The pieces, cut to the part of them in `span`
    pub(crate) fn within(&self, span: Span) -> impl Iterator<Item = Piece> {
        let before = self.by_first.range(..span.first).next_back();
        let from = before
            .into_iter()
            .chain(self.by_first.range(span.first..=span.last));
        from.filter_map(move |(_, piece)| {
            let span = piece.span.meet(span)?;
            Some(Piece { span, ..*piece })
        })
    }

    /// Replaces all that is in the span of `piece` by it
    pub(crate) fn put(&mut self, piece: Piece) {
        self.clear(piece.span);
        self.insert(piece);
    }

    /// Removes all that is in `span`
    pub(crate) fn clear(&mut self, span: Span) {
        let old: Vec<u32> = self.within(span).map(|piece| piece.span.first).collect();
        for address in old {
            let Some(whole) = self.get(address) else { continue };
            self.take(whole.span.first);
            let before = span
                .first
                .checked_sub(1)
                .and_then(|last| Span::new(whole.span.first, last));
            let after = span
                .last
                .checked_add(1)
                .and_then(|first| Span::new(first, whole.span.last));
            for span in before.into_iter().chain(after) {
                self.add(Piece { span, ..whole });
            }
        }
    }

    /// Puts a piece where there is none, and joins it with equal neighbors
    fn insert(&mut self, mut piece: Piece) {
        let same = |other: &Piece| other.register == piece.register && other.deed == piece.deed;
        let before = self.by_first.range(..piece.span.first).next_back();
        let left = before.map(|(_, left)| *left);
        let left = left.filter(|left| same(left) && left.span.touches(piece.span));
        let next = piece.span.last.checked_add(1);
        let right = next.and_then(|next| self.by_first.get(&next)).copied();
        let right = right.filter(same);
        if let Some(left) = left {
            self.take(left.span.first);
            piece.span.first = left.span.first;
        }
        if let Some(right) = right {
            self.take(right.span.first);
            piece.span.last = right.span.last;
        }
        self.add(piece);
    }

    fn add(&mut self, piece: Piece) {
        self.by_first.insert(piece.span.first, piece);
        let written = self.written.entry(piece.register.by).or_default();
        *written = written.saturating_add(1);
    }

    fn take(&mut self, first: u32) {
        let Some(piece) = self.by_first.remove(&first) else {
            return;
        };
        if let Some(written) = self.written.get_mut(&piece.register.by) {
            *written = written.saturating_sub(1);
        }
        self.written.retain(|_, written| *written > 0);
    }
}
