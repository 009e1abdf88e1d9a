//! The right to write a register, and the proof that its writer wrote it.
//!
//! | the register here | the one that is told | taken over |
//! |---|---|---|
//! | is owned by A | is written by A | yes: A gives it away, or writes it anew |
//! | is owned by A, who is gone | is written by an heir of A, in a later epoch | yes |
//! | was given by A, who is gone, and not confirmed | the same | yes: nobody had heard of the gift |
//! | was taken over by an heir that the ledger does not name | is written by the one that it names | yes |
//! | stems from A, who was removed while this peer was cut off | is written by an heir of A, in a later epoch | yes |
//! | was taken over by an heir of A | is written by another heir of A | yes: each wrote until it heard of the other |
//! | anything else | | no |
//!
//! What a peer missed comes by the superseded registers ([`crate::links`]), which are told first.

use gossip::{IdentityKey, Keys, Purpose, Signature};
use model::PeerName;

use crate::machine::Ipam;
use crate::output::Why;
use crate::owner::Owner;
use crate::range::Span;
use crate::rejection::Rejection;
use crate::space::{Deed, Moved, Piece, Register};
use crate::wire::encode;

/// The most pieces of the space
pub(crate) const MOST_PIECES_IN_ALL: usize = 65_536;
/// The most pieces of the space that one owner wrote
pub(crate) const MOST_PIECES_OF_ONE: usize = 4096;
/// The most pieces whose writers' right is not known as yet
pub(crate) const MOST_UNTITLED: usize = 4096;
/// The same, of one writer
const MOST_UNTITLED_OF_ONE: usize = 256;
/// The furthest that a version or an epoch leaps from the one known here
const LEAP: u64 = 1 << 20;

pub(crate) fn message(span: Span, register: &Register) -> Vec<u8> {
    encode(&("register", span, register))
}

/// Keys that a part brings along
pub(crate) type Hints = [(PeerName, IdentityKey)];

pub(crate) fn hint(hints: &Hints, name: PeerName) -> Option<IdentityKey> {
    let found = hints.iter().find(|(of, _)| *of == name);
    found.map(|(_, key)| *key)
}

impl Ipam {
    pub(crate) fn reject(&mut self, why: Rejection) {
        let count = self.rejections.entry(why).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        self.config.identity.sign(Purpose::Addresses, message)
    }

    pub(crate) fn deed(&self, span: Span, register: &Register) -> Deed {
        Deed {
            span,
            signature: self.sign(&message(span, register)),
        }
    }

    /// The key that speaks for a name; a peer's own never comes from others
    pub(crate) fn key_of(
        &self,
        name: PeerName,
        hint: Option<IdentityKey>,
        keys: &dyn Keys,
    ) -> Option<IdentityKey> {
        if name == self.me.name {
            return Some(self.config.identity.key());
        }
        self.ring.key(name, hint, keys)
    }

    /// Whether a peer may write `new` over the register known here
    fn admits(&self, span: Span, known: &Register, new: &Register) -> Result<(), Rejection> {
        let near = |new: u64, known: u64| new <= known.saturating_add(LEAP);
        let version = if new.epoch == known.epoch {
            known.version
        } else {
            0
        };
        if !near(new.version, version) || !near(new.epoch, known.epoch) {
            return Err(Rejection::Leap);
        }
        let succeeds = |owner: Owner| new.epoch > known.epoch && self.is_named(owner, new.by);
        // Two heirs gave the same to the same owner: it is the owner's by either.
        let same = |register: &Register| (register.epoch, register.version, register.owner);
        let took = |owner: Owner| {
            // Each of several heirs wrote for itself until it heard of the others.
            let before = self.links.within(span).map(|piece| piece.register);
            let mut before = before.filter(|before| before.epoch == known.epoch);
            self.is_named(owner, known.by) || before.any(|before| self.is_named(owner, before.by))
        };
        let rivals = || {
            known.epoch > 0
                && new.epoch == known.epoch
                && self
                    .named
                    .keys()
                    .any(|owner| self.is_named(*owner, new.by) && took(*owner))
        };
        let lost = || {
            let before = self.links.within(span).map(|piece| piece.register);
            let mut before = before.filter(|before| before.epoch == known.epoch);
            before.any(|before| self.missed.contains(&before.by) && succeeds(before.by))
        };
        if new.by == known.owner
            || same(new) == same(known)
            || succeeds(known.owner)
            || succeeds(known.by)
            || self.is_right_heir(known, new)
            || lost()
            || rivals()
        {
            Ok(())
        } else {
            Err(Rejection::NoTitle)
        }
    }

