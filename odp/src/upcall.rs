//! The socket that upcalls arrive on.
//!
//! Upcalls are unsolicited unicast from the kernel with `nlmsg_pid` and `nlmsg_seq` 0, one per datagram.
//! neli's router drops such messages and its decoder wants padding that upcalls lack, so this reads the
//! plain socket, many datagrams per system call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use neli::consts::socket::NlFamily;
use neli::socket::NlSocket;
use neli::utils::Groups;
use openvswitch_sys::Upcall;
use openvswitch_sys::netlink::{Messages, Payload};
use openvswitch_sys::uapi::{ENOBUFS, OVS_PACKET_FAMILY};

use crate::dpif::{UpcallPid, Upcalls};
use crate::error::OpenError;
use crate::kernel::no_family;
use crate::raw::{self, Slots};
use crate::request::resolve;

/// Receives upcalls; never blocks. Its owner waits for its descriptor to be readable
#[derive(Debug)]
pub struct UpcallSocket {
    fd: OwnedFd,
    pid: UpcallPid,
    family: u16,
    slots: Slots,
}

/// What one call received
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Messages handed on
    pub count: usize,
    /// The socket's buffer had overflowed: messages were lost before or after these. The number is
    /// [`UpcallSocket::drops`]
    pub lost_enobufs: bool,
    /// Messages that could not be read, and were left out
    pub malformed: usize,
    /// There may be more: call again before waiting
    pub more: bool,
}

impl UpcallSocket {
    /// A socket with room for about `receive_buffer` bytes of waiting upcalls
    pub fn open(receive_buffer: usize) -> Result<Self, OpenError> {
        let socket =
            NlSocket::connect(NlFamily::Generic, None, Groups::empty()).map_err(OpenError::Socket)?;
        raw::set_receive_buffer(raw::borrow(&socket), receive_buffer).map_err(OpenError::Socket)?;
        let family = resolve(&socket, &mut vec![0; 64 * 1024], OVS_PACKET_FAMILY).map_err(no_family)?;
        let pid = UpcallPid(socket.pid().map_err(OpenError::Socket)?);
        Ok(Self {
            fd: raw::into_fd(socket),
            pid,
            family: family.id,
            slots: Slots::new(SLOT),
        })
    }

    /// The address to give to [`Dpif::create_or_adopt`](crate::Dpif::create_or_adopt)
    pub const fn pid(&self) -> UpcallPid {
        self.pid
    }

    /// How many upcalls were lost because this socket's buffer was full, since it was opened
    pub fn drops(&self) -> io::Result<u32> {
        raw::drops(self.fd.as_fd())
    }

    /// Hands each waiting upcall to `handle`, at most 64 of them
    pub fn recv_batch(&mut self, mut handle: impl FnMut(Upcall<'_>)) -> io::Result<Received> {
        let mut received = fill(&mut self.slots, self.fd.as_fd())?;
        for datagram in self.slots.datagrams() {
            for message in Messages::new(datagram) {
                match message.map(|m| (m.header.kind == self.family, m.decode())) {
                    Ok((true, Ok(Payload::Generic(generic)))) => match Upcall::decode(&generic) {
                        Ok(upcall) => {
                            received.count += 1;
                            handle(upcall);
                        }
                        Err(_not_an_upcall) => received.malformed += 1,
                    },
                    Ok(_) | Err(_) => received.malformed += 1,
                }
            }
            received.malformed += usize::from(datagram.is_empty());
        }
        Ok(received)
    }
}

/// Reads what waits; an overflow is a fact about the past, and reading goes on behind it
pub(crate) fn fill(slots: &mut Slots, fd: BorrowedFd<'_>) -> io::Result<Received> {
    let mut received = Received::default();
    loop {
        match slots.fill(fd) {
            Ok(count) => {
                received.more = count == raw::SLOTS;
                return Ok(received);
            }
            Err(e) if e.raw_os_error() == Some(ENOBUFS) && !received.lost_enobufs => {
                received.lost_enobufs = true;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(received),
            Err(e) => return Err(e),
        }
    }
}

impl AsFd for UpcallSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Upcalls for UpcallSocket {
    fn recv_batch(&mut self, handle: &mut dyn FnMut(Upcall<'_>)) -> io::Result<Received> {
        Self::recv_batch(self, handle)
    }
}

/// A packet has at most 64 KiB, and its key with all else at most a few hundred bytes
const SLOT: usize = 68 * 1024;
