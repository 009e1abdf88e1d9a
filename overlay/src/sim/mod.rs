//! Many hosts with switches, sleeves and bridges, joined by a fabric that carries frames at once.
//!
//! The oracle knows nothing of flows: a broadcast comes out once at every other container, a unicast
//! frame only at its owner.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Mac, ShortId};
use openvswitch_sys::PortNo;
use proptest::prelude::*;

use crate::{PortRole, Routes};
use kernel::Frame;
use net::{Graph, name};
use world::{Ovs, TAP, VXLAN, World};

pub(crate) mod kernel;
pub(crate) mod net;
mod world;

/// Containers and where they are
struct Lab {
    world: World,
    stations: Vec<(Mac, usize, PortNo)>,
}

#[derive(Debug, Clone)]
enum Step {
    /// A container broadcasts
    Broadcast { who: usize, long: bool },
    /// A container sends to another
    Unicast {
        from: usize,
        to: usize,
        long: bool,
        whole: bool,
    },
    /// A container starts elsewhere, and says so
    Move { who: usize, to: usize, keep_port: bool },
    /// A link gets another path in one direction
    Path { link: usize, path: u8, mtu: u16 },
    /// A link comes or goes
    Link { a: usize, b: usize },
    /// A peer gets another short id
    Renumber { who: usize, id: u16 },
    /// Two peers swap their short ids
    Swap { a: usize, b: usize },
    /// All kernels are dumped
    Dump,
}

fn steps() -> impl Strategy<Value = Step> {
    let n = 0..100usize;
    prop_oneof![
        3 => (n.clone(), any::<bool>()).prop_map(|(who, long)| Step::Broadcast { who, long }),
        6 => (n.clone(), n.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(from, to, long, whole)| Step::Unicast { from, to, long, whole }),
        2 => (n.clone(), n.clone(), any::<bool>())
            .prop_map(|(who, to, keep_port)| Step::Move { who, to, keep_port }),
        3 => (n.clone(), 0..3u8, 1300..1500u16).prop_map(|(link, path, mtu)| Step::Path { link, path, mtu }),
        2 => (n.clone(), n.clone()).prop_map(|(a, b)| Step::Link { a, b }),
        1 => (n.clone(), 100..4096u16).prop_map(|(who, id)| Step::Renumber { who, id }),
        1 => (n.clone(), n).prop_map(|(a, b)| Step::Swap { a, b }),
        1 => Just(Step::Dump),
    ]
}

/// Which hosts have Open vSwitch, the tree's parents, links besides, kinds of the paths
type Plan = (Vec<bool>, Vec<usize>, Vec<(usize, usize)>, Vec<u8>);

/// Up to seven hosts, each with or without Open vSwitch; a random tree and some more links
fn labs() -> impl Strategy<Value = Plan> {
    (2..8usize).prop_flat_map(|n| {
        (
            prop::collection::vec(prop::bool::weighted(0.75), n),
            prop::collection::vec(0..100usize, n),
            prop::collection::vec((0..n, 0..n), 0..n),
            prop::collection::vec(0..3u8, 64),
        )
    })
}

fn mac(n: usize) -> Mac {
    Mac::new([2, 0xcc, 0, 0, 0, n as u8])
}

impl Lab {
    fn new(ovs: &[bool], parents: &[usize], extra: &[(usize, usize)], kinds: &[u8]) -> Self {
        let mut graph = Graph::new(ovs.len(), extra);
        for (n, parent) in parents.iter().enumerate().skip(1) {
            graph.join(n, parent % n);
        }
        let mut world = World::new(graph, ovs);
        let links: Vec<_> = world.graph.edges.iter().copied().collect();
        for (link, kind) in links.into_iter().zip(kinds.iter().cycle()) {
            set_path(&mut world, link, *kind, 1450);
        }
        world.apply();
        let mut lab = Self {
            world,
            stations: vec![],
        };
        for n in 0..2 * ovs.len() {
            let host = n % ovs.len();
            let port = lab.world.add_port(host);
            lab.stations.push((mac(n), host, port));
        }
        for who in 0..lab.stations.len() {
            lab.broadcast(who, false);
        }
        lab
    }