    /// Of two that took over the same in one epoch, the ledger names one
    fn is_right_heir(&self, known: &Register, new: &Register) -> bool {
        let took = |register: &Register| register.epoch > 0 && register.version == 0;
        new.epoch == known.epoch
            && took(known)
            && took(new)
            && self.gone.names(new.by)
            && !self.gone.names(known.by)
    }

    /// Joins a register that is this peer's to write, or proved, into the space
    pub(crate) fn put(&mut self, span: Span, register: Register, deed: Option<Deed>) -> Vec<Moved> {
        let superseded = self.space.within(span).filter(|piece| {
            piece.register < register && piece.register.by != register.by && piece.deed.is_some()
        });
        let superseded: Vec<Piece> = superseded.collect();
        let moved = self.space.join(span, register, deed);
        for piece in superseded {
            self.links.keep(piece);
        }
        for moved in &moved {
            self.links.forget(register.by, moved.span);
        }
        moved
    }

    pub(crate) fn merge_pieces(&mut self, pieces: Vec<Piece>, hints: &Hints, keys: &dyn Keys) -> Vec<Piece> {
        let mut news = Vec::new();
        let lineage = self.roll.as_ref().map(|roll| roll.at.lineage);
        for piece in pieces {
            if Some(piece.register.lineage) != lineage {
                self.reject(Rejection::OtherLineage);
                continue;
            }
            match self.proved(&piece, hints, keys) {
                Ok(spans) => {
                    for span in spans {
                        news.extend(self.take_piece(Piece { span, ..piece }));
                    }
                }
                Err(why) => self.reject(why),
            }
        }
        news
    }

    /// Where the piece is news, and proved
    fn proved(&mut self, piece: &Piece, hints: &Hints, keys: &dyn Keys) -> Result<Vec<Span>, Rejection> {
        let register = &piece.register;
        let links = self.missing_links(piece);
        if !links.is_empty() && self.has_met(register.by) && self.verify(piece, hints, keys).is_ok() {
            for span in links {
                self.links.keep(Piece { span, ..*piece });
            }
            self.dirty.keep_space = true;
        }
        if !self
            .space
            .within(piece.span)
            .any(|known| known.register < *register)
        {
            return Ok(vec![]);
        }
        let titled = self.titled(piece);
        if titled.as_ref().is_err_and(|why| *why != Rejection::NoTitle) {
            return titled;
        }
        let of_one = self.space.written_by(register.by);
        if of_one >= MOST_PIECES_OF_ONE || self.space.len() >= MOST_PIECES_IN_ALL {
            return Err(Rejection::OverBudget);
        }
        if titled.is_err() && !self.may_postpone(piece) {
            return titled;
        }
        self.verify(piece, hints, keys)?;
        if titled.is_err() {
            self.untitled.push_back(*piece);
        }
        titled
    }

    /// Where a superseded register is later than what is known of its writer: a peer that knows less than
    /// this one may need it, also if this peer needed no proof of what came after it
    fn missing_links(&self, piece: &Piece) -> Vec<Span> {
        let register = &piece.register;
        let later = |known: &Piece| known.register > *register && known.register.by != register.by;
        let mut missing = Vec::new();
        for known in self.space.within(piece.span).filter(later) {
            let mut next = Some(known.span.first);
            let links = self.links.of(register.by, known.span);
            for link in links.filter(|link| link.register >= *register) {
                if let (Some(first), Some(last)) = (next, link.span.first.checked_sub(1)) {
                    missing.extend(Span::new(first, last));
                }
                next = link.span.last.checked_add(1);
            }
            missing.extend(next.and_then(|first| Span::new(first, known.span.last)));
        }
        missing
    }

