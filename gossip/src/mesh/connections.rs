//! Connections and neighbours: bytes in, introductions, losses.

use std::net::SocketAddr;
use std::time::Instant;

use log::{Level, debug, info, log};
use model::PeerName;
use rand::RngExt;

use super::Mesh;
use crate::admission::{self, Known, Newcomer, Verdict};
use crate::connection::{Connection, Ended, Received};
use crate::identity::{BeatKey, Purpose};
use crate::message::{Goodbye, Hello, Message};
use crate::neighbours::{Arrival, Change, Greeting, State};
use crate::noise;
use crate::output::{ConnId, DownReason, Event, Output};
use crate::reject::Reject;

impl Mesh {
    /// A TCP connection was made
    pub(super) fn connect(&mut self, outbound: bool, ends: (SocketAddr, SocketAddr), now: Instant) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let id = self.rng.random();
        let beat_key = BeatKey::generate(&mut self.rng);
        let rng = noise::fork(&mut self.rng);
        let mut connection = Connection::new(
            outbound,
            ends,
            (id, beat_key),
            &self.secrets,
            rng,
            &self.config.timers,
            now,
        );
        self.outputs.send(conn, connection.take_output());
        self.connections.insert(conn, connection);
        self.schedule.start_pulse(&self.config.timers, now);
        conn
    }

    /// Takes everything that a connection has to tell
    pub(super) fn read(&mut self, conn: ConnId, now: Instant) {
        while let Some(connection) = self.connections.get_mut(&conn) {
            let received = connection.poll(&self.secrets, &self.config.timers, now);
            self.outputs.send(conn, connection.take_output());
            match received {
                None => return,
                Some(Received::Secured) => {
                    self.counters.handshakes += 1;
                    self.introduce(conn);
                }
                Some(Received::Hello(hello)) => self.greet(conn, hello, now),
                Some(Received::Welcome) => self.welcomed(conn, now),
                Some(Received::Message(message)) => self.heard(conn, message, now),
                Some(Received::Unknown) => self.counters.unknown_messages += 1,
                Some(Received::Ended(ended)) => {
                    self.outputs.push(Output::Close { conn });
                    self.drop_connection(conn, ended, now);
                }
            }
        }
    }

    /// A connection is over: its neighbour and its target learn of it
    pub(super) fn drop_connection(&mut self, conn: ConnId, ended: Ended, now: Instant) {
        let Some(connection) = self.connections.remove(&conn) else {
            return;
        };
        // Strangers can make as many lines as they like, and of two connections one has to go.
        let level = match connection.peer {
            Some(_) if ended != Ended::Duplicate => Level::Info,
            Some(_) | None => Level::Debug,
        };
        log!(level, "connection with {} ended: {ended}", connection.remote);
        self.counters.count_end(ended);
        if let Some(peer) = connection.peer {
            let timers = &self.config.timers;
            // The connection that stays, which the other side saw complete, has passed its handshake there.
            let grace = if ended == Ended::Duplicate {
                timers.handshake
            } else {
                timers.restart_grace
            };
            let until = now + grace;
            self.change_neighbour(peer, Change::Lost { ended, until }, now);
        }
        self.targets
            .failed(conn, ended.to_string(), ended.is_final(), now);
    }

    /// Something happens to a neighbour: the daemon, the targets and our record learn of it
    pub(super) fn change_neighbour(&mut self, peer: PeerName, change: Change, now: Instant) {
        let Some((before, after)) = self.neighbours.change(peer, change) else {
            return;
        };
        match (before, &after) {
            (State::Up { .. }, Ok(State::Held { until, .. })) => {
                info!("neighbour {peer} is held");
                self.targets.held(peer, *until, now);
                self.outputs.event(Event::NeighbourHeld { peer });
            }
            (_, Err(reason)) => {
                info!("neighbour {peer} is down: {reason}");
                self.targets
                    .lost(peer, &reason.to_string(), reason.is_final(), now);
                match reason {
                    DownReason::Left | DownReason::Removed => self.targets.left(peer),
                    DownReason::GraceOver | DownReason::Ended(_) | DownReason::Silent => {}
                }
                let reason = reason.clone();
                self.outputs.event(Event::NeighbourDown { peer, reason });
            }
            (State::Up { .. } | State::Held { .. }, Ok(State::Up { .. }))
            | (State::Held { .. }, Ok(State::Held { .. })) => {}
        }
        if after != Ok(before) {
            self.own_changed(now);
        }
    }

    /// The handshake is complete: say who we are
    fn introduce(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let config = &self.config;
        let hello = Hello {
            name: config.name,
            nickname: config.nickname.clone(),
            identity: config.identity.key(),
            proof: config
                .identity
                .sign(Purpose::Handshake, &self.secrets.keys.public()),
            uid: config.uid,
            epoch: self.own.epoch,
            short_id: self.own.short_id,
            conn_id: connection.id,
            beat_key: connection.beat_key.clone(),
            trusts_you: self.trusts(connection.remote),
            offer: config.offer,
            control_port: config.control_port,
            you: connection.remote,
            version: config.version.clone(),
        };
        self.tell(conn, &Message::Hello(Box::new(hello)));
    }

    /// The other side said who it is: welcome it, if we would take it as a neighbour
    fn greet(&mut self, conn: ConnId, hello: Box<Hello>, now: Instant) {
        match self.judge(conn, &hello) {
            Verdict::Welcome | Verdict::Replace => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.guest = Some(hello);
                }
                self.tell(conn, &Message::Welcome);
            }
            Verdict::Duplicate => self.close_duplicate(conn, hello.name, now),
            Verdict::Refuse(reject) => self.refuse(conn, reject, now),
        }
    }

    /// The other side would take us as a neighbour: so it is, unless things have changed since its Hello
    fn welcomed(&mut self, conn: ConnId, now: Instant) {
        let guest = self
            .connections
            .get_mut(&conn)
            .and_then(|connection| connection.guest.take());
        let Some(hello) = guest else {
            return self.close(conn, Goodbye::Duplicate, Ended::Malformed, now);
        };
        match self.judge(conn, &hello) {
            Verdict::Welcome => self.welcome(conn, &hello, now),
            Verdict::Replace => {
                let old = self
                    .neighbours
                    .get(hello.name)
                    .and_then(|neighbour| neighbour.state.conn());
                self.welcome(conn, &hello, now);
                if let Some(old) = old {
                    if let Some(connection) = self.connections.get_mut(&old) {
                        connection.peer = None;
                    }
                    self.close(old, Goodbye::Duplicate, Ended::Duplicate, now);
                }
            }
            Verdict::Duplicate => self.close_duplicate(conn, hello.name, now),
            Verdict::Refuse(reject) => self.refuse(conn, reject, now),
        }
    }

    fn judge(&self, conn: ConnId, hello: &Hello) -> Verdict {
        let peer = hello.name;
        let id = self.connections.get(&conn).map_or(0, |connection| connection.id);
        let newcomer = Newcomer {
            name: peer,
            key: hello.identity,
            uid: hello.uid,
            epoch: hello.epoch,
            connection: id ^ hello.conn_id,
        };
        let us = (peer == self.config.name).then(|| (self.config.identity.key(), self.config.uid));
        admission::judge(newcomer, us, self.acquaintance(peer), self.limit_reached())
    }

    /// There is another connection to this peer, which stays
    fn close_duplicate(&mut self, conn: ConnId, peer: PeerName, now: Instant) {
        self.targets.found(conn, peer, now);
        self.close(conn, Goodbye::Duplicate, Ended::Duplicate, now);
    }

    fn refuse(&mut self, conn: ConnId, reject: Reject, now: Instant) {
        debug!("connection refused: {}", reject.text(true));
        self.close(conn, Goodbye::Refused(reject), Ended::Rejected(reject), now);
    }

    /// A peer becomes a neighbour, again or on another connection
    fn welcome(&mut self, conn: ConnId, hello: &Hello, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        connection.peer = Some(hello.name);
        let (local, remote, outbound, id) = (
            connection.local,
            connection.remote,
            connection.outbound,
            connection.id,
        );
        let beat_key = connection.beat_key.clone();
        let port = self.config.control_port;
        // The side that dialled sees our listening address; the other a port of the moment.
        let seen = if outbound {
            SocketAddr::new(hello.you.ip(), port)
        } else {
            hello.you
        };
        let greeting = Greeting {
            key: hello.identity,
            nickname: hello.nickname.clone(),
            uid: hello.uid,
            epoch: hello.epoch,
            encrypted: self.secrets.psk.is_some() && !(self.trusts(remote) && hello.trusts_you),
            connection: id ^ hello.conn_id,
            our_addresses: [SocketAddr::new(local.ip(), port), seen],
        };
        let encrypted = greeting.encrypted;
        let arrival = Arrival {
            conn,
            hello,
            greeting,
            remote,
            outbound,
        };
        let resumed = self.neighbours.arrive(arrival, &self.config.timers, now);
        info!("neighbour {} ({}) is up at {remote}", hello.name, hello.nickname);
        if let Some(neighbour) = self.neighbours.get(hello.name) {
            self.targets.up(conn, hello.name, neighbour.dial, now);
        }
        self.outputs.event(Event::NeighbourUp {
            peer: hello.name,
            hello: Box::new(hello.clone()),
            beat_key,
            local,
            remote,
            outbound,
            encrypted,
            resumed,
        });
        self.own_changed(now);
        // One side's question is enough to make both tables equal.
        if outbound {
            let digest = self.table.digest();
            self.tell(conn, &Message::Digest(digest));
        }
    }

    fn heard(&mut self, conn: ConnId, message: Message, now: Instant) {
        let Some(peer) = self.connections.get(&conn).and_then(|connection| connection.peer) else {
            return;
        };
        match message {
            Message::Digest(digest) => self.heard_digest(conn, digest),
            Message::Summary(stamps) => self.heard_summary(conn, stamps.into_iter().collect(), now),
            Message::Want(names) => self.send_records(conn, &names),
            Message::Records(records) => self.heard_records(peer, records, now),
            Message::Channel(channel, bytes) => self.outputs.event(Event::Message { peer, channel, bytes }),
            // All but the last are taken by the connection.
            Message::Hello(_) | Message::Welcome | Message::Goodbye(_) | Message::Keepalive => {}
        }
    }

    /// What we know of somebody with this name
    fn acquaintance(&self, name: PeerName) -> Known {
        match self.neighbours.get(name) {
            Some(neighbour) => match (&neighbour.greeting, neighbour.state) {
                (Some(greeting), State::Up { .. }) => Known::Connected {
                    key: greeting.key,
                    uid: greeting.uid,
                    epoch: greeting.epoch,
                    connection: greeting.connection,
                },
                (greeting, State::Up { .. } | State::Held { .. }) => Known::Held {
                    key: greeting.as_ref().map(|greeting| greeting.key),
                },
            },
            None => match self.topology.peers.get(&name) {
                Some(record) => Known::Peer { key: record.key },
                None => Known::Unknown,
            },
        }
    }

    /// The limit, if there may be no more neighbours
    pub(super) fn limit_reached(&self) -> Option<u32> {
        let limit = self
            .config
            .conn_limit
            .filter(|limit| self.neighbours.len() >= *limit)?;
        Some(u32::try_from(limit).unwrap_or(u32::MAX))
    }

    fn trusts(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip().to_canonical();
        self.config
            .trusted_subnets
            .iter()
            .any(|subnet| subnet.contains(ip))
    }
}
