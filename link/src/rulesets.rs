//! That the kernel's packet filter changed, as it happens.

use std::fmt;
use std::io;

use nix::errno::Errno;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

/// Told of each change that anybody makes to the nftables rules of one network namespace
///
/// What changed is not told: who is interested reads what is there.
pub struct RulesetWatch {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl fmt::Debug for RulesetWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RulesetWatch").finish_non_exhaustive()
    }
}

impl RulesetWatch {
    /// In the calling thread's namespace; needs a Tokio runtime's context
    ///
    /// # Errors
    ///
    /// If the kernel has no such socket, or lets this process listen to none.
    pub fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, 1 << (NFNLGRP_NFTABLES - 1)))?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Returns once something has changed since the last call
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the socket has failed: open another.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv_from(&mut self.buffer).await {
                // Only the kernel has port 0; a process could send here, too.
                Ok(from) if from.port_number() == 0 => return Ok(()),
                Ok(_stranger) => {}
                // There were more changes than the socket has room for.
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// `enum nfnetlink_groups` of linux/netfilter/nfnetlink.h
const NFNLGRP_NFTABLES: u32 = 7;
const DATAGRAM: usize = 64 << 10;
