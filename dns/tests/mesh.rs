//! Tables of names in a network that breaks and heals, joined by `gossip`'s exchange of what peers hold in
//! common.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dns::{Domain, Filter, Found, KEPT, Names};
use gossip::{COMPARE, Exchange, Identity};
use model::{Mac, PeerName};
use proptest::prelude::*;

#[test]
fn a_container_that_ended_during_a_partition_is_gone_with_the_first_messages_after_it() {
    let mut mesh = Mesh::new(4);
    for link in [(0, 1), (1, 2), (2, 3)] {
        mesh.link(link, true);
    }
    mesh.peers[0]
        .names
        .add("c1", "a".parse().unwrap(), ip(1))
        .unwrap();
    mesh.settle();
    assert!(
        mesh.peers
            .iter()
            .all(|peer| peer.names.zone().addresses("c1.weave.local").count() == 1)
    );
    mesh.link((1, 2), false);
    mesh.settle();
    assert_eq!(mesh.peers[3].names.zone().find("c1.weave.local"), Found::Nothing);
    mesh.peers[0].names.remove(&Filter::default()).unwrap();
    mesh.settle();
    // It heals by another way, and nobody's clock goes on.
    mesh.link((0, 3), true);
    mesh.settle();
    for peer in &mesh.peers {
        assert_eq!(peer.names.zone().find("c1.weave.local"), Found::Nothing);
    }
    mesh.expect_equal();
}

#[test]
fn what_some_forgot_and_others_did_not_is_told_by_nobody_until_its_peer_returns() {
    let mut mesh = Mesh::new(3);
    for link in [(0, 1), (1, 2), (0, 2)] {
        mesh.link(link, true);
    }
    mesh.peers[0]
        .names
        .add("c1", "a".parse().unwrap(), ip(1))
        .unwrap();
    mesh.settle();
    mesh.link((0, 1), false);
    mesh.link((0, 2), false);
    mesh.settle();
    mesh.now += KEPT;
    let now = mesh.now;
    mesh.peers[1].names.handle_timeout(now);
    mesh.expect_quiet();
    mesh.link((0, 2), true);
    mesh.settle();
    mesh.expect_equal();
    assert!(mesh.peers[1].names.zone().addresses("c1.weave.local").eq([ip(1)]));
}

/// What may happen
#[derive(Debug, Clone)]
enum Step {
    Add(usize, u8),
    Remove(usize, u8),
    Link(usize, usize, bool),
    /// So many messages arrive
    Deliver(usize),
    /// A peer starts anew, with no links and no names
    Restart(usize),
    Wait(u64),
}

const PEERS: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let peer = || 0..PEERS;
    prop_oneof![
        4 => (peer(), 0..12u8).prop_map(|(peer, n)| Step::Add(peer, n)),
        3 => (peer(), 0..12u8).prop_map(|(peer, n)| Step::Remove(peer, n)),
        3 => (peer(), peer(), any::<bool>()).prop_map(|(one, other, up)| Step::Link(one, other, up)),
        4 => (0..12usize).prop_map(Step::Deliver),
        1 => peer().prop_map(Step::Restart),
        1 => prop::sample::select(vec![1, 30, 700]).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Once all can reach each other and have compared, everybody answers what its owners say, and only that.
    #[test]
    fn whatever_happened_all_answer_the_same_in_the_end(steps in prop::collection::vec(step(), 0..100)) {
        let mut mesh = Mesh::new(PEERS);
        for step in steps {
            match step {
                Step::Add(peer, n) => {
                    let name = format!("c{}", n % 4);
                    mesh.peers[peer].names.add(&name, "a".parse().unwrap(), ip(n)).unwrap();
                }
                Step::Remove(peer, n) => {
                    let filter = Filter { address: Some(ip(n)), ..Filter::default() };
                    mesh.peers[peer].names.remove(&filter).unwrap();
                }
                Step::Link(one, other, up) if one != other => mesh.link((one, other), up),
                Step::Link(..) => {}
                Step::Deliver(count) => mesh.deliver(count),
                Step::Restart(peer) => mesh.restart(peer),
                Step::Wait(seconds) => mesh.wait(Duration::from_secs(seconds)),
            }
        }
        for other in 1..PEERS {
            mesh.link((other - 1, other), true);
        }
        mesh.settle();
        mesh.wait(COMPARE);
        mesh.settle();
        mesh.expect_equal();
        mesh.expect_quiet();
    }
}

struct Peer {
    names: Names,
    exchange: Exchange,
    epoch: u64,
}

/// Peers, the links between them, and what is on its way
struct Mesh {
    peers: Vec<Peer>,
    links: BTreeSet<(usize, usize)>,
    on_the_way: BTreeMap<(usize, usize), VecDeque<Vec<u8>>>,
    now: Instant,
}

