//! Whom to dial: what the operator named, and the addresses of peers that others speak of.

mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use model::{PeerName, Target};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::config::Timers;
use crate::output::{ConnId, DialId};
use crate::records::PeerRecord;

pub(crate) use entry::{Entry, State};

/// Everything that is or was dialled
#[derive(Debug)]
pub(crate) struct Targets {
    entries: BTreeMap<Target, Entry>,
    default_port: u16,
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
    pub(crate) const fn new(default_port: u16) -> Self {
        Self {
            entries: BTreeMap::new(),
            default_port,
            next_dial: 0,
        }
    }

    /// The operator's targets
    pub(crate) fn user(&self) -> Vec<Target> {
        let user = self.entries.iter().filter(|(_, entry)| entry.user);
        user.map(|(target, _)| target.clone()).collect()
    }

    /// The operator names targets, in place of all before or beside them; each is dialled at once
    pub(crate) fn set(&mut self, targets: Vec<Target>, replace: bool, timers: &Timers, now: Instant) {
        if replace {
            let before: Vec<Target> = self
                .user()
                .into_iter()
                .filter(|target| !targets.contains(target))
                .collect();
            self.forget(&before);
        }
        for target in targets {
            let entry = self
                .entries
                .entry(target)
                .or_insert_with(|| Entry::new(true, None, now, timers));
            entry.user = true;
            if entry.state == State::Never {
                entry.state = State::Waiting { due: now };
            }
            entry.hurry(now, timers);
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
        us: PeerName,
        own: &[SocketAddr],
        peers: impl Iterator<Item = &'a PeerRecord>,
        is_up: impl Fn(PeerName) -> bool,
        timers: &Timers,
        rng: &mut StdRng,
        now: Instant,
    ) {
        let mut spoken_of = BTreeSet::new();
        for record in peers.filter(|record| record.name != us) {
            for address in record
                .addresses
                .iter()
                .filter(|address| is_dialable(**address, own))
            {
                let target = Target::from(*address);
                if !self.entries.contains_key(&target) && self.entries.len() < MAX_ENTRIES {
                    let courtesy = if us > record.name {
                        timers.courtesy
                    } else {
                        Duration::ZERO
                    };
                    let due = now + courtesy + jitter(rng);
                    let mut entry = Entry::new(false, Some(record.name), due, timers);
                    if is_up(record.name) {
                        entry.connected(now);
                    }
                    self.entries.insert(target.clone(), entry);
                }
                spoken_of.insert(target);
            }
        }
        self.entries.retain(|target, entry| {
            let remembered = entry.remembered.is_some_and(|until| now < until);
            entry.user || remembered || entry.is_active() || spoken_of.contains(target)
        });
    }

    /// A neighbour of the time before our restart
    pub(crate) fn add_held(
        &mut self,
        peer: PeerName,
        address: SocketAddr,
        until: Instant,
        timers: &Timers,
        now: Instant,
    ) {
        let entry = self
            .entries
            .entry(Target::from(address))
            .or_insert_with(|| Entry::new(false, Some(peer), now, timers));
        entry.peer = Some(peer);
        entry.remembered = Some(now + timers.remember);
        entry.urge(until, timers, now);
    }

    /// What is to be dialled at this moment; what was dialled too long ago has failed
    pub(crate) fn due(
        &mut self,
        circumstances: &Circumstances<'_>,
        timers: &Timers,
        rng: &mut StdRng,
        now: Instant,
    ) -> Vec<(DialId, Target)> {
        let mut busy: BTreeSet<PeerName> = self
            .entries
            .values()
            .filter(|entry| entry.is_active())
            .filter_map(|entry| entry.peer)
            .collect();
        let mut room =
            MAX_DIALS.saturating_sub(self.entries.values().filter(|entry| entry.is_active()).count());
        let mut dials = Vec::new();
        for (target, entry) in &mut self.entries {
            if !entry.timeout().is_some_and(|due| due <= now) {
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
            let taken = entry.peer.is_some_and(|peer| !busy.insert(peer));
            if taken || (room == 0 && !entry.user) {
                entry.state = State::Waiting {
                    due: now + timers.held_retry,
                };
                continue;
            }
            room = room.saturating_sub(1);
            let dial = DialId(self.next_dial);
            self.next_dial += 1;
            entry.state = State::Dialling {
                dial,
                deadline: now + timers.dial,
            };
            dials.push((dial, target.clone()));
        }
        dials
    }

    /// A dial came to its end; whether its connection is still wanted
    pub(crate) fn dialled(
        &mut self,
        dial: DialId,
        result: Result<ConnId, String>,
        timers: &Timers,
        rng: &mut StdRng,
        now: Instant,
    ) -> bool {
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
                entry.failed(error, false, timers, rng, now);
                false
            }
        }
    }

    /// A peer introduced itself on this connection, and it is a neighbour at this address
    pub(crate) fn up(&mut self, conn: ConnId, peer: PeerName, address: SocketAddr, now: Instant) {
        for (target, entry) in &mut self.entries {
            if entry.state == (State::Greeting { conn }) {
                entry.peer = Some(peer);
                entry.connected(now);
            } else if entry.peer == Some(peer) || target.address(self.default_port) == Some(address) {
                // One that is being dialled finds out by itself.
                if !entry.is_active() {
                    entry.peer = Some(peer);
                    entry.connected(now);
                }
            }
        }
    }

    /// The connection ended, or is not wanted, and this says why; `peer` if it is a neighbour anyway
    pub(crate) fn ended(
        &mut self,
        conn: ConnId,
        peer: Option<PeerName>,
        error: String,
        is_final: bool,
        timers: &Timers,
        rng: &mut StdRng,
        now: Instant,
    ) {
        let is_this = |entry: &&mut Entry| entry.state == (State::Greeting { conn });
        let Some(entry) = self.entries.values_mut().find(is_this) else {
            return;
        };
        if peer.is_some() {
            entry.peer = peer;
            entry.connected(now);
        } else {
            entry.failed(error, is_final, timers, rng, now);
        }
    }

    /// A neighbour lost its connection; it is expected back until then, if it is held
    pub(crate) fn lost(
        &mut self,
        peer: PeerName,
        error: &str,
        held_until: Option<Instant>,
        timers: &Timers,
        rng: &mut StdRng,
        now: Instant,
    ) {
        for entry in self.entries.values_mut().filter(|entry| entry.peer == Some(peer)) {
            entry.lost(error.to_owned(), timers, rng, now);
            if let Some(until) = held_until {
                entry.urge(until, timers, now);
            }
        }
    }

    /// A peer left for good: its addresses are worth nothing
    pub(crate) fn left(&mut self, peer: PeerName) {
        self.entries
            .retain(|_, entry| entry.user || entry.peer != Some(peer));
    }

    /// The network changed: what failed before may succeed
    pub(crate) fn hurry(&mut self, timers: &Timers, rng: &mut StdRng, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.hurry(now + jitter(rng), timers);
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
