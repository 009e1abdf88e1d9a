//! The ioctls that this crate needs, each behind a safe function.
//!
//! Every one works in the network namespace of the descriptor it is called on.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_ulong, c_void};
use model::IfName;
use nix::errno::Errno;

/// `NS_GET_NSTYPE`: the `CLONE_NEW*` flag of a namespace file
pub(crate) fn namespace_type(file: BorrowedFd<'_>) -> Result<c_int, Errno> {
    // SAFETY: this request takes no argument, so it reads and writes no memory of ours.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) })
}

/// `TUNSETIFF`: makes the file a queue of the device, which is created where it does not exist
pub(crate) fn tun_set_iff(file: BorrowedFd<'_>, name: &IfName, flags: c_int) -> Result<(), Errno> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: `request` is an initialised ifreq that outlives the call; the kernel reads it and
    // writes the device's name back into it, nothing beyond.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }).map(drop)
}

/// `TUNSETQUEUE`: the file is a queue of its device no longer, and can still be written
pub(crate) fn tun_detach_queue(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: libc::IFF_DETACH_QUEUE as libc::c_short,
        },
    };
    // SAFETY: `request` is an ifreq that outlives the call; the kernel copies it and reads the flags.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETQUEUE, &raw const request) }).map(drop)
}

/// `TUNSETVNETHDRSZ`: the length of the header in front of each frame
pub(crate) fn tun_set_vnet_header_size(file: BorrowedFd<'_>, size: c_int) -> Result<(), Errno> {
    // SAFETY: the kernel reads one int, which outlives the call.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const size) }).map(drop)
}

/// `TUNSETOFFLOAD`: what the reader of the device takes unfinished
pub(crate) fn tun_set_offload(file: BorrowedFd<'_>, offloads: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: this request takes its argument by value.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, c_ulong::from(offloads)) })
        .map(drop)
}

/// `TUNSETPERSIST`: whether the device outlives its last open file
pub(crate) fn tun_set_persist(file: BorrowedFd<'_>, persist: bool) -> Result<(), Errno> {
    // SAFETY: this request takes its argument by value.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETPERSIST, c_ulong::from(persist)) })
        .map(drop)
}

/// `ETHTOOL_GTXCSUM`: whether the device is given frames whose checksum is not filled in
pub(crate) fn tx_checksum(name: &IfName) -> Result<bool, Errno> {
    ethtool_value(name, ETHTOOL_GTXCSUM, 0).map(|value| value != 0)
}

/// `ETHTOOL_STXCSUM`
pub(crate) fn set_tx_checksum(name: &IfName, on: bool) -> Result<(), Errno> {
    ethtool_value(name, ETHTOOL_STXCSUM, u32::from(on)).map(drop)
}

/// One of the ethtool commands that carry a `struct ethtool_value`, in the calling thread's namespace
fn ethtool_value(name: &IfName, cmd: u32, data: u32) -> Result<u32, Errno> {
    let socket = datagram_socket()?;
    let mut value = EthtoolValue { cmd, data };
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: `request` and the `ethtool_value` that it points to outlive the call. The commands
    // above read and write exactly that structure.
    Errno::result(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCETHTOOL, &raw mut request) })?;
    Ok(value.data)
}

fn datagram_socket() -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers; the result is checked before it is owned.
    let fd = Errno::result(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just opened and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn interface_request(name: &IfName) -> libc::ifreq {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(name.as_str().bytes()) {
        *to = from as libc::c_char;
    }
    libc::ifreq {
        ifr_name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: std::ptr::null_mut::<c_void>().cast(),
        },
    }
}

#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

const ETHTOOL_GTXCSUM: u32 = 0x0000_0016;
const ETHTOOL_STXCSUM: u32 = 0x0000_0017;
const SIOCETHTOOL: libc::Ioctl = 0x8946;
