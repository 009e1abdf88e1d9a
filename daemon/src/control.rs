//! The control task: one loop that owns the mesh and what is known of each neighbour's paths.
//!
//! Bytes, beats, timers and questions come in; the loop lets every machine speak until all are quiet,
//! then waits for the earliest of their timeouts. What it decides is published: routes and paths to
//! the switch thread, a forwarding snapshot to the sleeve's threads.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{ConnectRequest, Connection, ForgetRequest, Peer, StatusReport};
use fallback_sleeve::mtu;
use gossip::{Channel, ConnId, Departure, DialId, Disconnect, Event, Mesh, Output, Topology};
use model::{IfName, NickName, PathKind, PeerName, Target, Uid, Vni};
use overlay::{Forwarding, Routes as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::connections::{self, Connections};
use crate::datapath::{Beat, BeatOut, Datapath};
use crate::neighbours::{self, Link, Neighbours};
use crate::routes::TopologyRoutes;
use crate::shutdown::{Ending, Shutdown};
use crate::sleeve::{ControlDatagram, Session, Sleeve};
use crate::store::{Slot, Store};
use crate::views::{self, Directory};

/// Inputs that may wait: readers of TCP block when it is full, packet threads drop and count.
pub(crate) const INPUT_QUEUE: usize = 1024;
/// Inputs handled between two looks at the clock.
const BUDGET: usize = 64;
/// How long the control port may go without accepting after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// A restarted daemon leaves adopted flows alone this long after the neighbours are back, so that
/// their paths have had time to prove themselves.
const SETTLE_AFTER: Duration = Duration::from_secs(2);

/// How often a bridge's stations are looked at for their age.
pub(crate) const EXPIRE: Duration = Duration::from_secs(60);

/// The gossip channel that carries the sleeve's key offers
pub(crate) const SLEEVE_KEYS: Channel = Channel(1);

/// Everything that can happen to the control task
#[derive(Debug)]
pub(crate) enum Input {
    /// A dial that the mesh asked for ended
    Dialled {
        dial: DialId,
        result: Result<TcpStream, String>,
    },
    /// A peer connected
    Accepted { stream: TcpStream },
    /// Bytes of a peer's control connection
    Bytes { conn: ConnId, bytes: Vec<u8> },
    /// A control connection ended
    Disconnected { conn: ConnId, why: Disconnect },
    /// A heartbeat through the kernel's datapath
    Beat(Beat),
    /// A heartbeat through the sleeve
    Control(ControlDatagram),
    /// An interface, address or route changed: what failed may work; the underlay's MTU
    NetworkChanged { underlay_mtu: u16 },
    /// A question of the API
    Query(Query),
}

/// A question, and where the answer goes
#[derive(Debug)]
pub(crate) enum Query {
    Status(oneshot::Sender<StatusReport>),
    Connections(oneshot::Sender<Vec<Connection>>),
    Peers(oneshot::Sender<Vec<Peer>>),
    Targets(oneshot::Sender<Vec<Target>>),
    Connect(ConnectRequest, oneshot::Sender<Vec<Target>>),
    Forget(ForgetRequest, oneshot::Sender<Vec<Target>>),
    Directory(oneshot::Sender<Directory>),
}

/// What does not change while the daemon runs
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) name: PeerName,
    pub(crate) nickname: NickName,
    pub(crate) uid: Uid,
    pub(crate) port: u16,
    pub(crate) host: IpAddr,
    pub(crate) encryption: bool,
    pub(crate) discovery: bool,
    pub(crate) overlay_mtu: u16,
    pub(crate) datapath: IfName,
    pub(crate) trusted_subnets: Vec<ipnetwork::IpNetwork>,
    pub(crate) restart_grace: Duration,
    /// How the sleeve's frames name their peers
    pub(crate) mode: overlay::Mode,
}

/// The control task, ready to run
pub(crate) struct Control {
    pub(crate) facts: Facts,
    pub(crate) mesh: Mesh,
    pub(crate) neighbours: Neighbours,
    pub(crate) connections: Connections,
    pub(crate) datapath: Datapath,
    pub(crate) sleeve: Sleeve,
    pub(crate) store: Arc<Store>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) inputs_sender: mpsc::Sender<Input>,
    pub(crate) topology: Arc<Topology>,
    /// Neighbours of before the restart that are not back
    pub(crate) awaited: BTreeSet<PeerName>,
    /// When adopted flows are reconciled; none once they are
    pub(crate) settle_at: Option<Instant>,
    /// When silent stations are forgotten, where no switch does that
    pub(crate) expire_at: Option<Instant>,
}

