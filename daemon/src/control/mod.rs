//! The control task: one loop that owns the control plane and carries out what it decides.
//!
//! Bytes, beats, timers and questions come in; the loop lets the [`Plane`] speak until it is quiet,
//! then waits for its earliest timeout. What it decides is published: routes and paths to the switch
//! thread, a forwarding snapshot to the sleeve's threads.

mod accept;
mod asked;
mod command;
mod facts;
mod input;
mod plane;
mod settling;
mod shared;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dns::Zone;
use fallback_sleeve::mtu;
use gossip::{Departure, DialId, Disconnect};
use model::PeerName;
use overlay::Forwarding;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

pub(crate) use self::accept::accept;
pub(crate) use self::asked::Asked;
use self::command::{Command, Kept};
pub(crate) use self::facts::Facts;
pub(crate) use self::input::{ForAddresses, ForNames, Input, Query};
pub(crate) use self::plane::{Common, Plane};
use crate::connections::{self, Connections};
use crate::datapath::Datapath;
use crate::routes::TopologyRoutes;
use crate::shutdown::{Ending, Shutdown};
use crate::sleeve::{Session, Sleeve};
use crate::store::{Mark, Slot, Store, StoreError};
use crate::views::{self, Directory};

/// Inputs that may wait: readers of TCP block when it is full, packet threads drop and count.
pub(crate) const INPUT_QUEUE: usize = 1024;
/// Inputs handled between two looks at the clock.
const BUDGET: usize = 64;

/// The control task, ready to run
pub(crate) struct Control {
    pub(crate) plane: Plane,
    pub(crate) connections: Connections,
    pub(crate) datapath: Datapath,
    pub(crate) sleeve: Sleeve,
    pub(crate) store: Arc<Store>,
    /// What the API waits for
    pub(crate) asked: Asked,
    /// What is answered about names
    pub(crate) zone: watch::Sender<Zone>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) inputs_sender: mpsc::Sender<Input>,
}

