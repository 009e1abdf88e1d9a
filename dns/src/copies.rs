//! Copies of other peers' parts, within a budget.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::PeerName;

use crate::budget::{MAX_PARTS, MAX_WEIGHT};
use crate::part::{Difference, Part, Step};
use crate::proof::Proof;
use crate::stamp::Stamp;

/// How long the names of a peer that cannot be reached are kept for its return
pub const KEPT: Duration = Duration::from_secs(600);

/// The copy of another peer's part
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) part: Part,
    pub(crate) proof: Proof,
    /// Since when the peer cannot be reached, and its names are not answered
    pub(crate) gone: Option<Instant>,
    /// A later state is known to exist that no change leads to from here: the whole part is to be told
    pub(crate) lost: bool,
}

/// All copies
#[derive(Debug, Default)]
pub(crate) struct Copies {
    all: BTreeMap<PeerName, Copied>,
    weight: usize,
}

impl Copies {
    pub(crate) const fn all(&self) -> &BTreeMap<PeerName, Copied> {
        &self.all
    }

    /// The copies, whose parts stay as they are
    pub(crate) fn each(&mut self) -> impl Iterator<Item = (&PeerName, &mut Copied)> {
        self.all.iter_mut()
    }

    pub(crate) fn get(&self, origin: PeerName) -> Option<&Copied> {
        self.all.get(&origin)
    }

    pub(crate) const fn weight(&self) -> usize {
        self.weight
    }

    /// A later state of a part exists, and cannot be reached by changes
    pub(crate) fn lost(&mut self, origin: PeerName) {
        if let Some(copied) = self.all.get_mut(&origin) {
            copied.lost = true;
        }
    }

    /// Takes over a step of a part
    pub(crate) fn take(&mut self, origin: PeerName, step: Step, proof: Proof) -> Difference {
        let Some(copied) = self.all.get_mut(&origin) else {
            return Difference::default();
        };
        self.weight = self.weight.saturating_sub(copied.part.weight());
        let difference = copied.part.take(step);
        self.weight = self.weight.saturating_add(copied.part.weight());
        copied.proof = proof;
        copied.lost = false;
        difference
    }

    /// Puts a copy in the place of what was there, which it returns
    pub(crate) fn put(&mut self, origin: PeerName, copied: Copied) -> Option<Copied> {
        let before = self.remove(origin);
        self.weight = self.weight.saturating_add(copied.part.weight());
        self.all.insert(origin, copied);
        before
    }

    pub(crate) fn remove(&mut self, origin: PeerName) -> Option<Copied> {
        let removed = self.all.remove(&origin)?;
        self.weight = self.weight.saturating_sub(removed.part.weight());
        Some(removed)
    }

    /// Makes room for a part of this weight: which copies went for it, and whether there is room
    pub(crate) fn make_room(&mut self, origin: PeerName, weight: usize) -> (Vec<Copied>, bool) {
        let mut went = Vec::new();
        loop {
            let others = || self.all.iter().filter(|(other, _)| **other != origin);
            let before = self.all.get(&origin).map_or(0, |copied| copied.part.weight());
            let after = self.weight.saturating_sub(before).saturating_add(weight);
            let count = others().count().saturating_add(1);
            // One part is the own one's.
            let has_place = count < MAX_PARTS;
            if has_place && after <= MAX_WEIGHT {
                return (went, true);
            }
            let oldest = others().filter_map(|(other, copied)| Some((copied.gone?, *other)));
            let victim = match oldest.min() {
                Some((_since, other)) => other,
                None => {
                    let share = MAX_WEIGHT.checked_div(count).unwrap_or(MAX_WEIGHT);
                    let weights = others().map(|(other, copied)| (*other, copied.part.weight()));
                    let heaviest = weights.max_by_key(|(_, weight)| *weight);
                    let beyond = heaviest.filter(|(_, weight)| *weight > share);
                    match beyond {
                        Some((other, _)) if has_place && weight <= share => other,
                        Some(_) | None => return (went, false),
                    }
                }
            };
            went.extend(self.remove(victim));
        }
    }

    /// Forgets peers that have been away for [`KEPT`]
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= KEPT;
        let over: Vec<PeerName> = self
            .all
            .iter()
            .filter(|(_, copied)| copied.gone.is_some_and(is_over))
            .map(|(origin, _)| *origin)
            .collect();
        for origin in over {
            self.remove(origin);
        }
    }

    /// When to call [`Copies::handle_timeout`]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let gone = self.all.values().filter_map(|copied| copied.gone);
        gone.min()?.checked_add(KEPT)
    }

    /// The copies of peers that can be reached
    pub(crate) fn reachable(&self) -> impl Iterator<Item = (PeerName, &Copied)> {
        let all = self.all.iter().filter(|(_, copied)| copied.gone.is_none());
        all.map(|(origin, copied)| (*origin, copied))
    }

    /// Which states are there: those from which changes can be taken over
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (PeerName, Stamp)> {
        let sound = self.reachable().filter(|(_, copied)| !copied.lost);
        sound.map(|(origin, copied)| (origin, copied.part.stamp))
    }
}