impl Mesh {
    fn new(count: usize) -> Self {
        let peers = (0..count).map(|n| peer(n, 1)).collect();
        Self {
            peers,
            links: BTreeSet::new(),
            on_the_way: BTreeMap::new(),
            now: Instant::now(),
        }
    }

    /// A link comes or goes; what is on its way there is lost when it goes
    fn link(&mut self, (one, other): (usize, usize), up: bool) {
        let link = (one.min(other), one.max(other));
        if up != self.links.contains(&link) {
            for (from, to) in [(one, other), (other, one)] {
                self.on_the_way.remove(&(from, to));
                let Peer { names, exchange, .. } = &mut self.peers[from];
                if up {
                    exchange.up(name(to), names, self.now);
                } else {
                    exchange.down(name(to));
                }
            }
        }
        if up {
            self.links.insert(link);
        } else {
            self.links.remove(&link);
        }
        for n in 0..self.peers.len() {
            let reachable = self.reachable(n).into_iter().map(name).collect();
            self.peers[n].names.reachable(&reachable, self.now);
        }
        self.collect();
    }

    fn restart(&mut self, n: usize) {
        for other in 0..self.peers.len() {
            if other != n {
                self.link((n, other), false);
            }
        }
        self.peers[n] = peer(n, self.peers[n].epoch + 1);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        for peer in &mut self.peers {
            peer.names.handle_timeout(self.now);
            peer.exchange.handle_timeout(&peer.names, self.now);
        }
        self.collect();
    }

    fn deliver(&mut self, count: usize) {
        self.collect();
        for _ in 0..count {
            let Some((&(from, to), queue)) = self.on_the_way.iter_mut().find(|(_, queue)| !queue.is_empty())
            else {
                return;
            };
            let bytes = queue.pop_front().unwrap();
            let links = &self.links;
            let number = |peer: PeerName| usize::from(peer.mac().octets()[5]);
            let reaches = |one: PeerName, other: PeerName| {
                let (one, other) = (number(one), number(other));
                links.contains(&(one.min(other), one.max(other)))
            };
            let peer = &mut self.peers[to];
            peer.exchange
                .heard(
                    name(from),
                    &bytes,
                    &mut peer.names,
                    &gossip::DerivedKeys,
                    reaches,
                    self.now,
                )
                .unwrap();
            self.collect();
        }
    }

    /// Everything that is on its way arrives, and what follows from it
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.deliver(1);
            if self.on_the_way.values().all(VecDeque::is_empty) {
                return;
            }
        }
        panic!("they never stop to talk");
    }

    fn collect(&mut self) {
        for (n, peer) in self.peers.iter_mut().enumerate() {
            peer.exchange.flood(&mut peer.names);
            while let Some((to, bytes)) = peer.exchange.poll_send() {
                let to = usize::from(to.mac().octets()[5]);
                self.on_the_way.entry((n, to)).or_default().push_back(bytes);
            }
        }
    }

    fn reachable(&self, from: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([from]);
        loop {
            let next = |&&(one, other): &&(usize, usize)| reached.contains(&one) != reached.contains(&other);
            let Some(&(one, other)) = self.links.iter().find(next) else {
                return reached;
            };
            reached.extend([one, other]);
        }
    }

    /// Everybody answers what all say, and has the same to tell
    fn expect_equal(&self) {
        let mut all: BTreeMap<String, BTreeSet<Ipv4Addr>> = BTreeMap::new();
        for (n, peer) in self.peers.iter().enumerate() {
            for listed in peer.names.entries().filter(|listed| listed.origin == name(n)) {
                all.entry(listed.entry.name.to_string())
                    .or_default()
                    .insert(listed.entry.address);
            }
        }
        for peer in &self.peers {
            for n in 0..4 {
                let name = format!("c{n}.weave.local.");
                let expected = all.get(&name).cloned().unwrap_or_default();
                assert_eq!(
                    peer.names.zone().addresses(&name).collect::<BTreeSet<_>>(),
                    expected
                );
            }
        }
    }

    /// A comparison of all finds nothing to tell: one hash each way on every link
    fn expect_quiet(&mut self) {
        self.wait(COMPARE);
        let messages: usize = self.on_the_way.values().map(VecDeque::len).sum();
        assert_eq!(messages, 2 * self.links.len());
        for _ in 0..messages {
            self.deliver(1);
        }
        assert!(
            self.on_the_way.values().all(VecDeque::is_empty),
            "a hash was answered"
        );
    }
}

fn peer(n: usize, epoch: u64) -> Peer {
    Peer {
        names: Names::new(name(n), key(n), epoch, Domain::default()),
        exchange: Exchange::new(name(n)),
        epoch,
    }
}

fn name(n: usize) -> PeerName {
    Mac::from_bits(0x0200_0000_0000 | n as u64).into()
}

fn key(n: usize) -> Identity {
    Identity::from_seed([n as u8; 32].into())
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 32, 0, last)
}