    fn apply(&mut self, step: Step) {
        let count = self.stations.len();
        let hosts = self.world.hosts.len();
        match step {
            Step::Broadcast { who, long } => self.broadcast(who % count, long),
            Step::Unicast {
                from,
                to,
                long,
                whole,
            } => self.unicast(from % count, to % count, long, whole),
            Step::Move { who, to, keep_port } => {
                let (mac, host, port) = self.stations[who % count];
                if !keep_port {
                    self.world.remove_port(host, port);
                }
                let to = to % hosts;
                self.stations[who % count] = (mac, to, self.world.add_port(to));
                self.broadcast(who % count, false);
            }
            Step::Path { link, path, mtu } => {
                let links = &self.world.graph.edges;
                let link = *links.iter().nth(link % links.len()).unwrap();
                set_path(&mut self.world, link, path, mtu);
                self.world.apply();
            }
            Step::Link { a, b } => {
                let (a, b) = (a % hosts, b % hosts);
                let before = self.world.graph.clone();
                if before.edges.contains(&(a, b)) {
                    self.world.graph.part(a, b);
                } else {
                    self.world.graph.join(a, b);
                }
                if !self.world.graph.is_connected() {
                    self.world.graph = before;
                }
                self.world.apply();
            }
            Step::Renumber { who, id } => {
                let id = ShortId::truncated(id);
                if !self.world.graph.ids.values().any(|other| *other == id) {
                    self.world.renumber(who % hosts, id);
                    self.speak_on(who % hosts);
                }
            }
            Step::Swap { a, b } => {
                let (a, b) = (a % hosts, b % hosts);
                let (id_a, id_b) = (self.world.graph.id(a), self.world.graph.id(b));
                self.world.graph.ids.extend([(a, id_b), (b, id_a)]);
                self.world.apply();
                // What bridge hosts took for the one is the other's until somebody speaks.
                self.speak_on(a);
                self.speak_on(b);
            }
            Step::Dump => {
                let now = self.world.now;
                for n in 0..hosts {
                    if self.world.is_ovs(n) {
                        let ovs = self.world.ovs(n);
                        let dump = ovs.kernel.dump(now);
                        ovs.switch.flows_seen(dump, now, now);
                        assert_eq!(ovs.switch.poll_output(), None, "all is as it should be");
                    }
                }
            }
        }
    }

    /// Every container of a host broadcasts
    fn speak_on(&mut self, host: usize) {
        for who in 0..self.stations.len() {
            if self.stations[who].1 == host {
                self.broadcast(who, false);
            }
        }
    }

    fn frame(&self, src: Mac, dst: Mac, long: bool) -> Frame {
        Frame {
            len: if long { 1464 } else { 100 },
            ..Frame::new(src, dst)
        }
    }

    fn broadcast(&mut self, who: usize, long: bool) {
        let (mac, host, port) = self.stations[who];
        let frame = self.frame(mac, Mac::BROADCAST, long);
        let delivered = self.world.send(host, port, frame.clone());
        let mut times = BTreeMap::<(usize, PortNo), u32>::new();
        for (n, port, got) in delivered {
            assert_eq!(got, frame, "it arrives as it was sent");
            *times.entry((n, port)).or_default() += 1;
        }
        let every = self.world.hosts.iter().enumerate();
        let wanted = every.flat_map(|(n, host)| host.ports.iter().map(move |port| ((n, *port), 1)));
        let mut wanted: BTreeMap<_, _> = wanted.collect();
        wanted.remove(&(host, port));
        assert_eq!(times, wanted, "broadcast of station {who} on host {host}");
    }

    fn unicast(&mut self, from: usize, to: usize, long: bool, whole: bool) {
        let (src, host, port) = self.stations[from];
        let (dst, owner, owner_port) = self.stations[to];
        let frame = Frame {
            whole,
            ..self.frame(src, dst, long)
        };
        let delivered = self.world.send(host, port, frame.clone());
        if (host, port) == (owner, owner_port) {
            assert!(delivered.is_empty());
        } else if delivered.iter().any(|(_, _, frame)| frame.too_big.is_some()) {
            assert!(long && whole, "only then may it be refused");
            let [(n, back, answer)] = delivered.as_slice() else {
                panic!("one answer: {delivered:?}");
            };
            assert_eq!((*n, *back), (host, port), "the sender is told");
            assert!(answer.too_big.unwrap() < 1450);
        } else {
            assert_eq!(delivered, [(owner, owner_port, frame)], "station {from} to {to}");
        }
    }
}