impl Control {
    /// Runs until the end is asked for, then says goodbye
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        loop {
            let now = Instant::now();
            self.carry_out(now);
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
                () = tokio::time::sleep_until(deadline.into()) => self.plane.handle_timeout(Instant::now()),
            }
        }
        let departure = match shutdown.ending() {
            Ending::Signal | Ending::Stop => Departure::Restart,
            Ending::Reset => Departure::Leave,
        };
        let now = Instant::now();
        self.plane.shut_down(departure, now);
        while let Some(command) = self.plane.poll_command(now) {
            if let Command::Send { conn, bytes } = command {
                let _closing_anyway = self.connections.send(conn, bytes);
            }
        }
        self.connections.close_all().await;
    }

    fn deadline(&self, now: Instant) -> Instant {
        // Nothing due is rare (no peer, no target); a look once a minute costs nothing.
        let at_last = now + Duration::from_secs(60);
        self.plane.poll_timeout().map_or(at_last, |due| due.min(at_last))
    }

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Dialled { dial, result } => self.dialled(dial, result, now),
            Input::Accepted { stream } => self.accepted(stream, now),
            Input::Bytes { conn, bytes } => self.plane.bytes(conn, &bytes, now),
            Input::Disconnected { conn, why } => {
                self.connections.close(conn);
                self.plane.disconnected(conn, why, now);
            }
            Input::Beat(beat) => self.plane.beat(&beat, now),
            Input::Control(datagram) => self.plane.control(&datagram, now),
            Input::VxlanPortsFailing(ports) => self.plane.vxlan_ports_failing(ports, now),
            Input::NetworkChanged { underlay_mtu } => self.plane.network_changed(underlay_mtu, now),
            Input::Query(query) => self.answer(query, now),
            Input::Addresses(question) => self.asked.addresses(question, &mut self.plane, now),
            Input::Names(question) => asked::names(question, &mut self.plane, &self.zone),
        }
        self.carry_out(now);
    }

    fn dialled(&mut self, dial: DialId, result: Result<TcpStream, String>, now: Instant) {
        let ends = result.and_then(|stream| match ends(&stream) {
            Ok(ends) => Ok((stream, ends)),
            Err(error) => Err(error.to_string()),
        });
        match ends {
            Ok((stream, ends)) => {
                if let Some(conn) = self.plane.dialled(dial, Ok(ends), now) {
                    self.connections.adopt(conn, stream);
                }
            }
            Err(error) => {
                let _no_connection = self.plane.dialled(dial, Err(error), now);
            }
        }
    }

    fn accepted(&mut self, stream: TcpStream, now: Instant) {
        let Ok((local, remote)) = ends(&stream) else {
            return;
        };
        match self.plane.accepted(local, remote, now) {
            Ok(conn) => self.connections.adopt(conn, stream),
            Err(refusal) => log::debug!("connection from {remote} refused: {refusal}"),
        }
    }

    /// Does what the plane wants done, until it wants nothing
    fn carry_out(&mut self, now: Instant) {
        while let Some(command) = self.plane.poll_command(now) {
            self.act(command, now);
        }
    }

    fn act(&mut self, command: Command, now: Instant) {
        match command {
            Command::Dial { dial, target } => {
                let facts = &self.plane.facts;
                let (inputs, port, host) = (self.inputs_sender.clone(), facts.port, facts.host);
                tokio::spawn(async move {
                    let result = connections::dial(target, port, host).await;
                    let _stopping = inputs.send(Input::Dialled { dial, result }).await;
                });
            }
            Command::Send { conn, bytes } => {
                if !self.connections.send(conn, bytes) {
                    self.connections.close(conn);
                    self.plane.disconnected(conn, Disconnect::TimedOut, now);
                }
            }
            Command::Close { conn } => self.connections.close(conn),
            Command::Beat(beat) => self.datapath.send_beat(beat),
            Command::Control {
                peer,
                session,
                to,
                body,
                size,
            } => {
                let len = mtu::sleeve_datagram_len(size);
                match self.sleeve.send_control(&session, to, &body, len) {
                    Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                        self.plane.refused(peer, size, now);
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            Command::Listen(opener, session) => self.sleeve.listen(opener, session),
            Command::Unlisten(session) => self.sleeve.unlisten(session),
            Command::SetFastdp(peer, fastdp) => self.datapath.set_fastdp(peer, fastdp),
            Command::SetPath(peer, path) => self.datapath.set_path(peer, path),
            Command::SetRoutes(routes) => self.datapath.set_routes(routes),
            Command::Forward(forwarding) => self.sleeve.publish(forwarding),
            Command::Settle => self.datapath.settle(),
            Command::ForgetStations(peer) => self.sleeve.forget_stations(peer),
            Command::ExpireStations => self.sleeve.expire_stations(),
            Command::Keep(kept) => {
                if let Err(error) = self.keep(&kept) {
                    log::error!("{:#}", anyhow::Error::from(error));
                }
            }
            Command::Answer(ticket, answer) => self.asked.answer(ticket, answer, &self.plane),
            Command::Note(event) => self.asked.note(event, &self.plane),
            Command::PublishNames(zone) => drop(self.zone.send_replace(zone)),
        }
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), StoreError> {
        match kept {
            Kept::ShortId(short_id) => self.store.put(Slot::SHORT_ID, short_id),
            Kept::Targets(targets) => self.store.put(Slot::TARGETS, targets),
            Kept::Neighbours(neighbours) => self.store.put(Slot::NEIGHBOURS, neighbours),
            Kept::Nicknames(nicknames) => self.store.put(Slot::NICKNAMES, nicknames),
            Kept::Addresses(change) => self.asked.kept(self.store.put_addresses(change, &Mark::now())),
        }
    }

    fn answer(&mut self, query: Query, now: Instant) {
        let plane = &mut self.plane;
        // A caller that is gone does not need its answer.
        match query {
            Query::Status(reply) => drop(reply.send(views::status(plane, now))),
            Query::Connections(reply) => drop(reply.send(views::connections(plane, now))),
            Query::Peers(reply) => drop(reply.send(views::peers(plane))),
            Query::Targets(reply) => drop(reply.send(plane.mesh.targets())),
            Query::Connect(request, reply) => {
                plane.set_targets(request.peers, request.replace, now);
                drop(reply.send(plane.mesh.targets()));
            }
            Query::Forget(request, reply) => {
                plane.forget(&request.peers, now);
                drop(reply.send(plane.mesh.targets()));
            }
            Query::Directory(reply) => drop(reply.send(Directory::of(plane))),
        }
    }
}

/// Where the sleeve's threads send frames, as the topology and the neighbours' paths have it
pub(crate) fn forwarding(
    mode: overlay::Mode,
    routes: TopologyRoutes,
    sessions: impl Iterator<Item = (PeerName, overlay::Neighbour<Arc<Session>>)>,
) -> Forwarding<Arc<Session>> {
    Forwarding::new(mode, Arc::new(routes), sessions)
}

fn ends(stream: &TcpStream) -> std::io::Result<(SocketAddr, SocketAddr)> {
    Ok((stream.local_addr()?, stream.peer_addr()?))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;
