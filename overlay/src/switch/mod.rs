//! The switch of a host with Open vSwitch.
//!
//! ```text
//!   upcall ──► miss ──► Verdict: actions for the frame, and whether a flow shall do it from then on
//!   topology, path, port, station changes ──► the flows that hang on them, decided anew
//!                                                └──► PutFlow (actions replaced in place), DeleteFlow
//!   dump ──► flows_seen ──► stations kept alive, idle flows deleted, differences repaired
//! ```
//! Everything comes out of one pure function, [`Switch::decide`]: what a miss gets, and what each
//! remembered flow should do. At any time after [`Switch::settle`] the flows are those of which `decide`
//! says that they may exist, with the actions that it gives.
//!
//! **Start.** The first dump is adopted: its flows are left as they are until [`Switch::settle`], while
//! neighbours come back; the stations that they tell of are learnt. Two things are not waited for: a
//! port that appears joins the adopted flooding flows, and one that goes leaves all adopted flows, as
//! its number may be another's at once.
//!
//! **Order.** Carry out the outputs that are queued before installing the flow of a verdict, and both
//! in the order given: a flow may be deleted and put again within one call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Mac, PeerName, bump, later};
use openvswitch_sys::{Action, FlowKey, Ufid, UpcallKey};

mod actions;
mod adopt;
mod changes;
mod decide;
mod flows;
mod limit;
mod macs;
mod oversize;
mod proved;
mod ready;

pub use adopt::SeenFlow;
pub use decide::Decision;
pub use macs::Place;
pub use oversize::Oversize;

use crate::{DropReason, Drops, MacTable, Path, Routes, Station};
use decide::State;
use flows::{Flows, Installed};
use limit::{Limit, Limits, Source};
use macs::{Lesson, Macs};
use proved::Proved;

/// What is on a port
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRole {
    /// A container
    Container,
    /// The host's own leg: the datapath's internal port
    Host,
    /// The neighbours that fastdp reaches
    Vxlan,
    /// The sleeve
    Tap,
}

impl PortRole {
    /// Whether stations of this host are on it
    pub const fn is_local(self) -> bool {
        match self {
            Self::Container | Self::Host => true,
            Self::Vxlan | Self::Tap => false,
        }
    }
}

/// The limits of the switch
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// After how long without a frame a station is forgotten
    pub mac_age: Duration,
    /// How many stations are remembered
    pub max_macs: usize,
    /// After how long without a frame a flow is deleted
    pub flow_idle: Duration,
    /// The same when three quarters of the flows are taken
    pub flow_idle_crowded: Duration,
    /// How many flows there may be; one local port has at most a quarter of them
    pub max_flows: usize,
    /// Below how many flows some are put before a frame asks for them; 0 puts none
    pub ready_flows: usize,
    /// How many of these a second
    pub ready_per_second: u32,
    /// How many at once
    pub ready_burst: u32,
    /// How many misses a second each local port and each peer may cause
    pub misses_per_second: u32,
    /// How many it may cause at once
    pub miss_burst: u32,
    /// How many of its misses a second may come from stations that were not known there, or go to
    /// stations that are known nowhere: containers are few, made-up addresses many
    pub strangers_per_second: u32,
    /// How many at once
    pub stranger_burst: u32,
    /// The longest IP packet that containers of this host send
    pub mtu: u16,
    /// Netlink port id for frames that are too long for their path; `None` where the kernel lacks
    /// `OVS_ACTION_ATTR_CHECK_PKT_LEN`. Not zero, even under per-CPU dispatch
    pub too_long_to: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mac_age: Duration::from_secs(600),
            max_macs: 65_536,
            flow_idle: Duration::from_secs(300),
            flow_idle_crowded: Duration::from_secs(10),
            max_flows: 65_536,
            ready_flows: 4096,
            ready_per_second: 100,
            ready_burst: 1024,
            misses_per_second: 50_000,
            miss_burst: 50_000,
            strangers_per_second: 200,
            stranger_burst: 500,
            mtu: 1500,
            too_long_to: None,
        }
    }
}

/// The answer to a miss
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What to execute the frame with; nothing drops it
    pub actions: Vec<Action>,
    /// More lists to execute it with, one execution each: only on hosts with hundreds of neighbours
    pub further: Vec<Vec<Action>>,
    /// The key of the flow to install with `actions`
    pub install: Option<FlowKey>,
    /// Why the frame goes nowhere
    pub dropped: Option<DropReason>,
}

/// What the daemon shall do, or may like to know; in order
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchOutput {
    /// A change to the kernel's flows
    Command(Command),
    /// Something that happened
    Event(Event),
}

/// A change to the kernel's flows
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Put this flow, or replace its actions
    PutFlow(FlowKey, Vec<Action>),
    /// Delete this flow; that it is not there is fine
    DeleteFlow(Ufid),
}

/// Something that happened
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A station is elsewhere
    MacMoved {
        /// The station
        mac: Mac,
        /// Where it was
        from: Place,
        /// Where it is
        to: Place,
    },
}

