//! Random histories.

use std::net::Ipv4Addr;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ipam::Init;
use model::ContainerId;
use rand::RngExt as _;

use crate::world::{World, config, consensus, name};

/// How many histories a run of the tests goes through; before a release `IPAM_SEEDS=10000`
const SEEDS: u64 = 500;

/// Histories that once failed
const REGRESSIONS: [u64; 12] = [
    202, 772, 891, 1456, 1457, 1860, 2032, 2409, 2469, 2707, 3163, 5156,
];

/// More than so many of them tell nobody more
const MOST_FAILURES: usize = 20;

const LEASE: u64 = 300;

struct History {
    world: World,
    range: &'static str,
    lease: Option<u64>,
    seeded: bool,
}

#[test]
fn no_address_is_had_twice_and_none_is_lost() {
    each_seed(SEEDS, &REGRESSIONS, run);
}

/// Goes through so many histories, and through those that once failed, on all processors
pub fn each_seed(
    seeds: u64,
    regressions: &[u64],
    run: impl Fn(u64, bool) + Sync + std::panic::RefUnwindSafe,
) {
    if let Ok(seed) = std::env::var("IPAM_SEED") {
        return run(seed.parse().unwrap(), true);
    }
    let seeds = number("IPAM_SEEDS", seeds);
    let first = number("IPAM_FIRST", 0);
    let chosen = first..first + seeds;
    let beyond = regressions.iter().copied().filter(|seed| !chosen.contains(seed));
    let queue: Vec<u64> = beyond.chain(chosen.clone()).collect();
    let next = AtomicUsize::new(0);
    let failures = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while failures.load(Ordering::Relaxed) < MOST_FAILURES {
            let Some(seed) = queue.get(next.fetch_add(1, Ordering::Relaxed)).copied() else {
                break;
            };
            if std::panic::catch_unwind(|| run(seed, false)).is_err() {
                println!("replay with IPAM_SEED={seed}");
                failures.fetch_add(1, Ordering::Relaxed);
                failed.push(seed);
            }
        }
        failed
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

fn run(seed: u64, trace: bool) {
    let mut history = History::new(seed, trace);
    let steps = history.world.rng.random_range(5..30);
    for _ in 0..steps {
        history.act();
        let pause = match history.world.rng.random_range(0..10) {
            0..=4 => history.world.rng.random_range(1..500),
            5..=7 => history.world.rng.random_range(500..20_000),
            8 => history.world.rng.random_range(20_000..120_000),
            _ => history.world.rng.random_range(120_000..500_000),
        };
        history.world.advance(Duration::from_millis(pause));
        history.judge();
    }
    history.heal();
    history.judge();
    history.exhaust();
    history.judge();
    let world = &history.world;
    world.note(|| {
        format!(
            "{} messages, {} wakes, {} excused",
            world.messages, world.wakes, world.judge.excused
        )
    });
}

impl History {
    fn new(seed: u64, trace: bool) -> Self {
        let mut world = World::new(seed);
        world.trace = trace;
        let range = ["10.0.0.0/27", "10.0.0.0/28", "255.255.255.224/27"][world.rng.random_range(0..3)];
        let lease = (world.rng.random_range(0..8) > 0).then_some(LEASE);
        world.judge.lease = lease.map(Duration::from_secs);
        let hosts = [2, 3, 3, 3, 4, 5][world.rng.random_range(0..6)];
        let seeded = world.rng.random_range(0..5) == 0;
        let init = if seeded {
            Init::Seed((0..world.rng.random_range(1..=hosts)).map(name).collect())
        } else {
            consensus(hosts)
        };
        for n in 0..hosts {
            let observer = !seeded && n == hosts - 1 && hosts > 2 && world.rng.random_range(0..4) == 0;
            let init = if observer { Init::Observer } else { init.clone() };
            world.add(config(n, range, init, lease));
        }
        let mut history = Self {
            world,
            range,
            lease,
            seeded,
        };
        history.wire();
        history
    }

    /// A full mesh, or a ring with what else there may be
    fn wire(&mut self) {
        let full = self.world.rng.random_range(0..2) == 0;
        let count = self.world.hosts.len();
        for a in 0..count {
            for b in 0..a {
                if full || b + 1 == a || self.world.rng.random_range(0..3) == 0 {
                    self.world.join(a, b);
                }
            }
        }
    }

    fn judge(&self) {
        let violations = &self.world.judge.violations;
        assert!(violations.is_empty(), "{violations:#?}");
    }

    fn any(&mut self, of: &[usize]) -> Option<usize> {
        (!of.is_empty()).then(|| of[self.world.rng.random_range(0..of.len())])
    }

    fn act(&mut self) {
        let alive = self.world.alive();
        let count = self.world.hosts.len();
        let kind = self.world.rng.random_range(0..100);
        let Some(n) = self.any(&alive) else {
            return self.restart();
        };
        match kind {
            0..=39 => {
                for _ in 0..self.world.rng.random_range(1..6) {
                    let n = self.any(&alive).unwrap();
                    let subnet = self.subnet();
                    if self.world.hosts[n].runs() {
                        self.world.allocate(n, &subnet);
                    }
                }
            }
            40..=47 => {
                let address = self.address();
                self.world.claim(n, address);
            }
            48..=57 => {
                for n in 0..count {
                    let containers: Vec<ContainerId> =
                        self.world.hosts[n].containers.keys().cloned().collect();
                    for container in containers {
                        if self.world.rng.random_range(0..3) == 0 {
                            self.world.end(n, &container);
                        }
                    }
                }
            }
            58..=64 => {
                let a = self.world.rng.random_range(0..count);
                let b = self.world.rng.random_range(0..count);
                if self.world.rng.random_range(0..2) == 0 {
                    self.world.part(a, b);
                } else {
                    self.world.join(a, b);
                }
            }
            65..=72 => self.split(),
            73..=76 => self.world.join_all(),
            77..=80 => {
                // It crashes on its way through what it was just told to do.
                let left = self.world.rng.random_range(0..4);
                self.world.doomed.insert(n, left);
            }
            81..=84 => self.crash(n),
            85..=90 => self.restart(),
            91..=92 => self.leave(n),
            93..=94 => {
                if count < 7 {
                    let init = self.world.hosts[0].config.init.clone();
                    let new = self.world.add(config(count, self.range, init, self.lease));
                    for other in self.world.alive() {
                        self.world.join(new, other);
                    }
                }
            }
            95..=96 => self.operator(n),
            97 => self.world.cancel_all(n),
            _ => self.world.hosts[n].day_off = self.world.rng.random_range(-10_000_000_000..10_000_000_000),
        }
    }

    fn subnet(&mut self) -> String {
        let range: ipnetwork::Ipv4Network = self.range.parse().unwrap();
        if self.world.rng.random_range(0..3) > 0 {
            return self.range.to_owned();
        }
        let low = u32::from(range.network()) + 8 * self.world.rng.random_range(0..range.size() / 8);
        format!("{}/29", Ipv4Addr::from(low))
    }

    fn address(&mut self) -> Ipv4Addr {
        let range: ipnetwork::Ipv4Network = self.range.parse().unwrap();
        (u32::from(range.network()) + self.world.rng.random_range(1..range.size() - 1)).into()
    }

    fn split(&mut self) {
        let count = self.world.hosts.len();
        let mask: u32 = self.world.rng.random();
        for a in 0..count {
            for b in 0..a {
                if (mask >> a) & 1 != (mask >> b) & 1 {
                    self.world.part(a, b);
                }
            }
        }
    }

    fn crash(&mut self, n: usize) {
        let kind = self.world.rng.random_range(0..6);
        self.world.crash(n);
        match kind {
            // Only the program, which may be without its state when it starts again
            0 | 1 => {}
            2 if !self.seeded => self.forget(n),
            // The host, with all its containers
            3 | 4 => self.world.hosts[n].containers.clear(),
            _ => {
                self.world.hosts[n].containers.clear();
                self.world.hosts[n].buried = true;
            }
        }
    }

    fn forget(&mut self, n: usize) {
        self.world.note(|| format!("{n} loses its state"));
        self.world.hosts[n].disk = None;
        self.world.hosts[n].kept_at = None;
    }

    fn restart(&mut self) {
        let down = |n: &usize| !self.world.hosts[*n].runs() && !self.world.hosts[*n].buried;
        let down: Vec<usize> = (0..self.world.hosts.len()).filter(down).collect();
        if let Some(n) = self.any(&down) {
            let rebooted =
                self.world.hosts[n].containers.is_empty() && self.world.rng.random_range(0..2) == 0;
            self.world.start(n, rebooted);
        }
    }

    fn leave(&mut self, n: usize) {
        if self.seeded {
            return;
        }
        self.world.leave(n);
        self.world.hosts[n].buried = self.world.rng.random_range(0..2) == 0;
    }

    /// Removes a peer that is really dead
    fn operator(&mut self, n: usize) {
        let buried: Vec<usize> = (0..self.world.hosts.len())
            .filter(|n| self.world.hosts[*n].buried)
            .collect();
        if let Some(dead) = self.any(&buried) {
            self.world.remove(n, name(dead));
        }
    }

    /// Everything is connected, who is buried is removed, and there is time
    fn heal(&mut self) {
        self.world.note(|| "heals".to_owned());
        self.world.doomed.clear();
        for n in 0..self.world.hosts.len() {
            if !self.world.hosts[n].runs() && !self.world.hosts[n].buried {
                self.world.start(n, false);
            }
        }
        self.world.join_all();
        let Some(first) = self.world.alive().first().copied() else {
            return;
        };
        self.world.advance(Duration::from_secs(30));
        let ticket = self.world.next_ticket();
        self.world.with(first, |ipam, now| ipam.prime(ticket, now));
        let patient = self.world.rng.random_range(0..2) == 0;
        if let Some(lease) = self.lease.filter(|_| patient) {
            self.world.advance(Duration::from_secs(lease * 5 / 2));
        }
        // Once the first removal ends a fence, a lease begins anew: so all are named, or none.
        let by_name = self.lease.is_none() || !patient || self.seeded || !self.is_well(first);
        for dead in 0..self.world.hosts.len() {
            if by_name && !self.world.hosts[dead].runs() {
                let ticket = self.world.remove(first, name(dead));
                self.world.advance(Duration::from_secs(10));
                assert!(
                    self.world.answered(first, ticket),
                    "the removal of {dead} is answered"
                );
            }
        }
        self.world.advance(Duration::from_secs(60));
        for n in self.world.alive() {
            self.world.cancel_all(n);
        }
        self.world.advance(Duration::from_secs(60));
        if self.world.status(first).lineage.is_some() {
            self.world.judge.healed(&self.world.hosts, self.world.now);
        } else {
            // Too few electors are left to begin.
            self.world.judge.lineages.clear();
        }
    }

    fn is_well(&self, n: usize) -> bool {
        !matches!(self.world.status(n).phase, ipam::Phase::Fenced { .. })
    }

    /// Every free address can be had, from anywhere
    fn exhaust(&mut self) {
        let alive = self.world.alive();
        let Some(first) = alive.first().copied() else {
            return;
        };
        if self.world.status(first).lineage.is_none() {
            return;
        }
        let range: ipnetwork::Ipv4Network = self.range.parse().unwrap();
        let mut taken: std::collections::BTreeSet<Ipv4Addr> = [range.network(), range.broadcast()].into();
        for n in &alive {
            taken.extend(
                self.world.hosts[*n]
                    .containers
                    .values()
                    .map(|(address, _)| *address),
            );
        }
        let free = range.size() as usize - taken.len();
        let mut wanted = Vec::new();
        for _ in 0..free {
            let n = self.any(&alive).unwrap();
            let range = self.range;
            wanted.push((n, self.world.allocate(n, range)));
        }
        for _ in 0..24 {
            self.world.advance(Duration::from_secs(5));
            if wanted.iter().all(|(n, ticket)| self.world.answered(*n, *ticket)) {
                return;
            }
        }
        let missing = wanted
            .iter()
            .filter(|(n, ticket)| !self.world.answered(*n, *ticket));
        let missing: Vec<_> = missing.map(|(n, _)| (n, self.world.status(*n).pending)).collect();
        panic!("of {free} free addresses these were not given: {missing:#?}");
    }
}
