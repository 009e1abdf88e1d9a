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
    /// The topology that these records describe, seen from `name`, which is among them
    pub(crate) fn new(name: PeerName, peers: BTreeMap<PeerName, Arc<PeerRecord>>) -> Self {
        let names: Vec<PeerName> = peers.keys().copied().collect();
        let index: BTreeMap<PeerName, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
        let us = index
            .get(&name)
            .copied()
            .expect("a mesh's table has its own record");
        let edges = edges(&peers, &index);
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

/// Every peer that is named, directly or not, by the connections of `from`, itself included
///
/// This is wider than what frames can use: a connection without a data path, or of which only one
/// side knows yet, is enough to keep a peer's record.
pub(crate) fn reachable(
    from: PeerName,
    record: impl Fn(PeerName) -> Option<Arc<PeerRecord>>,
) -> BTreeSet<PeerName> {
    let mut seen = BTreeSet::from([from]);
    let mut todo = vec![from];
    while let Some(name) = todo.pop() {
        let Some(record) = record(name) else { continue };
        todo.extend(
            record
                .connections
                .keys()
                .copied()
                .filter(|name| seen.insert(*name)),
        );
    }
    seen
}

fn edges(peers: &BTreeMap<PeerName, Arc<PeerRecord>>, index: &BTreeMap<PeerName, usize>) -> Vec<Vec<u16>> {
    let up =
        |record: &PeerRecord, to: PeerName| record.connections.get(&to).is_some_and(|link| link.established);
    let of = |record: &Arc<PeerRecord>| {
        let links = record.connections.iter().filter(|(_, link)| link.established);
        links
            .filter_map(|(to, _)| Some((peers.get(to)?, *index.get(to)?)))
            .filter(|(other, _)| up(other, record.name))
            .map(|(_, to)| to as u16)
            .collect()
    };
    peers.values().map(of).collect()
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
    let mut left = edges.len() - 1;
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
                    left -= 1;
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
