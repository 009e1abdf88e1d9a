//! A host and a flow for the switch's pieces.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Mac, PeerName, ShortId, Vni};
use openvswitch_sys::{Action, FlowKey, PortNo, SetTunnel, TunnelKey, UpcallKey, Vlans};
use overlay::{Config, MacTable, Path, PortRole, Routes, Switch, Tunnel, Verdict};

/// A flow from a container into a tunnel
pub fn flow() -> (FlowKey, [Action; 2]) {
    let key = FlowKey {
        in_port: CONTAINER,
        src: OWN,
        dst: station(1),
        tunnel: None,
        vlans: Vlans::None,
    };
    let set = SetTunnel {
        id: 0x0020_0100,
        src: address(0),
        dst: address(1),
        tos: 0,
        ttl: 64,
        dont_fragment: true,
        csum: true,
    };
    (key, [Action::SetTunnel(set), Action::Output(VXLAN)])
}

/// A flow's id, key, mask and actions as the kernel takes them
pub fn encoded(key: &FlowKey, actions: &[Action]) -> [Vec<u8>; 4] {
    [
        key.ufid().0.to_vec(),
        key.encode(),
        key.encode_mask(),
        Action::encode_all(actions),
    ]
}

/// A host that knows stations at every peer
pub struct Host {
    switch: Switch,
    now: Instant,
    /// The station that was sent to last
    last: u16,
}

impl Host {
    /// One with 100 peers and 100 stations at each
    #[expect(clippy::new_without_default, reason = "it is a fixture")]
    pub fn new() -> Self {
        let now = Instant::now();
        let config = Config {
            mtu: 1450,
            ..Config::default()
        };
        let shared = Arc::new(MacTable::new(65_536, 1));
        let mut switch = Switch::new(config, Arc::new(Star::new()), shared, now);
        switch.port_added(PortNo::LOCAL, PortRole::Host, now);
        switch.port_added(VXLAN, PortRole::Vxlan, now);
        switch.port_added(CONTAINER, PortRole::Container, now);
        for peer in 1..=PEERS {
            let path = Path::Fastdp(Tunnel {
                port: VXLAN,
                local: address(0),
                remote: address(peer),
                mtu: 1450,
                csum: true,
            });
            if let Path::Fastdp(tunnel) = path {
                switch.set_ingress(name(peer), Some(tunnel.remote), now);
            }
            switch.set_path(name(peer), Some(path), now);
        }
        switch.settle(now);
        let mut host = Self { switch, now, last: 0 };
        for n in 0..PEERS * STATIONS {
            let peer = 1 + n % PEERS;
            let tunnel = TunnelKey {
                id: u32::from(Vni::new(id(peer), id(0))).into(),
                src: address(peer),
                dst: address(0),
            };
            host.handed_up(VXLAN, Some(tunnel), station(n), OWN);
        }
        host
    }

    /// A frame from the container to one of the stations, one after the other
    pub fn miss_unicast(&mut self) -> Verdict {
        self.last = (self.last + 7) % (PEERS * STATIONS);
        self.handed_up(CONTAINER, None, OWN, station(self.last))
    }

    /// A frame from the container to everybody
    pub fn miss_broadcast(&mut self) -> Verdict {
        self.handed_up(CONTAINER, None, OWN, Mac::BROADCAST)
    }

    fn handed_up(&mut self, in_port: PortNo, tunnel: Option<TunnelKey>, src: Mac, dst: Mac) -> Verdict {
        // Slowly enough that the switch's limit on misses does not show.
        self.now += Duration::from_millis(1);
        let key = UpcallKey {
            in_port,
            src,
            dst,
            tunnel,
            vlans: Vlans::None,
            ethertype: Some(0x0800),
        };
        let verdict = self.switch.miss(&key, self.now);
        while self.switch.poll_output().is_some() {}
        verdict
    }
}

/// Every peer a neighbour
#[derive(Debug)]
struct Star {
    names: BTreeMap<PeerName, u16>,
    neighbours: Vec<PeerName>,
}

impl Star {
    fn new() -> Self {
        Self {
            names: (0..=PEERS).map(|peer| (name(peer), peer)).collect(),
            neighbours: (1..=PEERS).map(name).collect(),
        }
    }
}

impl Routes for Star {
    fn own(&self) -> PeerName {
        name(0)
    }

    fn own_short_id(&self) -> ShortId {
        id(0)
    }

    fn short_id(&self, peer: PeerName) -> Option<ShortId> {
        self.names.get(&peer).map(|peer| id(*peer))
    }

    fn peer(&self, id: ShortId) -> Option<PeerName> {
        let peer = id.value().checked_sub(1)?;
        (peer <= PEERS).then(|| name(peer))
    }

    fn unicast(&self, destination: PeerName) -> Option<PeerName> {
        (destination != self.own()).then_some(destination)
    }

    fn broadcast(&self, source: PeerName) -> &[PeerName] {
        if source == self.own() {
            &self.neighbours
        } else {
            &[]
        }
    }
}

fn name(peer: u16) -> PeerName {
    PeerName::from(numbered(0xee, peer))
}

fn station(n: u16) -> Mac {
    numbered(0x01, n)
}

fn numbered(kind: u8, n: u16) -> Mac {
    let [high, low] = n.to_be_bytes();
    Mac::new([0x02, kind, 0, 0, high, low])
}

fn id(peer: u16) -> ShortId {
    ShortId::truncated(peer + 1)
}

fn address(peer: u16) -> Ipv4Addr {
    Ipv4Addr::from(0xc612_0000 + u32::from(peer))
}

const PEERS: u16 = 100;
/// At each peer
const STATIONS: u16 = 100;
const OWN: Mac = Mac::new([0x02, 0, 0, 0, 0, 1]);
const VXLAN: PortNo = PortNo(1);
const CONTAINER: PortNo = PortNo(2);
