//! Frames on the TCP connection, after the prologue.
//!
//! ```text
//!  0      1              3
//! +------+-------+------+------------- - -
//! | type | length (BE)  | body
//! +------+-------+------+------------- - -
//!   1 handshake: one message of the Noise pattern
//!   2 reject:    a `Reject`, in the clear; only before the first sealed frame
//!   3 sealed:    a Noise transport message, a piece of the stream of messages
//!   4 puzzle:    the solution of a puzzle; the first frame of the side that dials, if it was asked
//! ```

/// The bytes before a frame's body
pub(crate) const HEADER: usize = 3;

/// What a frame holds
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Handshake,
    Reject,
    Sealed,
    Puzzle,
}

impl FrameKind {
    const fn code(self) -> u8 {
        match self {
            Self::Handshake => 1,
            Self::Reject => 2,
            Self::Sealed => 3,
            Self::Puzzle => 4,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Handshake, Self::Reject, Self::Sealed, Self::Puzzle]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// Appends a frame's header; its body is appended next, then comes [`end`] with what this returns
pub(crate) fn begin(kind: FrameKind, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[kind.code(), 0, 0]);
    out.len()
}

/// Writes the length of the body that began at `body`
pub(crate) fn end(body: usize, out: &mut [u8]) {
    let len = u16::try_from(out.len().saturating_sub(body))
        .expect("neither a handshake nor Noise has longer messages");
    out[body.saturating_sub(2)..body].copy_from_slice(&len.to_be_bytes());
}

/// Bytes as they came, until they are a whole frame
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    bytes: Vec<u8>,
    read: usize,
}

impl FrameReader {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// What was pushed and not yet taken
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    pub(crate) fn take(&mut self, len: usize) {
        self.read = self.read.saturating_add(len).min(self.bytes.len());
    }

    /// The next frame, if it is whole; no more than `limit` bytes are ever waited for
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<(FrameKind, Vec<u8>)>, FrameError> {
        let &[code, high, low, ref rest @ ..] = self.pending() else {
            return Ok(None);
        };
        let kind = FrameKind::from_code(code).ok_or(FrameError::Kind(code))?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > limit {
            return Err(FrameError::TooLong(len));
        }
        let Some(body) = rest.get(..len) else {
            return Ok(None);
        };
        let body = body.to_vec();
        self.take(HEADER + len);
        Ok(Some((kind, body)))
    }
}

/// The stream holds no frame
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The first byte is none of the types
    #[error("unknown frame type {0}")]
    Kind(u8),
    /// Longer than allowed at this point
    #[error("a frame of {0} bytes")]
    TooLong(usize),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: FrameKind, body: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        let start = begin(kind, &mut out);
        out.extend_from_slice(body);
        end(start, &mut out);
        out
    }

    #[test]
    fn the_bytes_are_those_of_the_drawing() {
        let bytes = [
            0x01, // type: handshake
            0x00, 0x02, // length
            0xaa, 0xbb, // body
        ];
        assert_eq!(frame(FrameKind::Handshake, &[0xaa, 0xbb]), bytes);
    }

    #[test]
    fn a_long_frame_is_refused_by_its_header() {
        let mut reader = FrameReader::default();
        reader.push(&[3, 0x10, 0x01]);
        assert_eq!(reader.next(4096), Err(FrameError::TooLong(4097)));
    }

    proptest! {
        #[test]
        fn frames_come_back_however_the_stream_is_cut(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cut in 1..50usize,
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(FrameKind::Sealed, body)).collect();
            let mut reader = FrameReader::default();
            let mut got = vec![];
            for piece in stream.chunks(cut) {
                reader.push(piece);
                while let Some((kind, body)) = reader.next(300).unwrap() {
                    prop_assert_eq!(kind, FrameKind::Sealed);
                    got.push(body);
                }
            }
            prop_assert_eq!(got, bodies);
            prop_assert!(reader.pending().is_empty());
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes: Vec<u8>) {
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next(usize::MAX) {}
        }
    }
}
