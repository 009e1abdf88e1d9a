//! Fragmentation below IP: a frame that exceeds the path travels in several datagrams.
//!
//! ```text
//!  0       1       2       3
//! +-------+-------+-------+-------+
//! |           frame id            |  the sender's count of fragmented frames
//! +-------+-------+-------+-------+
//! |    offset     |    length     |  of the piece in the frame; of the frame
//! +-------+-------+-------+-------+
//! | piece …
//! ```
//! Pieces are equally long but for the last.

use crate::datagram::{MAX_LEN, Room};
use crate::segment::{NoRoom, Segments};

/// The head of each piece
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentHeader {
    /// Which frame of the sender
    pub id: u32,
    /// Where the piece belongs
    pub offset: u16,
    /// How long the whole frame is
    pub length: u16,
}

impl FragmentHeader {
    /// Bytes on the wire
    pub const LEN: usize = 8;

    /// The header at the start of a fragment's body, and the piece after it
    pub fn split(body: &[u8]) -> Option<(Self, &[u8])> {
        let (&[i, j, k, l, o, p, m, n], piece) = body.split_first_chunk::<{ Self::LEN }>()?;
        let header = Self {
            id: u32::from_be_bytes([i, j, k, l]),
            offset: u16::from_be_bytes([o, p]),
            length: u16::from_be_bytes([m, n]),
        };
        Some((header, piece))
    }

    /// The header's bytes
    pub const fn emit(self) -> [u8; Self::LEN] {
        let [i, j, k, l] = self.id.to_be_bytes();
        let [o, p] = self.offset.to_be_bytes();
        let [m, n] = self.length.to_be_bytes();
        [i, j, k, l, o, p, m, n]
    }
}

/// Writes `frame` as fragments, each where its datagram will be sealed
///
/// `mtu` is the inner MTU of the path, `id` one more than for the frame before. All pieces are written at
/// once, to be sealed by one [`seal_batch`](crate::Sealer::seal_batch); 128 KiB hold the largest frame
/// on a path of 576 bytes. Several sends may be needed: see [`Segments::sends`].
pub fn fragment(
    frame: &[u8],
    id: u32,
    mtu: u16,
    room: Room,
    out: &mut [u8],
) -> Result<Segments, FragmentError> {
    let Ok(length) = u16::try_from(frame.len()) else {
        return Err(FragmentError::TooLong(frame.len()));
    };
    // A datagram that carries a whole frame of this MTU has 14 bytes more than the MTU.
    let datagram = usize::from(mtu) + ETHERNET;
    let piece_len = datagram
        .saturating_sub(FragmentHeader::LEN)
        .min((MAX_LEN - FragmentHeader::LEN).saturating_sub(room.total()));
    if frame.len().div_ceil(piece_len.max(1)) > MAX_PIECES {
        return Err(FragmentError::PathTooSmall(mtu));
    }
    let overhead = room.total().saturating_add(FragmentHeader::LEN);
    let stride = overhead.saturating_add(piece_len);
    let count = frame.len().div_ceil(piece_len);
    let len = count.saturating_mul(overhead).saturating_add(frame.len());
    let Some(out) = out.get_mut(..len) else {
        return Err(FragmentError::NoRoom(NoRoom { needed: len }));
    };
    let pieces = frame.chunks(piece_len).zip(out.chunks_mut(stride));
    for (offset, (piece, datagram)) in (0..length).step_by(piece_len).zip(pieces) {
        let header = FragmentHeader { id, offset, length };
        let body = datagram.iter_mut().skip(room.head);
        for (to, from) in body.zip(header.emit()) {
            *to = from;
        }
        let start = room.head.saturating_add(FragmentHeader::LEN);
        if let Some(body) = datagram.get_mut(start..start.saturating_add(piece.len())) {
            body.copy_from_slice(piece);
        }
    }
    Ok(Segments { count, stride, len })
}

/// The frame was not written; the buffer's content is unspecified
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// Longer than any frame; an uncut TAP frame must go through the
    /// [`Segmenter`](crate::segment::Segmenter) first
    #[error("{0} bytes are no frame")]
    TooLong(usize),
    /// The path would need too many pieces
    #[error("an MTU of {0} is too small to fragment for")]
    PathTooSmall(u16),
    /// The buffer does not hold all pieces: the caller's mistake
    #[error("the pieces do not fit the buffer")]
    NoRoom(#[source] NoRoom),
}

/// The most pieces of a frame: 64 KiB over the smallest IPv4 path
pub(crate) const MAX_PIECES: usize = 160;
const ETHERNET: usize = 14;
