//! What is looked up: every name that is answered, and every address that has one.
//!
//! A table of 10,000 names is read at every question and changes one by one, while those who answer
//! hold the table of before. So it is in [`SHARDS`] pieces behind counted pointers: a copy of the
//! whole is one pointer, and a change copies the piece that it is in, if somebody holds it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::domain::{Domain, HostName};
use crate::entry::Entry;

/// The names that are answered, at one moment; a copy costs nothing
#[derive(Debug, Clone)]
pub struct Zone {
    domain: Domain,
    names: Shards<Box<str>, Node>,
    addresses: Shards<Ipv4Addr, Hosts>,
    version: u32,
}

/// What there is under a name
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// There is no such name, nor one below it
    Nothing,
    /// There are only names below it
    Below,
    /// It has these addresses, each once, with how many entries say so
    Addresses(&'a [(Ipv4Addr, u32)]),
}

impl Zone {
    /// The zone of this domain, with nothing in it
    pub fn new(domain: Domain) -> Self {
        Self {
            domain,
            names: Shards::default(),
            addresses: Shards::default(),
            version: 1,
        }
    }

    /// The domain that it answers for
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Counts the changes
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// What there is under a whole name in lower case, without its last dot
    pub fn find(&self, name: &str) -> Found<'_> {
        match self.names.get(hash(name.as_bytes()), name) {
            None => Found::Nothing,
            Some(node) if node.addresses.is_empty() => Found::Below,
            Some(node) => Found::Addresses(&node.addresses),
        }
    }

    /// The addresses of a whole name, of any case
    pub fn addresses(&self, name: &str) -> impl Iterator<Item = Ipv4Addr> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let addresses = match self.find(&name) {
            Found::Addresses(addresses) => addresses,
            Found::Nothing | Found::Below => &[],
        };
        addresses.iter().map(|(address, _entries)| *address)
    }

    /// Whether this is one of the addresses of a name
    pub(crate) fn answers(&self, name: &HostName, address: Ipv4Addr) -> bool {
        match self.find(&name.key()) {
            Found::Addresses(addresses) => addresses
                .binary_search_by_key(&address, |(address, _entries)| *address)
                .is_ok(),
            Found::Nothing | Found::Below => false,
        }
    }

    /// The first name, in the order of names, that has this address
    pub fn host(&self, address: Ipv4Addr) -> Option<&HostName> {
        self.addresses.get(hash(&address.octets()), &address)?.first()
    }

    /// Adds entries in the order of their addresses: one name may have all of them
    pub(crate) fn insert_all<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        let mut entries: Vec<&Entry> = entries.collect();
        entries.sort_unstable_by_key(|entry| entry.address);
        for entry in entries {
            self.insert(&entry.name, entry.address);
        }
    }

    /// Takes entries back, in the opposite order
    pub(crate) fn remove_all<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        let mut entries: Vec<&Entry> = entries.collect();
        entries.sort_unstable_by_key(|entry| Reverse(entry.address));
        for entry in entries {
            self.remove(&entry.name, entry.address);
        }
    }

    pub(crate) fn insert(&mut self, name: &HostName, address: Ipv4Addr) {
        let key = name.key();
        self.version = self.version.wrapping_add(1);
        for below in above(&self.domain, &key) {
            let node = self.names.shard(hash(below.as_bytes()));
            let node = node.entry(below.into()).or_default();
            node.below = node.below.saturating_add(1);
        }
        let shard = self.names.shard(hash(key.as_bytes()));
        shard.entry(key.into_boxed_str()).or_default().insert(address);
        let shard = self.addresses.shard(hash(&address.octets()));
        shard.entry(address).or_default().insert(name);
    }

    pub(crate) fn remove(&mut self, name: &HostName, address: Ipv4Addr) {
        let key = name.key();
        self.version = self.version.wrapping_add(1);
        for below in above(&self.domain, &key) {
            let shard = self.names.shard(hash(below.as_bytes()));
            edit(shard, below, |node| {
                node.below = node.below.saturating_sub(1);
                node.is_empty()
            });
        }
        let shard = self.names.shard(hash(key.as_bytes()));
        edit(shard, key.as_str(), |node| {
            node.remove(address);
            node.is_empty()
        });
        let shard = self.addresses.shard(hash(&address.octets()));
        edit(shard, &address, |hosts| {
            hosts.remove(name);
            hosts.is_empty()
        });
    }
}

