//! A peer that says whatever the format lets it say.

use rand::RngExt as _;

use super::super::*;
use super::world::{UNIX_MS, address};
use crate::digest::{Digest, Stamp};
use crate::identity::Signature;
use crate::records::tests::name as given_name;
use crate::records::{Dispute, Link, MAX_ADDRESSES, MAX_DISPUTES};
use crate::reject::Reject;

/// Records that one hostile peer has heard, and keys that it invented
pub(super) struct Memory {
    /// Records, its own and those of others, some of them old
    heard: Vec<PeerRecord>,
    /// Keys of its invention
    invented: Vec<Identity>,
}

impl Memory {
    pub(super) fn new(n: usize) -> Self {
        let seeds = (0..4).map(|key| [(200 + 4 * n + key) as u8; 32]);
        Self {
            heard: vec![],
            invented: seeds.map(|seed| Identity::from_seed(seed.into())).collect(),
        }
    }

    /// Remembers what its mesh knows at the moment
    pub(super) fn hear(&mut self, mesh: &Mesh) {
        for record in mesh.table.iter() {
            if !self.heard.contains(record) {
                if self.heard.len() == MEMORY {
                    self.heard.remove(0);
                }
                self.heard.push(PeerRecord::clone(record));
            }
        }
    }

    /// One message
    pub(super) fn say(&self, own: &Identity, honest: &[Who], bans_honest: bool, rng: &mut StdRng) -> Message {
        let somebody = |rng: &mut StdRng| self.somebody(own, honest, rng);
        match rng.random_range(0..24) {
            0..=10 => {
                let count = rng.random_range(1..6);
                Message::Records((0..count).map(|_| self.record(own, honest, rng)).collect())
            }
            11..=13 => {
                let count = rng.random_range(0..8);
                let stamp = |rng: &mut StdRng| Stamp {
                    epoch: number(rng),
                    version: number(rng),
                    uid: Uid(rng.random()),
                };
                Message::Summary((0..count).map(|_| (somebody(rng).0, stamp(rng))).collect())
            }
            14..=15 => {
                let mut names: Vec<PeerName> = (0..rng.random_range(0..8)).map(|_| somebody(rng).0).collect();
                names.sort_unstable();
                if rng.random_bool(0.9) {
                    names.dedup();
                }
                Message::Want(names)
            }
            16..=17 => Message::Digest(Digest::of(
                self.heard
                    .iter()
                    .take(rng.random_range(0..3))
                    .map(|record| (record.name, record.stamp())),
            )),
            18..=20 => {
                let bans = (0..rng.random_range(1..4)).map(|_| self.ban(own, honest, bans_honest, rng));
                Message::Bans(bans.collect())
            }
            21 => Message::Channel(Channel(rng.random()), vec![rng.random(); rng.random_range(0..99)]),
            22 => Message::Keepalive,
            _ => [
                Message::Welcome,
                Message::Goodbye(Goodbye::Restart),
                Message::Goodbye(Goodbye::Leave),
                Message::Goodbye(Goodbye::Refused(Reject::Ourselves)),
                Message::Goodbye(Goodbye::Duplicate),
            ][rng.random_range(0..5)]
            .clone(),
        }
    }

    /// A record of its own, of an invention, of somebody else's name, or as it was heard
    fn record(&self, own: &Identity, honest: &[Who], rng: &mut StdRng) -> PeerRecord {
        let replays = rng.random_bool(0.3) && !self.heard.is_empty();
        if replays {
            let mut record = self.heard[rng.random_range(0..self.heard.len())].clone();
            if rng.random_bool(0.03) {
                record.version += 1;
            }
            return record;
        }
        let signer = match rng.random_range(0..3) {
            0 => &self.invented[rng.random_range(0..self.invented.len())],
            _ => own,
        };
        let name = match rng.random_range(0..4) {
            0 => self.somebody(own, honest, rng).0,
            _ => signer.peer_name(),
        };
        let addresses = (0..rng.random_range(0..4)).map(|_| match rng.random_range(0..3) {
            0 => SocketAddr::from((rng.random::<[u8; 4]>(), rng.random())),
            _ => address(rng.random_range(0..6)),
        });
        let addresses: Vec<SocketAddr> = addresses.collect();
        let links = (0..rng.random_range(0..6)).map(|_| {
            let link = Link {
                address: address(rng.random_range(0..6)),
                outbound: rng.random(),
                established: rng.random_bool(0.8),
            };
            (self.somebody(own, honest, rng).0, link)
        });
        let connections = links.collect();
        let disputes = (0..rng.random_range(0..=MAX_DISPUTES)).map(|_| {
            let (name, _) = self.somebody(own, honest, rng);
            let (_, claimant) = self.somebody(own, honest, rng);
            Dispute { name, claimant }
        });
        let disputes = disputes.collect();
        let mut record = PeerRecord {
            name,
            key: signer.key(),
            nickname: ["host", "x", ""][rng.random_range(0..2)].parse().unwrap(),
            uid: Uid(rng.random()),
            epoch: number(rng),
            version: number(rng),
            short_id: match self.heard.len() {
                0 => ShortId::truncated(rng.random()),
                count => self.heard[rng.random_range(0..count)].short_id,
            },
            addresses,
            connections,
            disputes,
            signature: Signature::default(),
        };
        record.addresses.truncate(MAX_ADDRESSES);
        record.sign(signer);
        record
    }

    /// An order about a key that is its own, invented or somebody's
    fn ban(&self, own: &Identity, honest: &[Who], bans_honest: bool, rng: &mut StdRng) -> Ban {
        let signer = match rng.random_range(0..3) {
            0 => &self.invented[rng.random_range(0..self.invented.len())],
            _ => own,
        };
        let (name, key) = match bans_honest {
            true => self.somebody(own, honest, rng),
            false => self.somebody(own, &[], rng),
        };
        let day = 24 * 60 * 60 * 1000;
        let at_ms = match rng.random_range(0..4) {
            0 => number(rng),
            1 => UNIX_MS + day,
            _ => UNIX_MS + rng.random_range(0..100_000),
        };
        Ban::new(signer, key, name, rng.random_bool(0.7), at_ms)
    }

    fn somebody(&self, own: &Identity, honest: &[Who], rng: &mut StdRng) -> Who {
        let invented = &self.invented[rng.random_range(0..self.invented.len())];
        match rng.random_range(0..5) {
            0..=1 if !honest.is_empty() => honest[rng.random_range(0..honest.len())],
            2 => (own.peer_name(), own.key()),
            3 => (given_name(rng.random_range(0..4)), invented.key()),
            _ => (invented.peer_name(), invented.key()),
        }
    }
}

/// A name and the key that speaks for it
type Who = (PeerName, IdentityKey);

/// Small, at the bound, or anything
fn number(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..40) {
        0..=29 => rng.random_range(0..8),
        30..=33 => COUNTER_LIMIT - 1 - rng.random_range(0..2),
        34 => rng.random(),
        _ => rng.random_range(0..COUNTER_LIMIT),
    }
}

/// Number of records that it remembers
const MEMORY: usize = 64;
