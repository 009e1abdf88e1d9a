//! What the control plane wants done.

use std::net::SocketAddr;
use std::sync::Arc;

use dns::Zone;
use fallback_sleeve::Opener;
use fallback_sleeve::datagram::SessionId;
use fallback_sleeve::heartbeat::Beat;
use gossip::{Ban, ConnId, DialId, Pin};
use ipam::{Refusal, Ticket};
use ipnetwork::Ipv4Network;
use model::{NickName, PeerName, ShortId, Target};
use overlay::Forwarding;

use crate::datapath::BeatOut;
use crate::neighbours::{Fastdp, Path};
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
        to: SocketAddr,
        body: [u8; Beat::LEN],
        size: u16,
    },
    /// Receive on a session
    Listen(Opener, Arc<Session>),
    /// Receive on it no longer
    Unlisten(SessionId),
    /// The switch: whether a neighbour may use fastdp, and where it has proved itself
    SetFastdp(PeerName, Option<Fastdp>),
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
    /// Whoever asked under this ticket: what became of it
    Answer(Ticket, Result<Answer, Refusal>),
    /// The log of who owns which addresses
    Note(ipam::Event),
    /// The server of names: what is answered
    PublishNames(Zone),
}

/// What became of something that was asked of the addresses
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The container has the address
    Granted(Ipv4Network),
    /// The peer is removed, which had so many addresses
    Removed(u64),
    /// Every address has an owner
    Primed,
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
    /// What peers call themselves
    Nicknames(Vec<(PeerName, NickName)>),
    /// Names, and the keys that speak for them
    Pins(Vec<Pin>),
    /// Orders about refused keys
    Bans(Vec<Ban>),
    /// Who owns which addresses, and who has which: the number by which [`super::plane::Plane::kept`] is told
    Addresses(u64, ipam::Change),
}
