//! Which strangers are heard: places in the handshake, and guesses of the password, shared by address.
//!
//! | load | a connection from an address with nothing pending | from one with some |
//! |---|---|---|
//! | below half | taken | taken, up to [`PER_SOURCE`] |
//! | above half | has to solve a puzzle | refused above [`PER_SOURCE_LOADED`] |
//! | full | takes the place of the oldest of the address with the most | refused |
//!
//! An address is an IPv4 address or an IPv6 /64. TCP has proved that the other side receives what is sent there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::budget::{Bucket, Rate};
use crate::output::ConnId;

/// The most connections in their handshake: each costs memory before anybody has shown a password
pub(crate) const MAX_HANDSHAKES: usize = 256;

/// Of these, from one address
const PER_SOURCE: usize = 64;

/// The same while more than half of all are taken
const PER_SOURCE_LOADED: usize = 4;

/// Wrong passwords of one address: a mistake is soon corrected, a search takes for ever
const GUESSES: Rate = Rate {
    per_second: 0.2,
    burst: 10.0,
};

/// Addresses whose wrong passwords are remembered
const MAX_SOURCES: usize = 1024;

/// How often wrong passwords of one address are logged
const LOGGED: Duration = Duration::from_secs(60);

/// Whose connections are counted together
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// What to do with a connection
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Take it
    Take,
    /// Take it, and ask for the solution of a puzzle first
    Puzzle,
    /// The same, in place of this connection
    InPlaceOf(ConnId),
    /// Its address, or everybody, has as many as it may
    Crowded,
    /// Its address sent too many wrong passwords
    Guessing,
}

/// Everybody who is at the door
#[derive(Debug, Default)]
pub(crate) struct Doorkeeper {
    pending: BTreeMap<ConnId, Source>,
    guesses: BTreeMap<Source, Guesses>,
}

#[derive(Debug)]
struct Guesses {
    bucket: Bucket,
    address: IpAddr,
    unlogged: u64,
    logged: Option<Instant>,
}

impl Doorkeeper {
    /// What to do with a connection from this address
    pub(crate) fn admit(&mut self, address: IpAddr, now: Instant) -> Admission {
        let source = Source::from(address);
        let guesses = self.guesses.get_mut(&source);
        if guesses.is_some_and(|guesses| guesses.bucket.is_empty(GUESSES, now)) {
            return Admission::Guessing;
        }
        let of = |source: Source| self.pending.values().filter(|other| **other == source).count();
        let (all, own) = (self.pending.len(), of(source));
        let is_loaded = all >= MAX_HANDSHAKES / 2;
        let limit = if is_loaded { PER_SOURCE_LOADED } else { PER_SOURCE };
        if own >= limit {
            return Admission::Crowded;
        }
        if all < MAX_HANDSHAKES {
            return if is_loaded {
                Admission::Puzzle
            } else {
                Admission::Take
            };
        }
        // Ids ascend: the first of a source is its oldest.
        let greediest = self.pending.values().max_by_key(|source| of(**source)).copied();
        let oldest = self
            .pending
            .iter()
            .find(|(_, source)| Some(**source) == greediest);
        match oldest {
            Some((conn, greediest)) if of(*greediest) > own => Admission::InPlaceOf(*conn),
            Some(_) | None => Admission::Crowded,
        }
    }

    /// A connection is in its handshake
    pub(crate) fn enter(&mut self, conn: ConnId, address: IpAddr) {
        self.pending.insert(conn, address.into());
    }

    /// A connection is in its handshake no longer
    pub(crate) fn leave(&mut self, conn: ConnId) {
        self.pending.remove(&conn);
    }

    /// Somebody at this address tried a wrong password
    pub(crate) fn guessed(&mut self, address: IpAddr, now: Instant) {
        let source = Source::from(address);
        if self.guesses.len() >= MAX_SOURCES && !self.guesses.contains_key(&source) {
            self.guesses
                .retain(|_, guesses| !guesses.bucket.is_full(GUESSES, now));
            if self.guesses.len() >= MAX_SOURCES {
                self.guesses.pop_first();
            }
        }
        let guesses = self.guesses.entry(source).or_insert_with(|| Guesses {
            bucket: Bucket::full(GUESSES, now),
            address,
            unlogged: 0,
            logged: None,
        });
        guesses.bucket.take(GUESSES, now);
        guesses.unlogged = guesses.unlogged.saturating_add(1);
        guesses.log(now);
    }

    /// The number of connections in their handshake
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }
}

impl Guesses {
    fn log(&mut self, now: Instant) {
        let is_due = self
            .logged
            .is_none_or(|at| now.saturating_duration_since(at) >= LOGGED);
        if is_due {
            let count = std::mem::take(&mut self.unlogged);
            self.logged = Some(now);
            log::warn!(
                "{} tried a wrong password {count} times; if it is a host of this network, give it the network's \
                 password",
                self.address
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Lets in as many as it can from an address
    fn flood(keeper: &mut Doorkeeper, from: &str, first: u64, now: Instant) -> u64 {
        let mut conn = first;
        loop {
            match keeper.admit(address(from), now) {
                Admission::Take | Admission::Puzzle => keeper.enter(ConnId(conn), address(from)),
                Admission::InPlaceOf(old) => {
                    keeper.leave(old);
                    keeper.enter(ConnId(conn), address(from));
                }
                Admission::Crowded | Admission::Guessing => return conn - first,
            }
            conn += 1;
        }
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let (mut keeper, now) = (Doorkeeper::default(), Instant::now());
        assert_eq!(flood(&mut keeper, "192.0.2.1", 0, now), 64);
        assert_eq!(keeper.admit(address("192.0.2.1"), now), Admission::Crowded);
        assert_eq!(keeper.admit(address("192.0.2.2"), now), Admission::Take);
    }

    #[test]
    fn many_addresses_have_to_work_and_a_newcomer_finds_a_place() {
        let (mut keeper, now) = (Doorkeeper::default(), Instant::now());
        let mut conn = 0;
        for n in 1..255 {
            conn += flood(&mut keeper, &format!("192.0.2.{n}"), conn, now);
        }
        assert_eq!(keeper.pending(), MAX_HANDSHAKES);
        let admission = keeper.admit(address("198.51.100.1"), now);
        assert!(matches!(admission, Admission::InPlaceOf(_)), "{admission:?}");
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_a_mapped_address_is_ipv4() {
        let source = |text| Source::from(address(text));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }

    #[test]
    fn wrong_passwords_are_limited_by_address() {
        let (mut keeper, now) = (Doorkeeper::default(), Instant::now());
        for _mistake in 0..10 {
            assert_eq!(keeper.admit(address("192.0.2.1"), now), Admission::Take);
            keeper.guessed(address("192.0.2.1"), now);
        }
        assert_eq!(keeper.admit(address("192.0.2.1"), now), Admission::Guessing);
        assert_eq!(keeper.admit(address("192.0.2.2"), now), Admission::Take);
        let soon = now + Duration::from_secs(6);
        assert_eq!(keeper.admit(address("192.0.2.1"), soon), Admission::Take);
    }

    #[test]
    fn as_many_addresses_are_remembered_as_there_is_room_for() {
        let (mut keeper, now) = (Doorkeeper::default(), Instant::now());
        for n in 0..3000u16 {
            let [a, b] = n.to_be_bytes();
            keeper.guessed(IpAddr::from([10, 1, a, b]), now);
        }
        assert!(keeper.guesses.len() <= MAX_SOURCES);
    }
}
