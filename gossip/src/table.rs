//! The newest record of each peer, within a budget for each neighbor that introduces peers.
//!
//! Keys cost nothing, so a hostile member can invent as many peers as it likes, each with a valid record. A
//! peer is therefore on the account of the neighbor that told of it first, or on its own once it is a neighbor
//! itself. An account holds at most half of the table, and grows by a burst and then by so many a minute; in a
//! full table the largest account gives way to a smaller one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use model::PeerName;

use crate::budget::{Bucket, Rate};
use crate::digest::{Digest, Stamp};
use crate::records::{MAX_PEERS, PeerRecord};

/// The most connections in all records together: 40 MB
pub(crate) const MAX_LINKS: usize = 512 * 1024;

/// The most peers on one account
const MAX_INTRODUCED: usize = MAX_PEERS / 2;

/// New peers on one account: a network of a thousand at once, then some a second
const INTRODUCTIONS: Rate = Rate {
    per_second: 4.0,
    burst: 1024.0,
};

/// The newest record of each peer
#[derive(Debug, Default)]
pub(crate) struct Table {
    records: BTreeMap<PeerName, Entry>,
    accounts: BTreeMap<PeerName, Account>,
    links: usize,
    digest: Option<Digest>,
    /// Peers that gave way to others
    evicted: Vec<PeerName>,
}

#[derive(Debug)]
struct Entry {
    record: Arc<PeerRecord>,
    /// On whose account it is; nobody's for our own
    introducer: Option<PeerName>,
}

#[derive(Debug)]
struct Account {
    peers: usize,
    links: usize,
    bucket: Bucket,
}

/// What became of a record that was offered to the table
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merged {
    /// It is newer than what was there
    Newer,
    /// It is what was there, or older
    Known,
    /// The table, or the account of the neighbor that told of it, has no room for it
    Full,
}

impl Table {
    /// Takes a record over if it is newer; `teller` is the neighbor that told of it, none for our own
    pub(crate) fn merge(&mut self, record: PeerRecord, teller: Option<PeerName>, now: Instant) -> Merged {
        let name = record.name;
        let known = self.records.get(&name);
        if known.is_some_and(|entry| entry.record.stamp() >= record.stamp()) {
            return Merged::Known;
        }
        let links = record.connections.len();
        let introducer = match (known.map(|entry| entry.introducer), teller) {
            // Who tells of itself is on nobody else's account.
            (_, Some(teller)) if teller == name => Some(name),
            (Some(introducer), _) => introducer,
            (None, teller) => teller,
        };
        let before = self.take(name);
        // An account that somebody has filled is no reason to miss news that another tells.
        let other = teller.filter(|teller| introducer.is_some_and(|introducer| introducer != *teller));
        let introducer = if self.has_room(introducer, links, before.is_some(), now) {
            introducer
        } else if other.is_some() && self.has_room(other, links, false, now) {
            other
        } else {
            if let Some(before) = before {
                self.put(before);
            }
            return Merged::Full;
        };
        self.put(Entry {
            record: Arc::new(record),
            introducer,
        });
        self.digest = None;
        Merged::Newer
    }

    pub(crate) fn remove(&mut self, name: PeerName) -> Option<Arc<PeerRecord>> {
        self.digest = None;
        self.take(name).map(|entry| entry.record)
    }

    /// Peers that gave way to others since the last call
    pub(crate) fn take_evicted(&mut self) -> Vec<PeerName> {
        std::mem::take(&mut self.evicted)
    }

    /// The digest of the whole table
    pub(crate) fn digest(&mut self) -> Digest {
        let records = self.records.values().map(|entry| &entry.record);
        let stamps = records.map(|record| (record.name, record.stamp()));
        *self.digest.get_or_insert_with(|| Digest::of(stamps))
    }

