use std::collections::VecDeque;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::records::tests::{name, record};

#[test]
fn on_a_line_frames_go_by_the_peers_between() {
    let line = Graph::of(3, &[(0, 1), (1, 2)]);
    let end = line.seen_from(0);
    assert_eq!(end.unicast(name(2)), Some(name(1)));
    assert_eq!(end.unicast(name(0)), None);
    assert_eq!(end.broadcast(name(0)), [name(1)]);
    assert_eq!(line.seen_from(1).broadcast(name(0)), [name(2)]);
    assert_eq!(line.seen_from(1).broadcast(name(2)), [name(0)]);
    assert!(line.seen_from(2).broadcast(name(0)).is_empty());
}

#[test]
fn of_two_equal_ways_the_lower_name_wins() {
    let square = Graph::of(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    assert_eq!(square.seen_from(0).unicast(name(3)), Some(name(1)));
    assert_eq!(square.seen_from(1).broadcast(name(0)), [name(3)]);
    assert!(square.seen_from(2).broadcast(name(0)).is_empty());
}

#[test]
fn a_connection_counts_when_both_sides_have_it_with_a_path() {
    let mut records = Graph::of(3, &[(0, 1), (1, 2)]).records;
    let half = Arc::make_mut(records.get_mut(&name(1)).unwrap());
    half.connections.get_mut(&name(0)).unwrap().established = false;
    half.connections.remove(&name(2));
    let topology = Topology::new(name(0), records.clone());
    assert_eq!(topology.unicast(name(1)), None);
    assert!(topology.broadcast(name(0)).is_empty());
    assert_eq!(Topology::new(name(2), records).unicast(name(1)), None);
}

#[test]
fn whom_nobody_names_is_not_reachable() {
    let line = Graph::of(4, &[(0, 1), (1, 2), (2, 3)]);
    assert_eq!(reachable(name(0), &line.table()).len(), 4);
    // What a dead peer still claims does not count.
    let mut broken = line.clone();
    let survivor = Arc::make_mut(broken.records.get_mut(&name(1)).unwrap());
    survivor.connections.remove(&name(2));
    let reached = reachable(name(0), &broken.table());
    assert_eq!(reached, BTreeSet::from([name(0), name(1)]));
}

#[test]
fn whom_others_name_but_nobody_describes_is_not_in_the_table() {
    let mut table = Table::default();
    table.merge(record(0, 1, &[1, 7]), None, Instant::now());
    table.merge(record(1, 1, &[0]), None, Instant::now());
    assert_eq!(reachable(name(0), &table), BTreeSet::from([name(0), name(1)]));
}

#[test]
fn the_lower_name_has_a_short_id_that_two_claim() {
    let mut records = Graph::of(3, &[(0, 1), (1, 2)]).records;
    let id = ShortId::truncated(77);
    for n in [1, 2] {
        Arc::make_mut(records.get_mut(&name(n)).unwrap()).short_id = id;
    }
    assert_eq!(Topology::new(name(0), records).by_short_id(id), Some(name(1)));
}

proptest! {
    #[test]
    fn a_flooded_frame_reaches_every_peer_exactly_once(graph in connected()) {
        let views: Vec<Topology> = (0..graph.len()).map(|n| graph.seen_from(n)).collect();
        for source in 0..graph.len() {
            let mut received = vec![0; views.len()];
            let mut queue = VecDeque::from([source]);
            while let Some(at) = queue.pop_front() {
                received[usize::from(at)] += 1;
                prop_assert!(received[usize::from(at)] == 1, "twice at {at}");
                queue.extend(views[usize::from(at)].broadcast(name(source)).iter().map(number));
            }
            prop_assert!(received.iter().all(|count| *count == 1), "{received:?}");
        }
    }

    #[test]
    fn next_hops_lead_to_every_peer_by_a_shortest_way(graph in connected()) {
        let views: Vec<Topology> = (0..graph.len()).map(|n| graph.seen_from(n)).collect();
        for (from, to) in (0..graph.len()).flat_map(|from| (0..graph.len()).map(move |to| (from, to))) {
            let mut at = from;
            let mut steps = 0;
            while at != to {
                let hop = views[usize::from(at)].unicast(name(to));
                prop_assert!(hop.is_some(), "{at} has no way to {to}");
                at = hop.iter().map(number).next().unwrap();
                steps += 1;
                prop_assert!(steps <= graph.len(), "a loop between {from} and {to}");
            }
            prop_assert_eq!(steps, graph.distances(from)[usize::from(to)]);
        }
    }
}

type Records = BTreeMap<PeerName, Arc<PeerRecord>>;

/// Peers 0.., and which of them are connected
#[derive(Debug, Clone)]
struct Graph {
    records: Records,
}

impl Graph {
    fn of(count: u16, edges: &[(u16, u16)]) -> Self {
        let neighbours = |n| {
            let others = edges.iter().filter_map(move |(a, b)| match n {
                n if n == *a => Some(*b),
                n if n == *b => Some(*a),
                _ => None,
            });
            others.collect::<Vec<u16>>()
        };
        let records = (0..count).map(|n| (name(n), Arc::new(record(n, 1, &neighbours(n)))));
        Self {
            records: records.collect(),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        for record in self.records.values() {
            table.merge(PeerRecord::clone(record), None, Instant::now());
        }
        table
    }

    fn len(&self) -> u16 {
        self.records.len() as u16
    }

    fn seen_from(&self, n: u16) -> Topology {
        Topology::new(name(n), self.records.clone())
    }

    /// By relaxation, until nothing changes: slow, and unlike the search
    fn distances(&self, from: u16) -> Vec<u16> {
        let mut distances = vec![u16::MAX - 1; self.records.len()];
        distances[usize::from(from)] = 0;
        for _ in 0..self.records.len() {
            for (n, record) in self.records.values().enumerate() {
                for other in record.connections.keys().map(number) {
                    distances[n] = distances[n].min(distances[usize::from(other)] + 1);
                }
            }
        }
        distances
    }
}

/// A spanning tree and some more edges
fn connected() -> impl Strategy<Value = Graph> {
    (1..13u16).prop_flat_map(|count| {
        let tree = prop::collection::vec(any::<prop::sample::Index>(), usize::from(count) - 1);
        let more = prop::collection::vec((0..count, 0..count), 0..20);
        (tree, more).prop_map(move |(tree, more)| {
            let mut edges: Vec<(u16, u16)> = more.into_iter().filter(|(a, b)| a != b).collect();
            for (child, parent) in (1..count).zip(tree) {
                edges.push((child, parent.index(usize::from(child)) as u16));
            }
            Graph::of(count, &edges)
        })
    })
}

fn number(name: &PeerName) -> u16 {
    name.mac().to_bits() as u16
}
