//! What the switch has to know of the mesh.

use std::fmt;
use std::net::Ipv4Addr;

use model::{PathKind, PeerName, ShortId};
use openvswitch_sys::PortNo;

/// Who is there, and over which neighbour each is reached; never changes once made
///
/// The daemon makes one of gossip's topology whenever that changes. Calls are on the packet path:
/// they answer from memory.
pub trait Routes: fmt::Debug + Send + Sync {
    /// This peer
    fn own(&self) -> PeerName;

    /// This peer's short id
    fn own_short_id(&self) -> ShortId;

    /// A peer's short id; `None` for a peer that is not in the topology, or whose id another holds
    fn short_id(&self, peer: PeerName) -> Option<ShortId>;

    /// Who holds a short id
    fn peer(&self, id: ShortId) -> Option<PeerName>;

    /// The neighbour to which a frame for `destination` goes, if there is a way
    fn unicast(&self, destination: PeerName) -> Option<PeerName>;

    /// Whether frames of `source` come from itself: it is a neighbour, and has known so for long enough to send
    /// nothing by a relay
    fn comes_directly(&self, source: PeerName) -> bool {
        self.unicast(source) == Some(source)
    }
    /// The neighbours to which a flooded frame of `source`, this peer or another, goes on from here
    fn broadcast(&self, source: PeerName) -> &[PeerName];
}

/// How frames travel to a neighbour
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Through the kernel's VXLAN port
    Fastdp(Tunnel),
    /// Through the TAP and the sleeve
    Sleeve,
}

impl Path {
    /// Which of the two it is
    pub const fn kind(&self) -> PathKind {
        match self {
            Self::Fastdp(_) => PathKind::Fastdp,
            Self::Sleeve => PathKind::Sleeve,
        }
    }
}

/// A VXLAN path
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// The VXLAN port; its UDP port is what the neighbour listens on
    pub port: PortNo,
    /// This host's outer address
    pub local: Ipv4Addr,
    /// The neighbour's outer address
    pub remote: Ipv4Addr,
    /// The longest IP packet of a container that fits
    pub mtu: u16,
    /// Whether the outer UDP header has a checksum: receivers aggregate only what has one
    pub csum: bool,
}
