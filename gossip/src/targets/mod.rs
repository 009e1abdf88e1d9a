//! Whom to dial: what the operator named, and the addresses of peers that others speak of.

mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use model::{PeerName, Target, bump, later};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::config::Timers;
use crate::output::{ConnId, DialId};
use crate::records::PeerRecord;

pub(crate) use entry::{Entry, State};

/// Everything that is or was dialled
#[derive(Debug)]
pub(crate) struct Targets {
    us: PeerName,
    default_port: u16,
    timers: Timers,
    rng: StdRng,
    entries: BTreeMap<Target, Entry>,
    next_dial: u64,
}

/// What decides whether a target may be dialled at this moment
pub(crate) struct Circumstances<'a> {
    /// Whether there is a connection to this peer
    pub(crate) is_up: &'a dyn Fn(PeerName) -> bool,
    /// There may be no more neighbours than so many, and there are
    pub(crate) limit: Option<u32>,
}

impl Targets {
    pub(crate) const fn new(us: PeerName, default_port: u16, timers: Timers, rng: StdRng) -> Self {
        Self {
            us,
            default_port,
            timers,
            rng,
            entries: BTreeMap::new(),
            next_dial: 0,
        }
    }

    /// The operator's targets
    pub(crate) fn user(&self) -> Vec<Target> {
        let user = self.entries.iter().filter(|(_, entry)| entry.user);
        user.map(|(target, _)| target.clone()).collect()
    }

    /// The operator names targets, in place of all before or beside them; each is dialled at once
    pub(crate) fn set(&mut self, targets: Vec<Target>, replace: bool, now: Instant) {
        if replace {
            let mut others = self.user();
            others.retain(|target| !targets.contains(target));
            self.forget(&others);
        }
        for target in targets {
            let new = || Entry::new(true, None, now, &self.timers);
            let entry = self.entries.entry(target).or_insert_with(new);
            entry.user = true;
            if entry.state == State::Never {
                entry.state = State::Waiting { due: now };
            }
            entry.hurry(now, &self.timers);
        }
    }

    /// The operator takes targets back; connections that they led to stay
    pub(crate) fn forget(&mut self, targets: &[Target]) {
        for target in targets {
            // An address that others also speak of comes back with the next topology.
            self.entries.remove(target);
        }
    }

