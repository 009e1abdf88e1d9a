//! Routes over a graph, as every peer computes them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Mac, PeerName, ShortId};

use crate::Routes;

pub(crate) fn name(n: usize) -> PeerName {
    PeerName::from(Mac::new([2, 0xee, 0, 0, 0, n as u8]))
}

/// Who is who, and which peers are joined
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Graph {
    pub(crate) ids: BTreeMap<usize, ShortId>,
    pub(crate) edges: BTreeSet<(usize, usize)>,
}

impl Graph {
    /// `n` peers with short ids 1, 2, …, and these edges
    pub(crate) fn new(n: usize, edges: &[(usize, usize)]) -> Self {
        let mut graph = Self {
            ids: (0..n).map(|n| (n, ShortId::truncated(n as u16 + 1))).collect(),
            edges: BTreeSet::new(),
        };
        for (a, b) in edges {
            graph.join(*a, *b);
        }
        graph
    }

    pub(crate) fn id(&self, n: usize) -> ShortId {
        self.ids[&n]
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        if a != b {
            self.edges.extend([(a, b), (b, a)]);
        }
    }

    pub(crate) fn part(&mut self, a: usize, b: usize) {
        self.edges.remove(&(a, b));
        self.edges.remove(&(b, a));
    }

    pub(crate) fn neighbours(&self, n: usize) -> impl Iterator<Item = usize> {
        self.edges.range((n, 0)..(n + 1, 0)).map(|(_, to)| *to)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.tree(0).len() == self.ids.len()
    }

    /// Each peer that `root` reaches with its parent in the breadth-first tree
    fn tree(&self, root: usize) -> BTreeMap<usize, usize> {
        let mut parents = BTreeMap::from([(root, root)]);
        let mut todo = VecDeque::from([root]);
        while let Some(at) = todo.pop_front() {
            for to in self.neighbours(at) {
                parents.entry(to).or_insert_with(|| {
                    todo.push_back(to);
                    at
                });
            }
        }
        parents
    }

    /// The routes from the place of `own`
    pub(crate) fn routes(&self, own: usize) -> Table {
        let mut unicast = BTreeMap::new();
        let parents = self.tree(own);
        for &peer in parents.keys().filter(|peer| **peer != own) {
            let mut hop = peer;
            while parents[&hop] != own {
                hop = parents[&hop];
            }
            unicast.insert(name(peer), name(hop));
        }
        let broadcast = self.ids.keys().map(|&source| {
            let children = self
                .tree(source)
                .into_iter()
                .filter(|(child, parent)| *parent == own && *child != own);
            (name(source), children.map(|(child, _)| name(child)).collect())
        });
        Table {
            own: name(own),
            own_id: self.id(own),
            ids: parents.keys().map(|n| (name(*n), self.id(*n))).collect(),
            unicast,
            broadcast: broadcast.collect(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) own: PeerName,
    pub(crate) own_id: ShortId,
    pub(crate) ids: BTreeMap<PeerName, ShortId>,
    pub(crate) unicast: BTreeMap<PeerName, PeerName>,
    pub(crate) broadcast: BTreeMap<PeerName, Vec<PeerName>>,
}

impl Routes for Table {
    fn own(&self) -> PeerName {
        self.own
    }

    fn own_short_id(&self) -> ShortId {
        self.own_id
    }

    fn short_id(&self, peer: PeerName) -> Option<ShortId> {
        self.ids.get(&peer).copied()
    }

    fn peer(&self, id: ShortId) -> Option<PeerName> {
        self.ids
            .iter()
            .find(|(_, other)| **other == id)
            .map(|(name, _)| *name)
    }

    fn unicast(&self, destination: PeerName) -> Option<PeerName> {
        self.unicast.get(&destination).copied()
    }

    fn broadcast(&self, source: PeerName) -> &[PeerName] {
        self.broadcast.get(&source).map_or(&[], Vec::as_slice)
    }
}
