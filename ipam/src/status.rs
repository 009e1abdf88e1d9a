//! What an operator is shown.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnetwork::Ipv4Network;
use model::{ContainerId, PeerName};

use crate::output::Ticket;
use crate::owner::Owner;
use crate::rejection::Rejection;

/// How things stand
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What is handed out from
    pub range: Ipv4Network,
    /// This peer
    pub owner: Owner,
    /// How far it is
    pub phase: Phase,
    /// Who has addresses, this peer first
    pub owners: Vec<OwnerStatus>,
    /// How many addresses of the range containers of this host have
    pub active: usize,
    /// What waits, oldest first
    pub pending: Vec<Pending>,
    /// Which first owners everything goes back to; networks that began apart differ in it
    pub lineage: Option<u64>,
    /// How often voters or those who are gone were decided on
    pub index: u64,
    /// Who decides about who is gone
    pub voters: Vec<Owner>,
    /// Those that have addresses although they are gone, until it is sure that they gave none away unseen
    pub inheriting: Vec<Inheriting>,
    /// Which addresses have which owner, in order
    pub entries: Vec<Entry>,
    /// Addresses that containers of two peers have
    pub conflicts: Vec<Conflict>,
    /// How often something that peers told was not taken over, by reason
    pub rejections: BTreeMap<Rejection, u64>,
    /// How much of what is kept for other peers is used up
    pub budgets: Vec<Budget>,
}

/// A bound of what is kept for other peers
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The stable name of what is counted
    pub name: &'static str,
    /// The number of them
    pub used: usize,
    /// The most that are kept
    pub most: usize,
}

/// How far a peer is
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody asked for anything yet
    Idle,
    /// Too few peers are known to begin
    AwaitingConsensus {
        /// How many it takes
        quorum: usize,
        /// How many there are
        known: usize,
    },
    /// Enough peers are known, and agree with each other
    Priming,
    /// It hands out
    Ready,
    /// It hands out, and something waits for other peers
    Waiting,
    /// Something waits, and whoever has free addresses is out of sight
    AllUnreachable,
    /// Too few of those who vote are in sight: others may have taken its addresses
    Fenced {
        /// For how long
        since: Duration,
    },
    /// It gave everything away
    Left,
}

/// What one owner has
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerStatus {
    /// Who
    pub owner: Owner,
    /// How many addresses
    pub addresses: u64,
    /// Whether the mesh reaches it
    pub reachable: bool,
}

/// Something that waits
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Who asked
    pub ticket: Ticket,
    /// For which container; none for the first owners, or a removal
    pub container: Option<ContainerId>,
    /// What for
    pub wanted: Wanted,
    /// What for it waits
    pub waits: Waits,
}

/// What was asked for
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Any address of the subnet
    Subnet(Ipv4Network),
    /// This one
    Address(Ipv4Network),
    /// The first owners
    First,
    /// That this peer is removed
    Removal(PeerName),
}

/// What a request waits for
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waits {
    /// The first owners are not known
    #[error("the peers have not agreed on who owns which addresses")]
    Consensus,
    /// This peer may have been removed
    #[error("too few voters are in sight, so that this peer may have been removed")]
    Fence,
    /// A peer was asked
    #[error("peer {0} was asked for addresses")]
    Answer(PeerName),
    /// Nobody has a free address there
    #[error("no address is free there")]
    Full,
    /// Those who own there are out of sight
    #[error("all IP ranges there are owned by unreachable peers: use 'weavectl rmpeer' if they are dead")]
    Unreachable(Vec<PeerName>),
    /// The voters decide
    #[error("the voters have to agree")]
    Vote,
}

/// Addresses of an owner that is gone
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inheriting {
    /// Who is gone
    pub owner: Owner,
    /// Who takes what it had
    pub heir: Owner,
    /// Who might have been given some of it unseen, and has not said otherwise; known to the heir alone
    pub unheard: Vec<PeerName>,
}

/// Addresses with one owner
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The first
    pub first: Ipv4Addr,
    /// The last
    pub last: Ipv4Addr,
    /// Whose they are, by who is gone too
    pub owner: Owner,
    /// How often they were succeeded to
    pub epoch: u64,
    /// How often they were given away since
    pub version: u64,
}

/// An address that containers of two peers have
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The address
    pub address: Ipv4Addr,
    /// The container here
    pub container: ContainerId,
    /// The other peer
    pub peer: PeerName,
}
