//! What the driver has to do.

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use model::{ContainerId, PeerName};

use crate::owner::Owner;
use crate::state::Change;

/// The driver's number for what it asked
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the driver has to do, in this order
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make this durable, all of it or nothing, before any later output is carried out
    Keep(Change),
    /// The container has the address
    Granted {
        /// Who asked
        ticket: Ticket,
        /// The address, with its subnet's prefix length
        address: Ipv4Network,
    },
    /// It cannot be
    Refused {
        /// Who asked
        ticket: Ticket,
        /// Why not
        why: Refusal,
    },
    /// The peer is removed
    Removed {
        /// Who asked
        ticket: Ticket,
        /// How many addresses it had
        addresses: u64,
    },
    /// Every address has an owner
    Primed {
        /// Who asked
        ticket: Ticket,
    },
    /// Something changed that the neighbours are to be told: call `Exchange::flood`
    Flood,
    /// Something happened that people may want to know
    Event(Event),
}

/// Why something cannot be
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A container of another peer has the address
    #[error("address {address} is owned by other peer {peer}")]
    OwnedByPeer {
        /// The address
        address: Ipv4Network,
        /// The peer
        peer: PeerName,
    },
    /// Another container of this host has the address
    #[error("address {address} is already owned by {container}")]
    OwnedByContainer {
        /// The address
        address: Ipv4Addr,
        /// The container
        container: ContainerId,
    },
    /// An address was given as a subnet
    #[error("invalid subnet - bits after network prefix are not all zero: {0}")]
    HostBits(Ipv4Network),
    /// A subnet without two host addresses
    #[error("invalid subnet - smaller than minimum size 4: {0}")]
    TooSmall(Ipv4Network),
    /// A subnet that is not in the range
    #[error("range {subnet} out of bounds: {range}")]
    OutOfBounds {
        /// The subnet
        subnet: Ipv4Network,
        /// The range
        range: Ipv4Network,
    },
    /// More is waiting than a host can mean
    #[error("{0} requests for addresses are waiting already; see 'weavectl status ipam'")]
    TooMany(usize),
    /// This peer was told to leave
    #[error("this peer has left the network; restart weaved to join again")]
    Left,
    /// Only those can be removed that are gone
    #[error("peer {0} can be reached: stop it first, 'weavectl reset' there gives its addresses away")]
    Reachable(PeerName),
    /// This peer cannot remove itself
    #[error("{0} is this peer: 'weavectl reset' gives its addresses away")]
    Itself(PeerName),
}

/// What happened
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An owner of addresses changed
    Moved {
        /// The first of them
        first: Ipv4Addr,
        /// The last of them
        last: Ipv4Addr,
        /// Who had them, if anybody
        from: Option<Owner>,
        /// Who has them
        to: Owner,
        /// By what right
        why: Why,
        /// How often their owner was succeeded by an heir
        epoch: u64,
    },
    /// A container here has an address that another peer's container has as well; the younger should go
    Conflict {
        /// The address
        address: Ipv4Addr,
        /// The container here
        container: ContainerId,
        /// The other peer
        peer: PeerName,
    },
    /// A peer hands out of another range, so neither takes note of what the other owns
    OtherRange {
        /// The peer
        peer: PeerName,
        /// Its range
        range: Ipv4Network,
    },
    /// This peer was out of sight for so long that others may have taken its addresses: it hands out none
    Fenced,
    /// Enough of those who vote are in sight again
    Unfenced,
    /// The first owners are known
    Ready {
        /// Who they are
        voters: Vec<Owner>,
    },
    /// This network met one that had begun apart and goes on as the other
    Joined,
    /// This peer's addresses went to an heir while it was out of sight, or its state was lost: it begins anew
    Renewed {
        /// Who it was
        before: Owner,
        /// Who it is
        now: Owner,
    },
    /// An owner is gone
    Gone {
        /// Who
        owner: Owner,
        /// Who has what it had
        heir: Owner,
    },
    /// What was kept cannot be read, and is not used
    Unreadable,
    /// This peer gave away what it had
    Left {
        /// To whom, if there was anybody
        heir: Option<Owner>,
    },
}

/// By what right addresses changed their owner
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody had them
    First,
    /// The owner gave them away
    Given,
    /// The owner is gone
    Inherited,
    /// Another network's order of things came before this one's
    Joined,
}
