//! What happens when.

use std::time::Instant;

use log::warn;
use model::{bump, later, until_next};
use rand::RngExt;
use rand::rngs::StdRng;

use super::Mesh;
use crate::config::Timers;
use crate::message::Message;
use crate::output::{ConnId, Output};
use crate::targets::Circumstances;

/// The deadlines that belong to the mesh as a whole
#[derive(Debug)]
pub(super) struct Schedule {
    /// The next look at who has to hear from us; only [`Mesh::handle_timeout`] moves it, so that its
    /// being late proves that this process did not run
    pulse: Option<Instant>,
    /// Pulses are due some times [`Timers::keepalive`] after this: when heartbeats are that often, too, one
    /// wake-up serves both
    grid: Instant,
    digest: Instant,
    routes: Option<Instant>,
    refute: Option<Instant>,
    /// No refutation before this
    refute_from: Instant,
}

impl Schedule {
    pub(super) fn new(timers: &Timers, rng: &mut StdRng, now: Instant) -> Self {
        Self {
            pulse: None,
            grid: now,
            digest: later(now, timers.digest.mul_f64(rng.random_range(0.5..1.0))),
            routes: None,
            refute: None,
            refute_from: now,
        }
    }

    pub(super) fn start_pulse(&mut self, timers: &Timers, now: Instant) {
        let next = || later(now, until_next(timers.keepalive, self.grid, now));
        self.pulse.get_or_insert_with(next);
    }

    pub(super) fn routes_stale(&mut self, timers: &Timers, now: Instant) {
        self.routes.get_or_insert_with(|| later(now, timers.routes));
    }

    pub(super) fn refute_soon(&mut self, now: Instant) {
        let from = self.refute_from.max(now);
        self.refute.get_or_insert(from);
    }
}

impl Mesh {
    pub(super) fn run_timers(&mut self, now: Instant) {
        self.excuse_all_if_starved(now);
        if self.schedule.pulse.take_if(|due| *due <= now).is_some() {
            self.keep_alive();
            if !self.connections.is_empty() {
                self.schedule.start_pulse(&self.config.timers, now);
            }
        }
        self.end_connections(now);
        if self.pins.handle_timeout(now) {
            self.own_changed(now);
        }
        for (peer, change) in self.neighbours.due(now) {
            self.change_neighbour(peer, change, now);
        }
        if self.schedule.refute.take_if(|due| *due <= now).is_some() {
            self.schedule.refute_from = later(now, self.config.timers.refute);
            self.refute(now);
        }
        self.settle(now);
        self.flush_flood(now);
        if self.schedule.digest <= now {
            let spread = self.rng.random_range(0.75..1.25);
            self.schedule.digest = later(now, self.config.timers.digest.mul_f64(spread));
            self.send_digests();
        }
        self.collect(now);
        if self.schedule.routes.take_if(|due| *due <= now).is_some() {
            self.compute_routes(now);
        }
        self.dial(now);
    }

    pub(super) fn next_timer(&self) -> Option<(Instant, &'static str)> {
        let collect = self.config.timers.collect;
        let schedule = &self.schedule;
        let mesh = [
            (schedule.pulse, "keepalive"),
            (Some(schedule.digest), "digest"),
            (schedule.routes, "routes"),
            (schedule.refute, "refutation"),
            (self.flood.timeout(), "flood"),
            (
                self.unreachable
                    .values()
                    .min()
                    .map(|since| later(*since, collect)),
                "collect",
            ),
            (self.targets.timeout(), "dial"),
            (self.pins.timeout(), "end of a dispute"),
        ];
        mesh.into_iter()
            .filter_map(|(due, why)| Some((due?, why)))
            .chain(self.connections.values().map(|connection| connection.deadline()))
            .chain(self.neighbours.timeout())
            .min()
    }

    /// When this process did not run, what others sent has not been read: nobody is silent
    fn excuse_all_if_starved(&mut self, now: Instant) {
        let late = self.schedule.pulse.map(|due| now.saturating_duration_since(due));
        let Some(late) = late.filter(|late| *late >= self.config.timers.starvation) else {
            return;
        };
        warn!("this process did not run for {late:?}");
        bump(&mut self.counters.starved);
        for connection in self.connections.values_mut() {
            connection.excuse(&self.config.timers, now);
        }
        self.neighbours.excuse(late);
    }

    /// Says something to each neighbour that has heard nothing since the last look
    fn keep_alive(&mut self) {
        let up = self
            .connections
            .iter_mut()
            .filter(|(_, connection)| connection.is_up());
        let quiet: Vec<ConnId> = up
            .filter_map(|(conn, connection)| (!std::mem::take(&mut connection.spoke)).then_some(*conn))
            .collect();
        for conn in quiet {
            self.tell(conn, &Message::Keepalive);
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.spoke = false;
            }
        }
    }

    fn end_connections(&mut self, now: Instant) {
        let over = self.connections.iter_mut();
        let over: Vec<_> = over
            .filter_map(|(conn, connection)| Some((*conn, connection.handle_timeout(now)?)))
            .collect();
        for (conn, ended) in over {
            self.outputs.push(Output::Close { conn });
            self.drop_connection(conn, ended, now);
        }
    }

    fn dial(&mut self, now: Instant) {
        let circumstances = Circumstances {
            is_up: &|peer| self.neighbours.is_up(peer),
            limit: self.limit_reached(),
        };
        let dials = self.targets.due(&circumstances, now);
        for (dial, target) in dials {
            self.outputs.push(Output::Dial { dial, target });
        }
    }
}
