//! What can go wrong, one type per kind of operation.

use std::io;

use model::IfName;
use openvswitch_sys::uapi::{EEXIST, EINVAL, ENODEV, ENOENT, EPERM};
use openvswitch_sys::{DecodeError, PortNo, TooLong, VportKind};

/// An exchange with the kernel failed as a whole
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The socket failed; whether the kernel acted is unknown
    #[error("the netlink socket failed")]
    Socket(#[source] io::Error),
    /// The kernel refused the request; nothing changed
    #[error("the kernel refused: {}", io::Error::from_raw_os_error(*errno))]
    Refused {
        /// The kernel's error number
        errno: i32,
    },
    /// The process lacks `CAP_NET_ADMIN` in its network namespace; nothing changed
    #[error("changing the datapath needs CAP_NET_ADMIN: run as root")]
    PermissionDenied,
    /// The datapath is gone: somebody deleted it. Create it again
    #[error("the datapath does not exist any more")]
    DatapathGone,
    /// The socket's buffer overflowed and answers are missing; what the kernel did is unknown. Read the
    /// state again
    #[error("answers of the kernel were lost: its buffer for this process was full")]
    AnswersLost,
    /// Each attempt to list a table was overtaken by changes to it; nothing changed. Try again later
    #[error("a listing was interrupted by changes, {attempts} times in a row")]
    DumpInterrupted {
        /// How often it was tried
        attempts: u32,
    },
    /// The kernel's answer is not what its type says
    #[error("an answer of the kernel could not be read")]
    Decode(#[from] DecodeError),
    /// A frame or an action list does not fit a netlink message; nothing was sent
    #[error("the request does not fit a netlink message")]
    TooLong(#[from] TooLong),
}

impl RequestError {
    /// The error for an answer of the kernel other than 0
    pub(crate) const fn refused(errno: i32) -> Self {
        match errno {
            EPERM => Self::PermissionDenied,
            ENODEV => Self::DatapathGone,
            errno => Self::Refused { errno },
        }
    }
}

/// Open vSwitch cannot be used
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kernel has no Open vSwitch and could not load it: use another data plane, or
    /// `modprobe openvswitch`
    #[error("this kernel has no Open vSwitch (module openvswitch is missing)")]
    NoOpenVSwitch,
    /// The process lacks `CAP_NET_ADMIN` in its network namespace
    #[error("Open vSwitch needs CAP_NET_ADMIN: run as root")]
    PermissionDenied,
    /// No netlink socket
    #[error("no generic-netlink socket")]
    Socket(#[source] io::Error),
    /// The kernel answered something unexpected
    #[error("asking the kernel for Open vSwitch failed")]
    Request(#[source] RequestError),
}

/// A datapath could not be created or adopted
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// A network device that is no datapath has the name; nothing changed. Remove the device, or
    /// choose another name
    #[error("{name} is a network device already, and not an Open vSwitch datapath")]
    NameTaken {
        /// The name wanted
        name: IfName,
    },
    /// The exchange failed
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// A port could not be added; nothing changed
#[derive(Debug, thiserror::Error)]
pub enum VportError {
    /// There is no network device of this name
    #[error("there is no network device {name}")]
    NoDevice {
        /// The name wanted
        name: IfName,
    },
    /// The device is a port of a bridge, a bond or another datapath: take it out of there first
    #[error("{name} belongs to a bridge or another datapath")]
    DeviceBusy {
        /// The name wanted
        name: IfName,
    },
    /// The kernel takes no such device as a port: loopback, or not Ethernet
    #[error("{name} cannot be a port: not an Ethernet device, or itself a datapath's")]
    Unsuitable {
        /// The name wanted
        name: IfName,
    },
    /// The datapath has a port of this name that is something else: delete it, or choose another name
    #[error("{name} is a port already, of kind {found:?}")]
    OtherKind {
        /// The name wanted
        name: IfName,
        /// What the port is
        found: VportKind,
    },
    /// A device has the name already, or a VXLAN device elsewhere has the UDP port
    #[error("cannot create {name}: a device of this name, or a VXLAN device on its UDP port, exists")]
    DeviceExists {
        /// The name wanted
        name: IfName,
    },
    /// Another program listens on the UDP port
    #[error("UDP port {udp_port} is in use: another overlay network on this host?")]
    PortInUse {
        /// The UDP port wanted
        udp_port: u16,
    },
    /// The kernel cannot do this kind of port: module vport-vxlan or vxlan is missing
    #[error("this kernel has no ports of kind {kind:?}")]
    NoSuchKind {
        /// The kind wanted
        kind: VportKind,
    },
    /// The exchange failed
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// The kernel refused one flow, or one packet, of a batch; it changed nothing for this one
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The datapath is gone: somebody deleted it
    #[error("the datapath does not exist any more")]
    DatapathGone,
    /// A flow of somebody else, with another mask, matches the same packets: delete it first
    #[error("another flow matches the same packets")]
    Overlaps,
    /// The kernel finds the key or the actions invalid, and says why in its log. An output to a port that
    /// does not exist is valid: it drops
    #[error("the kernel finds the key or the actions invalid")]
    Invalid,
    /// A frame or an action list does not fit a netlink message; it was not sent
    #[error("it does not fit a netlink message")]
    TooLong,
    /// Another error of the kernel
    #[error("the kernel refused: {}", io::Error::from_raw_os_error(*errno))]
    Other {
        /// Its number
        errno: i32,
    },
}

impl Refusal {
    pub(crate) const fn check(errno: i32) -> Result<(), Self> {
        match errno {
            0 => Ok(()),
            ENODEV => Err(Self::DatapathGone),
            EEXIST | ENOENT => Err(Self::Overlaps),
            EINVAL => Err(Self::Invalid),
            errno => Err(Self::Other { errno }),
        }
    }
}

/// A port could not be deleted
#[derive(Debug, thiserror::Error)]
pub enum DelVportError {
    /// The datapath's own port goes with the datapath only
    #[error("port {0} is the datapath's own; delete the datapath instead")]
    Local(PortNo),
    /// The exchange failed
    #[error(transparent)]
    Request(#[from] RequestError),
}
