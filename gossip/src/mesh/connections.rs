//! Connections and neighbours: bytes in, messages, losses.

use std::net::SocketAddr;
use std::time::Instant;

use log::{Level, info, log};
use model::{PeerName, bump, later};
use rand::RngExt;

use super::Mesh;
use crate::budget::Rate;
use crate::connection::{Connection, Ended, Received, Start};
use crate::identity::BeatKey;
use crate::message::Message;
use crate::neighbours::{Change, State};
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
        if connection.outbound {
            self.answer_guests(now);
        }
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

    pub(super) fn heard(&mut self, conn: ConnId, message: Message, now: Instant) {
        let connection = self.connections.get_mut(&conn);
        let Some((connection, peer)) = connection.and_then(|it| it.peer.map(|peer| (it, peer))) else {
            return;
        };
        connection.is_confirmed = true;
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

    /// The limit, if there may be no more neighbours
    pub(super) fn limit_reached(&self) -> Option<u32> {
        let limit = self
            .config
            .conn_limit
            .filter(|limit| self.neighbours.len() >= *limit)?;
        Some(u32::try_from(limit).unwrap_or(u32::MAX))
    }

    pub(super) fn trusts(&self, remote: SocketAddr) -> bool {
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
