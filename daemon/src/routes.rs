//! The mesh's topology, as the switch wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gossip::Topology;
use model::{PeerName, ShortId};

/// A neighbour that has just become one may send by a relay for so long, until it hears of that itself
const RELAY_GRACE: Duration = Duration::from_secs(2);

/// A topology that answers the switch's questions
#[derive(Debug, Clone)]
pub(crate) struct TopologyRoutes {
    topology: Arc<Topology>,
    /// The peers whose frames come from themselves
    direct: Arc<BTreeSet<PeerName>>,
}

impl TopologyRoutes {
    pub(crate) const fn new(topology: Arc<Topology>, direct: Arc<BTreeSet<PeerName>>) -> Self {
        Self { topology, direct }
    }
}

impl overlay::Routes for TopologyRoutes {
    fn own(&self) -> PeerName {
        self.topology.name()
    }

    fn own_short_id(&self) -> ShortId {
        self.topology
            .peers
            .get(&self.topology.name())
            .map_or(ShortId::truncated(0), |own| own.short_id)
    }

    fn short_id(&self, peer: PeerName) -> Option<ShortId> {
        let id = self.topology.peers.get(&peer)?.short_id;
        (self.topology.by_short_id(id) == Some(peer)).then_some(id)
    }

    fn peer(&self, id: ShortId) -> Option<PeerName> {
        self.topology.by_short_id(id)
    }

    fn unicast(&self, destination: PeerName) -> Option<PeerName> {
        self.topology.unicast(destination)
    }

    fn comes_directly(&self, source: PeerName) -> bool {
        self.direct.contains(&source)
    }

    fn broadcast(&self, source: PeerName) -> &[PeerName] {
        self.topology.broadcast(source)
    }
}

/// Which peers send directly, and have known so for long enough to send nothing by a relay
#[derive(Debug, Default)]
pub(crate) struct Directs {
    /// Those that do not know it for certain yet, and when they do
    fresh: BTreeMap<PeerName, Instant>,
    certain: Arc<BTreeSet<PeerName>>,
}

impl Directs {
    /// The peers that are certain to send directly
    pub(crate) fn certain(&self) -> Arc<BTreeSet<PeerName>> {
        Arc::clone(&self.certain)
    }

    /// The topology is another: who is no neighbour any more may send by a relay at once
    pub(crate) fn topology_changed(&mut self, topology: &Topology, now: Instant) {
        let is_direct = |peer: PeerName| topology.unicast(peer) == Some(peer);
        self.fresh.retain(|peer, _| is_direct(*peer));
        if !self.certain.iter().all(|peer| is_direct(*peer)) {
            Arc::make_mut(&mut self.certain).retain(|peer| is_direct(*peer));
        }
        for peer in topology.peers.keys().copied().filter(|peer| is_direct(*peer)) {
            if !self.certain.contains(&peer) {
                self.fresh.entry(peer).or_insert(now + RELAY_GRACE);
            }
        }
    }

    /// Whether more peers are certain to send directly than before
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.fresh.len();
        let mut due = Vec::new();
        self.fresh.retain(|peer, at| {
            let is_due = *at <= now;
            due.extend(is_due.then_some(*peer));
            !is_due
        });
        if !due.is_empty() {
            Arc::make_mut(&mut self.certain).extend(due);
        }
        self.fresh.len() != before
    }

    /// When to call [`Directs::handle_timeout`]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.fresh.values().min().copied()
    }
}
