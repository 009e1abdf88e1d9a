//! Connections and neighbours: bytes in, introductions, losses.

use std::net::SocketAddr;
use std::time::Instant;

use log::{Level, debug, info, log};
use model::{PeerName, bump, later};
use rand::RngExt;

use super::Mesh;
use crate::admission::{self, Known, Newcomer, Verdict};
use crate::budget::{Bucket, Rate};
use crate::connection::{Connection, Ended, Received, Start};
use crate::identity::{BeatKey, Binding, IdentityKey, Keys, Purpose};
use crate::message::{Goodbye, Hello, Message};
use crate::neighbours::{Arrival, Change, Greeting, State};
use crate::noise;
use crate::output::{ConnId, DownReason, Event, Output};
use crate::puzzle::Puzzle;
use crate::reject::Reject;

impl Mesh {
    /// A TCP connection was made
    pub(super) fn connect(
        &mut self,
        outbound: bool,
        (local, remote): (SocketAddr, SocketAddr),
        asks: bool,
        now: Instant,
    ) -> ConnId {
        let conn = ConnId(self.next_conn);
        bump(&mut self.next_conn);
        let entropy = self.config.entropy.rng();
        let start = Start {
            outbound,
            local,
            remote,
            id: self.rng.random(),
            beat_key: BeatKey::generate(entropy),
            seed: noise::seed(entropy),
            puzzle: asks.then(|| Puzzle::draw(entropy)),
            password: self.password_turns.get(&remote).copied().unwrap_or(0),
        };
        let mut connection = Connection::new(start, &self.secrets, &self.config.timers, now);
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
                    bump(&mut self.counters.handshakes);
                    self.introduce(conn);
                }
                Some(Received::Hello(hello)) => self.greet(conn, hello, now),
                Some(Received::Welcome) => self.welcomed(conn, now),
                Some(Received::Message(message)) => self.heard(conn, message, now),
                Some(Received::Unknown) => bump(&mut self.counters.unknown_messages),
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
        self.doorkeeper.leave(conn);
        self.requests.remove(&conn);
        if ended == Ended::Rejected(Reject::PasswordWrong) {
            self.doorkeeper.guessed(connection.remote.ip(), now);
        }
        if ended == Ended::RefusedInClear(Reject::PasswordWrong) && connection.outbound {
            if self.password_turns.len() >= MAX_TURNS {
                self.password_turns.clear();
            }
            let turn = self.password_turns.entry(connection.remote).or_default();
            *turn = turn.wrapping_add(1);
        }
        if let Some(peer) = connection.peer {
            let timers = &self.config.timers;
            // The connection that stays, which the other side saw complete, has passed its handshake there.
            let grace = if ended == Ended::Duplicate {
                timers.handshake
            } else {
                timers.restart_grace
            };
            let until = later(now, grace);
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
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.claimant = Some(hello.identity);
        }
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
        if self.bans.refuses(&hello.identity) {
            return Verdict::Refuse(Reject::Banned);
        }
        let us = (peer == self.config.name).then(|| (self.config.identity.key(), self.config.uid));
        let known = self.acquaintance(peer, &hello.identity);
        admission::judge(newcomer, us, known, self.limit_reached())
    }

    /// There is another connection to this peer, which stays
    fn close_duplicate(&mut self, conn: ConnId, peer: PeerName, now: Instant) {
        self.targets.found(conn, peer, now);
        self.close(conn, Goodbye::Duplicate, Ended::Duplicate, now);
    }

    fn refuse(&mut self, conn: ConnId, reject: Reject, now: Instant) {
        if let Reject::NameCollision(name) = reject {
            self.report_claim(conn, name, now);
        }
        debug!("connection refused: {}", reject.text(true));
        self.close(conn, Goodbye::Refused(reject), Ended::Rejected(reject), now);
    }

    /// A peer becomes a neighbour, again or on another connection
    fn welcome(&mut self, conn: ConnId, hello: &Hello, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        connection.peer = Some(hello.name);
        self.doorkeeper.leave(conn);
        self.requests.insert(conn, Bucket::full(REQUESTS, now));
        let now_ms = self.now_ms(now);
        self.pins.pin(hello.name, hello.identity, now_ms, now);
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
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
            encrypted: self.secrets.passwords.is_some() && !(self.trusts(remote) && hello.trusts_you),
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
        let bans: Vec<_> = self.bans.iter().copied().collect();
        if !bans.is_empty() {
            self.tell(conn, &Message::Bans(bans));
        }
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
            Message::Digest(digest) => self.heard_digest(conn, digest, now),
            Message::Summary(stamps) => self.heard_summary(conn, stamps.into_iter().collect(), now),
            Message::Want(names) => self.send_wanted(conn, &names, now),
            Message::Records(records) => self.heard_records(conn, peer, records, now),
            Message::Bans(bans) => self.heard_bans(conn, &bans, now),
            Message::Channel(channel, bytes) => self.outputs.event(Event::Message { peer, channel, bytes }),
            // All but the last are taken by the connection.
            Message::Hello(_) | Message::Welcome | Message::Goodbye(_) | Message::Keepalive => {}
        }
    }

    /// What we know of somebody with this name
    fn acquaintance(&self, name: PeerName, key: &IdentityKey) -> Known {
        if self.pins.binding(name, key) == Binding::Other {
            return Known::Disputed;
        }
        match self.neighbours.get(name) {
            Some(neighbour) => match (&neighbour.greeting, neighbour.state) {
                (Some(greeting), State::Up { .. }) => Known::Connected {
                    key: greeting.key,
                    uid: greeting.uid,
                    epoch: greeting.epoch,
                    connection: greeting.connection,
                },
                (_, State::Up { .. } | State::Held { .. }) => Known::Held,
            },
            None => Known::Unknown,
        }
    }

    /// Somebody claimed a name that belongs to another key: every host is to know
    fn report_claim(&mut self, conn: ConnId, name: PeerName, now: Instant) {
        let guest = self
            .connections
            .get(&conn)
            .and_then(|connection| connection.claimant);
        if let Some(key) = guest
            && self.pins.binding(name, &key) == Binding::Other
        {
            let now_ms = self.now_ms(now);
            self.pins.pin(name, key, now_ms, now);
            self.own_changed(now);
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

/// Addresses whose next dial takes another password
const MAX_TURNS: usize = 1024;

/// Records that a neighbor may ask for: the whole table at once, then as many a second as one look takes
pub(super) const REQUESTS: Rate = Rate {
    per_second: 512.0,
    burst: 8192.0,
};
