//! From what a TAP hands out to what a path carries: large frames become frames of the path's size.
//!
//! The kernel gives a TAP with `IFF_VNET_HDR` frames that it would leave to a network card's offloads:
//! up to 64 KiB of TCP or UDP to be cut up (TSO, USO), and frames whose transport checksum is missing.
//! A [`Segmenter`] does the card's work and writes each resulting frame where its datagram will be
//! sealed, with room before and after it:
//!
//! ```text
//! TAP:   vnet │ dst src [peer tags] [tags] type │ IP │ TCP │ payload ………………………………………
//!                       └stripped─┘
//! out:   head │ dst src [tags] type │ IP │ TCP │ payload 1 │ tail
//!        head │ dst src [tags] type │ IP │ TCP │ payload 2 │ tail
//!        head │ dst src [tags] type │ IP │ TCP │ rest │ tail
//! ```
//! All but the last are equally long: one send with `UDP_SEGMENT` takes what one
//! [`fill`](Segmenter::fill) wrote.

mod gso;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::checksum;
use crate::datagram::{MAX_LEN, Room};
use crate::headers::{ADDRESSES, ETHERNET, Version, put_word, word};
use crate::vlan;
use crate::vnet::VnetHeader;
use gso::{Gso, Offload};

/// Cuts one frame from a TAP into the frames to send
pub struct Segmenter<'a> {
    /// What every segment starts with, to be patched in each
    head: [u8; MAX_HEADERS],
    head_len: usize,
    payload: &'a [u8],
    /// Payload bytes of each segment but the last
    size: usize,
    /// Segments written
    index: usize,
    /// Segments not yet written
    left: usize,
    room: Room,
    finish: Finish,
    shrunk: bool,
}

/// What each segment still needs after its bytes were copied
enum Finish {
    /// Nothing
    Whole,
    /// Its transport checksum
    Checksum { start: usize, at: usize },
    /// Its own lengths, numbers, flags, and checksums
    Gso(Gso),
}

/// What one [`Segmenter::fill`] wrote
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// How many datagrams
    pub count: usize,
    /// From the start of one to the start of the next
    pub stride: usize,
    /// Bytes of all; the last datagram may be shorter than the stride
    pub len: usize,
}

impl Segments {
    /// The ranges of the buffer that one send each takes: as many datagrams as UDP and the kernel allow
    pub fn sends(self) -> impl Iterator<Item = Range<usize>> {
        let most = MAX_LEN
            .checked_div(self.stride)
            .unwrap_or(MAX_LEN)
            .clamp(1, Segmenter::MAX_SEGMENTS);
        let step = most.saturating_mul(self.stride.max(1));
        (0..self.len)
            .step_by(step)
            .map(move |start| start..self.len.min(start.saturating_add(step)))
    }
}

impl<'a> Segmenter<'a> {
    /// How many datagrams one fill writes at most: `UDP_MAX_SEGMENTS` of older kernels
    pub const MAX_SEGMENTS: usize = 64;

