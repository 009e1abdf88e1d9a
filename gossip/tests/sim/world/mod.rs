//! A small internet on a virtual clock: hosts that run one mesh each, TCP between them, data paths.
//!
//! Bytes arrive in order, cut at random, after a random delay. A cut between two hosts stalls what is
//! under way; a reset loses it. Everything is drawn from one generator, so that a seed is a run.

mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gossip::{
    Ban, Channel, Config, ConnId, Departure, DialId, Disconnect, Entropy, Event, Held, Identity, Mesh,
    NetworkName, Offer, Output, Passwords, Pin, Psk, Timers, Topology,
};
use ipnetwork::IpNetwork;
use model::{PeerName, ShortId, Target, Uid};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zeroize::Zeroizing;

use wires::{Segment, Side, Wire, WireId};

/// A host, by its place
pub type HostId = usize;

/// Everything
pub struct World {
    pub now: Instant,
    pub rng: StdRng,
    pub hosts: Vec<Host>,
    start: Instant,
    agenda: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
    wires: BTreeMap<WireId, Wire>,
    next_wire: WireId,
    cuts: BTreeSet<(HostId, HostId)>,
    trace: blake3::Hasher,
    spin: (Instant, u32),
}

/// One host, its disk, and its daemon if that runs
pub struct Host {
    pub mesh: Option<Mesh>,
    pub name: PeerName,
    /// Everything the mesh told since [`World::forget_events`]
    pub events: Vec<Event>,
    pub password: Option<u8>,
    pub discovery: bool,
    pub targets: Vec<HostId>,
    /// Given by the operator; drawn if absent
    pub short_id: Option<ShortId>,
    pub conn_limit: Option<usize>,
    pub trusted_subnets: Vec<IpNetwork>,
    pub keys: Identity,
    pub epoch: u64,
    held: Vec<Held>,
    pins: Vec<Pin>,
    bans: Vec<Ban>,
    wires: BTreeMap<ConnId, (WireId, Side)>,
    starved_until: Instant,
}

enum Happening {
    Arrive {
        wire: WireId,
        side: Side,
        segment: Segment,
    },
    Connect {
        from: HostId,
        incarnation: u64,
        dial: DialId,
        target: Target,
    },
    Path {
        at: HostId,
        to: HostId,
        up: bool,
    },
    Start {
        host: HostId,
    },
    /// A host that was starved runs again
    Wake,
}

impl World {
    /// So many hosts, none of which runs
    pub fn new(seed: u64, count: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Instant::now();
        let hosts = (0..count).map(|_| {
            let keys = Identity::generate(&mut rng);
            Host {
                mesh: None,
                name: keys.peer_name(),
                events: vec![],
                password: None,
                discovery: true,
                targets: vec![],
                short_id: None,
                conn_limit: None,
                trusted_subnets: vec![],
                keys,
                epoch: 0,
                held: vec![],
                pins: vec![],
                bans: vec![],
                wires: BTreeMap::new(),
                starved_until: now,
            }
        });
        let hosts = hosts.collect();
        Self {
            now,
            rng,
            hosts,
            start: now,
            agenda: BTreeMap::new(),
            sequence: 0,
            wires: BTreeMap::new(),
            next_wire: 0,
            cuts: BTreeSet::new(),
            trace: blake3::Hasher::new(),
            spin: (now, 0),
        }
    }