    /// Peers say where they may be dialled; `own` are our own addresses
    pub(crate) fn discover<'a>(
        &mut self,
        own: &[SocketAddr],
        peers: impl Iterator<Item = &'a PeerRecord>,
        is_up: impl Fn(PeerName) -> bool,
        now: Instant,
    ) {
        let mut spoken_of = BTreeSet::new();
        let addresses =
            |record: &'a PeerRecord| record.addresses.iter().map(|address| (record.name, *address));
        let us = self.us;
        for (peer, address) in peers.filter(|record| record.name != us).flat_map(addresses) {
            if !is_dialable(address, own) {
                continue;
            }
            let target = Target::from(address);
            if !self.entries.contains_key(&target) && self.entries.len() < MAX_ENTRIES {
                let courtesy = if us > peer {
                    self.timers.courtesy
                } else {
                    Duration::ZERO
                };
                let due = later(now, courtesy.saturating_add(jitter(&mut self.rng)));
                let mut entry = Entry::new(false, Some(peer), due, &self.timers);
                if is_up(peer) {
                    entry.connected(now);
                }
                self.entries.insert(target.clone(), entry);
            }
            spoken_of.insert(target);
        }
        self.entries.retain(|target, entry| {
            let remembered = entry.remembered.is_some_and(|until| now < until);
            entry.user || remembered || entry.is_active() || spoken_of.contains(target)
        });
    }

    /// A neighbour of the time before our restart
    pub(crate) fn add_held(&mut self, peer: PeerName, address: SocketAddr, until: Instant, now: Instant) {
        let new = || Entry::new(false, Some(peer), now, &self.timers);
        let entry = self.entries.entry(Target::from(address)).or_insert_with(new);
        entry.remembered = Some(later(now, self.timers.remember));
        entry.urge(until, &self.timers, now);
    }

    /// What is to be dialled at this moment; what was dialled too long ago has failed
    pub(crate) fn due(&mut self, circumstances: &Circumstances<'_>, now: Instant) -> Vec<(DialId, Target)> {
        let active: Vec<&Entry> = self.entries.values().filter(|entry| entry.is_active()).collect();
        let mut busy: BTreeSet<PeerName> = active.iter().filter_map(|entry| entry.peer).collect();
        let mut room = MAX_DIALS.saturating_sub(active.len());
        let mut dials = Vec::new();
        let (timers, rng) = (&self.timers, &mut self.rng);
        for (target, entry) in &mut self.entries {
            if entry.timeout().is_none_or(|due| due > now) {
                continue;
            }
            if let State::Dialling { .. } = entry.state {
                entry.failed("dial timed out".to_owned(), false, timers, rng, now);
                continue;
            }
            if entry.peer.is_some_and(circumstances.is_up) {
                entry.connected(now);
                continue;
            }
            if let Some(limit) = circumstances.limit {
                let error = format!("connection limit reached ({limit})");
                entry.failed(error, false, timers, rng, now);
                continue;
            }
            // One address of a peer at a time.
            let taken = entry.peer.is_some_and(|peer| !busy.insert(peer));
            if taken || (room == 0 && !entry.user) {
                let due = later(now, timers.held_retry);
                entry.state = State::Waiting { due };
                continue;
            }
            room = room.saturating_sub(1);
            let dial = DialId(self.next_dial);
            bump(&mut self.next_dial);
            let deadline = later(now, timers.dial);
            entry.state = State::Dialling { dial, deadline };
            dials.push((dial, target.clone()));
        }
        dials
    }

    /// A dial came to its end; whether its connection is still wanted
    pub(crate) fn dialled(&mut self, dial: DialId, result: Result<ConnId, String>, now: Instant) -> bool {
        let is_this =
            |entry: &&mut Entry| matches!(entry.state, State::Dialling { dial: other, .. } if other == dial);
        let Some(entry) = self.entries.values_mut().find(is_this) else {
            return false;
        };
        match result {
            Ok(conn) => {
                entry.state = State::Greeting { conn };
                true
            }
            Err(error) => {
                entry.failed(error, false, &self.timers, &mut self.rng, now);
                false
            }
        }
    }

    /// A peer introduced itself on this connection, and is a neighbour that listens at this address
    pub(crate) fn up(&mut self, conn: ConnId, peer: PeerName, address: SocketAddr, now: Instant) {
        self.found(conn, peer, now);
        for (target, entry) in &mut self.entries {
            let leads_there = entry.peer == Some(peer) || target.address(self.default_port) == Some(address);
            // One that is being dialled finds out by itself.
            if leads_there && !entry.is_active() {
                entry.peer = Some(peer);
                entry.connected(now);
            }
        }
    }

    /// The connection led to this peer, which is a neighbour, by this connection or another
    pub(crate) fn found(&mut self, conn: ConnId, peer: PeerName, now: Instant) {
        let is_this = |entry: &&mut Entry| entry.state == (State::Greeting { conn });
        if let Some(entry) = self.entries.values_mut().find(is_this) {
            entry.peer = Some(peer);
            entry.connected(now);
        }
    }

    /// The connection ended before it led to a neighbour
    pub(crate) fn failed(&mut self, conn: ConnId, error: String, is_final: bool, now: Instant) {
        let is_this = |entry: &&mut Entry| entry.state == (State::Greeting { conn });
        if let Some(entry) = self.entries.values_mut().find(is_this) {
            entry.failed(error, is_final, &self.timers, &mut self.rng, now);
        }
    }

    /// A neighbour lost its connection, and is expected back until then
    pub(crate) fn held(&mut self, peer: PeerName, until: Instant, now: Instant) {
        for entry in self.entries.values_mut().filter(|entry| entry.peer == Some(peer)) {
            entry.lost(
                "the peer is away".to_owned(),
                false,
                &self.timers,
                &mut self.rng,
                now,
            );
            entry.urge(until, &self.timers, now);
        }
    }

    /// A neighbour is one no more
    pub(crate) fn lost(&mut self, peer: PeerName, error: &str, is_final: bool, now: Instant) {
        for entry in self.entries.values_mut().filter(|entry| entry.peer == Some(peer)) {
            entry.lost(error.to_owned(), is_final, &self.timers, &mut self.rng, now);
        }
    }

    /// A peer left for good: its addresses are worth nothing
    pub(crate) fn left(&mut self, peer: PeerName) {
        self.entries
            .retain(|_, entry| entry.user || entry.peer != Some(peer));
    }

    /// The network changed: what failed before may succeed
    pub(crate) fn hurry(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.hurry(later(now, jitter(&mut self.rng)), &self.timers);
        }
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.entries.values().filter_map(Entry::timeout).min()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        self.entries.iter()
    }
}

/// The most addresses that are kept
const MAX_ENTRIES: usize = 16384;

/// The most that are dialled at a time, beside those of the operator
const MAX_DIALS: usize = 32;

/// So that not everybody who hears of the same thing acts at the same moment
fn jitter(rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(0..100))
}

/// Whether somebody else's address can mean that host from here
fn is_dialable(address: SocketAddr, own: &[SocketAddr]) -> bool {
    let reachable = match address.ip() {
        IpAddr::V4(ip) => {
            !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_link_local())
        }
        // A link-local address means nothing without its interface.
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local()),
    };
    let same_host = !address.ip().is_loopback() || own.iter().any(|own| own.ip().is_loopback());
    reachable && same_host && address.port() != 0 && !own.contains(&address)
}

#[cfg(test)]
mod tests;
