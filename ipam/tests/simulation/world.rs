//! Hosts and wires on one clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use gossip::{Binding, DerivedKeys, Identity, IdentityKey, Keys};
use ipam::{Config, Event, Init, Output, State, Ticket, Timers};
use ipnetwork::Ipv4Network;
use model::{ContainerId, Mac, PeerName};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::host::Host;
use crate::judge::Judge;
use crate::network::{Network, end};

/// How long it takes at most until an end notices that a connection is dead
const SILENCE: Duration = Duration::from_millis(2500);

/// What is due
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Deliver {
        from: usize,
        to: usize,
        connection: u64,
        bytes: Vec<u8>,
    },
    /// An end notices that a connection is dead
    Down {
        at: usize,
        other: usize,
        connection: u64,
    },
    Connect {
        a: usize,
        b: usize,
    },
    /// A host hears of the topology
    View {
        at: usize,
    },
    Wake {
        at: usize,
    },
}

/// Hosts and wires on one clock
pub struct World {
    pub now: Duration,
    pub rng: StdRng,
    pub hosts: Vec<Host>,
    pub network: Network,
    names: BTreeMap<PeerName, usize>,
    pub judge: Judge,
    pub trace: bool,
    base: Instant,
    due: BinaryHeap<Reverse<(Duration, u64, Due)>>,
    count: u64,
    ticket: u64,
    /// Hosts that are to crash after so many more outputs were carried out
    pub doomed: BTreeMap<usize, usize>,
    pub events: Vec<(usize, Event)>,
    pub messages: u64,
    pub wakes: u64,
    /// Names that the mesh reaches although no host has them
    pub strangers: BTreeSet<PeerName>,
    /// Which keys speak for the hosts' names is known beforehand
    pub pinned: bool,
}

/// Knows the keys of hosts, if they are pinned, and of names that are derived from theirs
struct HostKeys {
    pinned: bool,
    hosts: usize,
}

impl Keys for HostKeys {
    fn binding(&self, of: PeerName, key: &IdentityKey) -> Binding {
        match (0..self.hosts).find(|n| self.pinned && name(*n) == of) {
            Some(n) if identity(n).key() == *key => Binding::Bound,
            Some(_) => Binding::Other,
            None => DerivedKeys.binding(of, key),
        }
    }
}

pub fn name(n: usize) -> PeerName {
    PeerName::from(Mac::from_bits(0x0200_0000_0001 + n as u64))
}

/// The key pair of a host
pub fn identity(n: usize) -> Identity {
    Identity::from_seed([n as u8; 32].into())
}

pub fn config(n: usize, range: &str, init: Init, lease: Option<u64>) -> Config {
    Config {
        name: name(n),
        identity: identity(n),
        range: range.parse().unwrap(),
        init,
        expected_peers: 1,
        lease: lease.map(Duration::from_secs),
        timers: Timers::default(),
    }
}

pub fn consensus(peers: usize) -> Init {
    Init::Consensus { peers: Some(peers) }
}

