//! What several targets need.
#![forbid(unsafe_code)]

use model::{Mac, PeerName, ShortId};
use overlay::Routes;

/// A small mesh: this host 0 has the neighbors 1 and 2; 3 is behind 1, 4 behind 2, and one of them may be gone
#[derive(Debug)]
pub struct Chain {
    neighbors: Vec<PeerName>,
    behind: [Vec<PeerName>; 2],
    gone: Option<u16>,
}

impl Chain {
    /// All peers are there
    pub fn new() -> Self {
        Self {
            neighbors: vec![Self::name(1), Self::name(2)],
            behind: [vec![Self::name(2)], vec![Self::name(1)]],
            gone: None,
        }
    }

    /// One peer is not
    pub fn without(gone: u16) -> Self {
        let mut chain = Self::new();
        chain.gone = Some(gone);
        chain.neighbors.retain(|name| *name != Self::name(gone));
        for behind in &mut chain.behind {
            behind.retain(|name| *name != Self::name(gone));
        }
        chain
    }

    /// Returns the name of a peer
    pub fn name(n: u16) -> PeerName {
        let [high, low] = n.to_be_bytes();
        PeerName::from(Mac::new([2, 0xee, 0, 0, high, low]))
    }

    fn number(&self, name: PeerName) -> Option<u16> {
        (0..PEERS).find(|n| Self::name(*n) == name && self.gone != Some(*n))
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Routes for Chain {
    fn own(&self) -> PeerName {
        Self::name(0)
    }

    fn own_short_id(&self) -> ShortId {
        ShortId::truncated(1)
    }

    fn short_id(&self, peer: PeerName) -> Option<ShortId> {
        Some(ShortId::truncated(self.number(peer)? + 1))
    }

    fn peer(&self, id: ShortId) -> Option<PeerName> {
        let name = Self::name(id.value().checked_sub(1)?);
        self.number(name).map(|_| name)
    }

    fn unicast(&self, destination: PeerName) -> Option<PeerName> {
        let hop = match self.number(destination)? {
            1 | 3 => Self::name(1),
            2 | 4 => Self::name(2),
            _ => return None,
        };
        self.number(hop).map(|_| hop)
    }

    fn broadcast(&self, source: PeerName) -> &[PeerName] {
        match self.number(source) {
            Some(0) => &self.neighbors,
            Some(1 | 3) => &self.behind[0],
            Some(2 | 4) => &self.behind[1],
            _ => &[],
        }
    }
}

const PEERS: u16 = 5;