/// What is known of one name
#[derive(Debug, Clone, Default)]
struct Node {
    /// In their order
    addresses: Vec<(Ipv4Addr, u32)>,
    /// How many entries there are of names that end with a dot and this one
    below: u32,
}

impl Node {
    fn insert(&mut self, address: Ipv4Addr) {
        match self
            .addresses
            .binary_search_by_key(&address, |(address, _)| *address)
        {
            Ok(at) => {
                let entries = &mut self.addresses[at].1;
                *entries = entries.saturating_add(1);
            }
            Err(at) => self.addresses.insert(at, (address, 1)),
        }
    }

    fn remove(&mut self, address: Ipv4Addr) {
        if let Ok(at) = self
            .addresses
            .binary_search_by_key(&address, |(address, _)| *address)
        {
            let entries = &mut self.addresses[at].1;
            *entries = entries.saturating_sub(1);
            if *entries == 0 {
                self.addresses.remove(at);
            }
        }
    }

    const fn is_empty(&self) -> bool {
        self.below == 0 && self.addresses.is_empty()
    }
}

/// The names of one address, each with how many entries say so
#[derive(Debug, Clone, Default)]
enum Hosts {
    #[default]
    None,
    /// What nearly every address has; a map of one takes ten times as much
    One(HostName, u32),
    Many(BTreeMap<HostName, u32>),
}

impl Hosts {
    fn first(&self) -> Option<&HostName> {
        match self {
            Self::None => None,
            Self::One(name, _entries) => Some(name),
            Self::Many(names) => names.keys().next(),
        }
    }

    fn insert(&mut self, name: &HostName) {
        match self {
            Self::None => *self = Self::One(name.clone(), 1),
            Self::One(known, entries) if known == name => *entries = entries.saturating_add(1),
            Self::One(known, entries) => {
                let known = (known.clone(), *entries);
                *self = Self::Many([known, (name.clone(), 1)].into());
            }
            Self::Many(names) => {
                let entries = names.entry(name.clone()).or_default();
                *entries = entries.saturating_add(1);
            }
        }
    }

    fn remove(&mut self, name: &HostName) {
        match self {
            Self::One(known, entries) if known == name => {
                *entries = entries.saturating_sub(1);
                if *entries == 0 {
                    *self = Self::None;
                }
            }
            Self::None | Self::One(..) => {}
            Self::Many(names) => {
                edit(names, name, |entries| {
                    *entries = entries.saturating_sub(1);
                    *entries == 0
                });
                if names.len() <= 1 {
                    let last = names.pop_first();
                    *self = last.map_or(Self::None, |(name, entries)| Self::One(name, entries));
                }
            }
        }
    }

    const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// The names that `key` is below of, in the domain and without the domain itself
fn above<'a>(domain: &Domain, key: &'a str) -> impl Iterator<Item = &'a str> {
    let dots = domain.host(key).unwrap_or_default().match_indices('.');
    dots.filter_map(|(dot, _)| key.get(dot..)?.strip_prefix('.'))
}

/// Changes what is under a key, and forgets it if it is told to
fn edit<K, Q, V>(map: &mut BTreeMap<K, V>, key: &Q, change: impl FnOnce(&mut V) -> bool)
where
    K: std::borrow::Borrow<Q> + Ord,
    Q: Ord + ?Sized,
{
    if map.get_mut(key).is_some_and(change) {
        map.remove(key);
    }
}

/// How many pieces: of 10,000 names each has some 40
const SHARDS: usize = 256;

/// A map in pieces, of which those that do not change are shared between its copies
#[derive(Debug, Clone)]
struct Shards<K, V>(Arc<[Arc<BTreeMap<K, V>>]>);

impl<K: Ord + Clone, V: Clone> Shards<K, V> {
    fn get<Q: Ord + ?Sized>(&self, hash: usize, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0[hash].get(key)
    }

    fn shard(&mut self, hash: usize) -> &mut BTreeMap<K, V> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.0)[hash])
    }
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Arc::default()).collect())
    }
}

/// FNV-1a, folded to the number of a shard; whoever finds names of one shard makes that one larger
fn hash(bytes: &[u8]) -> usize {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ((hash >> 32) ^ hash) as usize % SHARDS
}

#[cfg(test)]
mod tests;
