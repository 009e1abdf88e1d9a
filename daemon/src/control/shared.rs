//! State that all peers hold in common, and the channel of the mesh that carries it.

use std::sync::Arc;
use std::time::Instant;

use gossip::{Channel, Exchange, Keys, Malformed, Replica, Topology};
use model::PeerName;

/// A state, and what makes the neighbours' copies equal to it
#[derive(Debug)]
pub(crate) struct Shared<R> {
    pub(crate) state: R,
    exchange: Exchange,
    channel: Channel,
}

impl<R: Replica> Shared<R> {
    pub(crate) const fn new(state: R, name: PeerName, channel: Channel) -> Self {
        Self {
            state,
            exchange: Exchange::new(name),
            channel,
        }
    }

    /// Whether the messages of a channel are about it
    pub(crate) fn is_on(&self, channel: Channel) -> bool {
        self.channel == channel
    }

    /// A neighbour can be spoken to, perhaps anew
    pub(crate) fn up(&mut self, neighbour: PeerName, now: Instant) {
        self.exchange.up(neighbour, &self.state, now);
    }

    /// A neighbour cannot be spoken to
    pub(crate) fn down(&mut self, neighbour: PeerName) {
        self.exchange.down(neighbour);
    }

    /// A neighbor may lack something, or have something that is lacking here: it is compared with soon
    pub(crate) fn doubt(&mut self, neighbour: PeerName, now: Instant) {
        self.exchange.doubt(neighbour, now);
    }

    /// Compares with every neighbor soon, as any of them may have what is missing here
    pub(crate) fn doubt_all(&mut self, now: Instant) {
        self.exchange.doubt_all(now);
    }

    /// Those of the neighbours that have lost a connection may have missed something
    pub(crate) fn topology_changed(&mut self, before: &Topology, after: &Topology, now: Instant) {
        for (name, record) in &after.peers {
            let Some(last) = before.peers.get(name) else {
                continue;
            };
            let has = |peer| record.connections.contains_key(peer);
            if !Arc::ptr_eq(last, record) && !last.connections.keys().all(has) {
                self.exchange.doubt(*name, now);
            }
        }
    }

    /// Takes in what a neighbor sent
    ///
    /// # Errors
    ///
    /// If no peer would send it: its connection is to end.
    pub(crate) fn heard(
        &mut self,
        from: PeerName,
        bytes: &[u8],
        keys: &dyn Keys,
        topology: &Topology,
        now: Instant,
    ) -> Result<(), Malformed> {
        // Of a connection that ends, one side may know before the other does.
        let names = |one: PeerName, other| {
            let record = topology.peers.get(&one);
            record.is_some_and(|record| record.connections.contains_key(&other))
        };
        let reaches = |peer, neighbour| names(peer, neighbour) && names(neighbour, peer);
        self.exchange
            .heard(from, bytes, &mut self.state, keys, reaches, now)
    }

    /// Tells the neighbours what changed here
    pub(crate) fn flood(&mut self) {
        self.exchange.flood(&mut self.state);
    }

    /// Does what is due in the exchange; the state's own time is its owner's business
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.exchange.handle_timeout(&self.state, now);
    }

    /// When to call [`Shared::handle_timeout`]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.poll_timeout()
    }

    /// What to send next, and to which neighbour
    pub(crate) fn poll_send(&mut self) -> Option<(PeerName, Channel, Vec<u8>)> {
        let (peer, bytes) = self.exchange.poll_send()?;
        Some((peer, self.channel, bytes))
    }

    /// Messages that no peer would send
    pub(crate) const fn malformed(&self) -> u64 {
        self.exchange.malformed()
    }
}
