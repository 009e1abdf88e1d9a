//! The sleeve's UDP sockets: large sends (`UDP_SEGMENT`), batched receives (`UDP_GRO`, `recvmmsg`).
//!
//! The kernel neither fragments nor learns path MTUs for it (`IP_PMTUDISC_PROBE`): probes must be able
//! to be too large, and what fits is this program's to know.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use super::session::Ends;
use super::steering::steer;

/// Asked of the kernel for each direction; a burst of 64 KiB frames must fit.
const BUFFER: usize = 8 << 20;

/// A bound socket, of one receiving and one sending thread
#[derive(Debug)]
pub(crate) struct UdpSocket {
    socket: Socket,
    state: UdpSocketState,
}

impl UdpSocket {
    /// Binds `count` sockets, at least one, without fragmentation and with offloads; each gets the datagrams
    /// of [its slots](super::steering)
    pub(crate) fn bind(address: SocketAddr, count: u16) -> io::Result<Vec<Self>> {
        let open = || {
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_cloexec(true)?;
            io::Result::Ok(socket)
        };
        // The first is bound as if it were alone, lest it share the port of another weaved; only then
        // does it let others in.
        let first = open()?;
        first.bind(&address.into())?;
        let mut others = Vec::new();
        if count > 1 {
            let bound = first.local_addr()?;
            first.set_reuse_port(true)?;
            for _other in 1..count {
                let other = open()?;
                other.set_reuse_port(true)?;
                other.bind(&bound)?;
                others.push(other);
            }
            steer(&first, count)?;
        }
        std::iter::once(first)
            .chain(others)
            .map(Self::with_offloads)
            .collect()
    }

    /// Where it is bound
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }

    fn with_offloads(socket: Socket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // The kernel caps at net.core.*mem_max; less is slower under bursts, not wrong.
        let _best_effort = socket.set_recv_buffer_size(BUFFER);
        let _best_effort = socket.set_send_buffer_size(BUFFER);
        Ok(Self { socket, state })
    }

    /// Sends `datagrams`, which lie `stride` bytes apart, in one system call
    pub(crate) fn send(&self, ends: Ends, datagrams: &[u8], stride: usize) -> io::Result<()> {
        self.state.try_send(
            UdpSockRef::from(&self.socket),
            &Transmit {
                destination: ends.remote,
                ecn: None,
                contents: datagrams,
                segment_size: (datagrams.len() > stride).then_some(stride),
                src_ip: ends.local,
            },
        )
    }

    /// Datagrams that the kernel sends in one call
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Receives a batch; `WouldBlock` when there is none
    pub(crate) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv(UdpSockRef::from(&self.socket), buffers, metas)
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
