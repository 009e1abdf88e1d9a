//! Some meshes on one clock, and the bytes between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::RngExt as _;

use super::super::*;
use super::hostile::Memory;
use crate::digest::Stamp;
use crate::records::tests::name as given_name;

pub(super) type HostId = usize;

pub(super) const HONEST: usize = 3;
const HOSTILE: usize = 2;

pub(super) struct Host {
    pub(super) mesh: Mesh,
    pub(super) targets: Vec<HostId>,
    identity: Identity,
    name: PeerName,
    epoch: u64,
    short_id: Option<ShortId>,
    pins: Vec<Pin>,
    bans: Vec<Ban>,
    /// By connection: its wire, and which end of that it is
    wires: BTreeMap<ConnId, (usize, usize)>,
    /// All of its own records
    said: BTreeSet<Stamp>,
}

/// One TCP connection
struct Wire {
    ends: [Option<(HostId, ConnId)>; 2],
    /// Bytes on their way to each end; `None` means that the other end closed
    queues: [VecDeque<Option<Vec<u8>>>; 2],
}

pub(super) struct World {
    pub(super) hosts: Vec<Host>,
    pub(super) rng: StdRng,
    /// Hostile peers ban honest ones, too: they may, and honest ones are lost until that is taken back
    pub(super) bans_honest: bool,
    /// Honest peers that an honest peer lost
    pub(super) losses: Vec<(HostId, PeerName)>,
    memories: Vec<Memory>,
    wires: Vec<Wire>,
    now: Instant,
}

