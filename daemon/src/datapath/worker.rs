//! What the switch thread does: upcalls in; verdicts, flows and packets out.

mod flows;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use model::{IfName, PeerName};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use odp::{Datapath, Dpif as _, Odp, Reasserted, Received, UpcallSocket, VportEvents, VportSpec};
use openvswitch_sys::{Action, PortNo, SetTunnel, Vport, VportKind};
use overlay::{Config, DropReason, Path as SwitchPath, Place, PortRole, Switch, Tunnel};
use tokio::sync::mpsc;

use super::answer::Answer;
use super::moderation::Moderation;
use super::switch_thread::{Message, Shared};
use super::tunnels::Tunnels;
use super::work::{Counters, Packet, Work};
use super::{BeatOut, MacPlace, Plan};
use crate::control::Input;
use crate::neighbours::{Fastdp, Path};
use crate::routes::TopologyRoutes;
use crate::switch_drops::SwitchDrops;

/// `ovs-dpctl show` and other programs change how upcalls are dispatched; this puts it right.
const REASSERT: Duration = Duration::from_secs(1);
/// How often flows are looked at: for their age, and for what others did to them.
const DUMP: Duration = Duration::from_secs(30);
/// Batches of one socket between two looks at the others.
const ROUNDS: usize = 4;

/// The switch thread's state
pub(super) struct Worker {
    odp: Odp,
    datapath: Datapath,
    upcalls: Vec<UpcallSocket>,
    events: VportEvents,
    switch: Switch,
    routes: TopologyRoutes,
    control: mpsc::Sender<Input>,
    tap: IfName,
    /// Every port's name and role
    ports: BTreeMap<PortNo, (String, PortRole)>,
    /// VXLAN ports
    tunnels: Tunnels,
    /// The neighbours that may use fastdp
    fastdp: BTreeMap<PeerName, Fastdp>,
    /// Where control wants frames to go
    paths: BTreeMap<PeerName, Path>,
    /// The UDP ports of which control knows that their VXLAN ports cannot be made
    told_failing: BTreeSet<u16>,
    csum: bool,
    work: Work,
    drops: Arc<SwitchDrops>,
    counters: Counters,
    moderation: Moderation,
    reassert_at: Instant,
    dump_at: Instant,
}

impl Worker {
    /// Makes or adopts the ports, and takes in the flows that are there
    pub(super) fn new(
        mut odp: Odp,
        datapath: Datapath,
        upcalls: Vec<UpcallSocket>,
        plan: &Plan,
        routes: TopologyRoutes,
        control: mpsc::Sender<Input>,
        now: Instant,
    ) -> anyhow::Result<Self> {
        // Before the ports are read, so that none is missed in between.
        let events = VportEvents::open().context("cannot watch the datapath's ports")?;
        odp.add_vport(&datapath, &netdev(&plan.tap))
            .with_context(|| format!("cannot put {} on the datapath", plan.tap))?;
        let config = Config {
            mtu: plan.overlay_mtu,
            too_long_to: Some(datapath.dispatch.action_pid()),
            ..Config::default()
        };
        let switch = Switch::new(config, Arc::new(routes.clone()), Arc::clone(&plan.macs), now);
        let mut worker = Self {
            odp,
            datapath,
            upcalls,
            events,
            switch,
            routes,
            control,
            tap: plan.tap.clone(),
            ports: BTreeMap::new(),
            tunnels: Tunnels::new(plan.vxlan_port, plan.clear_neighbours),
            fastdp: BTreeMap::new(),
            paths: BTreeMap::new(),
            told_failing: BTreeSet::new(),
            csum: plan.csum,
            work: Work::default(),
            drops: Arc::clone(&plan.drops),
            counters: Counters::default(),
            moderation: Moderation::new(now),
            reassert_at: now + REASSERT,
            dump_at: now + DUMP,
        };
        worker
            .read_ports(now)
            .context("cannot read the datapath's ports")?;
        worker
            .look_at_flows(now)
            .context("cannot read the datapath's flows")?;
        worker.reconcile_tunnels(now);
        worker.flush();
        Ok(worker)
    }

