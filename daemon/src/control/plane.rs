//! The control plane's decisions: one machine of the mesh, the neighbours' paths, and what a restart
//! waits for.
//!
//! No I/O: what happened and the time come in, [`Command`]s go out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dns::Names;
use gossip::{Channel, ConnId, Departure, DialId, Disconnect, Event, Mesh, Output, Refusal, Topology};
use ipam::{Ipam, Output as ForAddresses};
use model::{NickName, PathKind, PeerName, Target, Vni};
use overlay::{Mode, Routes as _};
use zeroize::Zeroizing;

use super::command::{Answer, Command, Kept};
use super::facts::Facts;
use super::forwarding;
use super::gate::{Gate, Message};
use super::settling::Settling;
use super::shared::Shared;
use crate::datapath::{Beat, BeatOut};
use crate::neighbours::{BeatKeys, Link, Neighbours, Output as ForNeighbour};
use crate::routes::{Directs, TopologyRoutes};
use crate::sleeve::ControlDatagram;

/// How often a bridge's stations are looked at for their age.
const EXPIRE: Duration = Duration::from_secs(60);

/// The gossip channel that carries the sleeve's key offers
pub(crate) const SLEEVE_KEYS: Channel = Channel(1);

/// The gossip channel that carries who owns which addresses
pub(crate) const ADDRESSES: Channel = Channel(2);

/// The gossip channel that carries the names of containers
pub(crate) const NAMES: Channel = Channel(3);

/// Peers whose nicknames are remembered when they are gone
const MAX_NICKNAMES: usize = 4096;

/// What peers know in common, as far as this host takes part in it
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) ipam: Option<Ipam>,
    pub(crate) names: Names,
    /// What peers called themselves in the last run
    pub(crate) nicknames: BTreeMap<PeerName, NickName>,
}

