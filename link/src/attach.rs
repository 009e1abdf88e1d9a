//! Attaching a container to the overlay, and detaching it.
//!
//! ```text
//!   Attach ──plan──> Plan ──apply──> Attached ──undo──> as before
//!     reads the kernel,   each step      keeps the inverse
//!     changes nothing     has an inverse of each step taken
//! ```
//!
//! The plan is the difference between what is wanted and what is there, so the plan for something
//! that is attached already is empty, and what a killed process left half done is completed by the
//! next one. A step that fails takes back those before it.
//!
//! Two at once on the same container interface get in each other's way: the caller does one at a
//! time per container. Dropping a future of [`Plan::apply`] stops between two steps and takes
//! nothing back; spawn it if it must not be cut short.

mod apply;
mod detach;
mod plan;
mod waiting;

use std::fmt;

use ipnetwork::IpNetwork;
use model::{IfName, Mac};

pub use self::apply::{AnnounceAttachedError, Attached};
pub use self::detach::{Detach, DetachError, DetachPlan, DetachStep, Detached};
pub use self::plan::{Plan, are_pair};
pub use self::waiting::{Made, Waiting, WaitingError};
use crate::announce::AnnounceError;
use crate::error::{NetlinkError, OpenError};
use crate::netns::{EnterError, NetnsError, NetnsRef};
use crate::state::LinkKind;
use crate::sysctl::SysctlWarning;

/// A container's leg in the overlay, as it should be
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The container's network namespace
    pub netns: NetnsRef,
    /// The interface inside: `ethwe`
    pub container_if: IfName,
    /// Its other end on the host, see [`host_end`](crate::host_end)
    pub host_if: IfName,
    /// The Ethernet address of the interface inside; `None` lets the kernel draw one
    pub mac: Option<Mac>,
    /// The MTU of both ends
    pub mtu: u16,
    /// What the interface is to have; other addresses that it has stay
    pub addresses: Vec<IpNetwork>,
    /// Send multicast by this interface: a route for 224.0.0.0/4
    pub multicast_route: bool,
    /// The bridge that the host's end becomes a port of; `None` leaves it to the caller to make it
    /// a port of whatever carries the overlay
    pub master: Option<u32>,
    /// Where there is a bridge: it may send a container's frames back to the container
    pub hairpin: bool,
    /// Somebody else moved the interface in and switched it on: its switches are yet to be set
    pub moved_in: bool,
}

/// One change, done entirely or not at all
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make the veth pair, one end born inside the container's namespace under its final name
    CreatePair,
    /// Give both ends this MTU
    SetMtu(u16),
    /// Set the kernel's switches for both ends
    SetSysctls,
    /// Make the host's end a port of the bridge with this index
    SetMaster(u32),
    /// Switch the host's end on
    HostUp,
    /// Add an address inside
    AddAddress(IpNetwork),
    /// Switch the end inside on
    ContainerUp,
    /// Route multicast by the interface
    AddMulticastRoute,
    /// Tell the neighbours about the addresses added
    Announce,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreatePair => f.write_str("create the veth pair"),
            Self::SetMtu(mtu) => write!(f, "set the MTU to {mtu}"),
            Self::SetSysctls => f.write_str("set the sysctls"),
            Self::SetMaster(index) => write!(f, "become a port of device {index}"),
            Self::HostUp => f.write_str("switch on the host's end"),
            Self::AddAddress(address) => write!(f, "add {address}"),
            Self::ContainerUp => f.write_str("switch on the container's end"),
            Self::AddMulticastRoute => f.write_str("route multicast"),
            Self::Announce => f.write_str("announce the addresses"),
        }
    }
}

