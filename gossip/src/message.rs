//! What neighbours tell each other.

use std::net::SocketAddr;

use model::{NickName, PeerName, ShortId, Uid};
use serde::{Deserialize, Serialize};

use crate::bans::Ban;
use crate::config::Offer;
use crate::digest::{Digest, Stamp};
use crate::identity::{BeatKey, IdentityKey, Signature};
use crate::output::Channel;
use crate::records::PeerRecord;
use crate::reject::Reject;

/// One message between neighbours; `wire` gives it its bytes
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    /// The first message each way, answered by a welcome or a goodbye
    Hello(Box<Hello>),
    /// The receiver's Hello is to the sender's liking; a neighbour is who has said this and heard it
    Welcome,
    /// Nothing to say
    Keepalive,
    /// The last message
    Goodbye(Goodbye),
    /// The state of the sender's whole table
    Digest(Digest),
    /// Which version of which record the sender has
    Summary(Vec<(PeerName, Stamp)>),
    /// Records that the sender would like to have
    Want(Vec<PeerName>),
    /// Records, newer than those the receiver is thought to have
    Records(Vec<PeerRecord>),
    /// Orders about refused keys
    Bans(Vec<Ban>),
    /// For another protocol
    Channel(Channel, Vec<u8>),
}

/// How a peer introduces itself
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its name, which its identity proves
    pub name: PeerName,
    /// What people call it
    pub nickname: NickName,
    /// The key that speaks for the name
    pub identity: IdentityKey,
    /// By that key: the signature of the X25519 key of this handshake
    pub proof: Signature,
    /// Drawn at its start
    pub uid: Uid,
    /// Counts its starts
    pub epoch: u64,
    /// Its id in VXLAN network identifiers
    pub short_id: ShortId,
    /// Random; of two connections between the same peers, that with the lowest XOR of both ids stays
    pub conn_id: u64,
    /// The key of the heartbeats that are sent to it
    pub beat_key: BeatKey,
    /// It thinks that data to our address needs no encryption
    pub trusts_you: bool,
    /// What its data plane can do
    pub offer: Offer,
    /// The port on which it listens for control connections
    pub control_port: u16,
    /// Our end of the connection, as it sees it: differs from what we see behind a translator
    pub you: SocketAddr,
    /// Its program's version
    pub version: String,
}

/// Why the sender closes the connection
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Goodbye {
    /// It leaves for good
    Leave,
    /// It will be back at once
    Restart,
    /// Another connection to the same peer stays
    Duplicate,
    /// It does not want this one
    Refused(Reject),
}
