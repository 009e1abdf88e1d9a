//! One host: its clock, its disk, its containers, and the program that may run on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use gossip::Exchange;
use ipam::{Config, Ipam, Refusal, State, Ticket};
use model::{ContainerId, PeerName};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// What runs
pub struct Daemon {
    pub ipam: Ipam,
    pub exchange: Exchange,
}

/// One host
pub struct Host {
    pub config: Config,
    pub daemon: Option<Daemon>,
    pub disk: Option<State>,
    /// When something was last put there, by the clock that nobody sets
    pub kept_at: Option<Duration>,
    /// The clock that nobody sets goes this much too fast
    rate: f64,
    base: Instant,
    /// How wrong the time of day is, in milliseconds
    pub day_off: i64,
    /// The addresses in the range that running containers have, and when they got them
    pub containers: BTreeMap<ContainerId, (Ipv4Addr, Duration)>,
    pub refused: BTreeMap<Ticket, Refusal>,
    pub waiting: BTreeMap<Ticket, ContainerId>,
    pub answered: BTreeSet<Ticket>,
    /// Whom each other host is connected to, as far as this one has heard
    pub heard_links: BTreeMap<usize, BTreeSet<usize>>,
    /// When its program is to be woken
    pub wakes: Option<Duration>,
    /// It never comes back
    pub buried: bool,
}

impl Host {
    pub fn new(config: Config, rate: f64, base: Instant) -> Self {
        Self {
            config,
            daemon: None,
            disk: None,
            kept_at: None,
            rate,
            base,
            day_off: 0,
            containers: BTreeMap::new(),
            refused: BTreeMap::new(),
            waiting: BTreeMap::new(),
            answered: BTreeSet::new(),
            heard_links: BTreeMap::new(),
            wakes: None,
            buried: false,
        }
    }

    pub const fn name(&self) -> PeerName {
        self.config.name
    }

    pub const fn runs(&self) -> bool {
        self.daemon.is_some()
    }

    pub fn ipam(&self) -> &Ipam {
        &self.daemon.as_ref().unwrap().ipam
    }

    /// What this host's clock shows at a time of the world
    pub fn local(&self, now: Duration) -> Instant {
        self.base + now.mul_f64(self.rate)
    }

    /// At which time of the world this host's clock shows that, or a little later
    pub fn global(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.base).div_f64(self.rate) + Duration::from_millis(1)
    }

    /// Starts the program
    pub fn start(&mut self, seed: u64, now: Duration, rebooted: bool) {
        let away = self
            .kept_at
            .filter(|_| !rebooted)
            .map(|at| (now - at).mul_f64(self.rate));
        let day = (1_800_000_000_000 + now.as_millis() as i64 + self.day_off).max(0) as u64;
        let rng = StdRng::seed_from_u64(seed);
        let at = self.local(now);
        let mut ipam = Ipam::new(self.config.clone(), self.disk.clone(), away, day, rng, at);
        let held: Vec<(ContainerId, Ipv4Addr)> = {
            let state = self.disk.iter().flat_map(|state| state.addresses.iter());
            state
                .map(|(address, held)| (held.container.clone(), *address))
                .collect()
        };
        for (container, address) in held {
            if self.containers.get(&container).map(|(has, _)| *has) != Some(address) {
                ipam.release(&container, Some(address), at);
            }
        }
        let prefix = self.config.range.prefix();
        for (container, (address, _)) in &self.containers {
            ipam.reclaim(
                container.clone(),
                ipnetwork::Ipv4Network::new(*address, prefix).unwrap(),
                at,
            );
        }
        self.daemon = Some(Daemon {
            ipam,
            exchange: Exchange::new(self.name()),
        });
    }
}