    /// Starts the daemon of a host, with what its disk holds
    pub fn start(&mut self, id: HostId) {
        if self.hosts[id].mesh.is_some() {
            return;
        }
        let rng = StdRng::from_rng(&mut self.rng);
        let entropy = Entropy::new(StdRng::from_rng(&mut self.rng));
        let uid = Uid(self.rng.random());
        let targets = self.hosts[id]
            .targets
            .iter()
            .map(|to| Target::from(address(*to)))
            .collect();
        let host = &mut self.hosts[id];
        host.epoch += 1;
        let config = Config {
            name: host.name,
            nickname: format!("host{id}").parse().unwrap(),
            identity: host.keys.clone(),
            network: NetworkName::default(),
            passwords: Passwords::of(host.password.map(|byte| Psk::new(Zeroizing::new([byte; 32])))),
            entropy,
            pins: host.pins.clone(),
            bans: host.bans.clone(),
            unix_ms: 1_000_000 + host.epoch,
            short_id: host.short_id,
            epoch: host.epoch,
            uid,
            control_port: PORT,
            version: "sim".to_owned(),
            discovery: host.discovery,
            conn_limit: host.conn_limit,
            trusted_subnets: host.trusted_subnets.clone(),
            offer: Offer {
                fastdp: true,
                vxlan_port: 6784,
                sleeve_port: 6783,
                overlay_mtu: 1450,
            },
            held: std::mem::take(&mut host.held),
            timers: Timers::default(),
        };
        let mut mesh = Mesh::new(config, rng, self.now);
        mesh.set_targets(targets, false, self.now);
        host.mesh = Some(mesh);
        self.note(id, "start");
        self.drain(id);
    }

    /// Ends the daemon: by a signal that it hears (with a departure), or by one that it does not
    pub fn stop(&mut self, id: HostId, departure: Option<Departure>) {
        if self.hosts[id].mesh.is_none() {
            return;
        }
        self.note(id, "stop");
        let now = self.now;
        let host = &mut self.hosts[id];
        if let Some(mesh) = &mut host.mesh {
            host.held = match departure {
                Some(Departure::Leave) => vec![],
                Some(Departure::Restart) | None => mesh.neighbors_to_hold(),
            };
            if let Some(departure) = departure {
                mesh.shut_down(departure, now);
            }
        }
        self.drain(id);
        self.hosts[id].mesh = None;
        for (wire, side) in std::mem::take(&mut self.hosts[id].wires).into_values() {
            self.close(wire, side, Disconnect::Eof);
        }
    }

    /// Starts the daemon after a while
    pub fn start_after(&mut self, id: HostId, delay: Duration) {
        self.plan(self.now + delay, Happening::Start { host: id });
    }

    /// The host's daemon does not run for so long, though it is not stopped
    pub fn starve(&mut self, id: HostId, how_long: Duration) {
        let host = &mut self.hosts[id];
        host.starved_until = host.starved_until.max(self.now + how_long);
        let wake = host.starved_until;
        self.plan(wake, Happening::Wake);
        self.note(id, "starve");
    }

    /// The world goes on for so long
    pub fn run_for(&mut self, how_long: Duration) {
        let end = self.now + how_long;
        while self.step(end) {}
        self.now = end;
    }

    /// A call into a host's mesh, and what follows from it
    pub fn with<T>(&mut self, id: HostId, call: impl FnOnce(&mut Mesh, Instant) -> T) -> Option<T> {
        let now = self.now;
        let result = self.hosts[id].mesh.as_mut().map(|mesh| call(mesh, now));
        self.drain(id);
        result
    }

    /// Injects bytes into a connection of the host, as somebody on the way could
    pub fn inject(&mut self, id: HostId, bytes: &[u8]) {
        let conns: Vec<ConnId> = self.hosts[id].wires.keys().copied().collect();
        if let Some(conn) = conns.first().copied() {
            self.with(id, |mesh, now| mesh.handle_input(conn, bytes, now));
        }
    }

    pub fn forget_events(&mut self) {
        for host in &mut self.hosts {
            host.events.clear();
        }
    }

    /// A hash over everything that any mesh ever told
    pub fn trace(&self) -> blake3::Hash {
        self.trace.finalize()
    }

    pub fn running(&self) -> impl Iterator<Item = &Mesh> {
        self.hosts.iter().filter_map(|host| host.mesh.as_ref())
    }

