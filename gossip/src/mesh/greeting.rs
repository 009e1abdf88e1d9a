//! Introductions: who is welcome, and on which of its connections.

use std::net::SocketAddr;
use std::time::Instant;

use log::{debug, info};
use model::{PeerName, Uid, later};

use super::Mesh;
use super::connections::REQUESTS;
use crate::admission::{self, Known, Newcomer, Precedence, Verdict};
use crate::budget::Bucket;
use crate::connection::{Connection, Ended};
use crate::identity::{Binding, IdentityKey, Keys as _, Purpose};
use crate::message::{Goodbye, Hello, Message};
use crate::neighbours::{Arrival, Greeting, State};
use crate::output::{ConnId, Event};
use crate::reject::Reject;

/// One run of a peer, as far as a handshake proves it: a name alone is anybody's
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Guest {
    name: PeerName,
    key: IdentityKey,
    uid: Uid,
}

impl Mesh {
    /// The handshake is complete: say who we are
    pub(super) fn introduce(&mut self, conn: ConnId) {
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
    pub(super) fn greet(&mut self, conn: ConnId, hello: Box<Hello>, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.claimant = Some(hello.identity);
        }
        match self.judge(conn, &hello) {
            Verdict::Welcome | Verdict::Replace => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.guest = Some(hello);
                }
            }
            Verdict::Duplicate => self.close_duplicate(conn, hello.name, now),
            Verdict::Refuse(reject) => self.refuse(conn, reject, now),
        }
        self.answer_guests(now);
    }

    /// Welcomes all that introduced themselves, each on one connection
    ///
    /// Two hosts that dial each other at once have two connections. The one that comes first by its [`Precedence`] is
    /// welcomed, the other closed. While an address is dialed here that may lead to the same peer and would come first, the other
    /// waits, for [`Timers::courtesy`](crate::Timers) at most: the dial may never succeed.
    pub(super) fn answer_guests(&mut self, now: Instant) {
        let waiting = self.connections.iter();
        let waiting = waiting.filter(|(_, connection)| connection.guest.is_some() && !connection.is_welcomed);
        let waiting: Vec<ConnId> = waiting.map(|(conn, _)| *conn).collect();
        for conn in waiting {
            self.answer_guest(conn, now);
        }
    }

    fn answer_guest(&mut self, conn: ConnId, now: Instant) {
        let Some((guest, own)) = self.guest(conn) else {
            return;
        };
        let peer = guest.name;
        let others = self.connections.keys().filter(|other| **other != conn);
        let rivals = others.filter_map(|other| {
            let (of, place) = self.guest(*other)?;
            (of == guest).then_some((*other, place))
        });
        let (first, after): (Vec<_>, Vec<_>) = rivals.partition(|(_, place)| *place < own);
        if !first.is_empty() {
            return self.close_duplicate(conn, peer, now);
        }
        for (rival, _) in after {
            self.close_duplicate(rival, peer, now);
        }
        let connection = self.connections.get_mut(&conn);
        // The end of a rival may have been what this one waited for.
        let Some(connection) = connection.filter(|connection| !connection.is_welcomed) else {
            return;
        };
        let ours_comes_first = !connection.outbound && self.config.name < peer;
        if ours_comes_first && self.targets.is_dialing(peer, connection.remote.ip()) {
            let patience = later(now, self.config.timers.courtesy);
            if *connection.answer_due.get_or_insert(patience) > now {
                return;
            }
        }
        connection.answer_due = None;
        connection.is_welcomed = true;
        let is_wanted = connection.is_up();
        self.tell(conn, &Message::Welcome);
        if is_wanted {
            self.welcomed(conn, now);
        }
    }

    /// Returns who introduced itself on a connection, and the connection's place among those with that peer
    fn guest(&self, conn: ConnId) -> Option<(Guest, Precedence)> {
        let connection = self.connections.get(&conn)?;
        let hello = connection.guest.as_ref()?;
        let place = self.precedence(connection, hello);
        let guest = Guest {
            name: hello.name,
            key: hello.identity,
            uid: hello.uid,
        };
        Some((guest, place))
    }

    fn precedence(&self, connection: &Connection, hello: &Hello) -> Precedence {
        let ids = connection.id ^ hello.conn_id;
        Precedence::new(self.config.name, hello.name, connection.outbound, ids)
    }

    /// The other side would take us as a neighbour: so it is, unless things have changed since its Hello
    pub(super) fn welcomed(&mut self, conn: ConnId, now: Instant) {
        let connection = self.connections.get_mut(&conn);
        if connection
            .as_ref()
            .is_some_and(|it| it.guest.is_some() && !it.is_welcomed)
        {
            // Taken up again once this side answers.
            return;
        }
        let Some(hello) = connection.and_then(|connection| connection.guest.take()) else {
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
        let Some(connection) = self.connections.get(&conn) else {
            return Verdict::Duplicate;
        };
        let newcomer = Newcomer {
            name: peer,
            key: hello.identity,
            uid: hello.uid,
            epoch: hello.epoch,
            connection: self.precedence(connection, hello),
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
    pub(super) fn welcome(&mut self, conn: ConnId, hello: &Hello, now: Instant) {
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
        let (local, remote, outbound) = (connection.local, connection.remote, connection.outbound);
        let precedence = self.precedence(connection, hello);
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
            connection: precedence,
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

    /// What we know of somebody with this name
    fn acquaintance(&self, name: PeerName, key: &IdentityKey) -> Known {
        if self.pins.binding(name, key) == Binding::Other {
            return Known::Disputed;
        }
        match self.neighbours.get(name) {
            Some(neighbour) => match (&neighbour.greeting, neighbour.state) {
                (Some(greeting), State::Up { conn, .. }) => Known::Connected {
                    key: greeting.key,
                    uid: greeting.uid,
                    epoch: greeting.epoch,
                    connection: greeting.connection,
                    is_confirmed: self.connections.get(&conn).is_some_and(|it| it.is_confirmed),
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
}
