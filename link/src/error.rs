//! What can go wrong between this process and rtnetlink.

use std::io;

use nix::errno::Errno;

/// A request to the kernel's routing socket that did not succeed
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel said no, and changed nothing
    #[error("the kernel refused the request")]
    Kernel(#[source] Errno),
    /// The socket's task has ended; it is unknown whether the request took effect. Open new [`Links`].
    ///
    /// [`Links`]: crate::Links
    #[error("the netlink connection is closed")]
    Closed,
    /// No answer in time; it is unknown whether the request took effect
    #[error("the kernel did not answer in time")]
    TimedOut,
    /// The table changed under every attempt to read it; nothing was changed
    #[error("the table kept changing while it was read")]
    Unsettled,
    /// The answer is none that the request can have; nothing was changed
    #[error("the kernel's answer cannot be read")]
    Unreadable,
    /// There is no such device; nothing was changed
    #[error("no device {0}")]
    NoDevice(String),
}

impl NetlinkError {
    /// The kernel's errno, if it answered with one
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel(errno) => Some(*errno),
            Self::Closed | Self::TimedOut | Self::Unsettled | Self::Unreadable | Self::NoDevice(_) => None,
        }
    }

    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }

    /// What was to be acted on is not there
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::NoDevice(_) => true,
            Self::Kernel(errno) => matches!(
                *errno,
                Errno::ENODEV | Errno::ENOENT | Errno::ESRCH | Errno::EADDRNOTAVAIL
            ),
            Self::Closed | Self::TimedOut | Self::Unsettled | Self::Unreadable => false,
        }
    }
}

/// Turns "it is already there" and "it is not there" into success
pub(crate) trait Tolerant {
    /// `true` if the request changed something, `false` if the kernel said `EEXIST`
    fn unless_exists(self) -> Result<bool, NetlinkError>;
    /// `true` if the request changed something, `false` if there was nothing to act on
    fn unless_absent(self) -> Result<bool, NetlinkError>;
}

impl Tolerant for Result<(), NetlinkError> {
    fn unless_exists(self) -> Result<bool, NetlinkError> {
        match self {
            Ok(()) => Ok(true),
            Err(error) if error.is(Errno::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn unless_absent(self) -> Result<bool, NetlinkError> {
        match self {
            Ok(()) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A routing socket could not be opened; nothing was changed
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The socket itself
    #[error("cannot open a netlink route socket")]
    Socket(#[source] io::Error),
    /// The namespace that it belongs in
    #[error("cannot tell the network namespace")]
    Netns(#[from] crate::NetnsError),
    /// A thread could not be placed in the namespace
    #[error("cannot enter the network namespace")]
    Enter(#[from] crate::EnterError),
}

/// Why a bridge or a veth pair is not as it was asked for
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnsureError {
    /// A device of this name exists and is of another kind; nothing was changed. An operator must
    /// remove it.
    #[error("device {name} exists and is a {found} device")]
    OtherKind {
        /// The device
        name: model::IfName,
        /// What it is
        found: crate::LinkKind,
    },
    /// The kernel; the device may exist with some of its settings
    #[error("cannot set up the device")]
    Netlink(#[from] NetlinkError),
}