    fn step(&mut self, end: Instant) -> bool {
        let planned = self.agenda.first_key_value().map(|((when, _), _)| *when);
        let timer = self
            .hosts
            .iter()
            .enumerate()
            .filter_map(|(id, host)| Some((host.due()?, id)))
            .min();
        let next = planned.into_iter().chain(timer.map(|(due, _)| due)).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        self.spin = if self.spin.0 == self.now {
            (self.now, self.spin.1 + 1)
        } else {
            (self.now, 0)
        };
        assert!(self.spin.1 < 100_000, "the clock stands still");
        if planned == Some(next) {
            if let Some((_, happening)) = self.agenda.pop_first() {
                self.happen(happening);
            }
        } else if let Some((_, id)) = timer {
            self.with(id, |mesh, now| mesh.handle_timeout(now));
        }
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start { host } => self.start(host),
            Happening::Wake => self.flush(),
            Happening::Path { at, to, up } => {
                let is_cut = self.cuts.contains(&(at.min(to), at.max(to)));
                let lives = self.hosts[to].mesh.is_some();
                let peer = self.hosts[to].name;
                // A path to a dead daemon is frozen, not down; one that is cut cannot come up.
                if if up { lives && !is_cut } else { is_cut } {
                    self.with(at, |mesh, now| mesh.path_established(peer, up, now));
                }
            }
            Happening::Connect {
                from,
                incarnation,
                dial,
                target,
            } => {
                if self.hosts[from].epoch == incarnation {
                    self.connect(from, dial, &target);
                }
            }
            Happening::Arrive { wire, side, segment } => self.deliver(wire, side, segment),
        }
    }

    /// Takes everything that the mesh has to say
    fn drain(&mut self, id: HostId) {
        while let Some(output) = self.hosts[id].mesh.as_mut().and_then(Mesh::poll_output) {
            match output {
                Output::Dial { dial, target } => {
                    let from = id;
                    let incarnation = self.hosts[id].epoch;
                    let when = self.now + self.delay();
                    self.plan(
                        when,
                        Happening::Connect {
                            from,
                            incarnation,
                            dial,
                            target,
                        },
                    );
                }
                Output::Send { conn, bytes } => {
                    if let Some((wire, side)) = self.hosts[id].wires.get(&conn).copied() {
                        self.arrive(wire, 1 - side, Segment::Bytes(bytes));
                    }
                }
                Output::Close { conn } => {
                    if let Some((wire, side)) = self.hosts[id].wires.get(&conn).copied() {
                        self.close(wire, side, Disconnect::Eof);
                    }
                }
                Output::Event(event) => self.hear(id, event),
            }
        }
    }

    fn hear(&mut self, id: HostId, event: Event) {
        self.note(id, &format!("{event:?}"));
        match &event {
            Event::NeighbourUp { peer, .. } => {
                let to = self.hosts.iter().position(|host| host.name == *peer);
                let when = self.now + Duration::from_millis(self.rng.random_range(50..300));
                if let Some(to) = to {
                    self.plan(when, Happening::Path { at: id, to, up: true });
                }
            }
            Event::ShortIdChanged(short_id) => self.hosts[id].short_id = Some(*short_id),
            Event::PinsChanged(pins) => self.hosts[id].pins.clone_from(pins),
            Event::BansChanged(bans) => self.hosts[id].bans.clone_from(bans),
            Event::TopologyChanged(topology) => {
                for record in topology.peers.values() {
                    self.note(id, &format!("{:?}", record.stamp()));
                }
            }
            Event::NeighbourHeld { .. }
            | Event::NeighbourDown { .. }
            | Event::Message { .. }
            | Event::PeerGone(_)
            | Event::TargetsChanged(_) => {}
        }
        self.hosts[id].events.push(event);
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(200..5_000))
    }

    fn plan(&mut self, when: Instant, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((when, self.sequence), happening);
    }

    fn note(&mut self, id: HostId, what: &str) {
        let when = (self.now - self.start).as_nanos();
        if std::env::var_os("WEAVE_SIM_TRACE").is_some() {
            println!("{:>10.3} host{id} {what}", (self.now - self.start).as_secs_f64());
        }
        self.trace.update(format!("{when} {id} {what}\n").as_bytes());
    }
}

impl Host {
    pub fn topology(&self) -> &Arc<Topology> {
        self.mesh.as_ref().expect("the host runs").topology()
    }

    fn due(&self) -> Option<Instant> {
        let (due, _why) = self.mesh.as_ref()?.poll_timeout()?;
        Some(due.max(self.starved_until))
    }
}

/// Where the host listens
pub fn address(id: HostId) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, id as u8 + 1], PORT))
}

/// A message for a test
pub const CHANNEL: Channel = Channel(7);

const PORT: u16 = 6783;