    pub(crate) fn get(&self, name: PeerName) -> Option<&Arc<PeerRecord>> {
        self.records.get(&name).map(|entry| &entry.record)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<PeerRecord>> {
        self.records.values().map(|entry| &entry.record)
    }

    pub(crate) fn stamps(&self) -> BTreeMap<PeerName, Stamp> {
        self.iter().map(|record| (record.name, record.stamp())).collect()
    }

    /// Makes room for a record with so many connections, if its account may have it
    fn has_room(&mut self, introducer: Option<PeerName>, links: usize, known: bool, now: Instant) -> bool {
        let Some(introducer) = introducer else {
            return true;
        };
        let account = self.accounts.entry(introducer).or_insert_with(|| Account {
            peers: 0,
            links: 0,
            bucket: Bucket::full(INTRODUCTIONS, now),
        });
        let own_share =
            account.peers < MAX_INTRODUCED && account.links.saturating_add(links) <= MAX_LINKS / 2;
        if !own_share || (!known && !account.bucket.take(INTRODUCTIONS, now)) {
            return false;
        }
        let (peers, account_links) = (account.peers, account.links);
        while self.records.len() >= MAX_PEERS {
            if !self.evict(|account| account.peers, peers.saturating_add(1)) {
                return false;
            }
        }
        while self.links.saturating_add(links) > MAX_LINKS {
            if !self.evict(|account| account.links, account_links.saturating_add(links)) {
                return false;
            }
        }
        true
    }

    /// Takes the last peer of the largest account off the table; not of one that is no larger than `than`
    fn evict(&mut self, size: impl Fn(&Account) -> usize, than: usize) -> bool {
        let largest = self.accounts.iter().max_by_key(|(_, account)| size(account));
        let Some(largest) = largest.filter(|(_, account)| size(account) > than) else {
            return false;
        };
        let of = Some(*largest.0);
        let mut introduced = self.records.iter().rev();
        let Some(name) = introduced.find(|(name, entry)| entry.introducer == of && Some(**name) != of) else {
            return false;
        };
        let name = *name.0;
        self.take(name);
        self.evicted.push(name);
        true
    }

    fn put(&mut self, entry: Entry) {
        let links = entry.record.connections.len();
        self.links = self.links.saturating_add(links);
        if let Some(account) = entry
            .introducer
            .and_then(|introducer| self.accounts.get_mut(&introducer))
        {
            account.peers = account.peers.saturating_add(1);
            account.links = account.links.saturating_add(links);
        }
        self.records.insert(entry.record.name, entry);
    }

    fn take(&mut self, name: PeerName) -> Option<Entry> {
        let entry = self.records.remove(&name)?;
        let links = entry.record.connections.len();
        self.links = self.links.saturating_sub(links);
        if let Some(account) = entry
            .introducer
            .and_then(|introducer| self.accounts.get_mut(&introducer))
        {
            account.peers = account.peers.saturating_sub(1);
            account.links = account.links.saturating_sub(links);
        }
        Some(entry)
    }

    /// Drops accounts that are as good as new
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.accounts
            .retain(|_, account| account.peers > 0 || !account.bucket.is_full(INTRODUCTIONS, now));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::tests::{name, record};

    fn merge(table: &mut Table, record: PeerRecord, now: Instant) -> Merged {
        table.merge(record, Some(name(9000)), now)
    }

    #[test]
    fn a_restart_beats_any_version_of_the_run_before() {
        let (mut table, now) = (Table::default(), Instant::now());
        assert_eq!(merge(&mut table, record(1, 900, &[]), now), Merged::Newer);
        let restarted = PeerRecord {
            epoch: 2,
            ..record(1, 1, &[2])
        };
        assert_eq!(merge(&mut table, restarted, now), Merged::Newer);
        assert_eq!(merge(&mut table, record(1, 901, &[]), now), Merged::Known);
        assert_eq!(table.get(name(1)).unwrap().epoch, 2);
        assert_eq!(table.links, 1);
    }

    #[test]
    fn a_neighbor_introduces_a_burst_and_then_some_a_second() {
        let (mut table, now) = (Table::default(), Instant::now());
        for n in 0..1024 {
            assert_eq!(merge(&mut table, record(n, 1, &[]), now), Merged::Newer);
        }
        assert_eq!(merge(&mut table, record(2000, 1, &[]), now), Merged::Full);
        // What is known is renewed all the same, and other neighbors have accounts of their own.
        assert_eq!(merge(&mut table, record(7, 2, &[]), now), Merged::Newer);
        assert_eq!(
            table.merge(record(2000, 1, &[]), Some(name(9001)), now),
            Merged::Newer
        );
        let later = now + std::time::Duration::from_secs(60);
        for n in 3000..3240 {
            assert_eq!(merge(&mut table, record(n, 1, &[]), later), Merged::Newer);
        }
        assert_eq!(merge(&mut table, record(3240, 1, &[]), later), Merged::Full);
    }

    #[test]
    fn a_full_table_takes_from_the_largest_account_and_a_neighbor_is_on_its_own() {
        let (mut table, mut now) = (Table::default(), Instant::now());
        let mut invented = 10_000;
        for hostile in [9000, 9001] {
            for _half in 0..MAX_INTRODUCED {
                let record = record(invented, 1, &[]);
                invented += 1;
                while table.merge(record.clone(), Some(name(hostile)), now) == Merged::Full {
                    now += std::time::Duration::from_secs(1);
                }
            }
            let one_more = record(invented, 1, &[]);
            let later = now + std::time::Duration::from_secs(600);
            assert_eq!(table.merge(one_more, Some(name(hostile)), later), Merged::Full);
        }
        assert_eq!(table.len(), MAX_PEERS);
        for honest in 1..50 {
            let merged = table.merge(record(honest, 1, &[]), Some(name(honest)), now);
            assert_eq!(merged, Merged::Newer, "{honest}");
        }
        assert_eq!(table.len(), MAX_PEERS);
        assert_eq!(table.take_evicted().len(), 49);
        assert!((1..50).all(|honest| table.get(name(honest)).is_some()));
    }

    #[test]
    fn connections_have_a_budget_too() {
        let (mut table, now) = (Table::default(), Instant::now());
        let many: Vec<u16> = (0..4000).collect();
        let taken = (0..1000).filter(|n| merge(&mut table, record(*n, 1, &many), now) == Merged::Newer);
        assert_eq!(taken.count(), MAX_LINKS / 2 / 4000);
        assert!(table.links <= MAX_LINKS / 2);
        assert_eq!(merge(&mut table, record(2000, 1, &[1]), now), Merged::Newer);
    }

    #[test]
    fn a_peer_whose_introducer_filled_its_account_goes_to_the_account_of_another() {
        let (mut table, now) = (Table::default(), Instant::now());
        assert_eq!(merge(&mut table, record(1, 1, &[]), now), Merged::Newer);
        let many: Vec<u16> = (0..4000).collect();
        for n in 2..100 {
            merge(&mut table, record(n, 1, &many), now);
        }
        assert_eq!(merge(&mut table, record(1, 2, &many), now), Merged::Full);
        let told = table.merge(record(1, 2, &many), Some(name(9001)), now);
        assert_eq!(told, Merged::Newer);
        let links: usize = table.iter().map(|record| record.connections.len()).sum();
        assert_eq!(table.links, links);
        assert_eq!(table.accounts[&name(9001)].peers, 1);
    }

    #[test]
    fn an_account_that_is_as_good_as_new_is_dropped() {
        let (mut table, now) = (Table::default(), Instant::now());
        merge(&mut table, record(1, 1, &[]), now);
        table.sweep(now);
        assert_eq!(table.accounts.len(), 1);
        table.remove(name(1));
        table.sweep(now + std::time::Duration::from_secs(1));
        assert_eq!(table.accounts.len(), 0);
    }

    proptest! {
        /// Merging is a join: the order does not matter, repetition does not matter.
        #[test]
        fn any_order_of_merging_gives_the_same_table(
            offers in prop::collection::vec((0..6u16, 0..5u64), 0..40),
            rotate in 0..40usize,
        ) {
            let now = Instant::now();
            let mut one = Table::default();
            for (n, version) in &offers {
                merge(&mut one, record(*n, *version, &[]), now);
            }
            let mut other = Table::default();
            let mut turned = offers.clone();
            turned.reverse();
            if !turned.is_empty() {
                let by = rotate % turned.len();
                turned.rotate_left(by);
            }
            for (n, version) in turned.iter().chain(&offers) {
                merge(&mut other, record(*n, *version, &[]), now);
            }
            prop_assert_eq!(one.stamps(), other.stamps());
            prop_assert_eq!(one.digest(), other.digest());
        }

        /// The counts are those of the records, whatever came.
        #[test]
        fn the_counts_are_those_of_the_records(
            offers in prop::collection::vec((0..6u16, 0..5u64, 0..4u16, any::<bool>()), 0..60),
        ) {
            let now = Instant::now();
            let mut table = Table::default();
            for (n, version, teller, removes) in offers {
                if removes {
                    table.remove(name(n));
                } else {
                    let links: Vec<u16> = (0..teller).collect();
                    table.merge(record(n, version, &links), Some(name(teller)), now);
                }
            }
            let links: usize = table.iter().map(|record| record.connections.len()).sum();
            prop_assert_eq!(table.links, links);
            let peers: usize = table.accounts.values().map(|account| account.peers).sum();
            prop_assert_eq!(peers, table.len());
        }
    }
}
