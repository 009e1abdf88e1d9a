//! The control task: one loop that owns the control plane and carries out what it decides.
//!
//! Bytes, beats, timers and questions come in; the loop lets the [`Plane`] speak until it is quiet,
//! then waits for its earliest timeout. What it decides is published: routes and paths to the switch
//! thread, a forwarding snapshot to the sleeve's threads.

mod accept;
mod asked;
mod command;
mod facts;
mod gate;
mod input;
mod plane;
mod settling;
mod shared;
mod trust;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{ApiError, ErrorKind, PasswordState};
use dns::Zone;
use fallback_sleeve::mtu;
use gossip::{Departure, DialId, Disconnect};
use model::PeerName;
use overlay::Forwarding;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::accept::accept;
pub(crate) use self::asked::Asked;
use self::command::{Command, Kept};
pub(crate) use self::facts::Facts;
pub(crate) use self::input::{ForAddresses, ForNames, Input, Query, Ungranted};
pub(crate) use self::plane::{Common, Plane};
use crate::connections::{self, Connections};
use crate::datapath::Datapath;
use crate::network::{self, Keys};
use crate::routes::TopologyRoutes;
use crate::shutdown::{Ending, Shutdown};
use crate::sleeve::{Session, Sleeve};
use crate::store::{self, Mark, Progress, Slot, Store};
use crate::views::{self, Directory};

/// Inputs that may wait: readers of TCP block when it is full, packet threads drop and count.
pub(crate) const INPUT_QUEUE: usize = 1024;
/// Inputs handled between two looks at the clock.
const BUDGET: usize = 64;
/// Changes of the addresses that are told apart while they wait for the disk; more wait for the last of them.
const MAX_AWAITED: usize = 1024;

/// The control task, ready to run
pub(crate) struct Control {
    pub(crate) plane: Plane,
    pub(crate) connections: Connections,
    pub(crate) datapath: Datapath,
    pub(crate) sleeve: Sleeve,
    pub(crate) store: Arc<Store>,
    /// How far the disk is
    pub(crate) progress: watch::Receiver<Progress>,
    /// Changes of the addresses that are not on disk, by their numbers in the store and in the plane
    pub(crate) awaited: VecDeque<(u64, u64)>,
    /// Told as long as this task runs
    pub(crate) watchdog: service::Watchdog,
    /// What the API waits for
    pub(crate) asked: Asked,
    /// The keys of the network's password
    pub(crate) keys: Keys,
    /// What is answered about names
    pub(crate) zone: watch::Sender<Zone>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) inputs_sender: mpsc::Sender<Input>,
}

impl Control {
    /// Runs until the end is asked for, then says goodbye
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        service::ready();
        loop {
            let now = Instant::now();
            self.carry_out(now);
            self.watchdog.feed(now);
            let deadline = self.deadline(now);
            tokio::select! {
                biased;
                () = shutdown.token().cancelled() => break,
                // Cancel-safe: a change that was not seen is seen the next time.
                Ok(()) = self.progress.changed() => self.disk_told(Instant::now()),
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
        let due = [self.plane.poll_timeout(), self.watchdog.due()];
        due.into_iter().flatten().fold(at_last, Instant::min)
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
            Input::Internal { networks } => self.plane.mesh.set_internal_networks(networks, now),
            Input::Query(query) => self.answer(query, now),
            Input::Addresses(question) => self.asked.addresses(question, &mut self.plane, &self.store, now),
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
        if self.asked.is_waited_for() {
            self.tell_refused(now);
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
            Command::Keep(kept) => self.keep(kept),
            Command::Answer(ticket, answer) => self.asked.answer(ticket, answer, &self.plane),
            Command::Note(event) => self.asked.note(event, &self.plane),
            Command::PublishNames(zone) => drop(self.zone.send_replace(zone)),
        }
    }

    /// Hands over what is to be on disk; this task never waits for a disk
    fn keep(&mut self, kept: Kept) {
        let written = match kept {
            Kept::ShortId(short_id) => self.store.put(Slot::SHORT_ID, &short_id),
            Kept::Targets(targets) => self.store.put(Slot::TARGETS, &targets),
            Kept::Neighbours(neighbours) => self.store.put(Slot::NEIGHBOURS, &neighbours),
            Kept::Nicknames(nicknames) => self.store.put(Slot::NICKNAMES, &nicknames),
            Kept::Pins(pins) => self.store.put(Slot::PINS, &pins),
            Kept::Bans(bans) => self.store.put(Slot::BANS, &bans),
            Kept::Addresses(number, change) => {
                let written = self.store.put_addresses(change, &Mark::now());
                if self.awaited.len() >= MAX_AWAITED {
                    self.awaited.pop_back();
                }
                let in_store = written.number();
                self.awaited.extend(in_store.map(|in_store| (in_store, number)));
                written
            }
        };
        written.later();
    }

    /// Lets go what waited for the disk
    fn disk_told(&mut self, now: Instant) {
        let durable = self.progress.borrow_and_update().durable;
        let is_durable = |(in_store, _number): &(u64, u64)| *in_store <= durable;
        while let Some((_in_store, number)) = self.awaited.front().copied().filter(is_durable) {
            self.awaited.pop_front();
            self.plane.kept(number, now);
        }
        self.tell_refused(now);
    }

    /// Tells those who wait for what the disk refused
    fn tell_refused(&mut self, now: Instant) {
        let Progress { durable, refused } = *self.progress.borrow();
        let refused = self
            .awaited
            .iter()
            .rfind(|(in_store, _number)| *in_store <= refused && *in_store > durable);
        let Some((_in_store, number)) = refused else {
            return;
        };
        for (ticket, answer) in self.plane.gate.refuse(*number) {
            self.asked.unkept(ticket, &answer, &self.store);
        }
        self.asked.refuse_all(&mut self.plane, &self.store, now);
    }

    /// Takes the keys into use, and answers once they are on disk
    fn change_password(
        &mut self,
        change: network::Change,
        reply: oneshot::Sender<Result<PasswordState, ApiError>>,
        now: Instant,
    ) {
        let keys = match self.keys.changed(change) {
            Ok(keys) => keys,
            Err(error) => {
                let error = ApiError::new(ErrorKind::Conflict, error.to_string());
                return drop(reply.send(Err(error)));
            }
        };
        let written = keys.keep(&self.store);
        self.plane.mesh.set_passwords(keys.passwords(), now);
        self.keys = keys;
        let state = views::password(&self.keys);
        tokio::spawn(async move {
            let answer = written.wait().await.map(|()| state).map_err(|error| {
                let why = store::line(error);
                let text = format!("the change is in force, but forgotten when weaved restarts: {why}");
                ApiError::new(ErrorKind::Internal, text)
            });
            // A caller that is gone does not need its answer.
            drop(reply.send(answer));
        });
    }

    fn answer(&mut self, query: Query, now: Instant) {
        let plane = &mut self.plane;
        // A caller that is gone does not need its answer.
        match query {
            Query::Status(reply) => drop(reply.send(views::status(plane, &self.keys, now))),
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
            Query::Password(change, reply) => self.change_password(change, reply, now),
            Query::Ban(request, reply) => drop(reply.send(trust::ban(plane, &request, now))),
            Query::ForgetPeer(peer, reply) => drop(reply.send(trust::forget_peer(plane, &peer, now))),
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
