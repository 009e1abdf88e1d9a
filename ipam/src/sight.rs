//! Who was seen, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::PeerName;

use crate::owner::Owner;
use crate::time::part;

/// When each owner was seen last
#[derive(Debug)]
pub(crate) struct Sight {
    reachable: BTreeSet<PeerName>,
    /// When the mesh lost each name that it reached lately
    lost: BTreeMap<PeerName, Instant>,
    /// How long a restart takes at most
    restart: Duration,
    /// When this run began
    began: Instant,
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
    /// Who was out of sight for so long may have removed this peer meanwhile, and not be heard out yet
    doubt_after: Option<Duration>,
    /// Since when each is doubted
    doubted: BTreeMap<Owner, Instant>,
    /// Drawn anew for each doubt: who repeats it has spoken since
    question: u64,
}

impl Sight {
    pub(crate) const fn new(
        gap: Duration,
        doubt_after: Option<Duration>,
        restart: Duration,
        now: Instant,
    ) -> Self {
        Self {
            reachable: BTreeSet::new(),
            lost: BTreeMap::new(),
            restart,
            began: now,
            seen: BTreeMap::new(),
            known: BTreeMap::new(),
            ran: now,
            refreshed: None,
            stale: false,
            gap,
            doubt_after,
            doubted: BTreeMap::new(),
            question: 0,
        }
    }

    /// Goes on to `now`; `latest` is the last owner of a name
    pub(crate) fn advance(&mut self, latest: impl Fn(PeerName) -> Option<Owner>, now: Instant) {
        if now.saturating_duration_since(self.ran) > self.gap {
            self.stale = true;
        }
        self.ran = now;
        let fine = part(self.gap, 8);
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
        let owners: Vec<Owner> = self.reachable.iter().filter_map(|name| latest(*name)).collect();
        let mut doubt = false;
        for owner in owners {
            doubt |= self.see(owner, now);
        }
        self.question = self.question.saturating_add(doubt.into());
    }

    /// Whether it is doubted from now on
    fn see(&mut self, owner: Owner, now: Instant) -> bool {
        let last = self.seen.insert(owner, now);
        let lately = |after| last.is_some_and(|last| now.saturating_duration_since(last) < after);
        let doubt = self.doubt_after.is_some_and(|after| !lately(after));
        if doubt {
            self.doubted.insert(owner, now);
        }
        doubt
    }

    /// What those are asked to repeat that are doubted
    pub(crate) const fn asked(&self) -> u64 {
        self.question
    }

    /// Begins with this question
    pub(crate) const fn begin_questions(&mut self, at: u64) {
        self.question = at;
    }

    pub(crate) fn is_doubted(&self, owner: Owner) -> bool {
        self.doubted.contains_key(&owner)
    }

    /// It repeated the question, and what it knew then is known here
    pub(crate) fn heard_out(&mut self, owner: Owner) {
        self.doubted.remove(&owner);
    }

    /// Whoever is doubted for so long has told what it knows, or is not needed
    pub(crate) fn trust_after(&mut self, age: Duration, now: Instant) {
        self.doubted
            .retain(|_, since| now.saturating_duration_since(*since) < age);
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
        for name in self.reachable.difference(peers) {
            self.lost.insert(*name, now);
        }
        let restart = self.restart;
        self.lost
            .retain(|name, since| !peers.contains(name) && now.saturating_duration_since(*since) < restart);
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
            let doubt = self.see(owner, now);
            self.question = self.question.saturating_add(doubt.into());
        }
    }

    /// There are these owners, and no others
    pub(crate) fn know(&mut self, owners: &BTreeSet<Owner>, now: Instant) {
        for owner in owners {
            self.known.entry(*owner).or_insert(now);
        }
        self.known.retain(|owner, _| owners.contains(owner));
        self.seen.retain(|owner, _| owners.contains(owner));
        self.doubted.retain(|owner, _| owners.contains(owner));
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

    /// Whether the owner is out of sight for longer than a restart takes, of that peer or of this one
    pub(crate) fn is_absent(&self, owner: Owner) -> bool {
        let lost = self.lost.get(&owner.name).unwrap_or(&self.began);
        let known = self.known.get(&owner).unwrap_or(lost);
        let since = *lost.max(known);
        !self.reaches(owner.name) && self.ran.saturating_duration_since(since) >= self.restart
    }

    /// When those were seen that are not doubted: a doubt outlives a restart
    pub(crate) fn seen(&self) -> impl Iterator<Item = (Owner, Instant)> {
        let seen = self.seen.iter().filter(|(owner, _)| !self.is_doubted(**owner));
        seen.map(|(owner, at)| (*owner, *at))
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