impl Control {
    /// Runs until the end is asked for, then says goodbye
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        self.publish();
        loop {
            let now = Instant::now();
            self.let_speak(now);
            let deadline = self.deadline(now);
            tokio::select! {
                biased;
                () = shutdown.token().cancelled() => break,
                // Cancel-safe: an input is either taken or still in the queue.
                input = self.inputs.recv() => {
                    let Some(input) = input else { break };
                    let now = Instant::now();
                    self.handle(input, now);
                    for _ in 0..BUDGET {
                        let Ok(input) = self.inputs.try_recv() else { break };
                        self.handle(input, now);
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => self.handle_timeout(Instant::now()),
            }
        }
        let departure = match shutdown.ending() {
            Ending::Signal | Ending::Stop => Departure::Restart,
            Ending::Reset => Departure::Leave,
        };
        let now = Instant::now();
        self.mesh.shut_down(departure, now);
        while let Some(output) = self.mesh.poll_output() {
            if let Output::Send { conn, bytes } = output {
                let _closing_anyway = self.connections.send(conn, bytes);
            }
        }
        self.connections.close_all().await;
    }

    fn deadline(&self, now: Instant) -> Instant {
        // Nothing due is rare (no peer, no target); a look once a minute costs nothing.
        let mut deadline = now + Duration::from_secs(60);
        let mesh = self.mesh.poll_timeout().map(|(due, _why)| due);
        for due in [
            mesh,
            self.neighbours.poll_timeout(),
            self.settle_at,
            self.expire_at,
        ]
        .into_iter()
        .flatten()
        {
            deadline = deadline.min(due);
        }
        deadline
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.mesh.handle_timeout(now);
        self.neighbours.handle_timeout(now);
        if self.settle_at.is_some_and(|at| at <= now) {
            self.settle_at = None;
            self.datapath.settle();
        }
        if self.expire_at.is_some_and(|at| at <= now) {
            self.expire_at = Some(now + EXPIRE);
            self.sleeve.expire_stations();
        }
    }

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Dialled { dial, result } => self.dialled(dial, result, now),
            Input::Accepted { stream } => self.accepted(stream, now),
            Input::Bytes { conn, bytes } => self.mesh.handle_input(conn, &bytes, now),
            Input::Disconnected { conn, why } => {
                self.connections.close(conn);
                self.mesh.disconnected(conn, why, now);
            }
            Input::Beat(Beat {
                source,
                from,
                body,
                frame_len,
            }) => {
                if let Some(peer) = self.topology.by_short_id(source) {
                    self.neighbours.beat(peer, from, &body, frame_len, now);
                }
            }
            Input::Control(ControlDatagram {
                peer,
                from,
                body,
                len,
            }) => {
                self.neighbours.control(peer, from, &body, len, now);
            }
            Input::NetworkChanged { underlay_mtu } => {
                self.mesh.network_changed(now);
                self.neighbours.network_changed(underlay_mtu, now);
            }
            Input::Query(query) => self.answer(query, now),
        }
        self.let_speak(now);
    }

    fn dialled(&mut self, dial: DialId, result: Result<TcpStream, String>, now: Instant) {
        let ends = result.and_then(|stream| match ends(&stream) {
            Ok(ends) => Ok((stream, ends)),
            Err(error) => Err(error.to_string()),
        });
        match ends {
            Ok((stream, ends)) => {
                if let Some(conn) = self.mesh.dialled(dial, Ok(ends), now) {
                    self.connections.adopt(conn, stream);
                }
            }
            Err(error) => {
                let _no_connection = self.mesh.dialled(dial, Err(error), now);
            }
        }
    }

    fn accepted(&mut self, stream: TcpStream, now: Instant) {
        let Ok((local, remote)) = ends(&stream) else {
            return;
        };
        match self.mesh.accepted(local, remote, now) {
            Ok(conn) => self.connections.adopt(conn, stream),
            Err(refusal) => log::debug!("connection from {remote} refused: {refusal}"),
        }
    }

    /// Every machine's outputs, until all are quiet
    fn let_speak(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.mesh.poll_output() {
                quiet = false;
                self.act(output, now);
            }
            while let Some(output) = self.neighbours.poll_output() {
                quiet = false;
                self.act_for_neighbour(output, now);
            }
            if quiet {
                return;
            }
        }
    }

    fn act(&mut self, output: Output, now: Instant) {
        match output {
            Output::Dial { dial, target } => {
                let (inputs, port, host) = (self.inputs_sender.clone(), self.facts.port, self.facts.host);
                tokio::spawn(async move {
                    let result = connections::dial(target, port, host).await;
                    let _stopping = inputs.send(Input::Dialled { dial, result }).await;
                });
            }
            Output::Send { conn, bytes } => {
                if !self.connections.send(conn, bytes) {
                    self.connections.close(conn);
                    self.mesh.disconnected(conn, Disconnect::TimedOut, now);
                }
            }
            Output::Close { conn } => self.connections.close(conn),
            Output::Event(event) => self.event(event, now),
        }
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
                self.neighbour_is_back(peer, now);
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
                self.neighbour_is_back(peer, now);
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
                self.keep(Slot::SHORT_ID, &short_id);
                self.publish();
            }
            Event::TargetsChanged(targets) => self.keep(Slot::TARGETS, &targets),
        }
    }

    /// On a bridge a station of a peer that is gone, or has another short id, would be sent to nobody
    fn forget_stations_of_the_gone(&self, topology: &Topology) {
        if self.facts.mode == overlay::Mode::Bridge {
            for (name, before) in &self.topology.peers {
                let after = topology.peers.get(name).map(|record| record.short_id);
                if after != Some(before.short_id) {
                    self.sleeve.forget_stations(before.short_id);
                }
            }
        }
    }

    fn act_for_neighbour(&mut self, output: neighbours::Output, now: Instant) {
        use neighbours::Output as Act;

        match output {
            Act::Beat {
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
                let vni = Vni::new(routes.own_short_id(), destination);
                self.datapath.send_beat(BeatOut {
                    peer,
                    vni,
                    udp_port,
                    local,
                    remote,
                    frame,
                });
            }
            Act::Control {
                peer,
                session,
                body,
                size,
            } => {
                let len = mtu::sleeve_datagram_len(size);
                match self.sleeve.send_control(&session, &body, len) {
                    Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                        self.neighbours.refused(peer, PathKind::Sleeve, size, now);
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            Act::Offer { peer, bytes } => {
                if let Err(error) = self.mesh.send(peer, SLEEVE_KEYS, bytes.to_vec(), now) {
                    log::debug!("key message to {peer}: {error}");
                }
            }
            Act::Listen(opener, session) => self.sleeve.listen(opener, session),
            Act::Unlisten(session) => self.sleeve.unlisten(session),
            Act::PathChanged(peer) => self.path_changed(peer, now),
        }
    }

    /// A neighbour's path, or the lack of one, goes to the mesh, the switch and the sleeve
    fn path_changed(&mut self, peer: PeerName, now: Instant) {
        let path = self.neighbours.path(peer);
        self.mesh.path_established(peer, path.is_some(), now);
        // Only neighbours with a path are held through a restart, so each change counts.
        self.keep_neighbours();
        self.datapath.set_path(peer, path);
        self.publish_forwarding();
    }

    fn publish(&self) {
        self.datapath
            .set_routes(TopologyRoutes(Arc::clone(&self.topology)));
        self.publish_forwarding();
    }

    fn publish_forwarding(&self) {
        self.sleeve.publish(forwarding(
            self.facts.mode,
            &self.topology,
            self.neighbours.sessions(),
        ));
    }

    /// One neighbour of before the restart less to wait for; with the last, adopted flows are settled
    fn neighbour_is_back(&mut self, peer: PeerName, now: Instant) {
        if self.awaited.remove(&peer) && self.awaited.is_empty() && self.settle_at.is_some() {
            self.settle_at = Some(now + SETTLE_AFTER);
        }
    }

    fn keep_neighbours(&self) {
        let neighbours: Vec<_> = self
            .mesh
            .neighbours()
            .iter()
            .map(|held| (held.peer, held.address))
            .collect();
        self.keep(Slot::NEIGHBOURS, &neighbours);
    }

    fn keep<T: serde::Serialize>(&self, slot: Slot, value: &T) {
        if let Err(error) = self.store.put(slot, value) {
            log::error!("{:#}", anyhow::Error::from(error));
        }
    }

    fn answer(&mut self, query: Query, now: Instant) {
        // A caller that is gone does not need its answer.
        match query {
            Query::Status(reply) => drop(reply.send(views::status(self, now))),
            Query::Connections(reply) => drop(reply.send(views::connections(self, now))),
            Query::Peers(reply) => drop(reply.send(views::peers(&self.topology))),
            Query::Targets(reply) => drop(reply.send(self.mesh.targets())),
            Query::Connect(request, reply) => {
                self.mesh.set_targets(request.peers, request.replace, now);
                drop(reply.send(self.mesh.targets()));
            }
            Query::Forget(request, reply) => {
                self.mesh.forget(&request.peers, now);
                drop(reply.send(self.mesh.targets()));
            }
            Query::Directory(reply) => drop(reply.send(Directory::new(Arc::clone(&self.topology)))),
        }
    }
}

/// Where the sleeve's threads send frames, as the topology and the neighbours' paths have it
pub(crate) fn forwarding(
    mode: overlay::Mode,
    topology: &Arc<Topology>,
    sessions: impl Iterator<Item = (PeerName, overlay::Neighbour<Arc<Session>>)>,
) -> Forwarding<Arc<Session>> {
    Forwarding::new(mode, Arc::new(TopologyRoutes(Arc::clone(topology))), sessions)
}

fn ends(stream: &TcpStream) -> std::io::Result<(SocketAddr, SocketAddr)> {
    Ok((stream.local_addr()?, stream.peer_addr()?))
}

/// Accepts control connections for as long as the process runs
pub(crate) async fn accept(listener: TcpListener, inputs: mpsc::Sender<Input>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _remote)) => {
                if inputs.send(Input::Accepted { stream }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                log::warn!("cannot accept control connections: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
