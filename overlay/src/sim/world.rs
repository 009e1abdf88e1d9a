//! Hosts, and the fabric between them.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fallback_sleeve::vlan::PeerTags;
use model::{Mac, ShortId, Vni};
use openvswitch_sys::uapi::{ETH_P_8021AD, ETH_P_8021Q};
use openvswitch_sys::{PortNo, SetTunnel, Tag, TunnelKey};

use super::kernel::{Frame, Kernel, Out, execute};
use super::net::{Graph, name};
use crate::{
    Config, Forwarding, Inject, MacTable, Mode, Neighbour, Path, PortRole, Routes, Switch, SwitchOutput,
    Tunnel,
};

pub(crate) const VXLAN: PortNo = PortNo(1);
pub(crate) const TAP: PortNo = PortNo(2);

pub(crate) fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, n as u8)
}

pub(crate) struct Ovs {
    pub(crate) switch: Switch,
    pub(crate) kernel: Kernel,
    pub(crate) shared: Arc<MacTable>,
}

pub(crate) enum Plug {
    Ovs(Box<Ovs>),
    /// Stations by bridge port
    Bridge(BTreeMap<Mac, PortNo>, MacTable),
}

pub(crate) struct Host {
    pub(crate) plug: Plug,
    pub(crate) forwarding: Forwarding<usize>,
    pub(crate) ports: Vec<PortNo>,
}

/// A frame on its way
enum Step {
    Port(usize, PortNo, Frame, Option<TunnelKey>),
    /// To a host, from a neighbour
    Sleeve(usize, usize, Vni, Frame),
}

pub(crate) struct World {
    pub(crate) graph: Graph,
    pub(crate) hosts: Vec<Host>,
    /// What each host has chosen for each neighbour
    pub(crate) paths: BTreeMap<(usize, usize), Path>,
    pub(crate) now: Instant,
    next_port: u32,
}

impl World {
    /// Hosts as `ovs` says, joined as the graph says, all by sleeve
    pub(crate) fn new(graph: Graph, ovs: &[bool]) -> Self {
        let now = Instant::now();
        let host = |n: usize| {
            let routes: Arc<dyn Routes> = Arc::new(graph.routes(n));
            let (plug, mode) = if ovs[n] {
                let shared = Arc::new(MacTable::new(4096, n as u64));
                (Plug::Ovs(Box::new(Ovs::new(&routes, shared, now))), Mode::Tagged)
            } else {
                (
                    Plug::Bridge(BTreeMap::new(), MacTable::new(4096, n as u64)),
                    Mode::Bridge,
                )
            };
            Host {
                plug,
                forwarding: Forwarding::new(mode, routes, []),
                ports: vec![],
            }
        };
        let hosts = (0..ovs.len()).map(host).collect();
        let mut world = Self {
            graph,
            hosts,
            paths: BTreeMap::new(),
            now,
            next_port: 10,
        };
        for host in &mut world.hosts {
            if let Plug::Ovs(ovs) = &mut host.plug {
                ovs.switch.settle(now);
            }
        }
        world.apply();
        world
    }

    pub(crate) fn is_ovs(&self, n: usize) -> bool {
        matches!(self.hosts[n].plug, Plug::Ovs(_))
    }

    pub(crate) fn ovs(&mut self, n: usize) -> &mut Ovs {
        match &mut self.hosts[n].plug {
            Plug::Ovs(ovs) => ovs,
            Plug::Bridge(..) => panic!("host {n} has no Open vSwitch"),
        }
    }

    pub(crate) fn fastdp(&self, to: usize, from: usize, mtu: u16) -> Path {
        Path::Fastdp(Tunnel {
            port: VXLAN,
            local: address(from),
            remote: address(to),
            mtu,
            csum: true,
        })
    }

    /// Tells every host of the graph and the paths, each only of what changed as the daemon would
    pub(crate) fn apply(&mut self) {
        let (graph, now) = (self.graph.clone(), self.now);
        self.paths.retain(|edge, _| graph.edges.contains(edge));
        for (from, to) in &graph.edges {
            self.paths.entry((*from, *to)).or_insert(Path::Sleeve);
        }
        for n in 0..self.hosts.len() {
            let routes: Arc<dyn Routes> = Arc::new(graph.routes(n));
            let paths = self.paths.clone();
            let host = &mut self.hosts[n];
            if let Plug::Ovs(ovs) = &mut host.plug {
                ovs.switch.set_routes(Arc::clone(&routes), now);
                for other in 0..graph.ids.len() {
                    let proved = paths.contains_key(&(n, other)).then(|| address(other));
                    ovs.switch.set_ingress(name(other), proved, now);
                    ovs.switch
                        .set_path(name(other), paths.get(&(n, other)).copied(), now);
                }
                ovs.drain();
            }
            let neighbours = paths.range((n, 0)..(n + 1, 0)).map(|((_, to), path)| {
                let neighbour = Neighbour {
                    session: *to,
                    path: Some(path.kind()),
                };
                (name(*to), neighbour)
            });
            host.forwarding = Forwarding::new(host.forwarding.mode(), routes, neighbours);
        }
    }

