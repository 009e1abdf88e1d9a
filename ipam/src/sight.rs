//! Who was seen, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::PeerName;

use crate::owner::Owner;

/// When each owner was seen last
#[derive(Debug)]
pub(crate) struct Sight {
    reachable: BTreeSet<PeerName>,
    seen: BTreeMap<Owner, Instant>,
    /// Since when each was known of, seen or not
    known: BTreeMap<Owner, Instant>,
    /// When this machine last ran
    ran: Instant,
    refreshed: Option<Instant>,
    /// It did not run for so long that what it holds to be reachable may not be any more
    stale: bool,
    /// So long is not running
    gap: Duration,
}

impl Sight {
    pub(crate) const fn new(gap: Duration, now: Instant) -> Self {
        Self {
            reachable: BTreeSet::new(),
            seen: BTreeMap::new(),
            known: BTreeMap::new(),
            ran: now,
            refreshed: None,
            stale: false,
            gap,
        }
    }

    /// Goes on to `now`; `latest` is the last owner of a name
    pub(crate) fn advance(&mut self, latest: impl Fn(PeerName) -> Option<Owner>, now: Instant) {
        if now.saturating_duration_since(self.ran) > self.gap {
            self.stale = true;
        }
        self.ran = now;
        let fine = self.gap / 8;
        if self
            .refreshed
            .is_none_or(|at| now.saturating_duration_since(at) >= fine)
        {
            self.refresh(latest, now);
        }
    }

    fn refresh(&mut self, latest: impl Fn(PeerName) -> Option<Owner>, now: Instant) {
        if self.stale {
            return;
        }
        self.refreshed = Some(now);
        for owner in self.reachable.iter().filter_map(|name| latest(*name)) {
            self.seen.insert(owner, now);
        }
    }

    /// These, and no others, are reachable; whether that is another set than before
    pub(crate) fn set(
        &mut self,
        peers: &BTreeSet<PeerName>,
        latest: impl Fn(PeerName) -> Option<Owner>,
        now: Instant,
    ) -> bool {
        self.refresh(&latest, now);
        let other = self.reachable != *peers || self.stale;
        self.reachable.clone_from(peers);
        self.stale = false;
        self.ran = now;
        self.refresh(latest, now);
        other
    }

    /// What was not refuted since the machine runs again is believed again
    pub(crate) const fn trust(&mut self) {
        self.stale = false;
    }

    /// Something of this owner came, so that it is known, and is seen if the mesh reaches it
    pub(crate) fn heard(&mut self, owner: Owner, now: Instant) {
        self.known.entry(owner).or_insert(now);
        if !self.stale && self.reachable.contains(&owner.name) {
            self.seen.insert(owner, now);
        }
    }

    /// There are these owners, and no others
    pub(crate) fn know(&mut self, owners: &BTreeSet<Owner>, now: Instant) {
        for owner in owners {
            self.known.entry(*owner).or_insert(now);
        }
        self.known.retain(|owner, _| owners.contains(owner));
        self.seen.retain(|owner, _| owners.contains(owner));
    }

    pub(crate) fn restore(&mut self, owner: Owner, seen: Instant) {
        self.seen.insert(owner, seen);
    }

    /// When the machine last ran
    pub(crate) const fn ran(&self) -> Instant {
        self.ran
    }

    pub(crate) fn reaches(&self, name: PeerName) -> bool {
        self.reachable.contains(&name)
    }

    pub(crate) fn seen(&self) -> impl Iterator<Item = (Owner, Instant)> {
        self.seen.iter().map(|(owner, at)| (*owner, *at))
    }

    /// Whether it was seen within this time
    pub(crate) fn saw(&self, owner: Owner, within: Duration, now: Instant) -> bool {
        let recent = |at: &Instant| now.saturating_duration_since(*at) < within;
        self.seen.get(&owner).is_some_and(recent)
    }

    /// For how long it has been out of sight here; not at all if it is reachable
    pub(crate) fn unseen(&self, owner: Owner, now: Instant) -> Duration {
        if self.reachable.contains(&owner.name) {
            return Duration::ZERO;
        }
        let since = self.seen.get(&owner).max(self.known.get(&owner));
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(*since))
    }
}
