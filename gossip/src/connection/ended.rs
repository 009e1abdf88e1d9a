//! How a connection ends.

use crate::output::Disconnect;
use crate::reject::Reject;

/// Why a connection is no more
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The TCP connection ended without a goodbye
    #[error(transparent)]
    Disconnected(Disconnect),
    /// The TCP connection ended before the other side had introduced itself
    #[error("{0} during the handshake")]
    DuringHandshake(Disconnect),
    /// The other side did not introduce itself in time
    #[error("handshake timed out")]
    HandshakeTimeout,
    /// Nothing came for too long
    #[error("no heartbeat from the remote")]
    Silence,
    /// The first bytes are those of another protocol
    #[error("the remote does not speak the weave protocol")]
    Foreign,
    /// Bytes that are no message, or a message at the wrong time
    #[error("malformed message")]
    Malformed,
    /// A frame or a message longer than allowed
    #[error("message too long")]
    Oversized,
    /// A frame that the other side did not seal
    #[error("unable to decrypt TCP msg")]
    Forged,
    /// We refused the connection
    #[error("{}", .0.text(true))]
    Rejected(Reject),
    /// The other side refused the connection, inside of the sealed stream
    #[error("{}", .0.text(false))]
    Refused(Reject),
    /// Somebody refused the connection in the clear: perhaps not the other side
    #[error("{}", .0.text(false))]
    RefusedInClear(Reject),
    /// Both ends are this process
    #[error("cannot connect to ourself")]
    Ourselves,
    /// A value that no peer would send
    #[error("message out of bounds")]
    OutOfBounds,
    /// A record without the signature of its writer
    #[error("a record is not signed by its peer")]
    Unsigned,
    /// The key of the other side was banned
    #[error("the key of the remote is banned")]
    Banned,
    /// A stranger from another address needed the place
    #[error("too many connections in their handshake")]
    Crowded,
    /// Another connection to the same peer stays
    #[error("multiple connections to the same peer")]
    Duplicate,
    /// The other side leaves for good
    #[error("the peer has left")]
    Left,
    /// The other side will be back at once
    #[error("the peer restarts")]
    Restarting,
    /// The operator removed the peer
    #[error("the peer was removed")]
    Removed,
}

impl Ended {
    /// Dialling again cannot help until somebody changes something
    pub const fn is_final(self) -> bool {
        match self {
            Self::Rejected(reject) | Self::Refused(reject) => reject.is_final(),
            Self::Ourselves => true,
            Self::Disconnected(_)
            | Self::DuringHandshake(_)
            | Self::HandshakeTimeout
            | Self::Silence
            | Self::Foreign
            | Self::Malformed
            | Self::Oversized
            | Self::Forged
            | Self::Duplicate
            | Self::Left
            | Self::Restarting
            | Self::Removed
            | Self::RefusedInClear(_)
            | Self::OutOfBounds
            | Self::Unsigned
            | Self::Banned
            | Self::Crowded => false,
        }
    }
}
