//! A mesh with neighbors that made no handshake, and what is true of it whatever they tell.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::Mesh;
use crate::message::{Hello, Message};
use crate::output::ConnId;
use crate::records::{COUNTER_LIMIT, MAX_PEERS};
use crate::wire;

impl Mesh {
    /// Makes a neighbor of who says this; what is sent to it goes nowhere
    pub(crate) fn fuzz_arrive(&mut self, hello: &Hello, now: Instant) -> ConnId {
        let end = |last| SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), 6783));
        let conn = self.connect(false, (end(1), end(2)), false, now);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.claimant = Some(hello.identity);
        }
        self.welcome(conn, hello, now);
        self.settle(now);
        conn
    }

    /// Hears a message of a neighbor
    pub(crate) fn fuzz_hear(&mut self, conn: ConnId, message: Message, now: Instant) {
        self.heard(conn, message, now);
        self.settle(now);
    }

    /// Returns the digest of all records
    pub(crate) fn fuzz_digest(&mut self) -> crate::digest::Digest {
        self.table.digest()
    }

    /// Checks that the mesh is within its bounds, and would tell nobody what no peer would send
    pub(crate) fn fuzz_check(&self) {
        assert!(self.table.len() <= MAX_PEERS, "{} records", self.table.len());
        assert!(self.own.epoch < COUNTER_LIMIT, "epoch {}", self.own.epoch);
        let names: Vec<_> = self.table.iter().map(|record| record.name).collect();
        for bytes in self.batches(&names) {
            let parsed = wire::parse(&bytes[4..]);
            assert!(matches!(parsed, Ok(Some(Message::Records(_)))), "{parsed:?}");
        }
        let bans = Message::Bans(self.bans.iter().copied().collect());
        assert_eq!(wire::parse(&wire::encode(&bans)[4..]), Ok(Some(bans)));
    }
}