    /// Reads the frame that the TAP gave with `vnet`; its first `strip` tags are left out
    ///
    /// `mtu` is the inner MTU of the path; a container's own tags count as part of the packet. TCP is
    /// cut smaller than the kernel asked for where that makes it fit, see [`shrunk`](Self::shrunk).
    pub fn new(
        vnet: VnetHeader,
        frame: &'a [u8],
        strip: usize,
        mtu: u16,
        room: Room,
    ) -> Result<Self, SegmentError> {
        let removed = strip.saturating_mul(vlan::TAG);
        let len = frame.len();
        let (Some(addresses), Some(rest)) = (
            frame.get(..ADDRESSES),
            frame.get(removed.saturating_add(ADDRESSES)..),
        ) else {
            return Err(SegmentError::TooShort(len));
        };
        if rest.len() < ETHERNET - ADDRESSES {
            return Err(SegmentError::TooShort(len));
        }
        let tags = frame.get(ADDRESSES..).unwrap_or_default().chunks(vlan::TAG);
        if !tags.take(strip).all(|tag| word(tag, 0).is_some_and(vlan::is_tag)) {
            return Err(SegmentError::Untagged);
        }
        let mut segmenter = Self {
            head: [0; MAX_HEADERS],
            head_len: ADDRESSES,
            payload: rest,
            size: rest.len(),
            index: 0,
            left: 1,
            room,
            finish: Finish::Whole,
            shrunk: false,
        };
        if let Some(head) = segmenter.head.first_chunk_mut::<ADDRESSES>() {
            head.copy_from_slice(addresses);
        }
        let len = len.saturating_sub(removed);
        let limit = usize::from(mtu).saturating_add(ETHERNET);
        let start = match vnet.needs_csum() {
            false => None,
            true => Some(
                usize::from(vnet.csum_start)
                    .checked_sub(removed)
                    .ok_or(SegmentError::Headers)?,
            ),
        };
        let offload = match vnet.gso_type & !VnetHeader::GSO_ECN {
            VnetHeader::GSO_NONE => {
                if let Some(start) = start {
                    let at = start.saturating_add(vnet.csum_offset.into());
                    if start < ETHERNET || at.saturating_add(2) > len {
                        return Err(SegmentError::Headers);
                    }
                    segmenter.finish = Finish::Checksum { start, at };
                }
                if len > limit {
                    return Err(SegmentError::TooBig { len, limit });
                }
                return Ok(segmenter);
            }
            VnetHeader::GSO_TCPV4 => Offload::Tcp(Version::V4),
            VnetHeader::GSO_TCPV6 => Offload::Tcp(Version::V6),
            VnetHeader::GSO_UDP_L4 => Offload::Udp,
            other => return Err(SegmentError::GsoType(other)),
        };
        segmenter.split(offload, usize::from(vnet.gso_size), start, limit)?;
        Ok(segmenter)
    }

    /// Whether TCP segments are smaller than the kernel asked for: the sender's packets do not fit the
    /// path, and it should be told ([`too_big`](crate::too_big::too_big))
    pub fn shrunk(&self) -> bool {
        self.shrunk
    }

    /// How many segments are still to be written
    pub fn left(&self) -> usize {
        self.left
    }

    /// Bytes from the start of one datagram to the start of the next, for the next fill
    pub fn stride(&self) -> usize {
        let size = if self.left > 1 {
            self.size
        } else {
            self.remaining()
        };
        self.used(size)
    }

    /// Bytes of a datagram that carries so much payload
    fn used(&self, size: usize) -> usize {
        self.room
            .total()
            .saturating_add(self.head_len)
            .saturating_add(size)
    }

    /// Writes as many datagrams as `out`, one UDP send, and [`MAX_SEGMENTS`](Self::MAX_SEGMENTS) allow;
    /// `None` when all are written
    ///
    /// What is carried is complete; the room before and after is left as it is. A buffer of 64 KiB always
    /// has room for one.
    pub fn fill(&mut self, out: &mut [u8]) -> Result<Option<Segments>, NoRoom> {
        if self.left == 0 {
            return Ok(None);
        }
        let stride = self.stride();
        let room = out.len().min(MAX_LEN);
        let count = room
            .checked_div(stride)
            .unwrap_or(0)
            .min(self.left)
            .min(Self::MAX_SEGMENTS);
        if count == 0 {
            return Err(NoRoom { needed: stride });
        }
        let mut len = 0;
        for datagram in out.chunks_mut(stride).take(count) {
            let size = self.remaining().min(self.size);
            len = self.used(size).saturating_add(len);
            self.write(datagram, size);
        }
        Ok(Some(Segments { count, stride, len }))
    }

