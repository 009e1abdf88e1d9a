//! Two probes on a virtual clock, joined by a link that delays, loses, cuts, and drops what is too large.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::mtu::sleeve_packet_size;

/// One direction
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) delay: Duration,
    /// Added to each packet's delay, at most
    pub(super) jitter: Duration,
    /// Probability that a packet is lost
    pub(super) loss: f64,
    pub(super) mtu: u16,
    pub(super) cut: bool,
}

impl Link {
    pub(super) fn lan() -> Self {
        Self {
            delay: Duration::from_micros(150),
            jitter: Duration::from_micros(100),
            loss: 0.0,
            mtu: 1500,
            cut: false,
        }
    }
}

pub(super) struct World {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) probes: [PathProbe; 2],
    /// From 0 to 1, and from 1 to 0
    pub(super) links: [Link; 2],
    /// Until when a probe's process does not run
    pub(super) asleep: [Option<Instant>; 2],
    /// Each status that was reported
    pub(super) changes: Vec<(Instant, usize, ProbeStatus)>,
    pub(super) packets: u64,
    flying: BTreeMap<(Instant, u64), (usize, Beat, u16)>,
    rng: StdRng,
}

impl World {
    pub(super) fn new(config: &ProbeConfig, link: &Link, seed: u64) -> Self {
        let start = Instant::now();
        let probe = |id| PathProbe::new(config.clone(), id, start);
        let mut world = Self {
            start,
            now: start,
            probes: [probe(1), probe(2)],
            links: [link.clone(), link.clone()],
            asleep: [None, None],
            changes: Vec::new(),
            packets: 0,
            flying: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
        };
        world.speak();
        world
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(self.now + time, |_| false);
    }

    /// Runs until `done` and returns how long that took; `None` if it is not done in `time`
    pub(super) fn run_for(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let start = self.now;
        self.run_until(start + time, &done);
        done(self).then(|| self.now - start)
    }

    pub(super) fn both(&self, what: impl Fn(&ProbeStatus) -> bool) -> bool {
        self.probes.iter().all(|probe| what(&probe.status()))
    }

    /// How often a probe took its path for dead
    pub(super) fn downs(&self) -> usize {
        let mut was_up = [false; 2];
        let fell = |(_, who, status): &&(Instant, usize, ProbeStatus)| {
            std::mem::replace(&mut was_up[*who], status.up) && !status.up
        };
        self.changes.iter().filter(fell).count()
    }

    fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let Some(next) = self.next().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.step();
        }
    }

    /// When the next thing happens
    fn next(&self) -> Option<Instant> {
        let arrivals = self.flying.keys().map(|(at, _)| *at).next();
        let timers = self.probes.iter().zip(self.asleep).filter_map(|(probe, asleep)| {
            let (due, _) = probe.poll_timeout()?;
            Some(asleep.map_or(due, |wakes| due.max(wakes)))
        });
        arrivals.into_iter().chain(timers).min()
    }

    fn step(&mut self) {
        for asleep in &mut self.asleep {
            asleep.take_if(|wakes| *wakes <= self.now);
        }
        while let Some(arrival) = self.flying.first_entry() {
            if arrival.key().0 > self.now {
                break;
            }
            let (key, (to, beat, size)) = arrival.remove_entry();
            match self.asleep[to] {
                // It waits in the socket's buffer.
                Some(wakes) => {
                    self.flying.insert((wakes, key.1), (to, beat, size));
                }
                None => {
                    let pong = self.probes[to].handle_beat(beat, size, self.now);
                    if let Ok(Some(beat)) = pong {
                        self.send(to, Transmit { beat, pad_to: 0 });
                    }
                }
            }
        }
        for (probe, asleep) in self.probes.iter_mut().zip(self.asleep) {
            let due = probe.poll_timeout().is_some_and(|(at, _)| at <= self.now);
            if due && asleep.is_none() {
                probe.handle_timeout(self.now);
                let next = probe.poll_timeout().unwrap();
                assert!(next.0 > self.now, "after a timeout nothing is due: {}", next.1);
            }
        }
        self.speak();
    }

    /// Takes what the probes have to say
    pub(super) fn speak(&mut self) {
        for from in 0..2 {
            while let Some(output) = self.probes[from].poll_output() {
                match output {
                    Output::Transmit(transmit) => self.send(from, transmit),
                    Output::Changed(status) => self.changes.push((self.now, from, status)),
                }
            }
        }
    }

    fn send(&mut self, from: usize, transmit: Transmit) {
        let link = &self.links[from];
        let size = transmit.pad_to.max(sleeve_packet_size(20 + Beat::LEN));
        self.packets += 1;
        if link.cut || size > link.mtu || self.rng.random_bool(link.loss) {
            return;
        }
        let jitter = link.jitter.mul_f64(self.rng.random());
        let key = (self.now + link.delay + jitter, self.packets);
        self.flying.insert(key, (1 - from, transmit.beat, size));
    }
}