    /// Runs until the thread is to stop
    pub(super) fn run(&mut self, shared: &Shared, messages: &Receiver<Message>) {
        // The clock is read once a turn: on some kernels that is a system call.
        let mut now = Instant::now();
        while !shared.stopping.load(Ordering::SeqCst) {
            let ports_changed = self.wait(shared, now);
            now = Instant::now();
            // Beats and paths before misses: a flood of these must not look like a dead neighbour.
            while let Ok(message) = messages.try_recv() {
                self.message(message, now);
            }
            if ports_changed {
                self.read_events(now);
            }
            self.flush();
            self.answer_upcalls(now);
            self.housekeeping(now);
            self.flush();
        }
    }

    /// Waits for anything to do; whether ports may have changed
    fn wait(&self, shared: &Shared, now: Instant) -> bool {
        let mut fds = vec![
            PollFd::new(shared.wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
        ];
        let paused = self.moderation.paused_until();
        if paused.is_none() {
            let upcalls = self.upcalls.iter();
            fds.extend(upcalls.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        }
        let due = [Some(self.reassert_at), Some(self.dump_at), paused];
        let sweep = self.switch.poll_timeout().map(|(at, _why)| at);
        let due = due.into_iter().chain([sweep]).flatten().min().unwrap_or(now);
        // Rounded up: a wait that ends a moment early would only be repeated.
        let left = due.saturating_duration_since(now) + Duration::from_millis(1);
        let _interrupted = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
        let mut ready = fds.iter().map(|fd| fd.any() == Some(true));
        if ready.next() == Some(true) {
            let _empty = shared.wake.read();
        }
        ready.next() == Some(true)
    }

    /// Answers what waits on each socket, unless upcalls are left to gather
    fn answer_upcalls(&mut self, now: Instant) {
        if self.moderation.is_paused(now) {
            return;
        }
        let before = self.refused();
        let mut answered = 0;
        for at in 0..self.upcalls.len() {
            for _ in 0..ROUNDS {
                let received = self.read_upcalls(at, now);
                answered += received.count;
                self.flush();
                if !received.more {
                    break;
                }
            }
        }
        let refused = self.refused() - before;
        self.moderation.answered(answered, refused, now);
    }

    /// Upcalls beyond somebody's budget or of strangers, so far
    fn refused(&self) -> u64 {
        let drops = &self.switch.counters().drops;
        let limited = drops.of(DropReason::RateLimited) + drops.of(DropReason::UnprovedAddress);
        limited + self.counters.beats.total()
    }

    /// Answers one batch of a socket
    fn read_upcalls(&mut self, at: usize, now: Instant) -> Received {
        let Self {
            upcalls,
            switch,
            routes,
            fastdp,
            control,
            work,
            counters,
            ..
        } = self;
        let Some(socket) = upcalls.get_mut(at) else {
            return Received::default();
        };
        let mut answer = Answer {
            switch,
            routes,
            fastdp,
            control,
            work,
            counters,
            now,
        };
        match socket.recv_batch(|upcall| answer.upcall(&upcall)) {
            Ok(received) => {
                self.counters.overruns += u64::from(received.lost_enobufs);
                self.counters.malformed += received.malformed as u64;
                received
            }
            Err(error) => {
                log::error!("reading upcalls: {error}");
                Received::default()
            }
        }
    }

    fn message(&mut self, message: Message, now: Instant) {
        match message {
            Message::SetFastdp(peer, fastdp) => self.set_fastdp(peer, fastdp, now),
            Message::SetPath(peer, path) => {
                match path {
                    Some(path) => self.paths.insert(peer, path),
                    None => self.paths.remove(&peer),
                };
                let path = path.and_then(|path| self.switch_path(path));
                self.switch.set_path(peer, path, now);
            }
            Message::SetRoutes(routes) => {
                self.routes = routes.clone();
                self.switch.set_routes(Arc::new(routes), now);
            }
            Message::Beat(beat) => self.beat(beat),
            Message::Settle => {
                log::info!("flows of before the restart are settled");
                self.switch.settle(now);
                self.reconcile_tunnels(now);
            }
            Message::AddPort(device, reply) => {
                let added = self.add_port(&device, now);
                let _asker_gone = reply.send(added.map_err(|error| format!("{error:#}")));
            }
            Message::Status(reply) => {
                let _asker_gone = reply.send(self.status().map_err(|error| format!("{error:#}")));
            }
            Message::Flows(reply) => {
                let _asker_gone = reply.send(self.dump().map_err(|error| format!("{error:#}")));
            }
            Message::Macs(reply) => {
                let places = self.switch.stations().map(|(mac, place, seen)| MacPlace {
                    mac,
                    peer: match place {
                        Place::Port(_) => None,
                        Place::Peer(id) => Some(id),
                    },
                    seen_ago: Some(now.saturating_duration_since(seen)),
                });
                let _asker_gone = reply.send(places.collect());
            }
        }
        self.take_outputs();
    }

    fn set_fastdp(&mut self, peer: PeerName, fastdp: Option<Fastdp>, now: Instant) {
        let proved = fastdp.as_ref().and_then(|fastdp| fastdp.proved);
        match fastdp {
            Some(fastdp) => self.fastdp.insert(peer, fastdp),
            None => self.fastdp.remove(&peer),
        };
        self.reconcile_tunnels(now);
        self.switch.set_ingress(peer, proved, now);
    }

    fn switch_path(&self, path: Path) -> Option<SwitchPath> {
        match path {
            Path::Sleeve => Some(SwitchPath::Sleeve),
            Path::Fastdp {
                udp_port,
                local,
                remote,
                mtu,
            } => self.tunnels.port(udp_port).map(|port| {
                SwitchPath::Fastdp(Tunnel {
                    port,
                    local,
                    remote,
                    mtu,
                    csum: self.csum,
                })
            }),
        }
    }

    /// Makes the VXLAN ports that neighbours need, and removes the others
    fn reconcile_tunnels(&mut self, now: Instant) {
        let needed = self.fastdp.values().map(|fastdp| fastdp.udp_port).collect();
        for port in self.tunnels.surplus(&needed, self.switch.is_settled()) {
            match self.odp.del_vport(&self.datapath, port) {
                Ok(()) => self.port_gone(port, now),
                Err(error) => log::error!("cannot remove VXLAN port {port}: {error}"),
            }
        }
        let missing = self.tunnels.missing(&needed, now);
        let mut made = false;
        for udp_port in missing {
            let added = self.add_tunnel(udp_port);
            made |= added.is_ok();
            let is_news = self.tunnels.tried(udp_port, added.is_ok(), now);
            match added {
                Err(error) if is_news => log::error!(
                    "cannot make the VXLAN port on UDP {udp_port}, and neighbours are reached by the sleeve: \
                     {error:#}"
                ),
                Ok(()) if is_news => log::info!("the VXLAN port on UDP {udp_port} is made"),
                Ok(()) | Err(_) => {}
            }
        }
        if made {
            self.tunnels_changed(now);
        }
        self.tell_failing();
    }

    fn add_tunnel(&mut self, udp_port: u16) -> anyhow::Result<()> {
        self.odp.add_vport(&self.datapath, &vxlan(udp_port)?)?;
        Ok(())
    }

    /// Paths through ports that were not there may be taken from here on
    fn tunnels_changed(&mut self, now: Instant) {
        if let Err(error) = self.read_ports(now) {
            log::error!("reading the datapath's ports: {error:#}");
        }
        for (peer, path) in self.paths.clone() {
            let path = self.switch_path(path);
            self.switch.set_path(peer, path, now);
        }
        self.take_outputs();
    }

    /// Control tells why a neighbour is reached by the sleeve
    fn tell_failing(&mut self) {
        let failing = self.tunnels.failing();
        if *failing != self.told_failing
            && self
                .control
                .try_send(Input::VxlanPortsFailing(failing.clone()))
                .is_ok()
        {
            self.told_failing = failing.clone();
        }
    }

    fn beat(&mut self, beat: BeatOut) {
        let BeatOut {
            peer,
            vni,
            udp_port,
            local,
            remote,
            frame,
        } = beat;
        match self.tunnels.port(udp_port) {
            Some(port) => {
                let tunnel = SetTunnel {
                    id: u32::from(vni).into(),
                    src: local,
                    dst: remote,
                    tos: 0,
                    ttl: TTL,
                    dont_fragment: true,
                    csum: self.csum,
                };
                let actions = vec![Action::SetTunnel(tunnel), Action::Output(port)];
                self.work.packets.push(Packet::new(frame, PortNo::LOCAL, actions));
            }
            None => log::debug!("no VXLAN port for {peer}"),
        }
    }

    fn add_port(&mut self, device: &IfName, now: Instant) -> anyhow::Result<()> {
        self.odp.add_vport(&self.datapath, &netdev(device))?;
        self.read_ports(now)
    }

    /// Compares the kernel's ports with those that are known
    fn read_ports(&mut self, now: Instant) -> anyhow::Result<()> {
        let found: BTreeMap<PortNo, Vport> = self
            .odp
            .vports(&self.datapath)?
            .into_iter()
            .map(|vport| (vport.port, vport))
            .collect();
        let gone: Vec<PortNo> = self
            .ports
            .iter()
            .filter(|(port, (name, _))| found.get(port).is_none_or(|vport| vport.name != *name))
            .map(|(port, _)| *port)
            .collect();
        for port in gone {
            self.port_gone(port, now);
        }
        for (port, vport) in found {
            if self.ports.contains_key(&port) {
                continue;
            }
            let role = match vport.kind {
                VportKind::Internal => PortRole::Host,
                VportKind::Vxlan { udp_port } => {
                    self.tunnels.found(udp_port, port);
                    PortRole::Vxlan
                }
                VportKind::Netdev if vport.name == self.tap.as_str() => PortRole::Tap,
                VportKind::Netdev => PortRole::Container,
                VportKind::Other(_) => continue,
            };
            self.ports.insert(port, (vport.name, role));
            self.switch.port_added(port, role, now);
        }
        self.take_outputs();
        Ok(())
    }

    fn port_gone(&mut self, port: PortNo, now: Instant) {
        self.ports.remove(&port);
        self.tunnels.gone(port);
        self.switch.port_removed(port, now);
        self.take_outputs();
    }

    /// A port appeared or went, by whoever's hand
    fn read_events(&mut self, now: Instant) {
        match self.events.recv_batch(|_which| {}) {
            Ok(received) if received.count == 0 && !received.lost_enobufs => {}
            Ok(_) => {
                if let Err(error) = self.read_ports(now) {
                    log::error!("reading the datapath's ports: {error:#}");
                }
            }
            Err(error) => log::error!("watching the datapath's ports: {error}"),
        }
    }

    fn housekeeping(&mut self, now: Instant) {
        if now >= self.reassert_at {
            self.reassert_at = now + REASSERT;
            self.reconcile_tunnels(now);
            match self.odp.reassert_dispatch(&self.datapath) {
                Ok(Reasserted::AsItWas) => {}
                Ok(Reasserted::Restored { found }) => {
                    log::info!("another program had changed where upcalls go ({found:?}); put right");
                }
                Err(error) => log::error!("cannot say where upcalls go: {error}"),
            }
        }
        if now >= self.dump_at {
            self.dump_at = now + DUMP;
            if let Err(error) = self.look_at_flows(now) {
                log::error!("reading the datapath's flows: {error:#}");
            }
        }
        self.switch.handle_timeout(now);
        self.take_outputs();
    }

    fn take_outputs(&mut self) {
        self.work.take_outputs(&mut self.switch);
    }
}

fn vxlan(udp_port: u16) -> anyhow::Result<VportSpec> {
    Ok(VportSpec {
        name: format!("vxlan-{udp_port}").parse()?,
        kind: VportKind::Vxlan { udp_port },
    })
}

fn netdev(device: &IfName) -> VportSpec {
    VportSpec {
        name: device.clone(),
        kind: VportKind::Netdev,
    }
}

/// The usual hop limit of the outer header
const TTL: u8 = 64;