    /// Checks the writer's signature
    fn verify(&mut self, piece: &Piece, hints: &Hints, keys: &dyn Keys) -> Result<(), Rejection> {
        let Piece { span, register, deed } = piece;
        let name = register.by.name;
        let key = self
            .key_of(name, hint(hints, name), keys)
            .ok_or(Rejection::ForeignKey)?;
        let deed = deed
            .filter(|deed| deed.span.covers(*span))
            .ok_or(Rejection::BadSignature)?;
        let message = message(deed.span, register);
        if !key.verify(Purpose::Addresses, &message, &deed.signature) {
            return Err(Rejection::BadSignature);
        }
        self.ring.remember(name, key);
        Ok(())
    }

    /// Where the writer had the right to write the piece
    fn titled(&self, piece: &Piece) -> Result<Vec<Span>, Rejection> {
        let Piece { span, register, .. } = piece;
        let mut spans = Vec::new();
        let mut why = Rejection::NoTitle;
        for known in self
            .space
            .within(*span)
            .filter(|known| known.register < *register)
        {
            match self.admits(known.span, &known.register, register) {
                Ok(()) => spans.push(known.span),
                Err(other) => why = other,
            }
        }
        if spans.is_empty() { Err(why) } else { Ok(spans) }
    }

    /// Whether a piece is kept until its writer's right is known: nobody may tell it again soon
    fn may_postpone(&self, piece: &Piece) -> bool {
        let of_one = |other: &&Piece| other.register.by == piece.register.by;
        let full = self.untitled.len() >= MOST_UNTITLED
            || self.untitled.iter().filter(of_one).count() >= MOST_UNTITLED_OF_ONE;
        !full && self.has_met(piece.register.by) && !self.untitled.contains(piece)
    }

    /// Takes over what was postponed, as far as its right has become known
    pub(crate) fn retry_untitled(&mut self) {
        let lineage = self.lineage();
        for piece in std::mem::take(&mut self.untitled) {
            let newer = |known: Piece| known.register < piece.register;
            if Some(piece.register.lineage) != lineage || !self.space.within(piece.span).any(newer) {
                continue;
            }
            for span in self.titled(&piece).unwrap_or_default() {
                self.take_piece(Piece { span, ..piece });
                self.dirty.tell_space.push(span);
            }
            if self.space.within(piece.span).any(newer) {
                self.untitled.push_back(piece);
            }
        }
    }

    fn take_piece(&mut self, piece: Piece) -> Vec<Piece> {
        let moved = self.put(piece.span, piece.register, piece.deed);
        for moved in &moved {
            self.moved(std::slice::from_ref(moved), why(moved));
        }
        self.hand_back(&moved);
        let news = moved.iter().map(|moved| Piece {
            span: moved.span,
            ..piece
        });
        news.collect()
    }

    /// Writes anew what this peer has by the gift of one that is gone: an heir of the giver takes only what
    /// nobody confirmed
    pub(crate) fn confirm(&mut self) {
        let own = self.own_within(self.range);
        let given = own.filter(|(_, register)| register.by != self.me && self.gone.contains(register.by));
        let given: Vec<(Span, Register)> = given.collect();
        for (span, register) in given {
            self.write(span, register.given(self.me), Why::Given, true);
        }
    }
}

/// By what right another peer changed a register, as far as it can be seen
fn why(moved: &Moved) -> Why {
    match moved.before {
        None => Why::First,
        Some(before) if before.epoch != moved.after.epoch => Why::Inherited,
        Some(_) => Why::Given,
    }
}
