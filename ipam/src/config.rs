//! What a machine is made with.

use std::collections::BTreeSet;
use std::time::Duration;

use gossip::Identity;
use ipnetwork::Ipv4Network;
use model::PeerName;

/// What a machine is made with
#[derive(Debug, Clone)]
pub struct Config {
    /// This peer
    pub name: PeerName,
    /// Signs all that this peer writes
    pub identity: Identity,
    /// What is handed out from
    pub range: Ipv4Network,
    /// How the first owners are found
    pub init: Init,
    /// How many peers there will be, if `init` does not say: the targets and this one
    pub expected_peers: usize,
    /// How long a peer may be out of sight before the others take what it had; never, if none
    ///
    /// A twentieth of it has to be longer than the mesh needs to notice that a peer is gone.
    pub lease: Option<Duration>,
    /// The other durations
    pub timers: Timers,
}

/// How the first owners are found
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Init {
    /// The peers agree, once more than half of `peers` (or of those expected) are there
    Consensus {
        /// How many there will be
        peers: Option<usize>,
    },
    /// They are these, on each of them and without asking
    Seed(BTreeSet<PeerName>),
    /// Others say
    Observer,
}

/// Every other duration of the protocol
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// A peer that was asked and did not answer is asked again, or another
    pub retry: Duration,
    /// What is on its way in the mesh has arrived
    pub settle: Duration,
    /// Sightings are kept so often if there is no lease; with one, twenty times in it
    pub tick: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(5),
            settle: Duration::from_secs(1),
            tick: Duration::from_secs(60),
        }
    }
}
