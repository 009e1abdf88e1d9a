//! The sleeve's datagram.
//!
//! ```text
//!  0       1       2       3
//! +-------+-------+-------+-------+
//! | type  | flags |   reserved    |  type: 1 data, 2 fragment, 3 control; flags bit 0: sealed
//! +-------+-------+-------+-------+
//! |          session id           |  chosen by the receiver: slot (12 bits), random (20 bits)
//! +-------+-------+-------+-------+
//! |                               |
//! +            counter            +  also the AEAD nonce, after 4 zero bytes
//! |                               |
//! +-------+-------+-------+-------+  these 16 bytes are the AEAD's additional data
//! | flags |          VNI          |  sealed from here on
//! +-------+-------+-------+-------+
//! | Ethernet frame, or fragment header and piece, or control body …
//! +-------+-------+-------+-------+
//! | AEAD tag (16), if sealed      |
//! +-------+-------+-------+-------+
//! ```
//! Integers are big-endian. Reserved bits are zero; a datagram with others is refused.

use std::fmt;

use model::Vni;

/// Bytes of [`Header`]
pub const HEADER_LEN: usize = 16;
/// Bytes of [`InnerHeader`]
pub const INNER_LEN: usize = 4;
/// Bytes of the AEAD tag
pub const TAG_LEN: usize = 16;
/// The largest UDP payload over IPv4
pub const MAX_LEN: usize = 65_507;

/// What a datagram carries
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One Ethernet frame
    Data,
    /// A piece of an Ethernet frame
    Fragment,
    /// A heartbeat
    Control,
}

impl Kind {
    const fn wire(self) -> u8 {
        match self {
            Self::Data => 0x01,
            Self::Fragment => 0x02,
            Self::Control => 0x03,
        }
    }

    const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Data),
            0x02 => Some(Self::Fragment),
            0x03 => Some(Self::Control),
            _ => None,
        }
    }
}

/// The receiver's name for what it accepts from one sender under one key
///
/// The slot is the receiver's index of the neighbour, so that it finds the session without a search;
/// the random part tells the sessions of one neighbour apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl SessionId {
    /// How many slots there are
    pub const SLOTS: u16 = 1 << 12;

    /// The id with the low 12 bits of `slot` and the low 20 bits of `random`
    pub const fn new(slot: u16, random: u32) -> Self {
        Self((slot as u32) << 20 | (random & 0xf_ffff))
    }

    /// The receiver's index of the neighbour, below [`SessionId::SLOTS`]
    pub const fn slot(self) -> u16 {
        (self.0 >> 20) as u16
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:#010x})", self.0)
    }
}

/// The clear part of a datagram
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it carries
    pub kind: Kind,
    /// Whether the rest is sealed
    pub sealed: bool,
    /// The receiver's session
    pub session: SessionId,
    /// The datagram's number in the session
    pub counter: u64,
}

impl Header {
    /// Reads the header at the start of `datagram`
    pub fn parse(datagram: &[u8]) -> Result<Self, HeaderError> {
        let Some(
            &[
                kind,
                flags,
                r0,
                r1,
                s0,
                s1,
                s2,
                s3,
                c0,
                c1,
                c2,
                c3,
                c4,
                c5,
                c6,
                c7,
            ],
        ) = datagram.first_chunk::<HEADER_LEN>()
        else {
            return Err(HeaderError::TooShort(datagram.len()));
        };
        if flags & !FLAG_SEALED != 0 || r0 != 0 || r1 != 0 {
            return Err(HeaderError::Reserved);
        }
        Ok(Self {
            kind: Kind::from_wire(kind).ok_or(HeaderError::Kind(kind))?,
            sealed: flags & FLAG_SEALED != 0,
            session: SessionId(u32::from_be_bytes([s0, s1, s2, s3])),
            counter: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
        })
    }

    /// The header's bytes
    pub const fn emit(self) -> [u8; HEADER_LEN] {
        let [s0, s1, s2, s3] = self.session.0.to_be_bytes();
        let [c0, c1, c2, c3, c4, c5, c6, c7] = self.counter.to_be_bytes();
        let flags = if self.sealed { FLAG_SEALED } else { 0 };
        let kind = self.kind.wire();
        [kind, flags, 0, 0, s0, s1, s2, s3, c0, c1, c2, c3, c4, c5, c6, c7]
    }
}

