//! What the control plane wants done.

use std::net::SocketAddr;
use std::sync::Arc;

use fallback_sleeve::Opener;
use fallback_sleeve::datagram::SessionId;
use fallback_sleeve::heartbeat::Beat;
use gossip::{ConnId, DialId};
use model::{PeerName, ShortId, Target};
use overlay::Forwarding;

use crate::datapath::BeatOut;
use crate::neighbours::Path;
use crate::routes::TopologyRoutes;
use crate::sleeve::Session;

/// One order of the control plane, to be carried out in turn
#[derive(Debug)]
pub(crate) enum Command {
    /// Connect to a target by TCP, and tell how that ended
    Dial { dial: DialId, target: Target },
    /// Send bytes on a control connection
    Send { conn: ConnId, bytes: Vec<u8> },
    /// Close a control connection once all is sent
    Close { conn: ConnId },
    /// Send a heartbeat through the kernel's datapath
    Beat(BeatOut),
    /// Send a heartbeat through the sleeve, padded to an outer IP packet of `size`
    Control {
        peer: PeerName,
        session: Arc<Session>,
        body: [u8; Beat::LEN],
        size: u16,
    },
    /// Receive on a session
    Listen(Opener, Arc<Session>),
    /// Receive on it no longer
    Unlisten(SessionId),
    /// The switch: how frames go to a neighbour
    SetPath(PeerName, Option<Path>),
    /// The switch: who is reached by whom
    SetRoutes(TopologyRoutes),
    /// The sleeve's threads: where frames go
    Forward(Forwarding<Arc<Session>>),
    /// The switch: adopted flows that are not wanted may go
    Settle,
    /// The bridge: forget a peer's stations
    ForgetStations(ShortId),
    /// The bridge: forget stations that were silent for long
    ExpireStations,
    /// The state: this outlives the process
    Keep(Kept),
}

/// What is to outlive the process
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// This host's short id
    ShortId(ShortId),
    /// The operator's targets
    Targets(Vec<Target>),
    /// The neighbours to be held through a restart, and where they listen
    Neighbours(Vec<(PeerName, SocketAddr)>),
}
