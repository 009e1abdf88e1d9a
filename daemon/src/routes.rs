//! The mesh's topology, as the switch wants it.

use std::sync::Arc;

use gossip::Topology;
use model::{PeerName, ShortId};

/// A topology that answers the switch's questions
#[derive(Debug, Clone)]
pub(crate) struct TopologyRoutes(pub(crate) Arc<Topology>);

impl overlay::Routes for TopologyRoutes {
    fn own(&self) -> PeerName {
        self.0.name()
    }

    fn own_short_id(&self) -> ShortId {
        self.0
            .peers
            .get(&self.0.name())
            .map_or(ShortId::truncated(0), |own| own.short_id)
    }

    fn short_id(&self, peer: PeerName) -> Option<ShortId> {
        let id = self.0.peers.get(&peer)?.short_id;
        (self.0.by_short_id(id) == Some(peer)).then_some(id)
    }

    fn peer(&self, id: ShortId) -> Option<PeerName> {
        self.0.by_short_id(id)
    }

    fn unicast(&self, destination: PeerName) -> Option<PeerName> {
        self.0.unicast(destination)
    }

    fn broadcast(&self, source: PeerName) -> &[PeerName] {
        self.0.broadcast(source)
    }
}