impl World {
    /// Honest peers in a line
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Instant::now();
        let hosts = (0..HONEST).map(|id| {
            let identity = Identity::generate(&mut rng);
            // One has its name from its operator.
            let name = if id == 0 {
                given_name(0x77)
            } else {
                identity.peer_name()
            };
            let targets = if id == 0 { vec![] } else { vec![id - 1] };
            Host::new(identity, name, targets, 1, None, &mut rng, now)
        });
        let mut world = Self {
            hosts: hosts.collect(),
            bans_honest: rng.random_bool(0.3),
            rng,
            losses: vec![],
            memories: vec![],
            wires: vec![],
            now,
        };
        (0..HONEST).for_each(|id| world.dial_targets(id));
        world
    }

    /// Hostile peers join, who introduce themselves as they like
    pub(super) fn start_hostile(&mut self) {
        for n in 0..HOSTILE {
            let identity = Identity::generate(&mut self.rng);
            let name = identity.peer_name();
            let first = self.rng.random_range(0..HONEST);
            let targets = if self.rng.random() {
                vec![first]
            } else {
                (0..HONEST).collect()
            };
            let epoch = [1, 1_000_000, COUNTER_LIMIT - 2][self.rng.random_range(0..3)];
            let taken = self.hosts[self.rng.random_range(0..HONEST)].mesh.short_id();
            let host = Host::new(
                identity,
                name,
                targets,
                epoch,
                Some(taken),
                &mut self.rng,
                self.now,
            );
            self.hosts.push(host);
            self.memories.push(Memory::new(n));
            self.dial_targets(HONEST + n);
        }
        self.run_for(Duration::from_secs(2));
    }

    fn dial_targets(&mut self, id: HostId) {
        let targets = self.hosts[id]
            .targets
            .iter()
            .map(|to| address(*to).into())
            .collect();
        self.with(id, |mesh, now| mesh.set_targets(targets, false, now));
    }

    pub(super) fn name(&self, id: HostId) -> PeerName {
        self.hosts[id].name
    }

    pub(super) fn has_said(&self, id: HostId, record: &PeerRecord) -> bool {
        let host = &self.hosts[id];
        record.key == host.identity.key() && host.said.contains(&record.stamp())
    }

    /// An honest daemon is killed and starts again, with what its disk holds
    pub(super) fn restart(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        let unix_ms = host.mesh.now_ms(self.now);
        host.epoch = host.mesh.epoch() + 1;
        let held = host.mesh.neighbors_to_hold();
        host.mesh = Mesh::new(
            host.config(held, unix_ms, &mut self.rng),
            StdRng::from_rng(&mut self.rng),
            self.now,
        );
        for (wire, end) in std::mem::take(&mut self.hosts[id].wires).into_values() {
            self.close(wire, end);
        }
        self.dial_targets(id);
    }

    /// One hostile peer says something to one neighbor
    pub(super) fn say(&mut self, id: HostId) {
        let conns: Vec<ConnId> = self.hosts[id]
            .mesh
            .neighbours
            .up()
            .map(|(_, conn)| conn)
            .collect();
        if conns.is_empty() {
            return self.with(id, Mesh::network_changed);
        }
        let conn = conns[self.rng.random_range(0..conns.len())];
        let memory = &mut self.memories[id - HONEST];
        memory.hear(&self.hosts[id].mesh);
        let honest: Vec<(PeerName, IdentityKey)> = self.hosts[..HONEST]
            .iter()
            .map(|host| (host.name, host.identity.key()))
            .collect();
        let own = &self.hosts[id].identity;
        let message = memory.say(own, &honest, self.bans_honest, &mut self.rng);
        self.with(id, |mesh, _now| mesh.tell(conn, &message));
    }

    /// Hostile peers are as honest as others from here on, or gone
    pub(super) fn silence_hostile(&mut self) {
        for id in HONEST..self.hosts.len() {
            if self.rng.random() {
                self.with(id, |mesh, now| mesh.shut_down(Departure::Leave, now));
            }
        }
    }

    /// Each operator lifts the bans of honest peers; whether there were any
    pub(super) fn lift_bans(&mut self) -> bool {
        let mut lifted = false;
        let keys: Vec<IdentityKey> = self.hosts[..HONEST]
            .iter()
            .map(|host| host.identity.key())
            .collect();
        for id in 0..HONEST {
            let own = self.hosts[id].identity.key();
            let is_wrong = |ban: &&Ban| ban.refused && ban.key != own && keys.contains(&ban.key);
            let wrong: Vec<Ban> = self.hosts[id].mesh.bans().filter(is_wrong).copied().collect();
            for ban in &wrong {
                self.with(id, |mesh, now| mesh.ban(ban.key, ban.name, false, now).unwrap());
            }
            lifted |= !wrong.is_empty();
            self.dial_targets(id);
        }
        lifted
    }

    pub(super) fn with<T>(&mut self, id: HostId, call: impl FnOnce(&mut Mesh, Instant) -> T) -> T {
        let result = call(&mut self.hosts[id].mesh, self.now);
        self.drain(id);
        result
    }

    /// The world goes on for so long
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        let mut spin = 0;
        loop {
            while self.deliver() {}
            let due = self.hosts.iter().enumerate();
            let due = due
                .filter_map(|(id, host)| Some((host.mesh.poll_timeout()?.0, id)))
                .min();
            let Some((due, id)) = due.filter(|(due, _)| *due <= end) else {
                break;
            };
            spin = if due <= self.now { spin + 1 } else { 0 };
            assert!(spin < 10_000, "the clock stands still");
            self.now = self.now.max(due);
            self.with(id, Mesh::handle_timeout);
        }
        self.now = end;
    }

    /// Something that is on its way arrives, in order on each wire
    fn deliver(&mut self) -> bool {
        let waiting: Vec<(usize, usize)> = (0..self.wires.len())
            .flat_map(|wire| [(wire, 0), (wire, 1)])
            .filter(|(wire, end)| !self.wires[*wire].queues[*end].is_empty())
            .collect();
        if waiting.is_empty() {
            return false;
        }
        let (wire, end) = waiting[self.rng.random_range(0..waiting.len())];
        let segment = self.wires[wire].queues[end].pop_front().flatten();
        let Some((id, conn)) = self.wires[wire].ends[end] else {
            return true;
        };
        match segment {
            Some(bytes) => self.with(id, |mesh, now| mesh.handle_input(conn, &bytes, now)),
            None => {
                self.wires[wire].ends[end] = None;
                self.hosts[id].wires.remove(&conn);
                self.with(id, |mesh, now| mesh.disconnected(conn, Disconnect::Eof, now));
            }
        }
        true
    }

    fn drain(&mut self, id: HostId) {
        let name = self.hosts[id].name;
        while let Some(output) = self.hosts[id].mesh.poll_output() {
            match output {
                Output::Dial { dial, target } => self.connect(id, dial, &target),
                Output::Send { conn, bytes } => {
                    if let Some((wire, end)) = self.hosts[id].wires.get(&conn).copied() {
                        self.wires[wire].queues[1 - end].push_back(Some(bytes));
                    }
                }
                Output::Close { conn } => {
                    if let Some((wire, end)) = self.hosts[id].wires.remove(&conn) {
                        self.close(wire, end);
                    }
                }
                Output::Event(event) => self.hear(id, event),
            }
        }
        let host = &mut self.hosts[id];
        host.said
            .extend(host.mesh.table.get(name).map(|record| record.stamp()));
    }

    fn hear(&mut self, id: HostId, event: Event) {
        match event {
            // The data path is there at once.
            Event::NeighbourUp { peer, .. } => self.hosts[id].mesh.path_established(peer, true, self.now),
            Event::ShortIdChanged(short_id) => self.hosts[id].short_id = Some(short_id),
            Event::PinsChanged(pins) => self.hosts[id].pins = pins,
            Event::BansChanged(bans) => self.hosts[id].bans = bans,
            Event::NeighbourDown { peer, .. } | Event::PeerGone(peer) => {
                if id < HONEST && self.hosts[..HONEST].iter().any(|host| host.name == peer) {
                    self.losses.push((id, peer));
                }
            }
            Event::NeighbourHeld { .. }
            | Event::TopologyChanged(_)
            | Event::Message { .. }
            | Event::TargetsChanged(_) => {}
        }
    }

    fn connect(&mut self, from: HostId, dial: DialId, target: &Target) {
        let remote = target.address(PORT).unwrap();
        let to = (0..self.hosts.len()).find(|id| address(*id) == remote);
        let local = SocketAddr::new(address(from).ip(), 40_000);
        let Some(to) = to.filter(|to| !self.hosts[*to].mesh.stopped) else {
            self.hosts[from]
                .mesh
                .dialled(dial, Err("refused".to_owned()), self.now);
            return;
        };
        let wire = self.wires.len();
        let mut ends = [None, None];
        if let Ok(conn) = self.hosts[to].mesh.accepted(remote, local, self.now) {
            self.hosts[to].wires.insert(conn, (wire, 1));
            ends[1] = Some((to, conn));
        }
        if let Some(conn) = self.hosts[from].mesh.dialled(dial, Ok((local, remote)), self.now) {
            self.hosts[from].wires.insert(conn, (wire, 0));
            ends[0] = Some((from, conn));
        }
        self.wires.push(Wire {
            ends,
            queues: [VecDeque::new(), VecDeque::new()],
        });
        for (end, _) in ends.iter().enumerate().filter(|(_, taken)| taken.is_none()) {
            self.close(wire, end);
        }
        if from != to {
            self.drain(to);
        }
    }

    fn close(&mut self, wire: usize, end: usize) {
        self.wires[wire].ends[end] = None;
        self.wires[wire].queues[1 - end].push_back(None);
    }
}

