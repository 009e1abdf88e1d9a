//! A packet socket that sends whole Ethernet frames.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::c_int;
use model::IfName;
use nix::errno::Errno;

/// `AF_PACKET`, on one device of the namespace that it was opened in
pub(crate) struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// On the device `name` of the calling thread's namespace
    pub(crate) fn open(name: &IfName) -> Result<Self, Errno> {
        // Protocol 0: it receives nothing.
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd =
            Errno::result(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: `fd` was just opened and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let on: c_int = 1;
        // SAFETY: the option's value is an int that outlives the call, and its length is given.
        Errno::result(unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_QDISC_BYPASS,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        })?;
        let index = nix::net::if_::if_nametoindex(name.as_str())?;
        // SAFETY: all-zero bytes are a valid sockaddr_ll, which holds only integers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::c_ushort;
        address.sll_ifindex = index as c_int;
        // SAFETY: `address` outlives the call and its length is given.
        Errno::result(unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        })?;
        Ok(Self { fd })
    }

    /// Sends one frame, header included
    pub(crate) fn send(&self, frame: &[u8]) -> Result<(), Errno> {
        // SAFETY: the kernel reads `frame.len()` bytes of `frame`, which outlives the call.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        Errno::result(sent).map(drop)
    }
}

const PACKET_QDISC_BYPASS: c_int = 20;
