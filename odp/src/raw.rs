//! The system calls that neither the standard library nor neli offers.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use neli::socket::NlSocket;

/// Takes the descriptor out of neli's wrapper, which has no `AsFd`
pub(crate) fn into_fd(socket: NlSocket) -> OwnedFd {
    let fd = socket.into_raw_fd();
    // SAFETY: `into_raw_fd` gave up the ownership of an open descriptor, which nothing else holds.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Sets the receive buffer, beyond `rmem_max` where the process may
pub(crate) fn set_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
        .or_else(|_not_admin| set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes))
}

/// Errors quote only the header of the request that they answer
pub(crate) fn cap_acks(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1)
}

/// A receive call on the socket fails with `WouldBlock` after this long
pub(crate) fn set_receive_timeout(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    let seconds = libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX);
    let value = libc::timeval {
        tv_sec: seconds,
        tv_usec: timeout.subsec_micros().into(),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, value)
}

/// `T` is a plain C value whose layout the option asks for
fn set_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: T,
) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the pointer and the size describe `value`, which lives across the call.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How many messages the kernel has dropped for want of room in this socket's buffer
pub(crate) fn drops(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut words = [0u32; SK_MEMINFO_VARS];
    let mut size = libc::socklen_t::try_from(size_of_val(&words)).unwrap_or(0);
    // SAFETY: the pointer and the size describe `words`, which lives across the call; the kernel writes
    // at most `size` bytes.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if result == 0 {
        Ok(words[SK_MEMINFO_DROPS])
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `CLOCK_MONOTONIC` in milliseconds: the clock of a flow's `used`
pub fn monotonic_ms() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec; the call cannot fail with this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(now.tv_sec) * 1000 + part(now.tv_nsec) / 1_000_000
}

/// Buffers for several datagrams, filled by one system call
#[derive(Debug)]
pub(crate) struct Slots {
    bytes: Vec<u8>,
    size: usize,
    lengths: [u32; SLOTS],
    filled: usize,
}

impl Slots {
    /// Slots of `size` bytes; the memory of a slot is touched when it is first filled
    pub(crate) fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; size * SLOTS],
            size,
            lengths: [0; SLOTS],
            filled: 0,
        }
    }

    /// Fills the slots with what waits in the socket, at most one datagram each; returns how many
    pub(crate) fn fill(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.filled = 0;
        let mut slots = self.bytes.chunks_exact_mut(self.size);
        let mut vectors: [libc::iovec; SLOTS] = std::array::from_fn(|_slot| {
            let slot = slots.next().unwrap_or_default();
            libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: slot.len(),
            }
        });
        let mut headers: [libc::mmsghdr; SLOTS] = std::array::from_fn(|i| {
            // SAFETY: all zeroes is a valid mmsghdr: null pointers with zero lengths.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = &raw mut vectors[i];
            header.msg_hdr.msg_iovlen = 1;
            header
        });
        // SAFETY: `headers` has SLOTS entries; each points to one entry of `vectors`, and that to a slot
        // of `self.bytes` of its own; all live across the call and nothing else touches them meanwhile.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                SLOTS as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return Err(io::Error::last_os_error());
        };
        for (length, header) in self.lengths.iter_mut().zip(&headers) {
            // A datagram larger than its slot counts as empty: it cannot be parsed.
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            *length = if whole { header.msg_len } else { 0 };
        }
        self.filled = count.min(SLOTS);
        Ok(self.filled)
    }

    /// The datagrams of the last [`Slots::fill`]
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let lengths = self.lengths.iter().take(self.filled);
        self.bytes
            .chunks_exact(self.size)
            .zip(lengths)
            .map(|(slot, length)| slot.get(..*length as usize).unwrap_or_default())
    }
}

/// Borrowing a neli socket's descriptor for an option
pub(crate) fn borrow(socket: &NlSocket) -> BorrowedFd<'_> {
    // SAFETY: the socket owns the open descriptor and outlives the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Datagrams per system call: enough to amortise it, few enough that a burst does not hold the caller
pub(crate) const SLOTS: usize = 64;

// asm-generic/socket.h and linux/sock_diag.h; libc does not have them for every target
const SO_MEMINFO: libc::c_int = 55;
const SK_MEMINFO_DROPS: usize = 8;
const SK_MEMINFO_VARS: usize = 9;
