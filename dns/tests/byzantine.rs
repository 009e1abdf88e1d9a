//! Honest peers among hostile ones, which say whatever the format lets them say, signed by themselves, and replay,
//! mutate and forge what honest ones say.
//!
//! `NAMES_SEED=n` runs that history alone, `NAMES_SEEDS=n` so many: a few without it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod hostile;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use dns::{Domain, Filter, MAX_WAITING_BYTES, Names};
use gossip::{Binding, COMPARE, Exchange, Identity, IdentityKey, Keys};
use hostile::Hostile;
use model::PeerName;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many histories a run of the tests goes through
const SEEDS: u64 = 300;

const HONEST: usize = 3;
const HOSTILE: usize = 2;

#[test]
fn honest_names_are_the_same_everywhere_whatever_hostile_peers_say() {
    if let Ok(seed) = std::env::var("NAMES_SEED") {
        return run(seed.parse().unwrap());
    }
    let seeds = std::env::var("NAMES_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            println!("replay with NAMES_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

struct Honest {
    names: Names,
    exchange: Exchange,
    /// What it says at the moment
    says: BTreeMap<(String, Ipv4Addr), usize>,
    /// What it ever said, of all its runs
    said: BTreeSet<(String, Ipv4Addr)>,
}

struct World {
    honest: Vec<Honest>,
    hostile: Vec<Hostile>,
    on_the_way: BTreeMap<(PeerName, PeerName), VecDeque<Vec<u8>>>,
    rng: StdRng,
    now: Instant,
    runs: u64,
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..world.rng.random_range(10..60) {
        world.act();
        world.judge();
    }
    // Hostile peers fall silent, though what they sent is still on its way.
    world.settle();
    for _ in 0..3 {
        world.wait(COMPARE);
        world.settle();
    }
    world.judge();
    world.judge_the_end();
}

/// As the mesh knows it: whoever is reached has told its key
struct Pinned;

impl Keys for Pinned {
    fn binding(&self, name: PeerName, key: &IdentityKey) -> Binding {
        match (key.peer_name() == name, everybody().contains(&name)) {
            (true, _) => Binding::Bound,
            (false, true) => Binding::Other,
            (false, false) => Binding::Unknown,
        }
    }
}

fn key(n: usize) -> &'static Identity {
    static ALL: LazyLock<Vec<Identity>> = LazyLock::new(|| {
        let seeds = (1..).take(HONEST + HOSTILE);
        seeds.map(|seed| Identity::from_seed([seed; 32].into())).collect()
    });
    &ALL[n]
}

fn name(n: usize) -> PeerName {
    static ALL: LazyLock<Vec<PeerName>> =
        LazyLock::new(|| (0..HONEST + HOSTILE).map(|n| key(n).peer_name()).collect());
    ALL[n]
}

fn domain() -> Domain {
    Domain::default()
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut world = Self {
            honest: Vec::new(),
            hostile: (HONEST..HONEST + HOSTILE)
                .map(|n| Hostile::new(key(n).clone()))
                .collect(),
            on_the_way: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
            now,
            runs: 0,
        };
        for n in 0..HONEST {
            let honest = world.start(n, 1000);
            world.honest.push(honest);
        }
        for n in 0..HONEST {
            world.connect(n);
        }
        world
    }

    fn start(&self, n: usize, epoch: u64) -> Honest {
        let own = name(n);
        let said = self.honest.get(n).map(|before| before.said.clone());
        let mut honest = Honest {
            names: Names::new(own, key(n).clone(), epoch, domain()),
            exchange: Exchange::new(own),
            says: BTreeMap::new(),
            said: said.unwrap_or_default(),
        };
        honest.names.reachable(&everybody(), self.now);
        honest
    }

    fn connect(&mut self, n: usize) {
        for other in everybody() {
            if other != name(n) {
                let honest = &mut self.honest[n];
                honest.exchange.up(other, &honest.names, self.now);
            }
        }
        for other in 0..self.honest.len() {
            if other != n {
                let honest = &mut self.honest[other];
                let restarted = name(n);
                self.on_the_way.remove(&(restarted, name(other)));
                self.on_the_way.remove(&(name(other), restarted));
                honest.exchange.down(restarted);
                honest.exchange.up(restarted, &honest.names, self.now);
            }
        }
        self.collect();
    }

    fn act(&mut self) {
        let n = self.rng.random_range(0..HONEST);
        match self.rng.random_range(0..20) {
            0..=4 => {
                let (name, last) = (self.rng.random_range(0..4), self.rng.random_range(0..6));
                let (name, address) = (format!("h{name}"), Ipv4Addr::new(10, 32, n as u8, last));
                let container = format!("c{n}").parse().unwrap();
                let honest = &mut self.honest[n];
                if honest.names.add(&name, container, address).unwrap() {
                    let line = (format!("{name}.weave.local"), address);
                    *honest.says.entry(line.clone()).or_default() += 1;
                    honest.said.insert(line);
                }
            }
            5..=6 => {
                let address = Ipv4Addr::new(10, 32, n as u8, self.rng.random_range(0..6));
                let honest = &mut self.honest[n];
                let filter = Filter {
                    address: Some(address),
                    ..Filter::default()
                };
                honest.names.remove(&filter).unwrap();
                honest.says.retain(|(_, said), _| *said != address);
            }
            7 => {
                // Greater than before, or that of a disk that was restored
                self.runs += 1;
                let epoch = match self.rng.random_bool(0.7) {
                    true => 1000 + self.runs,
                    false => 1000 - self.runs,
                };
                self.honest[n] = self.start(n, epoch);
                self.connect(n);
            }
            8 => {
                let seconds = [1, 30, 700][self.rng.random_range(0..3)];
                self.wait(Duration::from_secs(seconds));
            }
            9..=12 => {
                let count = self.rng.random_range(0..20);
                self.deliver(count);
            }
            _ => {
                let from = self.rng.random_range(0..HOSTILE);
                for _ in 0..self.rng.random_range(1..8) {
                    let to = name(self.rng.random_range(0..HONEST));
                    let bytes = self.hostile[from].say(&mut self.rng);
                    let from = self.hostile[from].name();
                    self.on_the_way.entry((from, to)).or_default().push_back(bytes);
                }
            }
        }
        self.collect();
    }

    fn collect(&mut self) {
        for (n, honest) in self.honest.iter_mut().enumerate() {
            if honest.names.take_doubt() {
                for other in everybody() {
                    honest.exchange.doubt(other, self.now);
                }
            }
            honest.exchange.flood(&mut honest.names);
            while let Some((to, bytes)) = honest.exchange.poll_send() {
                let from = name(n);
                self.on_the_way.entry((from, to)).or_default().push_back(bytes);
            }
        }
    }

    /// So many messages arrive
    fn deliver(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let waiting: Vec<_> = self
                .on_the_way
                .iter()
                .filter(|(_, queue)| !queue.is_empty())
                .collect();
            if waiting.is_empty() {
                return false;
            }
            let (from, to) = *waiting[self.rng.random_range(0..waiting.len())].0;
            let bytes = self.on_the_way.get_mut(&(from, to)).unwrap().pop_front().unwrap();
            match (0..HONEST).find(|n| name(*n) == to) {
                Some(n) => {
                    let Honest { names, exchange, .. } = &mut self.honest[n];
                    // Everybody is everybody's neighbor.
                    let reaches = |_, _| true;
                    let _malformed = exchange.heard(from, &bytes, names, &Pinned, reaches, self.now);
                }
                None => {
                    let hears = self.hostile.iter_mut().find(|hostile| hostile.name() == to);
                    hears.unwrap().hear(bytes);
                }
            }
            self.collect();
        }
        true
    }

    fn settle(&mut self) {
        for _ in 0..3000 {
            if !self.deliver(1) {
                return;
            }
        }
        panic!("they never stop to talk");
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        for honest in &mut self.honest {
            honest.names.handle_timeout(self.now);
            honest.exchange.handle_timeout(&honest.names, self.now);
        }
        self.collect();
    }

    /// Nobody says of an honest peer what that never said, and all is within bounds
    fn judge(&self) {
        for honest in &self.honest {
            for listed in honest.names.entries() {
                if let Some(origin) = (0..HONEST).find(|n| name(*n) == listed.origin) {
                    let line = (listed.entry.name.as_str().to_owned(), listed.entry.address);
                    assert!(self.honest[origin].said.contains(&line), "{line:?}");
                }
            }
            let fill = honest.names.fill();
            assert!(fill.weight <= fill.max_weight && fill.waiting_bytes <= MAX_WAITING_BYTES);
            assert!(fill.origins < HONEST + HOSTILE, "{}", fill.origins);
        }
    }

    /// All honest peers have the same of each honest peer: what it says, and can change it
    fn judge_the_end(&mut self) {
        for n in 0..HONEST {
            let last = Ipv4Addr::new(10, 32, n as u8, 99);
            let container = "end".parse().unwrap();
            let honest = &mut self.honest[n];
            assert!(honest.names.add("end", container, last).unwrap());
            honest.says.insert(("end.weave.local".to_owned(), last), 1);
        }
        self.collect();
        self.settle();
        self.wait(COMPARE);
        self.settle();
        for (n, honest) in self.honest.iter().enumerate() {
            for (origin, owner) in self.honest.iter().enumerate() {
                let mut has: BTreeMap<(String, Ipv4Addr), usize> = BTreeMap::new();
                let of = honest.names.entries();
                for listed in of.filter(|listed| listed.origin == name(origin)) {
                    let line = (listed.entry.name.as_str().to_owned(), listed.entry.address);
                    *has.entry(line).or_default() += 1;
                }
                assert_eq!(has, owner.says, "{n} of {origin}");
                for (name, address) in owner.says.keys() {
                    assert!(honest.names.zone().addresses(name).any(|found| found == *address));
                }
            }
        }
    }
}

fn everybody() -> BTreeSet<PeerName> {
    (0..HONEST + HOSTILE).map(name).collect()
}