    pub(crate) fn renumber(&mut self, n: usize, id: ShortId) {
        let old = self.graph.ids.insert(n, id).unwrap();
        self.apply();
        for host in &self.hosts {
            if let Plug::Bridge(_, macs) = &host.plug {
                macs.forget_peer(old);
            }
        }
    }

    pub(crate) fn add_port(&mut self, n: usize) -> PortNo {
        let port = PortNo(self.next_port);
        self.next_port += 1;
        let now = self.now;
        self.hosts[n].ports.push(port);
        if let Plug::Ovs(ovs) = &mut self.hosts[n].plug {
            ovs.switch.port_added(port, PortRole::Container, now);
            ovs.drain();
        }
        port
    }

    pub(crate) fn remove_port(&mut self, n: usize, port: PortNo) {
        let now = self.now;
        self.hosts[n].ports.retain(|other| *other != port);
        match &mut self.hosts[n].plug {
            Plug::Ovs(ovs) => {
                ovs.switch.port_removed(port, now);
                ovs.drain();
            }
            Plug::Bridge(fdb, macs) => {
                fdb.retain(|mac, at| {
                    if *at == port {
                        macs.forget(*mac);
                    }
                    *at != port
                });
            }
        }
    }

    /// Sends a frame from a port and tells at which ports it comes out, in any order
    pub(crate) fn send(&mut self, n: usize, port: PortNo, frame: Frame) -> Vec<(usize, PortNo, Frame)> {
        let mut todo = VecDeque::from([Step::Port(n, port, frame, None)]);
        let mut delivered = vec![];
        let mut steps = 0;
        while let Some(step) = todo.pop_front() {
            steps += 1;
            assert!(steps < 5000, "a loop");
            self.now += Duration::from_millis(1);
            match step {
                Step::Port(n, port, frame, tunnel) if self.is_ovs(n) => {
                    self.datapath(n, port, &frame, tunnel, &mut todo, &mut delivered);
                }
                Step::Port(n, port, frame, _) => self.bridge(n, port, &frame, &mut todo, &mut delivered),
                Step::Sleeve(n, from, vni, frame) => self.sleeve(n, from, vni, frame, &mut todo),
            }
        }
        delivered
    }

    fn datapath(
        &mut self,
        n: usize,
        port: PortNo,
        frame: &Frame,
        tunnel: Option<TunnelKey>,
        todo: &mut VecDeque<Step>,
        delivered: &mut Vec<(usize, PortNo, Frame)>,
    ) {
        let now = self.now;
        let key = frame.key(port, tunnel);
        let ovs = self.ovs(n);
        let lists = match ovs.kernel.matching(&key, now) {
            Some(actions) => vec![actions],
            None => {
                let verdict = ovs.switch.miss(&key, now);
                ovs.drain();
                if let Some(key) = verdict.install {
                    ovs.kernel.put(key, verdict.actions.clone());
                }
                std::iter::once(verdict.actions).chain(verdict.further).collect()
            }
        };
        for actions in lists {
            let out = execute(&actions, frame);
            self.emit(n, port, out, todo, delivered);
        }
    }

    fn emit(
        &mut self,
        n: usize,
        in_port: PortNo,
        out: Vec<Out>,
        todo: &mut VecDeque<Step>,
        delivered: &mut Vec<(usize, PortNo, Frame)>,
    ) {
        for out in out {
            match out {
                Out::Port(VXLAN, frame, tunnel) => {
                    self.tunnel(n, frame, tunnel.expect("a tunnel is set"), todo)
                }
                Out::Port(_, _, Some(set)) => panic!("{set:?} leaks into a plain output"),
                Out::Port(TAP, frame, None) => self.egress(n, frame, todo),
                Out::Port(port, frame, None) => {
                    assert!(self.hosts[n].ports.contains(&port), "no such port");
                    delivered.push((n, port, frame));
                }
                Out::Upcall(cookie, frame) => {
                    assert!(Switch::is_oversize(cookie));
                    let now = self.now;
                    let switch = &mut self.ovs(n).switch;
                    let oversize = switch.oversize(in_port, frame.dst, cookie, now).unwrap();
                    let (frame, actions) = match (oversize.reply, oversize.fragment) {
                        (Some(reply), _) if frame.whole => {
                            let answer = Frame {
                                too_big: Some(oversize.mtu),
                                ..Frame::new(frame.dst, frame.src)
                            };
                            (answer, reply)
                        }
                        (_, Some(fragment)) => (frame, fragment),
                        (_, None) => continue,
                    };
                    self.emit(n, in_port, execute(&actions, &frame), todo, delivered);
                }
            }
        }
    }

    fn tunnel(&mut self, n: usize, frame: Frame, set: SetTunnel, todo: &mut VecDeque<Step>) {
        assert_eq!(set.src, address(n));
        let to = usize::from(set.dst.octets()[3]);
        let Some(Path::Fastdp(tunnel)) = self.paths.get(&(n, to)) else {
            panic!("no tunnel from {n} to {to}");
        };
        assert!(frame.len <= tunnel.mtu + 14, "longer than the path");
        let key = TunnelKey {
            id: set.id,
            src: set.src,
            dst: set.dst,
        };
        todo.push_back(Step::Port(to, VXLAN, frame, Some(key)));
    }