/// Something that is not as it should be in a container that is attached and works
#[derive(Debug, thiserror::Error)]
pub enum Warning {
    /// A kernel switch could not be set
    #[error("a sysctl could not be set")]
    Sysctl(#[from] SysctlWarning),
    /// The container has another route for 224.0.0.0/4, which stays
    #[error("multicast is routed by another interface already")]
    OtherMulticastRoute,
    /// The neighbours were not told about the new addresses
    #[error("the addresses were not announced")]
    Announce(#[from] AnnounceError),
}

/// The container is not attached; nothing has changed, except what `left` tells
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The namespace is gone, is none, or is the host's own. If it went while this was at work,
    /// what had been done is taken back.
    #[error("cannot use the container's network namespace")]
    Netns(#[from] NetnsError),
    /// The name stands for another namespace than when the plan was made: the container restarted.
    /// Plan anew.
    #[error("{0} is another network namespace than before")]
    OtherNetns(NetnsRef),
    /// No socket inside the namespace
    #[error("cannot work in the container's network namespace")]
    Open(#[from] OpenError),
    /// What is there could not be read
    #[error("cannot read the network devices")]
    Read(#[from] NetlinkError),
    /// The container has an interface of this name that was not made by attaching it
    #[error("the container has another interface {name} ({kind})")]
    OtherInterface {
        /// Its name
        name: IfName,
        /// What it is
        kind: LinkKind,
    },
    /// The host has a device of this name that does not lead to the container
    #[error("the host has another device {name} ({kind})")]
    OtherHostInterface {
        /// Its name
        name: IfName,
        /// What it is
        kind: LinkKind,
    },
    /// The interface is attached with another Ethernet address than the one asked for
    #[error("the interface has the Ethernet address {found}, not {wanted}")]
    OtherMac {
        /// What was asked for
        wanted: Mac,
        /// What it has
        found: Mac,
    },
    /// The subnet of an address contains, or is inside, that of another one of the interface
    #[error("{address} overlaps with {with}")]
    Overlap {
        /// What was asked for
        address: IpNetwork,
        /// What it has, or what else was asked for
        with: IpNetwork,
    },
    /// A multicast, broadcast or unspecified address is nobody's own
    #[error("{0} cannot be the address of an interface")]
    NotAnAddress(IpNetwork),
    /// A step failed; those before it were taken back
    #[error("cannot {step}")]
    Step {
        /// Which one
        step: Step,
        /// Why
        #[source]
        source: StepError,
        /// What could not be taken back
        left: Vec<Leftover>,
    },
}

/// Why a step failed
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The kernel, or the way to it
    #[error("a netlink request failed")]
    Netlink(#[from] NetlinkError),
    /// No thread in the namespace
    #[error("cannot enter the network namespace")]
    Enter(#[from] EnterError),
}

/// Something that should have been taken back and was not
#[derive(Debug, thiserror::Error)]
#[error("could not {what}")]
pub struct Leftover {
    /// What should have been done
    pub what: Inverse,
    /// Why it was not
    #[source]
    pub source: NetlinkError,
}

/// What takes a step back; devices by index, which the kernel does not reuse soon
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inverse {
    /// Delete the pair, by the host's end
    DeletePair(u32),
    /// Give an end its MTU back
    RestoreMtu {
        /// Which end
        end: End,
        /// The device
        index: u32,
        /// What it had
        mtu: u32,
    },
    /// Give the host's end its master back
    RestoreMaster {
        /// The device
        index: u32,
        /// What it was a port of
        master: Option<u32>,
    },
    /// Switch an end off
    Down {
        /// Which end
        end: End,
        /// The device
        index: u32,
    },
    /// Remove an address inside
    RemoveAddress {
        /// The device
        index: u32,
        /// The address
        address: IpNetwork,
    },
    /// Put back an address inside
    RestoreAddress {
        /// The device
        index: u32,
        /// The address
        address: IpNetwork,
    },
    /// Remove the multicast route by a device inside
    RemoveMulticastRoute(u32),
}

/// Which end of the pair
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The one on the host
    Host,
    /// The one inside
    Container,
}

impl fmt::Display for Inverse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeletePair(index) => write!(f, "delete the veth pair of device {index}"),
            Self::RestoreMtu { end, index, mtu } => {
                write!(f, "set the MTU of device {index} {end} back to {mtu}")
            }
            Self::RestoreMaster { index, .. } => write!(f, "give device {index} its master back"),
            Self::Down { end, index } => write!(f, "switch off device {index} {end}"),
            Self::RemoveAddress { index, address } => {
                write!(f, "remove {address} from device {index} in the container")
            }
            Self::RestoreAddress { index, address } => {
                write!(f, "put {address} back on device {index} in the container")
            }
            Self::RemoveMulticastRoute(index) => write!(f, "remove the multicast route by device {index}"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "on the host",
            Self::Container => "in the container",
        })
    }
}

#[cfg(test)]
mod tests;