/// What happened so far
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames that no flow matched
    pub misses: u64,
    /// Frames too long for their path
    pub oversize: u64,
    /// Stations learnt
    pub macs_learnt: u64,
    /// Stations that moved
    pub macs_moved: u64,
    /// Stations that gave way to others before their time
    pub macs_evicted: u64,
    /// Flows put, or their actions replaced
    pub flows_put: u64,
    /// Of these, flows put before a frame asked for them
    pub flows_ready: u64,
    /// Flows deleted
    pub flows_deleted: u64,
    /// Flows not installed because there were too many
    pub flows_refused: u64,
    /// Flows found at the start
    pub flows_adopted: u64,
    /// Flows that the kernel lost or that somebody changed
    pub flows_repaired: u64,
    /// Flows found that are not the switch's
    pub flows_foreign: u64,
    /// Frames dropped; those that a drop flow drops are counted once
    pub drops: Drops,
}

/// The switch
#[derive(Debug)]
pub struct Switch {
    config: Config,
    state: State,
    /// What the sleeve's threads see of the stations
    shared: Arc<MacTable>,
    start: Instant,
    flows: Flows,
    limits: Limits,
    settled: bool,
    /// Somebody else's flows, deleted on settling
    foreign: BTreeSet<Ufid>,
    next_sweep: Instant,
    outputs: VecDeque<SwitchOutput>,
    counters: Counters,
}

impl Switch {
    /// A switch without ports, paths or stations, before [`Switch::settle`]
    ///
    /// It keeps `shared` in step with its stations, for the sleeve's threads to read; nobody else
    /// writes to that table.
    pub fn new(config: Config, routes: Arc<dyn Routes>, shared: Arc<MacTable>, now: Instant) -> Self {
        Self {
            config,
            state: State {
                routes,
                ports: BTreeMap::new(),
                tap: None,
                paths: BTreeMap::new(),
                proved: Proved::default(),
                macs: Macs::new(config.max_macs.max(1)),
                mtu: config.mtu,
                too_long_to: config.too_long_to,
            },
            shared,
            start: now,
            flows: Flows::default(),
            limits: Limits::new(
                Limit::new(config.misses_per_second, config.miss_burst),
                Limit::new(config.strangers_per_second, config.stranger_burst),
                Limit::new(config.ready_per_second, config.ready_burst),
            ),
            settled: false,
            foreign: BTreeSet::new(),
            next_sweep: later(now, SWEEP),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Answers an upcall for a frame that no flow matched
    ///
    /// The caller has taken out fastdp heartbeats, the frames from address zero to address zero.
    pub fn miss(&mut self, key: &UpcallKey, now: Instant) -> Verdict {
        bump(&mut self.counters.misses);
        let key = key.flow_key();
        let ingress = self.state.ingress(&key);
        let account = match &ingress {
            Ok(ingress) => ingress.account(),
            // Anybody in the underlay can cause these: they take nothing from anybody's account, and no more
            // work than this.
            Err(reason @ DropReason::UnprovedAddress) => return self.refuse(*reason),
            Err(_) => Source::Odd(key.in_port),
        };
        if !self.limits.take(account, now) {
            return self.refuse(DropReason::RateLimited);
        }
        let ingress = match ingress {
            Ok(ingress) => ingress,
            Err(reason) => return self.refuse(reason),
        };
        if ingress.relay.is_none() {
            let from_stranger = self.state.macs.place(key.src) != Some(ingress.place);
            let to_stranger = !key.dst.is_group() && self.state.macs.place(key.dst).is_none();
            let stranger = from_stranger || to_stranger;
            if stranger && !self.limits.take(Source::Strangers(ingress.place), now) {
                return self.refuse(DropReason::RateLimited);
            }
            self.learn(key.src, ingress.place, now);
            if from_stranger {
                self.make_ready(key.src, ingress.place, now);
            }
        }
        let ufid = key.ufid();
        if let Some(flow) = self.flows.get(&ufid).filter(|flow| flow.adopted) {
            // The frame was on its way up before the flow was there.
            return Verdict {
                actions: flow.actions.clone(),
                further: vec![],
                install: None,
                dropped: None,
            };
        }
        let decision = self.state.decide(&key);
        if let Some(reason) = decision.reason {
            self.counters.drops.count(reason);
        }
        let install = decision.cacheable && self.remember(ufid, &key, &decision, now);
        Verdict {
            actions: decision.actions,
            further: decision.further,
            install: install.then_some(key),
            dropped: decision.reason,
        }
    }

    /// What becomes of the frames of a key
    pub fn decide(&self, key: &FlowKey) -> Decision {
        self.state.decide(key)
    }

    /// Forgets stations that were silent for too long
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = later(now, SWEEP);
        self.limits.sweep(now);
        let gone = self.state.macs.expire(self.config.mac_age, now);
        self.macs_changed(&gone, now);
    }

    /// When to call [`Switch::handle_timeout`], and why
    pub const fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        Some((self.next_sweep, "silent stations are forgotten"))
    }

