//! What is looked up: every name that is answered, and every address that has one.
//!
//! A table of 10,000 names is read at every question and changes one by one, while those who answer
//! hold the table of before. So it is in [`SHARDS`] pieces behind counted pointers: a copy of the
//! whole is one pointer, and a change copies the piece that it is in, if somebody holds it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::domain::{Domain, HostName};

/// The names that are answered, at one moment; a copy costs nothing
#[derive(Debug, Clone)]
pub struct Zone {
    domain: Domain,
    names: Shards<Box<str>, Node>,
    addresses: Shards<Ipv4Addr, BTreeMap<HostName, u32>>,
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
        self.addresses
            .get(hash(&address.octets()), &address)?
            .keys()
            .next()
    }

    pub(crate) fn insert(&mut self, name: &HostName, address: Ipv4Addr) {
        let key = name.key();
        self.version = self.version.wrapping_add(1);
        for below in above(&self.domain, &key) {
            let node = self.names.shard(hash(below.as_bytes()));
            node.entry(below.into()).or_default().below += 1;
        }
        let shard = self.names.shard(hash(key.as_bytes()));
        shard.entry(key.into_boxed_str()).or_default().insert(address);
        let shard = self.addresses.shard(hash(&address.octets()));
        *shard.entry(address).or_default().entry(name.clone()).or_default() += 1;
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
        edit(shard, &address, |names| {
            edit(names, name, |entries| {
                *entries = entries.saturating_sub(1);
                *entries == 0
            });
            names.is_empty()
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
            Ok(at) => self.addresses[at].1 += 1,
            Err(at) => self.addresses.insert(at, (address, 1)),
        }
    }

    fn remove(&mut self, address: Ipv4Addr) {
        if let Ok(at) = self
            .addresses
            .binary_search_by_key(&address, |(address, _)| *address)
        {
            self.addresses[at].1 -= 1;
            if self.addresses[at].1 == 0 {
                self.addresses.remove(at);
            }
        }
    }

    const fn is_empty(&self) -> bool {
        self.below == 0 && self.addresses.is_empty()
    }
}

/// The names that `key` is below of, in the domain and without the domain itself
fn above<'a>(domain: &Domain, key: &'a str) -> impl Iterator<Item = &'a str> {
    let dots = domain.host(key).unwrap_or_default().match_indices('.');
    dots.map(|(dot, _)| &key[dot + 1..])
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
