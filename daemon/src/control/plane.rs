//! The control plane's decisions: one machine of the mesh, the neighbours' paths, and what a restart
//! waits for.
//!
//! No I/O: what happened and the time come in, [`Command`]s go out.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gossip::{Channel, ConnId, Departure, DialId, Disconnect, Event, Mesh, Output, Refusal, Topology};
use model::{PathKind, PeerName, Target, Vni};
use overlay::{Mode, Routes as _};

use super::command::{Command, Kept};
use super::facts::Facts;
use super::forwarding;
use super::settling::Settling;
use crate::datapath::{Beat, BeatOut};
use crate::neighbours::{Link, Neighbours, Output as ForNeighbour};
use crate::routes::TopologyRoutes;
use crate::sleeve::ControlDatagram;

/// How often a bridge's stations are looked at for their age.
const EXPIRE: Duration = Duration::from_secs(60);

/// The gossip channel that carries the sleeve's key offers
const SLEEVE_KEYS: Channel = Channel(1);

/// The control plane of one host
///
/// After every call that takes `&mut self`: [`Plane::poll_command`] until there is none.
pub(crate) struct Plane {
    pub(crate) facts: Facts,
    pub(crate) mesh: Mesh,
    pub(crate) neighbours: Neighbours,
    pub(crate) topology: Arc<Topology>,
    settling: Settling,
    /// When silent stations are forgotten, where no switch does that
    expire_at: Option<Instant>,
    commands: VecDeque<Command>,
    /// The neighbours that were kept last: writing them again would cost a disk its time
    kept: Option<Vec<(PeerName, SocketAddr)>>,
}

impl Plane {
    /// The plane of a daemon that starts, and adopts what it held for these neighbours
    pub(crate) fn new(
        facts: Facts,
        mesh: Mesh,
        neighbours: Neighbours,
        held: BTreeSet<PeerName>,
        now: Instant,
    ) -> Self {
        let mut plane = Self {
            topology: Arc::clone(mesh.topology()),
            settling: Settling::new(held, now + facts.restart_grace),
            expire_at: (facts.mode == Mode::Bridge).then(|| now + EXPIRE),
            commands: VecDeque::new(),
            kept: None,
            facts,
            mesh,
            neighbours,
        };
        plane.publish();
        plane
    }

    /// A dial ended, with both ends of the connection or text for people; no id: it is not wanted any more
    pub(crate) fn dialled(
        &mut self,
        dial: DialId,
        result: Result<(SocketAddr, SocketAddr), String>,
        now: Instant,
    ) -> Option<ConnId> {
        self.mesh.dialled(dial, result, now)
    }

    /// A peer connected
    pub(crate) fn accepted(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<ConnId, Refusal> {
        self.mesh.accepted(local, remote, now)
    }

    /// Bytes came on a control connection
    pub(crate) fn bytes(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        self.mesh.handle_input(conn, bytes, now);
    }

    /// A control connection ended
    pub(crate) fn disconnected(&mut self, conn: ConnId, why: Disconnect, now: Instant) {
        self.mesh.disconnected(conn, why, now);
    }

    /// A heartbeat came through the kernel's datapath
    pub(crate) fn beat(&mut self, beat: &Beat, now: Instant) {
        if let Some(peer) = self.topology.by_short_id(beat.source) {
            self.neighbours
                .beat(peer, beat.from, &beat.body, beat.frame_len, now);
        }
    }

    /// A heartbeat came through the sleeve
    pub(crate) fn control(&mut self, datagram: &ControlDatagram, now: Instant) {
        let ControlDatagram {
            peer,
            from,
            body,
            len,
        } = datagram;
        self.neighbours.control(*peer, *from, body, *len, now);
    }

    /// The kernel would not send a heartbeat of this size through the sleeve
    pub(crate) fn refused(&mut self, peer: PeerName, size: u16, now: Instant) {
        self.neighbours.refused(peer, PathKind::Sleeve, size, now);
    }

    /// An interface, address or route changed: what failed may work
    pub(crate) fn network_changed(&mut self, underlay_mtu: u16, now: Instant) {
        self.mesh.network_changed(now);
        self.neighbours.network_changed(underlay_mtu, now);
    }

    /// The operator wants these peers, beside those before or in their place
    pub(crate) fn set_targets(&mut self, targets: Vec<Target>, replace: bool, now: Instant) {
        self.mesh.set_targets(targets, replace, now);
    }

    /// The operator wants these peers no longer
    pub(crate) fn forget(&mut self, targets: &[Target], now: Instant) {
        self.mesh.forget(targets, now);
    }

    /// Says goodbye to everybody
    pub(crate) fn shut_down(&mut self, departure: Departure, now: Instant) {
        self.mesh.shut_down(departure, now);
    }

    /// Does what is due
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.mesh.handle_timeout(now);
        self.neighbours.handle_timeout(now);
        if self.settling.handle_timeout(now) {
            self.commands.push_back(Command::Settle);
        }
        if self.expire_at.is_some_and(|at| at <= now) {
            self.expire_at = Some(now + EXPIRE);
            self.commands.push_back(Command::ExpireStations);
        }
    }

