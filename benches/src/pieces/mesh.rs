//! Meshes of many peers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gossip::{
    Config, ConnId, Entropy, Event, Identity, Link, Mesh, NetworkName, Offer, Output, Passwords, PeerRecord,
    Signature, Timers, Topology,
};
use model::{PeerName, ShortId, Uid};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Who is connected with whom
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All with the first
    Star,
    /// All with all
    Mesh,
}

/// What so many peers say of themselves, by their names
pub type Records = BTreeMap<PeerName, Arc<PeerRecord>>;

/// The records of so many peers, and the name of the first
pub fn records(shape: Shape, peers: u16) -> (Records, PeerName) {
    let keys: Vec<Identity> = (0..peers).map(key).collect();
    let names: Vec<PeerName> = keys.iter().map(Identity::peer_name).collect();
    let hub = names.first().copied().expect("at least one peer");
    let link = |name: &PeerName| {
        let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), PORT));
        let link = Link {
            address,
            outbound: true,
            established: true,
        };
        (*name, link)
    };
    let record = |(number, (key, name)): (u16, (&Identity, &PeerName))| {
        let is_neighbour = |other: &&PeerName| match shape {
            Shape::Star => (*name == hub) != (**other == hub),
            Shape::Mesh => *other != name,
        };
        let record = PeerRecord {
            name: *name,
            key: key.key(),
            nickname: format!("host{number}").parse().expect("a nickname"),
            uid: Uid(number.into()),
            epoch: 1,
            version: 1,
            short_id: ShortId::truncated(number),
            addresses: vec![],
            connections: names.iter().filter(is_neighbour).map(link).collect(),
            disputes: vec![],
            signature: Signature::default(),
        };
        (*name, Arc::new(record))
    };
    ((0..).zip(keys.iter().zip(&names)).map(record).collect(), hub)
}

/// What a peer computes whenever a record changes: the topology, and the tree of its own broadcasts; how
/// many its own broadcasts go to first
pub fn routes(records: &Records, own: PeerName) -> usize {
    let topology = Topology::new(own, records.clone());
    topology.broadcast(own).len()
}

/// A star whose middle sees a path of one neighbour go down and come up
pub struct Star {
    hub: Mesh,
    leaf: PeerName,
    peers: u16,
    is_up: bool,
    now: Instant,
}

impl Star {
    /// One of so many peers
    pub fn new(peers: u16) -> Self {
        let now = Instant::now();
        let (hub, leaf) = star(peers, now);
        Self {
            hub,
            leaf,
            peers,
            is_up: true,
            now,
        }
    }

    /// The path changes, and everything that follows is computed
    pub fn change(&mut self) {
        self.is_up = !self.is_up;
        self.hub.path_established(self.leaf, self.is_up, self.now);
        self.now += Timers::default().routes;
        self.hub.handle_timeout(self.now);
        while self.hub.poll_output().is_some() {}
        let reached = usize::from(self.peers) - usize::from(!self.is_up);
        assert_eq!(self.hub.topology().broadcast(self.hub.name()).len(), reached - 1);
    }
}

fn key(number: u16) -> Identity {
    Identity::generate(&mut StdRng::seed_from_u64(number.into()))
}

/// The peer in the middle of so many, and one of the others
fn star(peers: u16, now: Instant) -> (Mesh, PeerName) {
    let mut hub = mesh(0, now);
    let mut last = hub.name();
    for number in 1..peers {
        let mut leaf = mesh(number, now);
        last = leaf.name();
        meet(&mut hub, &mut leaf, number, now);
    }
    hub.handle_timeout(now + Timers::default().routes);
    while hub.poll_output().is_some() {}
    assert_eq!(hub.topology().peers.len(), usize::from(peers));
    (hub, last)
}

/// Connects a leaf, with a path, and lets it tell its record
fn meet(hub: &mut Mesh, leaf: &mut Mesh, number: u16, now: Instant) {
    let hub_at = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), PORT));
    let leaf_at = SocketAddr::from((Ipv4Addr::from(0xc612_0000 + u32::from(number)), 40_000));
    leaf.set_targets(
        vec![hub_at.to_string().parse().expect("an address is a target")],
        true,
        now,
    );
    leaf.handle_timeout(now);
    let dial = std::iter::from_fn(|| leaf.poll_output()).find_map(|output| match output {
        Output::Dial { dial, .. } => Some(dial),
        Output::Send { .. } | Output::Close { .. } | Output::Event(_) => None,
    });
    let dial = dial.expect("a target is dialled at once");
    let there = leaf
        .dialled(dial, Ok((leaf_at, hub_at)), now)
        .expect("it wanted that");
    let here = hub
        .accepted(hub_at, leaf_at, now)
        .expect("one handshake at a time");
    let (hub_name, leaf_name) = (hub.name(), leaf.name());
    exchange(hub, here, leaf, there, now);
    hub.path_established(leaf_name, true, now);
    leaf.path_established(hub_name, true, now);
    let told = now + Timers::default().flood;
    leaf.handle_timeout(told);
    exchange(hub, here, leaf, there, told);
}

/// Carries bytes both ways until nobody has any
fn exchange(hub: &mut Mesh, here: ConnId, leaf: &mut Mesh, there: ConnId, now: Instant) {
    loop {
        let (from_hub, from_leaf) = (bytes(hub, here), bytes(leaf, there));
        if from_hub.is_empty() && from_leaf.is_empty() {
            return;
        }
        hub.handle_input(here, &from_leaf, now);
        leaf.handle_input(there, &from_hub, now);
    }
}

/// What a mesh sends on a connection; nothing else that it wants matters here
fn bytes(mesh: &mut Mesh, conn: ConnId) -> Vec<u8> {
    let mut sent = Vec::new();
    while let Some(output) = mesh.poll_output() {
        match output {
            Output::Send { conn: on, bytes } if on == conn => sent.extend(bytes),
            Output::Event(Event::NeighbourDown { reason, .. }) => panic!("{reason:?}"),
            Output::Send { .. } | Output::Dial { .. } | Output::Close { .. } | Output::Event(_) => {}
        }
    }
    sent
}

fn mesh(number: u16, now: Instant) -> Mesh {
    let mut rng = StdRng::seed_from_u64(number.into());
    let identity = Identity::generate(&mut rng);
    let config = Config {
        name: identity.peer_name(),
        nickname: format!("host{number}").parse().expect("a nickname"),
        identity,
        network: NetworkName::default(),
        passwords: Passwords::default(),
        entropy: Entropy::new(StdRng::from_rng(&mut rng)),
        pins: vec![],
        bans: vec![],
        unix_ms: 0,
        short_id: Some(ShortId::truncated(number)),
        epoch: 1,
        uid: Uid(number.into()),
        control_port: PORT,
        version: "0".to_owned(),
        discovery: false,
        conn_limit: None,
        trusted_subnets: vec![],
        offer: Offer {
            fastdp: true,
            vxlan_port: PORT + 1,
            sleeve_port: PORT,
            overlay_mtu: 1450,
        },
        held: vec![],
        // Of the hub's timers only that of the routes is to be measured.
        timers: if number == 0 { patient() } else { Timers::default() },
    };
    Mesh::new(config, rng, now)
}

fn patient() -> Timers {
    let never = Duration::from_secs(1_000_000);
    Timers {
        keepalive: never,
        silence: never,
        flood: never,
        digest: never,
        ..Timers::default()
    }
}

const PORT: u16 = 6783;
