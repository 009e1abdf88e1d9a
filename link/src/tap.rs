//! TAP devices whose frames carry a virtio header, so that 64 KiB of TCP cross in one read.
//!
//! A persistent TAP stays when its last queue is closed: a daemon that comes back adopts the device
//! with its master, addresses and index, whatever the number of queues was. Only opening is here;
//! reading, writing and the header's fields belong to whoever moves the frames.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use model::IfName;
use nix::errno::Errno;
use rtnetlink::packet_route::link::LinkAttribute;

use crate::error::NetlinkError;
use crate::state::{self, LinkKind};
use crate::{ioctl, rtnl};

/// Bytes of `struct virtio_net_hdr` in front of each frame of a TAP opened with
/// [`TapOptions::vnet_hdr`]
pub const VNET_HEADER_LEN: usize = 10;

/// How to open a TAP
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapOptions {
    /// Each frame has a `virtio_net_hdr`, and may be larger than the MTU or lack its checksum
    pub vnet_hdr: bool,
    /// How many queues, at least one: flows are spread over them by hash, each on one
    pub queues: usize,
    /// The device stays when its last queue is closed
    pub persist: bool,
    /// Reads and writes never wait
    pub nonblocking: bool,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self {
            vnet_hdr: true,
            queues: 1,
            persist: true,
            nonblocking: true,
        }
    }
}

/// An open TAP; closing all of its queues removes the device unless it is persistent
#[derive(Debug)]
pub struct Tap {
    /// One descriptor per queue, to read
    pub queues: Vec<OwnedFd>,
    /// What to write with, from any thread
    ///
    /// The kernel moves a flow to the queue that its other direction was written to, and so would
    /// gather all flows on the few queues that a reader of few sockets writes to. Of several queues
    /// this is therefore none.
    pub writer: OwnedFd,
    /// The kernel also hands over UDP segmentation (Linux 6.2 and later); always `false` without
    /// [`TapOptions::vnet_hdr`]
    pub uso: bool,
    /// The device was there before
    pub adopted: bool,
}

impl Tap {
    /// Opens, and creates where it is missing, the TAP `name` in the calling thread's network
    /// namespace
    ///
    /// The device is left down and without a master where it is new. Where another process has it
    /// open, this waits up to a second for that one to end: a killed process holds its files a
    /// little longer than its killer thinks.
    pub fn open(name: &IfName, options: TapOptions) -> Result<Self, TapError> {
        let kernel = |errno| TapError::from_errno(name, errno);
        let adopted = adoptable(name)?;
        let open_queue = || {
            let file = open_tun(options.nonblocking)?;
            ioctl::tun_set_iff(file.as_fd(), name, flags(options)).map_err(kernel)?;
            Ok(file)
        };
        let first = open_queue()?;
        let (mut queues, writer) = if options.queues > 1 {
            // Detached while it is alone: it keeps the number of a queue that the device has, and no
            // frame waits in it yet.
            ioctl::tun_detach_queue(first.as_fd()).map_err(kernel)?;
            (Vec::new(), first)
        } else {
            let writer = first.try_clone().map_err(TapError::OpenTun)?;
            (vec![first], writer)
        };
        while queues.len() < options.queues {
            queues.push(open_queue()?);
        }
        // These three belong to the device, whichever descriptor they are set on.
        let device = writer.as_fd();
        let mut uso = false;
        if options.vnet_hdr {
            ioctl::tun_set_vnet_header_size(device, VNET_HEADER_LEN as libc::c_int).map_err(kernel)?;
            ioctl::tun_set_offload(device, TCP_OFFLOADS).map_err(kernel)?;
            uso = ioctl::tun_set_offload(device, TCP_OFFLOADS | UDP_OFFLOADS).is_ok();
        }
        // Last, so that a device that could not be set up disappears.
        ioctl::tun_set_persist(device, options.persist).map_err(kernel)?;
        Ok(Self {
            queues,
            writer,
            uso,
            adopted,
        })
    }