    /// Reads the headers of a frame to be cut up and makes them the template
    fn split(
        &mut self,
        offload: Offload,
        gso_size: usize,
        csum_start: Option<usize>,
        limit: usize,
    ) -> Result<(), SegmentError> {
        let len = self.payload.len().saturating_add(ADDRESSES);
        let known = len.min(MAX_HEADERS);
        let (Some(head), Some(rest)) = (
            self.head.get_mut(..known),
            self.payload.get(..known.saturating_sub(ADDRESSES)),
        ) else {
            return Err(SegmentError::Headers);
        };
        if let Some(to) = head.get_mut(ADDRESSES..) {
            to.copy_from_slice(rest);
        }
        let gso = Gso::read(head, len, offload, csum_start).ok_or(SegmentError::Headers)?;
        let head_len = gso.payload_start();
        let payload = self
            .payload
            .get(head_len.saturating_sub(ADDRESSES)..)
            .ok_or(SegmentError::Headers)?;
        if gso_size == 0 {
            return Err(SegmentError::Headers);
        }
        let largest = head_len.saturating_add(gso_size.min(payload.len()));
        self.size = gso_size;
        if largest > limit {
            let too_big = SegmentError::TooBig { len: largest, limit };
            match offload {
                // The stream does not care where it is cut; a datagram does.
                Offload::Tcp(_) => {
                    self.size = limit.checked_sub(head_len).filter(|s| *s > 0).ok_or(too_big)?
                }
                Offload::Udp => return Err(too_big),
            }
            self.shrunk = true;
        }
        self.head_len = head_len;
        self.payload = payload;
        self.left = payload.len().div_ceil(self.size).max(1);
        self.finish = Finish::Gso(gso);
        Ok(())
    }

    fn remaining(&self) -> usize {
        self.payload
            .len()
            .saturating_sub(self.index.saturating_mul(self.size))
    }

    fn write(&mut self, datagram: &mut [u8], size: usize) {
        let at = self.index.saturating_mul(self.size);
        let end = self.room.head.saturating_add(self.head_len).saturating_add(size);
        let (Some(frame), Some(head), Some(piece)) = (
            datagram.get_mut(self.room.head..end),
            self.head.get(..self.head_len),
            self.payload.get(at..at.saturating_add(size)),
        ) else {
            return;
        };
        let (headers, payload) = frame.split_at_mut(head.len());
        headers.copy_from_slice(head);
        payload.copy_from_slice(piece);
        match &self.finish {
            Finish::Whole => {}
            Finish::Checksum { start, at } => {
                let sum = checksum::sum(frame.get(*start..).unwrap_or_default());
                put_word(frame, *at, checksum::complement_nonzero(u64::from(sum)));
            }
            Finish::Gso(gso) => gso.patch(frame, self.index, at, self.left == 1),
        }
        self.index = self.index.saturating_add(1);
        self.left = self.left.saturating_sub(1);
    }
}

/// The frame cannot be cut up; nothing was written
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Not even an Ethernet header, with the tags to be stripped
    #[error("{0} bytes are no frame")]
    TooShort(usize),
    /// A tag to be stripped is not there
    #[error("the frame lacks a tag that was to be stripped")]
    Untagged,
    /// The headers are not what the vnet header says; the kernel gives no such frames
    #[error("the frame's headers do not match its vnet header")]
    Headers,
    /// An offload that the TAP was not told to use
    #[error("unknown gso_type {0}")]
    GsoType(u8),
    /// A frame, or a datagram of a UDP train, exceeds the path: answer with
    /// [`too_big`](crate::too_big::too_big) or [`fragment`](crate::fragment::fragment) it
    #[error("a frame of {len} bytes exceeds the path's {limit}")]
    TooBig {
        /// The frame's length
        len: usize,
        /// The longest that fits
        limit: usize,
    },
}

/// The buffer does not hold one datagram: the caller's mistake
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a datagram needs {needed} bytes")]
pub struct NoRoom {
    /// What one datagram needs
    pub needed: usize,
}

/// Longest headers of a frame to be cut up: Ethernet with four tags, IPv6 with some extensions, TCP
const MAX_HEADERS: usize = 256;
