//! Many messages a system call.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, recvmmsg, sendmmsg};

/// How many messages one call takes
pub(crate) const BATCH: usize = 64;

/// How much of a message is received
const ROOM: usize = 128;

/// The calls' own memory; one for each thread
pub(crate) struct Batch {
    headers: MultiHeaders<()>,
    buffers: Vec<[u8; ROOM]>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; ROOM]; BATCH],
        }
    }

    /// Sends up to [`BATCH`] messages, each to where the socket is connected or bound; tells how many
    /// went
    pub(crate) fn send<'a>(
        &mut self,
        socket: &impl AsFd,
        messages: impl Iterator<Item = &'a [u8]>,
    ) -> Result<usize> {
        let slices: Vec<[IoSlice<'_>; 1]> = messages
            .take(BATCH)
            .map(|message| [IoSlice::new(message)])
            .collect();
        let nowhere: Vec<Option<()>> = vec![None; slices.len()];
        let none: [ControlMessage<'_>; 0] = [];
        let fd = socket.as_fd().as_raw_fd();
        match sendmmsg(fd, &mut self.headers, &slices, nowhere, none, MsgFlags::empty()) {
            Ok(sent) => Ok(sent.count()),
            Err(Errno::ENOBUFS | Errno::EAGAIN) => Ok(0),
            Err(error) => Err(error).context("cannot send"),
        }
    }

    /// Waits for a message, and takes it and what else is there; none within the socket's patience is no
    /// error
    pub(crate) fn receive(&mut self, socket: &impl AsFd, each: impl FnMut(&[u8])) -> Result<usize> {
        self.receive_by(socket, MsgFlags::MSG_WAITFORONE, each)
    }

    /// Takes what is there, without waiting; tells how many
    pub(crate) fn drain(&mut self, socket: &impl AsFd) -> Result<usize> {
        self.receive_by(socket, MsgFlags::MSG_DONTWAIT, |_message| ())
    }

    fn receive_by(
        &mut self,
        socket: &impl AsFd,
        flags: MsgFlags,
        mut each: impl FnMut(&[u8]),
    ) -> Result<usize> {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = self
            .buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let fd = socket.as_fd().as_raw_fd();
        let received = recvmmsg(fd, &mut self.headers, slices.iter_mut(), flags, None);
        match received {
            Ok(messages) => {
                let mut count = 0;
                for message in messages {
                    count += 1;
                    each(message.iovs().next().unwrap_or_default());
                }
                Ok(count)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(error) => Err(error).context("cannot receive"),
        }
    }
}