    fn egress(&self, n: usize, mut frame: Frame, todo: &mut VecDeque<Step>) {
        let id = |tag: Tag| ShortId::truncated(tag.vid);
        let tags = match *frame.tags.as_slice() {
            [outer, ..] if outer.tpid == ETH_P_8021Q => PeerTags::One(id(outer)),
            [outer, inner, ..] if (outer.tpid, inner.tpid) == (ETH_P_8021AD, ETH_P_8021Q) => PeerTags::Two {
                destination: id(outer),
                source: id(inner),
            },
            _ => panic!("{:?} name no peer", frame.tags),
        };
        frame.tags.drain(..tags.count());
        frame.len -= 4 * tags.count() as u16;
        let send = |vni, to: &usize| todo.push_back(Step::Sleeve(*to, n, vni, frame.clone()));
        self.hosts[n].forwarding.egress_tagged(tags, send).unwrap();
    }

    fn sleeve(&mut self, n: usize, from: usize, vni: Vni, frame: Frame, todo: &mut VecDeque<Step>) {
        let host = &self.hosts[n];
        let macs: &MacTable = match &host.plug {
            Plug::Ovs(ovs) => &ovs.shared,
            Plug::Bridge(_, macs) => macs,
        };
        let (src, dst) = (frame.src, frame.dst);
        let forward = |vni, to: &usize| todo.push_back(Step::Sleeve(*to, n, vni, frame.clone()));
        let inject = host
            .forwarding
            .ingress(macs, vni, name(from), src, dst, 1, forward);
        match inject.unwrap() {
            Inject::No => {}
            Inject::Plain => todo.push_back(Step::Port(n, TAP, frame, None)),
            Inject::Tagged(peers) => {
                let mut frame = frame;
                let tags = match peers {
                    PeerTags::One(source) => vec![Tag::dot1q(source.value())],
                    PeerTags::Two { destination, source } => {
                        vec![Tag::dot1ad(destination.value()), Tag::dot1q(source.value())]
                    }
                };
                frame.len += 4 * tags.len() as u16;
                frame.tags.splice(0..0, tags);
                todo.push_back(Step::Port(n, TAP, frame, None));
            }
        }
    }

    /// A learning bridge whose port [`TAP`] leads to the sleeve
    fn bridge(
        &mut self,
        n: usize,
        port: PortNo,
        frame: &Frame,
        todo: &mut VecDeque<Step>,
        delivered: &mut Vec<(usize, PortNo, Frame)>,
    ) {
        let host = &mut self.hosts[n];
        let Plug::Bridge(fdb, macs) = &mut host.plug else {
            return;
        };
        fdb.insert(frame.src, port);
        let all = host.ports.iter().copied().chain([TAP]);
        let known = fdb.get(&frame.dst).copied().filter(|_| !frame.dst.is_group());
        let to: Vec<PortNo> = known.map_or_else(|| all.collect(), |one| vec![one]);
        for to in to.into_iter().filter(|to| *to != port) {
            if to == TAP {
                let send = |vni, to: &usize| todo.push_back(Step::Sleeve(*to, n, vni, frame.clone()));
                // That it goes nowhere is an answer, too.
                let _dropped = host.forwarding.egress_bridge(macs, frame.src, frame.dst, 1, send);
            } else {
                delivered.push((n, to, frame.clone()));
            }
        }
    }

    /// The kernel has what the switch believes, which is what it would decide afresh
    pub(crate) fn check_flows(&self) {
        for (n, host) in self.hosts.iter().enumerate() {
            let Plug::Ovs(ovs) = &host.plug else { continue };
            let kernel: BTreeMap<_, _> = ovs
                .kernel
                .flows
                .iter()
                .map(|(key, (actions, _))| (*key, actions.as_slice()))
                .collect();
            let believed: BTreeMap<_, _> = ovs.switch.flows().map(|(key, actions)| (*key, actions)).collect();
            assert_eq!(kernel, believed, "host {n}");
            for (key, actions) in believed {
                let decision = ovs.switch.decide(&key);
                assert!(decision.cacheable, "host {n}: {key} must not be a flow");
                assert_eq!(decision.actions, actions, "host {n}: {key}");
            }
        }
    }
}

impl Ovs {
    pub(crate) fn new(routes: &Arc<dyn Routes>, shared: Arc<MacTable>, now: Instant) -> Self {
        let config = Config {
            mtu: 1450,
            too_long_to: Some(7),
            ..Config::default()
        };
        let mut switch = Switch::new(config, Arc::clone(routes), Arc::clone(&shared), now);
        switch.port_added(VXLAN, PortRole::Vxlan, now);
        switch.port_added(TAP, PortRole::Tap, now);
        Self {
            switch,
            kernel: Kernel::default(),
            shared,
        }
    }

    /// Carries out the switch's outputs
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                SwitchOutput::Command(command) => self.kernel.carry_out(command),
                SwitchOutput::Event(_) => {}
            }
        }
    }
}