    /// The next thing to do
    pub fn poll_output(&mut self) -> Option<SwitchOutput> {
        self.outputs.pop_front()
    }

    /// Each station, where it is, and when its last frame was seen
    pub fn stations(&self) -> impl Iterator<Item = (Mac, Place, Instant)> {
        self.state.macs.iter()
    }

    /// How many stations are known
    pub fn station_count(&self) -> usize {
        self.state.macs.len()
    }

    /// The flows that the switch believes the kernel to have
    pub fn flows(&self) -> impl Iterator<Item = (&FlowKey, &[Action])> {
        self.flows
            .iter()
            .map(|(_, flow)| (&flow.key, flow.actions.as_slice()))
    }

    /// How many flows that are
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// What happened so far
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The path that is set for a neighbour
    pub fn path(&self, neighbour: PeerName) -> Option<Path> {
        self.state.paths.get(&neighbour).copied()
    }

    fn refuse(&mut self, reason: DropReason) -> Verdict {
        self.counters.drops.count(reason);
        Verdict {
            actions: vec![],
            further: vec![],
            install: None,
            dropped: Some(reason),
        }
    }

    /// Notes where a station is, and brings the flows that thought otherwise into line
    fn learn(&mut self, mac: Mac, place: Place, seen: Instant) {
        match self.state.macs.learn(mac, place, seen) {
            Lesson::Known => self.share(mac),
            Lesson::New { evicted } => {
                bump(&mut self.counters.macs_learnt);
                self.share(mac);
                if let Some(evicted) = evicted {
                    bump(&mut self.counters.macs_evicted);
                    self.macs_changed(&[evicted], seen);
                }
            }
            Lesson::Moved { from } => {
                bump(&mut self.counters.macs_moved);
                self.outputs
                    .push_back(SwitchOutput::Event(Event::MacMoved { mac, from, to: place }));
                self.macs_changed(&[mac], seen);
            }
        }
    }

    /// Shows the sleeve's threads where a station is
    fn share(&self, mac: Mac) {
        let tick = |seen: Instant| seen.saturating_duration_since(self.start).as_secs() as u32;
        match (self.state.macs.place(mac), self.state.macs.seen(mac)) {
            (Some(Place::Port(_)), Some(seen)) => {
                self.shared.learn(mac, Station::Local, tick(seen));
            }
            (Some(Place::Peer(id)), Some(seen)) => {
                self.shared.learn(mac, Station::Peer(id), tick(seen));
            }
            (None, _) | (_, None) => self.shared.forget(mac),
        }
    }

    /// Stations are elsewhere, or gone
    fn macs_changed(&mut self, macs: &[Mac], now: Instant) {
        for mac in macs {
            self.share(*mac);
            for ufid in self.flows.of_mac(*mac) {
                self.reconsider(&ufid, now);
            }
        }
    }

    /// Decides a flow anew, and has the kernel follow
    fn reconsider(&mut self, ufid: &Ufid, now: Instant) {
        let Some(flow) = self.flows.get_mut(ufid) else {
            return;
        };
        if flow.adopted {
            return;
        }
        let decision = self.state.decide(&flow.key);
        if !decision.cacheable {
            self.delete(ufid);
            return;
        }
        flow.depends = decision.depends;
        if flow.actions != decision.actions {
            flow.actions = decision.actions;
            flow.put = now;
            let (key, actions) = (flow.key, flow.actions.clone());
            self.put(key, actions);
        }
    }

    /// Remembers a flow that the daemon is about to install, if there is room
    fn remember(&mut self, ufid: Ufid, key: &FlowKey, decision: &Decision, now: Instant) -> bool {
        let share = if self.state.is_local(key.in_port) {
            self.config.max_flows / 4
        } else {
            self.config.max_flows
        };
        let known = self.flows.get(&ufid).is_some();
        let full = self.flows.len() >= self.config.max_flows || self.flows.on_port(key.in_port) >= share;
        if full && !known {
            bump(&mut self.counters.flows_refused);
            return false;
        }
        bump(&mut self.counters.flows_put);
        self.flows.insert(
            ufid,
            Installed {
                key: *key,
                actions: decision.actions.clone(),
                depends: decision.depends,
                adopted: false,
                used: now,
                put: now,
            },
        );
        true
    }

    fn put(&mut self, key: FlowKey, actions: Vec<Action>) {
        bump(&mut self.counters.flows_put);
        self.outputs
            .push_back(SwitchOutput::Command(Command::PutFlow(key, actions)));
    }

    fn delete(&mut self, ufid: &Ufid) {
        self.flows.remove(ufid);
        bump(&mut self.counters.flows_deleted);
        self.outputs
            .push_back(SwitchOutput::Command(Command::DeleteFlow(*ufid)));
    }
}

/// How often silent stations are looked for
const SWEEP: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
