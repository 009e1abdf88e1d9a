//! Wires between hosts, and connections over them: in order and without loss while they live.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A wire between two hosts, and the connection over it
#[derive(Debug, Default)]
pub struct Wire {
    /// It carries
    pub whole: bool,
    /// Which connection this is: what was sent over another is lost
    pub connection: u64,
    /// Which one was made last: what either end holds to live
    pub made: u64,
    /// Whether each end holds the connection to live
    pub up: [bool; 2],
    /// When the last message to each end arrives
    pub last: [Duration; 2],
}

/// All wires
#[derive(Debug, Default)]
pub struct Network(pub BTreeMap<(usize, usize), Wire>);

impl Network {
    pub fn wire(&mut self, a: usize, b: usize) -> &mut Wire {
        self.0.entry(key(a, b)).or_default()
    }

    pub fn get(&self, a: usize, b: usize) -> Option<&Wire> {
        self.0.get(&key(a, b))
    }

    /// Whether `a` holds the connection to `b` to live
    pub fn believes(&self, a: usize, b: usize) -> bool {
        self.get(a, b).is_some_and(|wire| wire.up[end(a, b)])
    }

    /// Who really can speak to whom: by whole wires between running hosts
    pub fn component(&self, of: usize, runs: &[bool]) -> BTreeSet<usize> {
        let edge = |(a, b): (usize, usize)| self.0[&(a, b)].whole && runs[a] && runs[b];
        self.search(of, edge)
    }

    /// Whom a host holds to be reachable. Of what ends in sight of it, it knows what they hold; of
    /// what ends elsewhere, it knows nothing newer than that it was up.
    pub fn view(&self, of: usize, runs: &[bool]) -> BTreeSet<usize> {
        let near = self.component(of, runs);
        let up = |at: usize, to: usize| !near.contains(&at) || self.believes(at, to);
        let live =
            |(a, b): (usize, usize)| up(a, b) && up(b, a) && (self.believes(a, b) || self.believes(b, a));
        let mut seen = self.search(of, live);
        seen.remove(&of);
        seen
    }

    fn search(&self, of: usize, edge: impl Fn((usize, usize)) -> bool) -> BTreeSet<usize> {
        let mut neighbours: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (a, b) in self.0.keys().copied().filter(|key| edge(*key)) {
            neighbours.entry(a).or_default().push(b);
            neighbours.entry(b).or_default().push(a);
        }
        let mut seen = BTreeSet::from([of]);
        let mut todo = vec![of];
        while let Some(at) = todo.pop() {
            for other in neighbours.get(&at).into_iter().flatten() {
                if seen.insert(*other) {
                    todo.push(*other);
                }
            }
        }
        seen
    }
}

pub fn key(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// Which end of their wire `a` is
pub fn end(a: usize, b: usize) -> usize {
    usize::from(a > b)
}
