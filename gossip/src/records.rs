//! What every peer says of itself, and the table of it.
//!
//! Each peer writes one record, its own, and raises the version when it changes. Of two records of
//! one peer the one with the greater [`Stamp`] is right, whoever brings it and in whatever order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use model::{Mac, NickName, PeerName, ShortId, Uid};
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Stamp};
use crate::identity::IdentityKey;

/// The most peers in a network: there are no more short ids
pub const MAX_PEERS: usize = ShortId::COUNT as usize;

/// The most addresses in a record
pub const MAX_ADDRESSES: usize = 16;

/// What a peer says of itself
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Its name
    pub name: PeerName,
    /// The key that speaks for the name
    pub key: IdentityKey,
    /// What people call it
    pub nickname: NickName,
    /// Drawn at its start
    pub uid: Uid,
    /// Counts its starts
    pub epoch: u64,
    /// Counts the changes of this record since then
    pub version: u64,
    /// Its id in VXLAN network identifiers
    pub short_id: ShortId,
    /// Where it may be dialled, as far as it knows
    pub addresses: Vec<SocketAddr>,
    /// Its neighbours
    pub connections: BTreeMap<PeerName, Link>,
}

/// One of a peer's connections
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The neighbour's end of the TCP connection
    pub address: SocketAddr,
    /// The peer whose record this is dialled
    pub outbound: bool,
    /// A data path is up (or the neighbour is held, and its path was up)
    pub established: bool,
}

impl PeerRecord {
    /// Which of the record's versions this is
    pub const fn stamp(&self) -> Stamp {
        Stamp {
            epoch: self.epoch,
            version: self.version,
            uid: self.uid,
        }
    }

    /// Whether a peer can have written this: names of stations, and no more of anything than allowed
    pub(crate) fn is_sound(&self) -> bool {
        is_station(self.name)
            && self.addresses.len() <= MAX_ADDRESSES
            && self.connections.len() < MAX_PEERS
            && self.connections.keys().copied().all(is_station)
    }
}

/// Whether the name is one that a peer can have: the binary form holds any 48 bits
pub(crate) fn is_station(name: PeerName) -> bool {
    !name.mac().is_group() && name.mac() != Mac::ZERO
}

/// The newest record of each peer
#[derive(Debug, Default)]
pub(crate) struct Table {
    records: BTreeMap<PeerName, Arc<PeerRecord>>,
    digest: Option<Digest>,
}

/// What became of a record that was offered to the table
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merged {
    /// It is newer than what was there
    Newer,
    /// It is what was there, or older
    Known,
    /// There is no room for another peer
    Full,
}

impl Table {
    pub(crate) fn merge(&mut self, record: PeerRecord) -> Merged {
        match self.records.get(&record.name) {
            Some(known) if known.stamp() >= record.stamp() => return Merged::Known,
            None if self.records.len() >= MAX_PEERS => return Merged::Full,
            Some(_) | None => {}
        }
        self.digest = None;
        self.records.insert(record.name, Arc::new(record));
        Merged::Newer
    }

    pub(crate) fn remove(&mut self, name: PeerName) -> Option<Arc<PeerRecord>> {
        self.digest = None;
        self.records.remove(&name)
    }

    /// The digest of the whole table
    pub(crate) fn digest(&mut self) -> Digest {
        let stamps = self.records.values().map(|record| (record.name, record.stamp()));
        *self.digest.get_or_insert_with(|| Digest::of(stamps))
    }

    pub(crate) fn get(&self, name: PeerName) -> Option<&Arc<PeerRecord>> {
        self.records.get(&name)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<PeerRecord>> {
        self.records.values()
    }

    pub(crate) fn stamps(&self) -> BTreeMap<PeerName, Stamp> {
        self.iter().map(|record| (record.name, record.stamp())).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record of the peer number `n`, connected to `neighbours`
    pub(crate) fn record(n: u16, version: u64, neighbours: &[u16]) -> PeerRecord {
        let link = Link {
            address: "192.0.2.1:6783".parse().unwrap(),
            outbound: true,
            established: true,
        };
        PeerRecord {
            name: name(n),
            key: IdentityKey([n as u8; 32]),
            nickname: format!("host{n}").parse().unwrap(),
            uid: Uid(n.into()),
            epoch: 1,
            version,
            short_id: ShortId::truncated(n),
            addresses: vec![],
            connections: neighbours.iter().map(|n| (name(*n), link)).collect(),
        }
    }

    /// The name of the peer number `n`
    pub(crate) fn name(n: u16) -> PeerName {
        PeerName::from(Mac::from_bits(0x0200_0000_0000 | u64::from(n)))
    }

    #[test]
    fn a_restart_beats_any_version_of_the_run_before() {
        let mut table = Table::default();
        assert_eq!(table.merge(record(1, 900, &[])), Merged::Newer);
        let restarted = PeerRecord {
            epoch: 2,
            ..record(1, 1, &[2])
        };
        assert_eq!(table.merge(restarted), Merged::Newer);
        assert_eq!(table.merge(record(1, 901, &[])), Merged::Known);
        assert_eq!(table.get(name(1)).unwrap().epoch, 2);
    }

    #[test]
    fn the_table_takes_as_many_peers_as_there_are_short_ids() {
        let mut table = Table::default();
        for n in 0..MAX_PEERS as u16 {
            assert_eq!(table.merge(record(n, 1, &[])), Merged::Newer);
        }
        assert_eq!(table.merge(record(5000, 1, &[])), Merged::Full);
        assert_eq!(table.merge(record(7, 2, &[])), Merged::Newer);
    }

    #[test]
    fn unsound_records_are_known_as_such() {
        assert!(record(1, 1, &[2, 3]).is_sound());
        let multicast = PeerRecord {
            name: PeerName::from(Mac::BROADCAST),
            ..record(1, 1, &[])
        };
        assert!(!multicast.is_sound());
        let talkative = PeerRecord {
            addresses: vec!["192.0.2.1:1".parse().unwrap(); MAX_ADDRESSES + 1],
            ..record(1, 1, &[])
        };
        assert!(!talkative.is_sound());
    }

    proptest! {
        /// Merging is a join: the order does not matter, repetition does not matter.
        #[test]
        fn any_order_of_merging_gives_the_same_table(
            offers in prop::collection::vec((0..6u16, 0..5u64), 0..40),
            rotate in 0..40usize,
        ) {
            let mut one = Table::default();
            for (n, version) in &offers {
                one.merge(record(*n, *version, &[]));
            }
            let mut other = Table::default();
            let mut turned = offers.clone();
            turned.reverse();
            if !turned.is_empty() {
                let by = rotate % turned.len();
                turned.rotate_left(by);
            }
            for (n, version) in turned.iter().chain(&offers) {
                other.merge(record(*n, *version, &[]));
            }
            prop_assert_eq!(one.stamps(), other.stamps());
            prop_assert_eq!(one.digest(), other.digest());
        }
    }
}
