//! The sealed stream of messages: cut into Noise frames on one side, joined on the other.

use crate::frame::{self, FrameKind};
use crate::noise::{NoiseError, PLAINTEXT, Session};

/// Both directions of a connection after the handshake
pub(crate) struct Stream {
    session: Session,
    opened: Vec<u8>,
    read: usize,
}

impl Stream {
    pub(crate) const fn new(session: Session) -> Self {
        Self {
            session,
            opened: Vec::new(),
            read: 0,
        }
    }

    /// Appends the frames that carry these bytes of the stream
    pub(crate) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        for piece in bytes.chunks(PLAINTEXT) {
            let body = frame::begin(FrameKind::Sealed, out);
            self.session.seal(piece, out)?;
            frame::end(body, out);
        }
        Ok(())
    }

    pub(crate) fn push(&mut self, sealed: &[u8]) -> Result<(), NoiseError> {
        self.opened.drain(..self.read);
        self.read = 0;
        self.session.open(sealed, &mut self.opened)
    }

    /// The next message's bytes, if it is whole; no more than `limit` bytes are ever waited for
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<&[u8]>, TooLong> {
        let pending = &self.opened[self.read..];
        let Some((len, rest)) = pending.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*len) as usize;
        if len > limit {
            return Err(TooLong);
        }
        if rest.len() < len {
            return Ok(None);
        }
        let start = self.read.saturating_add(4);
        self.read = start.saturating_add(len);
        Ok(Some(&self.opened[start..self.read]))
    }
}

/// A message longer than allowed at this point
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;