    /// When to call [`Plane::handle_timeout`]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let times = [
            self.mesh.poll_timeout().map(|(due, _why)| due),
            self.neighbours.poll_timeout(),
            self.settling.poll_timeout(),
            self.expire_at,
        ];
        times.into_iter().flatten().min()
    }

    /// What to do next
    pub(crate) fn poll_command(&mut self, now: Instant) -> Option<Command> {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Some(command);
            }
            if let Some(output) = self.mesh.poll_output() {
                self.mesh_said(output, now);
            } else if let Some(output) = self.neighbours.poll_output() {
                self.neighbours_said(output, now);
            } else {
                return None;
            }
        }
    }

    fn mesh_said(&mut self, output: Output, now: Instant) {
        let command = match output {
            Output::Dial { dial, target } => Command::Dial { dial, target },
            Output::Send { conn, bytes } => Command::Send { conn, bytes },
            Output::Close { conn } => Command::Close { conn },
            Output::Event(event) => return self.event(event, now),
        };
        self.commands.push_back(command);
    }

    fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::NeighbourUp {
                peer,
                hello,
                local,
                remote,
                outbound: _,
                encrypted,
                resumed,
            } => {
                let verb = if resumed { "reconnected to" } else { "connected to" };
                log::info!("{verb} {peer}({}) at {remote}", hello.nickname);
                let link = Link {
                    local,
                    remote,
                    encrypted,
                };
                self.neighbours.up(peer, &hello, link, resumed, now);
                self.settling.heard_of(peer, now);
                self.keep_neighbours();
            }
            Event::NeighbourHeld { peer } => {
                log::info!(
                    "{peer} ended its connection, and is held for {:?}",
                    self.facts.restart_grace
                );
                self.neighbours.held(peer);
            }
            Event::NeighbourDown { peer, reason } => {
                log::info!("lost {peer}: {reason}");
                self.neighbours.down(peer);
                self.path_changed(peer, now);
                self.settling.heard_of(peer, now);
                self.keep_neighbours();
            }
            Event::Message {
                peer,
                channel: SLEEVE_KEYS,
                bytes,
            } => {
                self.neighbours.key_message(peer, &bytes, now);
            }
            Event::Message { peer, channel, .. } => log::debug!("message from {peer} on unknown {channel:?}"),
            Event::TopologyChanged(topology) => {
                self.forget_stations_of_the_gone(&topology);
                self.topology = topology;
                self.publish();
            }
            Event::PeerGone(peer) => log::info!("{peer} has left the network"),
            Event::ShortIdChanged(short_id) => {
                log::info!("this host's short id is {short_id}");
                self.keep(Kept::ShortId(short_id));
                self.publish();
            }
            Event::TargetsChanged(targets) => self.keep(Kept::Targets(targets)),
        }
    }

    /// On a bridge a station of a peer that is gone, or has another short id, would be sent to nobody
    fn forget_stations_of_the_gone(&mut self, topology: &Topology) {
        if self.facts.mode == Mode::Bridge {
            for (name, before) in &self.topology.peers {
                let after = topology.peers.get(name).map(|record| record.short_id);
                if after != Some(before.short_id) {
                    self.commands.push_back(Command::ForgetStations(before.short_id));
                }
            }
        }
    }

    fn neighbours_said(&mut self, output: ForNeighbour, now: Instant) {
        let command = match output {
            ForNeighbour::Beat {
                peer,
                udp_port,
                local,
                remote,
                frame,
            } => {
                let routes = TopologyRoutes(Arc::clone(&self.topology));
                let Some(destination) = routes.short_id(peer) else {
                    return;
                };
                Command::Beat(BeatOut {
                    peer,
                    vni: Vni::new(routes.own_short_id(), destination),
                    udp_port,
                    local,
                    remote,
                    frame,
                })
            }
            ForNeighbour::Control {
                peer,
                session,
                body,
                size,
            } => Command::Control {
                peer,
                session,
                body,
                size,
            },
            ForNeighbour::Offer { peer, bytes } => {
                if let Err(error) = self.mesh.send(peer, SLEEVE_KEYS, bytes.to_vec(), now) {
                    log::debug!("key message to {peer}: {error}");
                }
                return;
            }
            ForNeighbour::Listen(opener, session) => Command::Listen(opener, session),
            ForNeighbour::Unlisten(session) => Command::Unlisten(session),
            ForNeighbour::PathChanged(peer) => return self.path_changed(peer, now),
        };
        self.commands.push_back(command);
    }

    /// A neighbour's path, or the lack of one, goes to the mesh, the switch and the sleeve
    fn path_changed(&mut self, peer: PeerName, now: Instant) {
        let path = self.neighbours.path(peer);
        self.mesh.path_established(peer, path.is_some(), now);
        // Only neighbours with a path are held through a restart, so each change counts.
        self.keep_neighbours();
        self.commands.push_back(Command::SetPath(peer, path));
        self.publish_forwarding();
    }

    fn publish(&mut self) {
        let routes = TopologyRoutes(Arc::clone(&self.topology));
        self.commands.push_back(Command::SetRoutes(routes));
        self.publish_forwarding();
    }

    fn publish_forwarding(&mut self) {
        let forwarding = forwarding(self.facts.mode, &self.topology, self.neighbours.sessions());
        self.commands.push_back(Command::Forward(forwarding));
    }

    fn keep_neighbours(&mut self) {
        let neighbours = self.mesh.neighbours();
        let neighbours = neighbours.iter().map(|held| (held.peer, held.address));
        let neighbours: Vec<_> = neighbours.collect();
        if self.kept.as_ref() != Some(&neighbours) {
            self.kept = Some(neighbours.clone());
            self.keep(Kept::Neighbours(neighbours));
        }
    }

    fn keep(&mut self, kept: Kept) {
        self.commands.push_back(Command::Keep(kept));
    }
}