    /// Removes a persistent TAP; one that is not there is removed already
    pub fn remove(name: &IfName) -> Result<(), TapError> {
        let kernel = |errno| TapError::from_errno(name, errno);
        if !adoptable(name)? {
            return Ok(());
        }
        let file = open_tun(true)?;
        let plain = TapOptions {
            vnet_hdr: false,
            ..TapOptions::default()
        };
        ioctl::tun_set_iff(file.as_fd(), name, flags(plain)).map_err(kernel)?;
        ioctl::tun_set_persist(file.as_fd(), false).map_err(kernel)
    }
}

/// `true`: the TAP is there and nobody has it open; `false`: there is no device of this name
fn adoptable(name: &IfName) -> Result<bool, TapError> {
    for _wait in 0..BUSY_WAITS {
        match adoptable_now(name) {
            Err(TapError::Busy(_)) => std::thread::sleep(BUSY_WAIT),
            answer => return answer,
        }
    }
    adoptable_now(name)
}

fn adoptable_now(name: &IfName) -> Result<bool, TapError> {
    let Some(link) = rtnl::link_now(name).map_err(TapError::Read)? else {
        return Ok(false);
    };
    if state::link(&link).is_none_or(|state| state.kind != LinkKind::Tun) {
        return Err(TapError::OtherKind(name.clone()));
    }
    // A multi-queue TAP lets anybody with the right add a queue, and would then share out its
    // frames among them. It has a carrier exactly while a queue is open.
    let open = |a: &LinkAttribute| matches!(a, LinkAttribute::Carrier(carrier) if *carrier != 0);
    if link.attributes.iter().any(open) {
        return Err(TapError::Busy(name.clone()));
    }
    Ok(true)
}

fn flags(options: TapOptions) -> libc::c_int {
    // Multi-queue also for one queue: a device keeps this flag for life, and the number of queues
    // may differ at the next start.
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE;
    if options.vnet_hdr {
        flags | libc::IFF_VNET_HDR
    } else {
        flags
    }
}

fn open_tun(nonblocking: bool) -> Result<OwnedFd, TapError> {
    let custom = if nonblocking { libc::O_NONBLOCK } else { 0 };
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(custom)
        .open(DEV_NET_TUN);
    match opened {
        Ok(file) => Ok(file.into()),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => Err(TapError::NoTun),
            Some(_) | None => Err(TapError::OpenTun(error)),
        },
    }
}

/// The TAP is not open; a device that this call created is gone again
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// `/dev/net/tun` is missing, or the kernel has no driver behind it: `modprobe tun`
    #[error("the kernel's tun driver is missing: no /dev/net/tun")]
    NoTun,
    /// `/dev/net/tun` is there and cannot be opened: permissions, or a limit
    #[error("cannot open /dev/net/tun")]
    OpenTun(#[source] io::Error),
    /// Another process has the TAP open
    #[error("the TAP {0} is in use by another process")]
    Busy(IfName),
    /// A device of this name exists and is no multi-queue TAP; an operator must remove it
    #[error("the device {0} exists and is not a multi-queue TAP")]
    OtherKind(IfName),
    /// Whether the device is there could not be found out
    #[error("cannot read the network devices")]
    Read(#[source] NetlinkError),
    /// `CAP_NET_ADMIN` is missing
    #[error("not permitted to open the TAP {0}")]
    NotPermitted(IfName),
    /// The kernel, for another reason
    #[error("cannot set up the TAP {name}")]
    Kernel {
        /// Which one
        name: IfName,
        /// What the kernel said
        #[source]
        errno: Errno,
    },
}

impl TapError {
    fn from_errno(name: &IfName, errno: Errno) -> Self {
        let name = name.clone();
        if errno == Errno::EBUSY {
            Self::Busy(name)
        } else if errno == Errno::EINVAL {
            Self::OtherKind(name)
        } else if matches!(errno, Errno::EPERM | Errno::EACCES) {
            Self::NotPermitted(name)
        } else {
            Self::Kernel { name, errno }
        }
    }
}

const BUSY_WAIT: Duration = Duration::from_millis(20);
const BUSY_WAITS: u32 = 50;
const DEV_NET_TUN: &str = "/dev/net/tun";
const TCP_OFFLOADS: libc::c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
const UDP_OFFLOADS: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;

#[cfg(test)]
mod tests;