/// The control plane of one host
///
/// After every call that takes `&mut self`: [`Plane::poll_command`] until there is none.
pub(crate) struct Plane {
    pub(crate) facts: Facts,
    pub(crate) mesh: Mesh,
    pub(crate) neighbours: Neighbours,
    pub(crate) topology: Arc<Topology>,
    /// Where addresses are handed out
    pub(crate) ipam: Option<Shared<Ipam>>,
    pub(crate) names: Shared<Names>,
    /// What peers call themselves, also of those who are gone: people know them by it
    pub(crate) nicknames: Arc<BTreeMap<PeerName, NickName>>,
    /// What waits until the addresses are on disk
    pub(crate) gate: Gate,
    settling: Settling,
    directs: Directs,
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
        common: Common,
        held: BTreeSet<PeerName>,
        now: Instant,
    ) -> Self {
        let mut plane = Self {
            topology: Arc::clone(mesh.topology()),
            ipam: common.ipam.map(|ipam| Shared::new(ipam, facts.name, ADDRESSES)),
            names: Shared::new(common.names, facts.name, NAMES),
            nicknames: Arc::new(common.nicknames),
            settling: Settling::new(held, now + facts.restart_grace),
            directs: Directs::default(),
            expire_at: (facts.mode == Mode::Bridge).then(|| now + EXPIRE),
            commands: VecDeque::new(),
            kept: None,
            gate: Gate::default(),
            facts,
            mesh,
            neighbours,
        };
        plane.publish();
        plane.tell_reachable(now);
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

    /// A genuine heartbeat came through the kernel's datapath
    pub(crate) fn beat(&mut self, beat: &Beat, now: Instant) {
        self.neighbours
            .beat(beat.peer, beat.from, beat.beat, beat.frame_len, now);
    }

    /// A genuine heartbeat came through the sleeve
    pub(crate) fn control(&mut self, datagram: &ControlDatagram, now: Instant) {
        let ControlDatagram {
            peer,
            from,
            beat,
            len,
        } = datagram;
        self.neighbours.control(*peer, *from, *beat, *len, now);
    }

    /// The kernel would not send a heartbeat of this size through the sleeve
    pub(crate) fn refused(&mut self, peer: PeerName, size: u16, now: Instant) {
        self.neighbours.refused(peer, PathKind::Sleeve, size, now);
    }

    /// The VXLAN ports for these UDP ports cannot be made
    pub(crate) fn vxlan_ports_failing(&mut self, ports: BTreeSet<u16>, now: Instant) {
        self.neighbours.vxlan_ports_failing(ports, now);
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

    /// What was kept about addresses up to this number is durable
    pub(crate) fn kept(&mut self, number: u64, now: Instant) {
        self.gate.kept(number);
        if let Some(ipam) = &mut self.ipam {
            for peer in self.gate.take_missed() {
                ipam.doubt(peer, now);
            }
        }
    }

    /// Says goodbye to everybody
    pub(crate) fn shut_down(&mut self, departure: Departure, now: Instant) {
        if departure == Departure::Leave {
            // The state is deleted after this.
            self.gate.turn_off();
            if let Some(ipam) = &mut self.ipam {
                ipam.state.leave(now);
            }
            while self.settle_common(now) {}
        }
        self.mesh.shut_down(departure, now);
    }

    /// Does what is due
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.mesh.handle_timeout(now);
        self.neighbours.handle_timeout(now);
        if let Some(ipam) = &mut self.ipam {
            ipam.state.handle_timeout(now);
            ipam.handle_timeout(now);
        }
        self.names.state.handle_timeout(now);
        self.names.handle_timeout(now);
        if self.directs.handle_timeout(now) {
            self.publish();
        }
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
            self.directs.poll_timeout(),
            self.expire_at,
            self.ipam.as_ref().and_then(|ipam| ipam.state.poll_timeout()),
            self.ipam.as_ref().and_then(Shared::poll_timeout),
            self.names.state.poll_timeout(),
            self.names.poll_timeout(),
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
            } else if !self.settle_common(now) {
                return None;
            }
        }
    }

    /// Lets what peers hold in common have its say; whether it had any
    ///
    /// One thing at a time: a neighbor, or whoever asked, hears of what follows from a change of the addresses when
    /// that is on disk; everything else goes on meanwhile.
    fn settle_common(&mut self, now: Instant) -> bool {
        if let Some(output) = self.ipam.as_mut().and_then(|ipam| ipam.state.poll_output()) {
            self.addresses_said(output);
            return true;
        }
        if let Some((ticket, answer)) = self.gate.take_answer() {
            self.commands.push_back(Command::Answer(ticket, Ok(answer)));
            return true;
        }
        if let Some(ipam) = &mut self.ipam {
            if self.gate.take_flood() {
                ipam.flood();
            }
            while let Some((peer, channel, bytes)) = ipam.poll_send() {
                self.gate.message(Message { peer, channel, bytes });
            }
        }
        if self.names.state.take_doubt() {
            self.names.doubt_all(now);
        }
        self.names.flood();
        if let Some(zone) = self.names.state.take_zone() {
            self.commands.push_back(Command::PublishNames(zone));
            return true;
        }
        let addresses = self.gate.take_message();
        let message = addresses.map(|message| (message.peer, message.channel, message.bytes));
        let Some((peer, channel, bytes)) = message.or_else(|| self.names.poll_send()) else {
            return false;
        };
        if let Err(error) = self.mesh.send(peer, channel, bytes, now) {
            log::debug!("message to {peer} on {channel:?}: {error}");
        }
        true
    }

    fn addresses_said(&mut self, output: ForAddresses) {
        let command = match output {
            ForAddresses::Keep(change) => Command::Keep(Kept::Addresses(self.gate.close(), change)),
            ForAddresses::Granted { ticket, address } => {
                return self.gate.answer(ticket, Answer::Granted(address));
            }
            ForAddresses::Removed { ticket, addresses } => {
                return self.gate.answer(ticket, Answer::Removed(addresses));
            }
            ForAddresses::Primed { ticket } => return self.gate.answer(ticket, Answer::Primed),
            ForAddresses::Flood => return self.gate.flood(),
            // Neither is a promise.
            ForAddresses::Refused { ticket, why } => Command::Answer(ticket, Err(why)),
            ForAddresses::Event(event) => Command::Note(event),
        };
        self.commands.push_back(command);
    }

    /// Who can be reached decides whose addresses and names count
    fn tell_reachable(&mut self, now: Instant) {
        let peers: BTreeSet<PeerName> = self.topology.peers.keys().copied().collect();
        if let Some(ipam) = &mut self.ipam {
            ipam.state.reachable(&peers, now);
        }
        self.names.state.reachable(&peers, now);
        let news = self
            .topology
            .peers
            .values()
            .filter(|record| self.nicknames.get(&record.name) != Some(&record.nickname));
        let news: Vec<_> = news
            .map(|record| (record.name, record.nickname.clone()))
            .collect();
        if !news.is_empty() {
            let nicknames = Arc::make_mut(&mut self.nicknames);
            nicknames.extend(news);
            if nicknames.len() > MAX_NICKNAMES {
                nicknames.retain(|name, _| peers.contains(name));
            }
            let all = nicknames.clone().into_iter().collect();
            self.keep(Kept::Nicknames(all));
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
                beat_key,
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
                let keys = BeatKeys {
                    outgoing: Zeroizing::new(*hello.beat_key.bytes()),
                    incoming: Zeroizing::new(*beat_key.bytes()),
                };
                self.neighbours.up(peer, &hello, (link, &keys), resumed, now);
                if let Some(ipam) = &mut self.ipam {
                    ipam.up(peer, now);
                }
                self.names.up(peer, now);
                self.settling.heard_of(peer, now);
                self.keep_neighbours();
            }
            Event::NeighbourHeld { peer } => {
                log::info!(
                    "{peer} ended its connection, and is held for {:?}",
                    self.facts.restart_grace
                );
                self.neighbours.held(peer);
                self.unheard(peer);
            }
            Event::NeighbourDown { peer, reason } => {
                log::info!("lost {peer}: {reason}");
                self.neighbours.down(peer);
                self.unheard(peer);
                self.path_changed(peer, now);
                self.settling.heard_of(peer, now);
                self.keep_neighbours();
            }
            Event::Message {
                peer,
                channel: SLEEVE_KEYS,
                bytes,
            } => {
                let heard = self.neighbours.key_message(peer, &bytes, now);
                self.expect_sound(peer, "keys", heard, now);
            }
            Event::Message {
                peer,
                channel,
                ref bytes,
            } if self.ipam.as_ref().is_some_and(|ipam| ipam.is_on(channel)) => {
                if let Some(ipam) = &mut self.ipam {
                    let heard = ipam.heard(peer, bytes, &self.mesh.keys(), &self.topology, now);
                    self.expect_sound(peer, "addresses", heard, now);
                }
            }
            Event::Message {
                peer,
                channel,
                ref bytes,
            } if self.names.is_on(channel) => {
                let heard = self
                    .names
                    .heard(peer, bytes, &self.mesh.keys(), &self.topology, now);
                self.expect_sound(peer, "names", heard, now);
            }
            Event::Message { peer, channel, .. } => log::debug!("message from {peer} on unknown {channel:?}"),
            Event::TopologyChanged(topology) => {
                self.forget_stations_of_the_gone(&topology);
                if let Some(ipam) = &mut self.ipam {
                    ipam.topology_changed(&self.topology, &topology, now);
                }
                self.names.topology_changed(&self.topology, &topology, now);
                self.topology = topology;
                self.directs.topology_changed(&self.topology, now);
                self.publish();
                self.tell_reachable(now);
            }
            Event::PeerGone(peer) => log::info!("{peer} has left the network"),
            Event::ShortIdChanged(short_id) => {
                log::info!("this host's short id is {short_id}");
                self.keep(Kept::ShortId(short_id));
                self.publish();
            }
            Event::TargetsChanged(targets) => self.keep(Kept::Targets(targets)),
            Event::PinsChanged(pins) => self.keep(Kept::Pins(pins)),
            Event::BansChanged(bans) => self.keep(Kept::Bans(bans)),
        }
    }

    /// Ends the connection with a peer that sent a malformed message
    fn expect_sound(
        &mut self,
        peer: PeerName,
        subject: &str,
        heard: Result<(), impl std::error::Error>,
        now: Instant,
    ) {
        if let Err(error) = heard {
            log::warn!("{peer} sent a malformed message about {subject}: {error}; its connection is closed");
            self.mesh.refuse_message(peer, now);
        }
    }

    fn unheard(&mut self, peer: PeerName) {
        if let Some(ipam) = &mut self.ipam {
            ipam.down(peer);
        }
        self.names.down(peer);
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
                let routes = self.routes();
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
                to,
                body,
                size,
            } => Command::Control {
                peer,
                session,
                to,
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
            ForNeighbour::Fastdp(peer, fastdp) => Command::SetFastdp(peer, fastdp),
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
        let routes = self.routes();
        self.commands.push_back(Command::SetRoutes(routes));
        self.publish_forwarding();
    }

    fn routes(&self) -> TopologyRoutes {
        TopologyRoutes::new(Arc::clone(&self.topology), self.directs.certain())
    }

    fn publish_forwarding(&mut self) {
        let forwarding = forwarding(self.facts.mode, self.routes(), self.neighbours.sessions());
        self.commands.push_back(Command::Forward(forwarding));
    }

    fn keep_neighbours(&mut self) {
        let neighbours = self.mesh.neighbors_to_hold();
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