pub fn container(n: u64) -> ContainerId {
    format!("c{n}").parse().unwrap()
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            rng: StdRng::seed_from_u64(seed),
            hosts: vec![],
            network: Network::default(),
            names: BTreeMap::new(),
            judge: Judge::default(),
            trace: false,
            base: Instant::now(),
            due: BinaryHeap::new(),
            count: 0,
            ticket: 0,
            doomed: BTreeMap::new(),
            events: vec![],
            messages: 0,
            wakes: 0,
            strangers: BTreeSet::new(),
            pinned: false,
        }
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:9.3} {}", self.now.as_secs_f64(), text());
        }
    }

    /// Adds a host, and starts it
    pub fn add(&mut self, config: Config) -> usize {
        let rate = self.rng.random_range(0.975..1.025);
        let n = self.hosts.len();
        self.names.insert(config.name, n);
        self.hosts.push(Host::new(config, rate, self.base));
        self.start(n, false);
        n
    }

    pub fn start(&mut self, n: usize, rebooted: bool) {
        let seed = self.rng.random();
        self.note(|| format!("{n} starts"));
        if self.hosts[n].disk.is_none() {
            self.judge.born.insert(n, self.now);
        } else {
            self.judge.born.remove(&n);
        }
        self.hosts[n].start(seed, self.now, rebooted);
        for other in 0..self.hosts.len() {
            self.connect_soon(n, other);
        }
        self.settle(n);
        self.views();
    }

    /// The program of a host ends at once
    pub fn crash(&mut self, n: usize) {
        self.note(|| format!("{n} crashes"));
        self.sync();
        self.doomed.remove(&n);
        self.hosts[n].daemon = None;
        self.hosts[n].waiting.clear();
        for other in 0..self.hosts.len() {
            self.cut(n, other, true);
        }
        self.views();
    }

    /// Lays a wire
    pub fn join(&mut self, a: usize, b: usize) {
        self.sync();
        if a != b {
            self.network.wire(a, b).whole = true;
            self.connect_soon(a, b);
        }
    }

    pub fn join_all(&mut self) {
        for a in 0..self.hosts.len() {
            for b in 0..a {
                self.join(a, b);
            }
        }
    }

    /// Breaks a wire
    pub fn part(&mut self, a: usize, b: usize) {
        self.sync();
        self.cut(a, b, false);
        self.views();
    }

    fn cut(&mut self, a: usize, b: usize, keep_wire: bool) {
        let Some(wire) = self.network.0.get_mut(&crate::network::key(a, b)) else {
            return;
        };
        wire.whole &= keep_wire;
        let connection = wire.made;
        wire.connection += 1;
        for (at, other) in [(a, b), (b, a)] {
            let wire = self.network.wire(at, other);
            if !wire.up[end(at, other)] {
                continue;
            }
            if self.hosts[at].runs() {
                let after = self.rng.random_range(Duration::ZERO..SILENCE);
                self.after(
                    after,
                    Due::Down {
                        at,
                        other,
                        connection,
                    },
                );
            } else {
                self.network.wire(at, other).up[end(at, other)] = false;
            }
        }
        self.connect_soon(a, b);
    }

    fn connect_soon(&mut self, a: usize, b: usize) {
        if a != b && self.network.get(a, b).is_some_and(|wire| wire.whole) {
            let after = self
                .rng
                .random_range(Duration::from_millis(5)..Duration::from_secs(3));
            self.after(after, Due::Connect { a, b });
        }
    }

    fn after(&mut self, after: Duration, due: Due) {
        self.at(self.now + after, due);
    }

    fn at(&mut self, at: Duration, due: Due) {
        self.count += 1;
        self.due.push(Reverse((at, self.count, due)));
    }

    pub fn running(&self) -> Vec<bool> {
        self.hosts.iter().map(Host::runs).collect()
    }

    pub fn alive(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|n| self.hosts[*n].runs()).collect()
    }

    /// Everybody hears of the topology soon
    fn views(&mut self) {
        for at in self.alive() {
            let after = self.rng.random_range(Duration::ZERO..Duration::from_millis(300));
            self.after(after, Due::View { at });
        }
    }

    fn sync(&mut self) {
        let runs = self.running();
        self.judge.sync(&self.network, &runs, self.now);
    }

    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while self.due.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            let Some(Reverse((at, _, due))) = self.due.pop() else {
                break;
            };
            self.now = self.now.max(at);
            self.carry_out(due);
        }
        self.now = until;
        self.sync();
    }

    fn carry_out(&mut self, due: Due) {
        match due {
            Due::Deliver {
                from,
                to,
                connection,
                bytes,
            } => self.deliver(from, to, connection, &bytes),
            Due::Down {
                at,
                other,
                connection,
            } => {
                let wire = self.network.wire(at, other);
                if wire.up[end(at, other)] && wire.made == connection {
                    wire.up[end(at, other)] = false;
                    self.note(|| format!("{at} loses {other}"));
                    let peer = name_of(&self.hosts, other);
                    if let Some(daemon) = &mut self.hosts[at].daemon {
                        daemon.exchange.down(peer);
                    }
                    self.views();
                    self.connect_soon(at, other);
                }
            }
            Due::Connect { a, b } => self.connect(a, b),
            Due::View { at } => {
                if self.hosts[at].runs() {
                    let view = self.network.view(at, &self.running());
                    let hosts = view.iter().map(|n| name_of(&self.hosts, *n));
                    let names: BTreeSet<PeerName> = hosts.chain(self.strangers.iter().copied()).collect();
                    self.note(|| format!("{at} reaches {view:?}"));
                    self.doubt(at);
                    self.with(at, |ipam, now| ipam.reachable(&names, now));
                }
            }
            Due::Wake { at } => self.wake(at),
        }
    }

    /// Neighbours that lost a connection may have missed something
    fn doubt(&mut self, at: usize) {
        let count = self.hosts.len();
        for n in (0..count).filter(|n| *n != at) {
            let has: BTreeSet<usize> = (0..count).filter(|m| self.network.believes(n, *m)).collect();
            let had = self.hosts[at]
                .heard_links
                .insert(n, has.clone())
                .unwrap_or_default();
            let peer = name_of(&self.hosts, n);
            let now = self.hosts[at].local(self.now);
            if let Some(daemon) = self.hosts[at].daemon.as_mut().filter(|_| !had.is_subset(&has)) {
                daemon.exchange.doubt(peer, now);
            }
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let runs = self.hosts[a].runs() && self.hosts[b].runs();
        let wire = self.network.wire(a, b);
        if !runs || !wire.whole || wire.up != [false; 2] {
            return;
        }
        wire.up = [true; 2];
        wire.made = wire.connection;
        wire.last = [self.now; 2];
        self.note(|| format!("{a} and {b} connect"));
        for (at, other) in [(a, b), (b, a)] {
            let peer = name_of(&self.hosts, other);
            let host = &mut self.hosts[at];
            let now = host.local(self.now);
            if let Some(daemon) = &mut host.daemon {
                daemon.exchange.up(peer, &daemon.ipam, now);
            }
            self.settle(at);
        }
        self.views();
    }

    fn deliver(&mut self, from: usize, to: usize, connection: u64, bytes: &[u8]) {
        let wire = self.network.wire(from, to);
        if wire.connection != connection || !wire.up[end(to, from)] {
            return;
        }
        self.messages += 1;
        let peer = name_of(&self.hosts, from);
        let Self {
            hosts,
            network,
            names,
            now,
            ..
        } = self;
        let keys = HostKeys {
            pinned: self.pinned,
            hosts: hosts.len(),
        };
        let host = &mut hosts[to];
        let local = host.local(*now);
        let Some(daemon) = &mut host.daemon else { return };
        let reaches = |a: PeerName, b: PeerName| match (names.get(&a), names.get(&b)) {
            (Some(a), Some(b)) => network.believes(*a, *b) && network.believes(*b, *a),
            _ => false,
        };
        daemon
            .exchange
            .heard(peer, bytes, &mut daemon.ipam, &keys, reaches, local)
            .unwrap();
        self.settle(to);
    }

    /// A host hears something from a neighbor that is no host; returns whether it was malformed
    pub fn inject(&mut self, from: PeerName, to: usize, bytes: &[u8]) -> bool {
        let keys = HostKeys {
            pinned: self.pinned,
            hosts: self.hosts.len(),
        };
        let host = &mut self.hosts[to];
        let now = host.local(self.now);
        let Some(daemon) = &mut host.daemon else {
            return false;
        };
        let nobody = |_, _| false;
        let heard = daemon
            .exchange
            .heard(from, bytes, &mut daemon.ipam, &keys, nobody, now);
        self.settle(to);
        heard.is_err()
    }

    fn wake(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if host.wakes != Some(self.now) {
            return;
        }
        host.wakes = None;
        self.wakes += 1;
        let now = host.local(self.now);
        let Some(daemon) = &mut host.daemon else { return };
        if daemon.ipam.poll_timeout().is_some_and(|due| due <= now) {
            daemon.ipam.handle_timeout(now);
        }
        daemon.exchange.handle_timeout(&daemon.ipam, now);
        self.settle(at);
    }

    /// Tells the machine of a host something, and does what it says
    pub fn with<T>(&mut self, n: usize, tell: impl FnOnce(&mut ipam::Ipam, Instant) -> T) -> T {
        let host = &mut self.hosts[n];
        let now = host.local(self.now);
        let answer = tell(&mut host.daemon.as_mut().unwrap().ipam, now);
        self.settle(n);
        answer
    }

    /// Does what the program of a host says, as far as it gets
    fn settle(&mut self, n: usize) {
        while let Some(output) = self.hosts[n]
            .daemon
            .as_mut()
            .and_then(|daemon| daemon.ipam.poll_output())
        {
            if let Some(left) = self.doomed.get_mut(&n) {
                match left.checked_sub(1) {
                    Some(less) => *left = less,
                    None => return self.crash(n),
                }
            }
            self.output(n, output);
        }
        self.transmit(n);
        let Some(daemon) = &self.hosts[n].daemon else {
            return;
        };
        let due = [daemon.ipam.poll_timeout(), daemon.exchange.poll_timeout()];
        if let Some(due) = due.into_iter().flatten().min() {
            let at = self.hosts[n].global(due).max(self.now);
            let set = self.hosts[n].wakes.filter(|set| *set > self.now);
            if set.is_none_or(|set| at < set) {
                self.hosts[n].wakes = Some(at);
                self.at(at, Due::Wake { at: n });
            }
        }
    }

    fn output(&mut self, n: usize, output: Output) {
        match &output {
            Output::Keep(_) | Output::Flood => {}
            other => self.note(|| format!("{n}: {other:?}")),
        }
        let now = self.now;
        match output {
            Output::Keep(change) => {
                let host = &mut self.hosts[n];
                host.disk.get_or_insert_with(State::default).apply(change);
                host.kept_at = Some(now);
            }
            Output::Granted { ticket, address } => self.granted(n, ticket, address),
            Output::Refused { ticket, why } => {
                self.hosts[n].waiting.remove(&ticket);
                self.hosts[n].refused.insert(ticket, why);
                self.hosts[n].answered.insert(ticket);
            }
            Output::Removed { ticket, .. } | Output::Primed { ticket } => {
                self.hosts[n].answered.insert(ticket);
            }
            Output::Flood => {
                let daemon = self.hosts[n].daemon.as_mut().unwrap();
                daemon.exchange.flood(&mut daemon.ipam);
                self.transmit(n);
            }
            Output::Event(event) => {
                if matches!(event, Event::Ready { .. } | Event::Joined) {
                    let lineage = self.hosts[n].ipam().status(self.hosts[n].local(now)).lineage;
                    self.judge.lineages.extend(lineage);
                }
                if matches!(event, Event::Renewed { .. }) {
                    self.judge.born.insert(n, self.now);
                }
                self.events.push((n, event));
            }
        }
    }

    fn granted(&mut self, n: usize, ticket: Ticket, address: Ipv4Network) {
        self.hosts[n].answered.insert(ticket);
        let Some(container) = self.hosts[n].waiting.remove(&ticket) else {
            return;
        };
        let has = (address.ip(), self.now);
        self.hosts[n].containers.insert(container, has);
        self.sync();
        self.judge.granted(n, address.ip(), &self.hosts, self.now);
    }

    fn transmit(&mut self, n: usize) {
        let mut sends = Vec::new();
        while let Some(send) = self.hosts[n]
            .daemon
            .as_mut()
            .and_then(|daemon| daemon.exchange.poll_send())
        {
            sends.push(send);
        }
        for (to, bytes) in sends {
            let to = self.names[&to];
            let delay = self
                .rng
                .random_range(Duration::from_millis(1)..Duration::from_millis(60));
            let runs = self.hosts[to].runs();
            let now = self.now;
            let wire = self.network.wire(n, to);
            if !wire.whole || !runs || !wire.up[end(to, n)] {
                continue;
            }
            let arrives = wire.last[end(to, n)].max(now + delay);
            wire.last[end(to, n)] = arrives;
            let connection = wire.connection;
            self.at(
                arrives,
                Due::Deliver {
                    from: n,
                    to,
                    connection,
                    bytes,
                },
            );
        }
    }

    /// A container starts, and wants any address of the subnet
    pub fn allocate(&mut self, n: usize, subnet: &str) -> Ticket {
        let subnet = subnet.parse().unwrap();
        self.ask(n, |ipam, ticket, container, now| {
            ipam.allocate(ticket, container, subnet, now)
        })
    }

    /// A container starts, and wants this address
    pub fn claim(&mut self, n: usize, address: Ipv4Addr) -> Ticket {
        let prefix = self.hosts[n].config.range.prefix();
        let address = Ipv4Network::new(address, prefix).unwrap();
        self.ask(n, |ipam, ticket, container, now| {
            ipam.claim(ticket, container, address, now)
        })
    }

    fn ask(&mut self, n: usize, ask: impl FnOnce(&mut ipam::Ipam, Ticket, ContainerId, Instant)) -> Ticket {
        let ticket = self.next_ticket();
        let container = container(ticket.0);
        self.note(|| format!("{n} asks for {container}"));
        self.hosts[n].waiting.insert(ticket, container.clone());
        self.with(n, |ipam, now| ask(ipam, ticket, container, now));
        ticket
    }

    pub fn next_ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }

    /// A container ends
    pub fn end(&mut self, n: usize, container: &ContainerId) {
        self.note(|| format!("{n}: {container} ends"));
        self.hosts[n].containers.remove(container);
        if self.hosts[n].runs() {
            self.with(n, |ipam, now| ipam.release(container, None, now));
        }
    }

    pub fn cancel_all(&mut self, n: usize) {
        for ticket in std::mem::take(&mut self.hosts[n].waiting).into_keys() {
            if !self.hosts[n].runs() {
                return;
            }
            self.with(n, |ipam, now| ipam.cancel(ticket, now));
        }
    }

    pub fn remove(&mut self, at: usize, dead: PeerName) -> Ticket {
        let ticket = self.next_ticket();
        self.note(|| format!("{at} removes {dead}"));
        self.with(at, |ipam, now| ipam.remove_peer(ticket, dead, now));
        ticket
    }

    /// The peer leaves, for good unless it is started again
    pub fn leave(&mut self, n: usize) {
        self.note(|| format!("{n} leaves"));
        self.cancel_all(n);
        let containers: Vec<ContainerId> = self.hosts[n].containers.keys().cloned().collect();
        for container in containers {
            self.end(n, &container);
        }
        if self.hosts[n].runs() {
            self.with(n, |ipam, now| ipam.leave(now));
        }
        self.advance(Duration::from_millis(500));
        if self.hosts[n].runs() {
            self.crash(n);
        }
        self.hosts[n].containers.clear();
        self.hosts[n].disk = None;
        self.hosts[n].kept_at = None;
    }

    pub fn status(&self, n: usize) -> ipam::Status {
        self.hosts[n].ipam().status(self.hosts[n].local(self.now))
    }

    /// Whether all of these were answered
    pub fn answered(&self, n: usize, ticket: Ticket) -> bool {
        self.hosts[n].answered.contains(&ticket)
    }
}

fn name_of(hosts: &[Host], n: usize) -> PeerName {
    hosts[n].name()
}