impl Host {
    fn new(
        identity: Identity,
        name: PeerName,
        targets: Vec<HostId>,
        epoch: u64,
        short_id: Option<ShortId>,
        rng: &mut StdRng,
        now: Instant,
    ) -> Self {
        let mut host = Self {
            // In its place comes one with its own identity.
            mesh: mesh(None, now),
            targets,
            identity,
            name,
            epoch,
            short_id,
            pins: vec![],
            bans: vec![],
            wires: BTreeMap::new(),
            said: BTreeSet::new(),
        };
        host.mesh = Mesh::new(host.config(vec![], UNIX_MS, rng), StdRng::from_rng(rng), now);
        host
    }

    fn config(&self, held: Vec<Held>, unix_ms: u64, rng: &mut StdRng) -> Config {
        Config {
            name: self.name,
            nickname: "host".parse().unwrap(),
            identity: self.identity.clone(),
            network: NetworkName::default(),
            passwords: Passwords::default(),
            entropy: Entropy::new(StdRng::from_rng(rng)),
            pins: self.pins.clone(),
            bans: self.bans.clone(),
            unix_ms,
            short_id: self.short_id,
            epoch: self.epoch,
            uid: Uid(rng.random()),
            control_port: PORT,
            version: "sim".to_owned(),
            discovery: true,
            conn_limit: None,
            trusted_subnets: vec![],
            offer: Offer {
                fastdp: true,
                vxlan_port: 6784,
                sleeve_port: 6783,
                overlay_mtu: 1450,
            },
            held,
            timers: Timers::default(),
        }
    }
}

/// Address at which the host listens
pub(super) fn address(id: HostId) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, id as u8 + 1], PORT))
}

/// The time of day at the start
pub(super) const UNIX_MS: u64 = 1_000_000_000;

const PORT: u16 = 6783;
