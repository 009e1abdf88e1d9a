//! What a mesh asks its driver to do, and what it tells.

use std::net::SocketAddr;
use std::sync::Arc;

use model::{PeerName, ShortId, Target};

use crate::bans::{Ban, MAX_PER_SIGNER};
use crate::connection::Ended;
use crate::identity::BeatKey;
use crate::message::Hello;
use crate::pins::Pin;
use crate::routes::Topology;

/// One TCP connection, for as long as this process runs
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) u64);

/// One order to dial
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub(crate) u64);

/// Which of the protocols that travel between neighbours a message belongs to
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(pub u8);

/// What the driver has to do next
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Resolve the target, connect by TCP, and answer with [`crate::Mesh::dialled`]
    Dial {
        /// Comes back in the answer
        dial: DialId,
        /// Where to; the control port where it names none
        target: Target,
    },
    /// Write these bytes to the connection, in this order
    Send {
        /// Which connection
        conn: ConnId,
        /// What to write
        bytes: Vec<u8>,
    },
    /// Write what is still to be written, then close; this connection is not spoken of again
    Close {
        /// Which connection
        conn: ConnId,
    },
    /// Tell the rest of the program
    Event(Event),
}

/// What the rest of the program wants to know
#[derive(Debug, PartialEq)]
pub enum Event {
    /// A neighbour can be spoken to. What was sent to it before may be lost: each channel starts anew
    NeighbourUp {
        /// Who
        peer: PeerName,
        /// What it says of itself
        hello: Box<Hello>,
        /// The key of the heartbeats that it sends here: `hello` has that of those sent to it
        beat_key: BeatKey,
        /// Our end of the connection
        local: SocketAddr,
        /// Its end
        remote: SocketAddr,
        /// We dialled it
        outbound: bool,
        /// There is a password and not both sides trust the network between: data is to be sealed
        encrypted: bool,
        /// It was held, or its older connection was replaced: paths and flows go on
        resumed: bool,
    },
    /// A neighbour went away without a goodbye and is expected back: freeze what belongs to it
    NeighbourHeld {
        /// Who
        peer: PeerName,
    },
    /// A neighbour is gone
    NeighbourDown {
        /// Who
        peer: PeerName,
        /// Why
        reason: DownReason,
    },
    /// A neighbour sent this
    Message {
        /// Who
        peer: PeerName,
        /// On which channel
        channel: Channel,
        /// What [`crate::Mesh::send`] was given there
        bytes: Vec<u8>,
    },
    /// Peers, their connections or what they say of themselves changed
    TopologyChanged(Arc<Topology>),
    /// A peer can no more be reached by anybody that we reach, or was removed
    PeerGone(PeerName),
    /// Our short id, to be kept for the next start
    ShortIdChanged(ShortId),
    /// The operator's targets, to be kept for the next start
    TargetsChanged(Vec<Target>),
    /// Names and the keys that speak for them, to be kept for the next start
    PinsChanged(Vec<Pin>),
    /// The latest order about each key, to be kept for the next start
    BansChanged(Vec<Ban>),
}

/// Why a neighbour is gone
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// It said that it leaves
    #[error("the peer has left")]
    Left,
    /// It was held and did not come back in time
    #[error("the peer did not come back")]
    GraceOver,
    /// Its connection ended before a data path was there to hold
    #[error(transparent)]
    Ended(Ended),
    /// It was held for silence, and its data path went down too
    #[error("the peer is silent on every path")]
    Silent,
    /// The operator removed it
    #[error("the peer was removed")]
    Removed,
}

impl DownReason {
    /// Dialling again cannot help until somebody changes something
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Ended(ended) => ended.is_final(),
            Self::Left | Self::GraceOver | Self::Silent | Self::Removed => false,
        }
    }
}

/// How a TCP connection came to its end
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disconnect {
    /// The other side closed it
    #[error("the remote closed the connection")]
    Eof,
    /// The other side has no such connection (RST)
    #[error("connection reset by peer")]
    Reset,
    /// The kernel gave up on it, or it takes no more bytes
    #[error("connection timed out")]
    TimedOut,
}

/// A connection that was accepted by the kernel is not wanted
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// So many have not said yet who they are; close it
    #[error("{0} connections are in their handshake already")]
    Handshakes(usize),
    /// Too many wrong passwords came from this address; close it
    #[error("too many wrong passwords came from this address")]
    Guessing,
    /// The mesh is shut down; close it
    #[error("shutting down")]
    ShutDown,
}

/// An order about a key was not given; nothing was changed
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BanError {
    /// It is this peer's own
    #[error("this host cannot ban itself")]
    Ourselves,
    /// This peer has as many bans in force as one peer may
    #[error("this host has {MAX_PER_SIGNER} bans in force, the most that one host may have; lift one first")]
    TooMany,
}

/// A message was not sent
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection to this peer at the moment; the message is dropped
    #[error("{0} is not connected")]
    NotConnected(PeerName),
    /// Longer than any peer would take; the message is dropped
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
}