/// The bytes begin no datagram of ours
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header
    #[error("{0} bytes are no sleeve datagram")]
    TooShort(usize),
    /// An unknown type
    #[error("unknown datagram type {0:#04x}")]
    Kind(u8),
    /// Reserved bits are set
    #[error("reserved header bits are set")]
    Reserved,
}

/// What is sealed before the frame
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InnerHeader {
    /// Free for the switch; passed on as it is
    pub flags: u8,
    /// From which peer to which
    pub vni: Vni,
}

impl InnerHeader {
    pub(crate) fn parse(bytes: [u8; INNER_LEN]) -> Self {
        let [flags, a, b, c] = bytes;
        Self {
            flags,
            vni: Vni::truncated(u32::from_be_bytes([0, a, b, c])),
        }
    }

    pub(crate) fn emit(self) -> [u8; INNER_LEN] {
        let [_, a, b, c] = u32::from(self.vni).to_be_bytes();
        [self.flags, a, b, c]
    }
}

/// The room that a datagram needs around what it carries
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Before it: both headers
    pub head: usize,
    /// After it: the tag
    pub tail: usize,
}

impl Room {
    /// For a clear datagram
    pub const CLEAR: Self = Self {
        head: HEADER_LEN + INNER_LEN,
        tail: 0,
    };
    /// For a sealed datagram
    pub const SEALED: Self = Self {
        head: HEADER_LEN + INNER_LEN,
        tail: TAG_LEN,
    };

    /// Both
    pub const fn total(self) -> usize {
        self.head + self.tail
    }
}

const FLAG_SEALED: u8 = 0x01;

#[cfg(test)]
mod tests {
    use model::ShortId;
    use proptest::prelude::*;

    use super::*;

    const SEALED_DATA: [u8; 16] = [
        0x01, // type: data
        0x01, // flags: sealed
        0x00, 0x00, // reserved
        0x00, 0x7f, 0xab, 0xcd, // session: slot 7, random 0xfabcd
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, // counter: 258
    ];

    #[test]
    fn a_header_reads_and_writes_its_bytes() {
        let header = Header {
            kind: Kind::Data,
            sealed: true,
            session: SessionId::new(7, 0xfabcd),
            counter: 258,
        };
        assert_eq!(Header::parse(&SEALED_DATA), Ok(header));
        assert_eq!(header.emit(), SEALED_DATA);
        assert_eq!(header.session.slot(), 7);
    }

    #[test]
    fn every_kind_has_its_number() {
        for (kind, byte) in [(Kind::Data, 0x01), (Kind::Fragment, 0x02), (Kind::Control, 0x03)] {
            assert_eq!(kind.wire(), byte);
            assert_eq!(Kind::from_wire(byte), Some(kind));
        }
    }

    #[test]
    fn an_inner_header_reads_and_writes_its_bytes() {
        let inner = InnerHeader {
            flags: 0x80,
            vni: Vni::new(ShortId::truncated(0x123), ShortId::truncated(0xabc)),
        };
        assert_eq!(inner.emit(), [0x80, 0xab, 0xc1, 0x23]);
        assert_eq!(InnerHeader::parse([0x80, 0xab, 0xc1, 0x23]), inner);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let with = |at: usize, byte: u8| {
            let mut bytes = SEALED_DATA;
            bytes[at] = byte;
            Header::parse(&bytes)
        };
        assert_eq!(Header::parse(&SEALED_DATA[..15]), Err(HeaderError::TooShort(15)));
        assert_eq!(with(0, 0x04), Err(HeaderError::Kind(0x04)));
        assert_eq!(with(1, 0x02), Err(HeaderError::Reserved));
        assert_eq!(with(3, 0x01), Err(HeaderError::Reserved));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_what_they_were_or_err(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert_eq!(&header.emit()[..], &bytes[..HEADER_LEN]);
            }
        }

        #[test]
        fn inner_headers_round_trip(bytes: [u8; 4]) {
            prop_assert_eq!(InnerHeader::parse(bytes).emit(), bytes);
        }
    }
}
