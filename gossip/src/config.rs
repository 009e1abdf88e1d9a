//! What a mesh is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use model::{NickName, PeerName, ShortId, Uid};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::bans::Ban;
use crate::identity::Identity;
use crate::network::NetworkName;
use crate::passwords::Passwords;
use crate::pins::Pin;

/// Everything that [`crate::Mesh::new`] needs to know
#[derive(Debug)]
pub struct Config {
    /// This peer's name, by which it is known for ever
    pub name: PeerName,
    /// What people call this peer
    pub nickname: NickName,
    /// The key that speaks for the name
    pub identity: Identity,
    /// The network's name: peers of others refuse each other
    pub network: NetworkName,
    /// The keys of the password; a peer with one and a peer without refuse each other
    pub passwords: Passwords,
    /// Randomness for keys, drawn from the kernel each time: a copied process must not draw the same keys
    pub entropy: Entropy,
    /// The names that were pinned to keys in earlier runs
    pub pins: Vec<Pin>,
    /// The orders about refused keys of earlier runs
    pub bans: Vec<Ban>,
    /// The time of day at the start, in milliseconds of Unix time
    pub unix_ms: u64,
    /// The short id of the last run or of the operator; a random one where there is none
    pub short_id: Option<ShortId>,
    /// Greater at each start than at any start before (see [`crate::Mesh::epoch`])
    pub epoch: u64,
    /// Random at each start
    pub uid: Uid,
    /// The TCP port on which this peer listens, and the one to dial where a target names none
    pub control_port: u16,
    /// The program's version, for people
    pub version: String,
    /// Dial the peers that others speak of
    pub discovery: bool,
    /// The most neighbours at a time; as many as there are if absent
    pub conn_limit: Option<usize>,
    /// Data to and from these need no encryption, if the other side says the same of us
    pub trusted_subnets: Vec<IpNetwork>,
    /// The ways to this peer's data plane
    pub offer: Offer,
    /// The neighbours before a restart: they count as connected while [`Timers::restart_grace`]
    /// lasts, and are dialled at once
    pub held: Vec<Held>,
    /// How long everything takes
    pub timers: Timers,
}

/// A source of randomness for keys
pub struct Entropy(Box<dyn CryptoRng + Send>);

impl Entropy {
    /// Keys come from this generator
    pub fn new(rng: impl CryptoRng + Send + 'static) -> Self {
        Self(Box::new(rng))
    }

    /// Returns the generator
    pub fn rng(&mut self) -> &mut (dyn CryptoRng + Send) {
        &mut *self.0
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// What a peer's data plane can do, told to each neighbour
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// The kernel has Open vSwitch and its VXLAN port is ready
    pub fastdp: bool,
    /// The UDP port of the VXLAN vport
    pub vxlan_port: u16,
    /// The UDP port of the sleeve
    pub sleeve_port: u16,
    /// What containers on this host may send, in bytes
    pub overlay_mtu: u16,
}

/// A neighbour of the time before a restart
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its name
    pub peer: PeerName,
    /// Where it listens
    pub address: SocketAddr,
}

/// Why the mesh is shut down
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// For a new program or configuration: neighbours keep us for the grace period
    Restart,
    /// For good: neighbours drop us at once
    Leave,
}

/// Every duration of the protocol
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// From the TCP connection to the other side's Hello
    pub handshake: Duration,
    /// From the order to dial to the driver's answer
    pub dial: Duration,
    /// Something is sent at least once in two of these
    pub keepalive: Duration,
    /// A connection without a byte for so long is dead
    pub silence: Duration,
    /// [`crate::Mesh::handle_timeout`] so much too late means that this process did not run, so that
    /// nobody's silence proves anything
    pub starvation: Duration,
    /// How long a neighbour is kept that went away without a goodbye
    pub restart_grace: Duration,
    /// Between two dials to a held neighbour
    pub held_retry: Duration,
    /// Changes of records are collected for so long before they are sent
    pub flood: Duration,
    /// Between two comparisons of the whole table with each neighbour
    pub digest: Duration,
    /// Changes of the topology are collected for so long before routes are computed
    pub routes: Duration,
    /// How long an unreachable peer's record is kept
    pub collect: Duration,
    /// The least time between two refutations of a claim on our name
    pub refute: Duration,
    /// The first wait after a failed dial; each next one is half as long again
    pub retry_first: Duration,
    /// The longest wait before another dial
    pub retry_cap: Duration,
    /// A connection that lived so long was good: its target is dialled anew without delay
    pub stable: Duration,
    /// How much longer the higher name waits before it dials a discovered peer, so that seldom both do
    pub courtesy: Duration,
    /// How long an address that once worked is dialled after its peer is forgotten, so that a mesh
    /// which was split finds together again
    pub remember: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            dial: Duration::from_secs(10),
            keepalive: Duration::from_millis(500),
            silence: Duration::from_millis(2500),
            starvation: Duration::from_millis(500),
            restart_grace: Duration::from_secs(5),
            held_retry: Duration::from_millis(250),
            flood: Duration::from_millis(20),
            digest: Duration::from_secs(30),
            routes: Duration::from_millis(20),
            collect: Duration::from_secs(1),
            refute: Duration::from_secs(1),
            retry_first: Duration::from_secs(1),
            retry_cap: Duration::from_secs(30),
            stable: Duration::from_secs(10),
            courtesy: Duration::from_millis(500),
            remember: Duration::from_secs(3600),
        }
    }
}