fn set_path(world: &mut World, (from, to): (usize, usize), kind: u8, mtu: u16) {
    let path = if kind > 0 && world.is_ovs(from) && world.is_ovs(to) {
        world.fastdp(to, from, mtu)
    } else {
        crate::Path::Sleeve
    };
    world.paths.insert((from, to), path);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn frames_come_out_where_they_should_whatever_changes(
        (ovs, parents, extra, kinds) in labs(),
        script in prop::collection::vec(steps(), 0..40),
    ) {
        let mut lab = Lab::new(&ovs, &parents, &extra, &kinds);
        lab.world.check_flows();
        for step in script {
            lab.apply(step);
            lab.world.check_flows();
        }
    }

    #[test]
    fn a_restarted_switch_leaves_flows_alone_until_it_settles(
        (mut ovs, parents, extra, kinds) in labs(),
        before in prop::collection::vec(steps(), 0..10),
        after in prop::collection::vec(steps(), 0..10),
    ) {
        ovs[0] = true;
        let mut lab = Lab::new(&ovs, &parents, &extra, &kinds);
        for step in before {
            lab.apply(step);
        }
        for who in 0..lab.stations.len() {
            lab.broadcast(who, false);
            lab.unicast(0, who, false, false);
        }
        let world = &mut lab.world;
        let (flows, now) = (world.ovs(0).kernel.flows.clone(), world.now);

        // It starts with ports and flows, and knows no peer but itself.
        let alone: Arc<dyn Routes> = Arc::new(Graph { ids: [(0, world.graph.id(0))].into(), ..Graph::default() }.routes(0));
        let ports = world.hosts[0].ports.clone();
        let paths = world.paths.clone();
        let graph = world.graph.clone();
        let host = world.ovs(0);
        let mut fresh = Ovs::new(&alone, Arc::clone(&host.shared), now);
        for port in ports {
            fresh.switch.port_added(port, PortRole::Container, now);
        }
        fresh.kernel = std::mem::take(&mut host.kernel);
        let dump = fresh.kernel.dump(now);
        fresh.switch.flows_seen(dump, now, now);
        let later = now + Duration::from_secs(2);
        fresh.switch.set_routes(Arc::new(graph.routes(0)), later);
        for (_, to) in paths.keys().filter(|(from, _)| *from == 0) {
            fresh
                .switch
                .set_ingress(name(*to), Some(world::address(*to)), later);
            fresh.switch.set_path(name(*to), paths.get(&(0, *to)).copied(), later);
        }
        fresh.switch.handle_timeout(later);
        prop_assert_eq!(fresh.switch.poll_output(), None, "nothing is touched");
        prop_assert_eq!(fresh.kernel.flows.len(), flows.len());

        fresh.switch.settle(later);
        fresh.drain();
        *host = fresh;
        lab.world.now = later;
        lab.world.check_flows();
        // Flows that were right survive; of the rest each frame puts its own again.
        for step in after {
            lab.apply(step);
            lab.world.check_flows();
        }
    }
}

#[test]
fn established_traffic_does_not_notice_a_restart() {
    let mut lab = Lab::new(&[true, true, true], &[0, 0, 1], &[], &[1]);
    for (from, to) in [(0, 1), (1, 0), (2, 1), (1, 2), (0, 4), (4, 0)] {
        lab.unicast(from, to, false, false);
    }
    let world = &mut lab.world;
    let now = world.now;
    let before: Vec<_> = world
        .ovs(1)
        .kernel
        .flows
        .iter()
        .map(|(key, (actions, _))| (*key, actions.clone()))
        .collect();
    let ports = world.hosts[1].ports.clone();
    let routes: Arc<dyn Routes> = Arc::new(world.graph.routes(1));
    let paths: Vec<_> = [0, 2].map(|to| (name(to), world.paths[&(1, to)])).into();
    let host = world.ovs(1);
    let mut fresh = Ovs::new(&routes, Arc::clone(&host.shared), now);
    for port in ports {
        fresh.switch.port_added(port, PortRole::Container, now);
    }
    fresh.kernel = std::mem::take(&mut host.kernel);
    fresh.switch.flows_seen(fresh.kernel.dump(now), now, now);
    for (to, path) in [0, 2].into_iter().zip(paths) {
        let (peer, path) = path;
        fresh.switch.set_ingress(peer, Some(world::address(to)), now);
        fresh.switch.set_path(peer, Some(path), now);
    }
    fresh.switch.settle(now);
    assert_eq!(fresh.switch.poll_output(), None, "every flow was right");
    let after: Vec<_> = fresh
        .switch
        .flows()
        .map(|(key, actions)| (*key, actions.to_vec()))
        .collect();
    let sorted = |mut flows: Vec<_>| {
        flows.sort();
        flows
    };
    assert_eq!(sorted(after), sorted(before));
    assert_eq!(
        fresh.switch.counters().flows_adopted as usize,
        fresh.switch.flow_count()
    );
    let _ports = (VXLAN, TAP);
}
