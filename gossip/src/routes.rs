//! Who reaches whom, and over which neighbour.
//!
//! A frame may travel between two peers whose records both name the other, with a data path up on
//! both sides. Over these edges every peer searches breadth first, in the order of names, so that
//! all compute the same trees from the same records: a unicast frame takes a shortest way, a flooded
//! one reaches every peer exactly once along the tree of its source.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use model::{PeerName, ShortId};

use crate::records::PeerRecord;
use crate::table::Table;

/// Every peer that can be reached, and the ways there; never changes once made
pub struct Topology {
    name: PeerName,
    /// The peers, in the order of names; indices below are places in it
    pub peers: BTreeMap<PeerName, Arc<PeerRecord>>,
    names: Vec<PeerName>,
    us: usize,
    /// For each peer those that it shares an edge with, ascending
    edges: Vec<Vec<u16>>,
    next_hops: Vec<Option<u16>>,
    /// By source; computed when first asked for, because in a full mesh few sources ever are
    broadcasts: Vec<OnceLock<Box<[PeerName]>>>,
    short_ids: BTreeMap<ShortId, PeerName>,
}

impl Topology {
    /// The topology that these records describe, seen from `name`
    ///
    /// # Panics
    ///
    /// Unless `name` is among them.
    pub fn new(name: PeerName, peers: BTreeMap<PeerName, Arc<PeerRecord>>) -> Self {
        let names: Vec<PeerName> = peers.keys().copied().collect();
        let us = names
            .binary_search(&name)
            .expect("a mesh's table has its own record");
        let edges = edges(&peers, &names);
        let mut short_ids = BTreeMap::new();
        for record in peers.values() {
            // Names ascend: the lowest keeps an id that two claim.
            short_ids.entry(record.short_id).or_insert(record.name);
        }
        let next_hops = next_hops(&edges, us);
        Self {
            name,
            broadcasts: names.iter().map(|_| OnceLock::new()).collect(),
            peers,
            names,
            us,
            edges,
            next_hops,
            short_ids,
        }
    }

    /// From whose place this is seen
    pub const fn name(&self) -> PeerName {
        self.name
    }

    /// The neighbour to which a frame for `destination` goes, if there is a way
    pub fn unicast(&self, destination: PeerName) -> Option<PeerName> {
        let destination = self.names.binary_search(&destination).ok()?;
        self.next_hops[destination].map(|hop| self.names[usize::from(hop)])
    }

    /// The neighbours to which a flooded frame of `source` is passed on from here
    pub fn broadcast(&self, source: PeerName) -> &[PeerName] {
        match self.names.binary_search(&source) {
            Ok(source) => self.broadcasts[source].get_or_init(|| self.children(source)),
            Err(_) => &[],
        }
    }

    /// Who has this short id; of two that claim it, the lower name
    pub fn by_short_id(&self, id: ShortId) -> Option<PeerName> {
        self.short_ids.get(&id).copied()
    }

    /// Our children in the tree of `source`
    fn children(&self, source: usize) -> Box<[PeerName]> {
        let mut children = Vec::new();
        search(&self.edges, source, |parent, child| {
            if parent == self.us {
                children.push(self.names[child]);
            }
        });
        children.into()
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("name", &self.name)
            .field("peers", &self.names)
            .finish_non_exhaustive()
    }
}

/// Two are equal when they were made of the same records for the same peer
impl PartialEq for Topology {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.peers == other.peers
    }
}

/// Which peers of the table are named, directly or not, by the connections of `from`, itself included
///
/// This is wider than what frames can use: a connection without a data path, or of which only one
/// side knows yet, is enough to keep a peer's record.
pub(crate) fn reachable(from: PeerName, table: &Table) -> BTreeSet<PeerName> {
    let mut seen = BTreeSet::from([from]);
    let mut todo = vec![from];
    while let Some(record) = todo.pop().and_then(|name| table.get(name)) {
        // In a full mesh the first record is all there is to look at.
        if seen.len() == table.len() {
            break;
        }
        let known = |name: &PeerName| table.get(*name).is_some();
        let named = record.connections.keys().copied();
        todo.extend(named.filter(|name| known(name) && seen.insert(*name)));
    }
    seen
}

/// For each peer those with which it has an established connection that both records name
fn edges(peers: &BTreeMap<PeerName, Arc<PeerRecord>>, names: &[PeerName]) -> Vec<Vec<u16>> {
    let one_way: Vec<Vec<u16>> = peers.values().map(|record| indices(record, names)).collect();
    let count = names.len();
    let place = |from: usize, to: usize| from.saturating_mul(count).saturating_add(to);
    let mut named = vec![false; count.saturating_mul(count)];
    for (from, to) in pairs(&one_way) {
        named[place(from, to)] = true;
    }
    let mut edges = vec![Vec::new(); count];
    for (from, to) in pairs(&one_way).filter(|(from, to)| named[place(*to, *from)]) {
        edges[from].push(to as u16);
    }
    edges
}

/// Where in `names` the record's established connections are, by one pass over both
fn indices(record: &PeerRecord, names: &[PeerName]) -> Vec<u16> {
    let mut names = names.iter().enumerate().peekable();
    let links = record.connections.iter().filter(|(_, link)| link.established);
    let place = |(to, _)| {
        while names.next_if(|(_, name)| *name < to).is_some() {}
        names
            .next_if(|(_, name)| *name == to)
            .map(|(place, _)| place as u16)
    };
    links.filter_map(place).collect()
}

fn pairs(lists: &[Vec<u16>]) -> impl Iterator<Item = (usize, usize)> {
    let lists = lists.iter().enumerate();
    lists.flat_map(|(from, list)| list.iter().map(move |to| (from, usize::from(*to))))
}

/// For each peer the neighbour of `us` on the way there
fn next_hops(edges: &[Vec<u16>], us: usize) -> Vec<Option<u16>> {
    let mut hops: Vec<Option<u16>> = vec![None; edges.len()];
    search(edges, us, |parent, child| {
        hops[child] = if parent == us {
            Some(child as u16)
        } else {
            hops[parent]
        };
    });
    hops
}

/// Visits every peer that `root` reaches, nearest first and in the order of names, and tells the
/// parent of each: the lowest of those that are one step nearer
fn search(edges: &[Vec<u16>], root: usize, mut visit: impl FnMut(usize, usize)) {
    let mut seen = vec![false; edges.len()];
    seen[root] = true;
    let mut left = edges.len().saturating_sub(1);
    let mut level = vec![root];
    while !level.is_empty() {
        let mut next = Vec::new();
        for parent in level {
            // In a full mesh the root's own edges are all there is to look at.
            if left == 0 {
                return;
            }
            for child in edges[parent].iter().map(|child| usize::from(*child)) {
                if !seen[child] {
                    seen[child] = true;
                    left = left.saturating_sub(1);
                    visit(parent, child);
                    next.push(child);
                }
            }
        }
        next.sort_unstable();
        level = next;
    }
}

#[cfg(test)]
mod tests;
