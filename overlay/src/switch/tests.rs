use std::net::Ipv4Addr;

use model::{ShortId, Vni};
use openvswitch_sys::{Action as A, PortNo, SetTunnel, Tag, TunnelKey, Vlans};

use super::*;
use crate::Tunnel;
use crate::sim::net::{Graph, Table, name};

mod changes;
mod dumps;
mod ingress;
mod limits;
mod oversize;
mod ready;
mod verdicts;

const VXLAN: PortNo = PortNo(1);
const TAP: PortNo = PortNo(2);
const HOST: PortNo = PortNo(0);
const C1: PortNo = PortNo(10);
const C2: PortNo = PortNo(11);

/// Host 0 with neighbours 1 (fastdp) and 2 (sleeve); 3 is behind 1, 4 behind 2, 5 is gone
struct Bench {
    switch: Switch,
    shared: Arc<MacTable>,
    now: Instant,
}

fn graph() -> Graph {
    let mut graph = Graph::new(6, &[(0, 1), (0, 2), (1, 3), (2, 4)]);
    graph.ids.remove(&5);
    graph
}

fn id(n: u16) -> ShortId {
    ShortId::truncated(n + 1)
}

fn station(n: u8) -> Mac {
    Mac::new([2, 0, 0, 0, 0, n])
}

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, n)
}

fn fastdp(n: u8, mtu: u16) -> Path {
    Path::Fastdp(Tunnel {
        port: VXLAN,
        local: address(0),
        remote: address(n),
        mtu,
        csum: true,
    })
}

fn key(in_port: PortNo, src: Mac, dst: Mac) -> UpcallKey {
    UpcallKey {
        in_port,
        src,
        dst,
        tunnel: None,
        vlans: Vlans::None,
        ethertype: Some(0x0800),
    }
}

/// From neighbour `from` through the tunnel
fn vxlan(from: u8, vni: Vni, src: Mac, dst: Mac) -> UpcallKey {
    UpcallKey {
        tunnel: Some(TunnelKey {
            id: u64::from(u32::from(vni)),
            src: address(from),
            dst: address(0),
        }),
        ..key(VXLAN, src, dst)
    }
}

fn tap(vlans: Vlans, src: Mac, dst: Mac) -> UpcallKey {
    UpcallKey {
        vlans,
        ..key(TAP, src, dst)
    }
}

fn vni(source: u16, destination: u16) -> Vni {
    Vni::new(id(source), id(destination))
}

fn set(to: u8, vni: Vni) -> A {
    A::SetTunnel(SetTunnel {
        id: u64::from(u32::from(vni)),
        src: address(0),
        dst: address(to),
        tos: 0,
        ttl: 64,
        dont_fragment: true,
        csum: true,
    })
}

fn tunnelled(to: u8, vni: Vni) -> Vec<A> {
    vec![set(to, vni), A::Output(VXLAN)]
}

fn one(n: u16) -> Tag {
    Tag::dot1q(id(n).value())
}

fn outer(n: u16) -> Tag {
    Tag::dot1ad(id(n).value())
}

impl Bench {
    fn with(config: Config) -> Self {
        let now = Instant::now();
        let shared = Arc::new(MacTable::new(1024, 1));
        let mut switch = Switch::new(config, Arc::new(graph().routes(0)), Arc::clone(&shared), now);
        switch.port_added(HOST, PortRole::Host, now);
        switch.port_added(VXLAN, PortRole::Vxlan, now);
        switch.port_added(TAP, PortRole::Tap, now);
        switch.port_added(C1, PortRole::Container, now);
        switch.port_added(C2, PortRole::Container, now);
        switch.set_ingress(name(1), Some(address(1)), now);
        switch.set_path(name(1), Some(fastdp(1, 1450)), now);
        switch.set_path(name(2), Some(Path::Sleeve), now);
        Self { switch, shared, now }
    }

    /// Settled, without length checks; station 1 is on C1, 2 on C2, and 1`n` on peer `n`
    fn new() -> Self {
        let mut bench = Self::with(Config {
            mtu: 1450,
            ..Config::default()
        });
        bench.switch.settle(bench.now);
        bench.introduce();
        bench
    }

    fn introduce(&mut self) {
        self.miss(&key(C1, station(1), Mac::BROADCAST));
        self.miss(&key(C2, station(2), Mac::BROADCAST));
        for (from, peer) in [(1, 1), (1, 3)] {
            self.miss(&vxlan(
                from,
                vni(peer, 0),
                station(10 + peer as u8),
                Mac::BROADCAST,
            ));
        }
        for peer in [2, 4] {
            self.miss(&tap(
                Vlans::One(one(peer)),
                station(10 + peer as u8),
                Mac::BROADCAST,
            ));
        }
    }

    /// The verdict; its flow is installed
    fn miss(&mut self, key: &UpcallKey) -> Verdict {
        self.now += Duration::from_millis(10);
        self.switch.miss(key, self.now)
    }

    fn outputs(&mut self) -> Vec<SwitchOutput> {
        std::iter::from_fn(|| self.switch.poll_output()).collect()
    }

    fn commands(&mut self) -> Vec<Command> {
        let commands = self.outputs().into_iter().filter_map(|output| match output {
            SwitchOutput::Command(command) => Some(command),
            SwitchOutput::Event(_) => None,
        });
        commands.collect()
    }

    fn actions_of(&self, key: &UpcallKey) -> Option<Vec<A>> {
        let wanted = key.flow_key();
        let mut flows = self.switch.flows();
        flows.find_map(|(key, actions)| (*key == wanted).then(|| actions.to_vec()))
    }
}
