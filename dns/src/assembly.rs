//! Pieces of whole parts, put aside until all of them are there: half a part is nobody's part.
//!
//! A piece is known to be genuine only with the others, by the digest of the whole. So pieces of different
//! neighbors are kept apart, and a neighbor has one part in the making at a time. All together have
//! [`MAX_WAITING_BYTES`]; a neighbor that lacks room takes it from the one that has the most, if that has more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gossip::Malformed;
use model::PeerName;

use crate::budget::{MAX_WAITING_BYTES, Refused};
use crate::entry::Entry;
use crate::stamp::Stamp;
use crate::told::{Head, Told, decode};

/// How long a part in the making waits for its next piece
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The parts in the making, by the neighbor that tells each
#[derive(Debug, Default)]
pub(crate) struct Assemblies {
    by_teller: BTreeMap<PeerName, Assembly>,
    bytes: usize,
}

/// What became of a piece
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It waits for others
    Waits,
    /// It was the last, and these are all of them
    Complete(Vec<Vec<u8>>),
}

/// A part of which some pieces are there, each as it was told
#[derive(Debug)]
struct Assembly {
    head: Head,
    pieces: u32,
    there: BTreeMap<u32, Vec<u8>>,
    bytes: usize,
    /// When the last of them came
    came_at: Instant,
}

impl Assemblies {
    /// Bytes that wait
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a piece of a neighbor aside
    pub(crate) fn put(
        &mut self,
        teller: PeerName,
        head: Head,
        (piece, pieces): (u32, u32),
        bytes: &[u8],
        now: Instant,
    ) -> Result<Put, Refused> {
        let is_of = |assembly: &Assembly| assembly.head == head && assembly.pieces == pieces;
        if !self.by_teller.get(&teller).is_some_and(is_of) {
            self.drop_of(teller);
        }
        let own = self.by_teller.get(&teller);
        if own.is_some_and(|own| own.there.contains_key(&piece)) {
            return Ok(Put::Waits);
        }
        let wanted = own.map_or(0, |own| own.bytes).saturating_add(bytes.len());
        while self.bytes.saturating_add(bytes.len()) > MAX_WAITING_BYTES {
            let others = self.by_teller.iter().filter(|(other, _)| **other != teller);
            let most = others.max_by_key(|(_, assembly)| assembly.bytes);
            let victim = most.filter(|(_, assembly)| assembly.bytes > wanted);
            let Some(victim) = victim.map(|(victim, _)| *victim) else {
                self.drop_of(teller);
                return Err(Refused::NoRoomToWait);
            };
            self.drop_of(victim);
        }
        let assembly = self.by_teller.entry(teller).or_insert_with(|| Assembly {
            head,
            pieces,
            there: BTreeMap::new(),
            bytes: 0,
            came_at: now,
        });
        assembly.came_at = now;
        assembly.bytes = wanted;
        assembly.there.insert(piece, bytes.to_vec());
        let is_complete = assembly.there.len() as u64 == u64::from(pieces);
        self.bytes = self.bytes.saturating_add(bytes.len());
        if !is_complete {
            return Ok(Put::Waits);
        }
        let whole = self.drop_of(teller).map(|assembly| assembly.there);
        Ok(Put::Complete(whole.unwrap_or_default().into_values().collect()))
    }

    /// Forgets what waits for a state of a part that is known by now
    pub(crate) fn is_known(&mut self, origin: PeerName, stamp: Stamp) {
        self.retain(|assembly| assembly.head.origin != origin || assembly.head.stamp > stamp);
    }

    /// Forgets what waited too long
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.retain(|assembly| now.saturating_duration_since(assembly.came_at) < PATIENCE);
    }

    /// When to call [`Assemblies::handle_timeout`]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.by_teller.values().map(|assembly| assembly.came_at).min()?;
        oldest.checked_add(PATIENCE)
    }

    fn retain(&mut self, is_kept: impl Fn(&Assembly) -> bool) {
        self.by_teller.retain(|_, assembly| is_kept(assembly));
        let all = self.by_teller.values().map(|assembly| assembly.bytes);
        self.bytes = all.fold(0, usize::saturating_add);
    }

    fn drop_of(&mut self, teller: PeerName) -> Option<Assembly> {
        let dropped = self.by_teller.remove(&teller)?;
        self.bytes = self.bytes.saturating_sub(dropped.bytes);
        Some(dropped)
    }
}

/// The entries of all pieces of a part
///
/// # Errors
///
/// If they are not in the order of their sequences, from piece to piece.
pub(crate) fn join(pieces: &[Vec<u8>]) -> Result<BTreeMap<u64, Entry>, Malformed> {
    let mut entries = BTreeMap::new();
    for piece in pieces {
        let Told::Whole(whole) = decode(piece)? else {
            return Err(Malformed("a change among the pieces of names"));
        };
        for (came, entry) in whole.take()?.entries {
            if entries.last_key_value().is_some_and(|(last, _)| *last >= came) {
                return Err(Malformed("pieces of names out of order"));
            }
            entries.insert(came, entry);
        }
    }
    Ok(entries)
}
