//! The sleeve's datagram.
//!
//! ```text
//!  0       1       2       3
//! +-------+-------+-------+-------+
//! | type  |     slot      |       |  type: 1 data, 2 fragment, 3 control; its top bit: sealed
//! +-------+-------+-------+       +
//! |            counter            |  40 bits; also the AEAD nonce, after 7 zero bytes
//! +-------+-------+-------+-------+
//! |                               |
//! +          session id           +  64 random bits, chosen by the receiver
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
use subtle::ConstantTimeEq as _;

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
/// The slot is the receiver's index of the neighbour, so that it finds the session without a search; the
/// random part is what a stranger cannot guess.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    slot: u16,
    random: u64,
}

impl SessionId {
    /// How many slots there are
    pub const SLOTS: u16 = 1 << 12;
    /// Bytes on the wire
    pub(crate) const LEN: usize = 10;

    /// The id with the low 12 bits of `slot` and all of `random`
    pub const fn new(slot: u16, random: u64) -> Self {
        Self {
            slot: slot % Self::SLOTS,
            random,
        }
    }

    /// The receiver's index of the neighbour, below [`SessionId::SLOTS`]
    pub const fn slot(self) -> u16 {
        self.slot
    }

    /// Whether it is `other`, in a time that does not depend on how much of it is right
    pub fn matches(self, other: Self) -> bool {
        (self.slot.ct_eq(&other.slot) & self.random.ct_eq(&other.random)).into()
    }

    /// Slot and random part
    pub(crate) const fn emit(self) -> ([u8; 2], [u8; 8]) {
        (self.slot.to_be_bytes(), self.random.to_be_bytes())
    }

    /// None for a slot that no receiver has
    pub(crate) const fn parse(slot: [u8; 2], random: [u8; 8]) -> Option<Self> {
        let slot = u16::from_be_bytes(slot);
        if slot >= Self::SLOTS {
            return None;
        }
        Some(Self {
            slot,
            random: u64::from_be_bytes(random),
        })
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who knows the rest can send in a clear session: it is not for logs.
        write!(f, "SessionId({})", self.slot)
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
    /// The datagram's number in the session; 40 bits of it are sent
    pub counter: u64,
}

impl Header {
    /// Reads the header at the start of `datagram`
    pub fn parse(datagram: &[u8]) -> Result<Self, HeaderError> {
        let Some(&[kind, s0, s1, c0, c1, c2, c3, c4, i0, i1, i2, i3, i4, i5, i6, i7]) =
            datagram.first_chunk::<HEADER_LEN>()
        else {
            return Err(HeaderError::TooShort(datagram.len()));
        };
        Ok(Self {
            kind: Kind::from_wire(kind & !SEALED).ok_or(HeaderError::Kind(kind))?,
            sealed: kind & SEALED != 0,
            session: SessionId::parse([s0, s1], [i0, i1, i2, i3, i4, i5, i6, i7])
                .ok_or(HeaderError::Reserved)?,
            counter: u64::from_be_bytes([0, 0, 0, c0, c1, c2, c3, c4]),
        })
    }

    /// The header's bytes
    pub const fn emit(self) -> [u8; HEADER_LEN] {
        let ([s0, s1], [i0, i1, i2, i3, i4, i5, i6, i7]) = self.session.emit();
        let [_, _, _, c0, c1, c2, c3, c4] = self.counter.to_be_bytes();
        let kind = self.kind.wire() | if self.sealed { SEALED } else { 0 };
        [kind, s0, s1, c0, c1, c2, c3, c4, i0, i1, i2, i3, i4, i5, i6, i7]
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
    /// A slot beyond [`SessionId::SLOTS`]
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
        self.head.saturating_add(self.tail)
    }
}

/// In the type's byte
const SEALED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use model::ShortId;
    use proptest::prelude::*;

    use super::*;

    const SEALED_DATA: [u8; 16] = [
        0x81, // type: data, sealed
        0x00, 0x07, // slot
        0x00, 0x00, 0x00, 0x01, 0x02, // counter: 258
        0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10, // session id
    ];

    #[test]
    fn a_header_reads_and_writes_its_bytes() {
        let header = Header {
            kind: Kind::Data,
            sealed: true,
            session: SessionId::new(7, 0xfedc_ba98_7654_3210),
            counter: 258,
        };
        assert_eq!(Header::parse(&SEALED_DATA), Ok(header));
        assert_eq!(header.emit(), SEALED_DATA);
        assert_eq!(header.session.slot(), 7);
    }

    #[test]
    fn session_ids_match_only_as_a_whole() {
        let id = SessionId::new(7, 1);
        assert!(id.matches(id));
        assert!(!id.matches(SessionId::new(8, 1)));
        assert!((0..64).all(|bit| !id.matches(SessionId::new(7, 1 ^ 1 << bit))));
        assert!(!format!("{id:?}").contains('1'), "nobody reads it in a log");
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
        for kind in [0x00, 0x04, 0x41, 0x80, 0x84] {
            assert_eq!(with(0, kind), Err(HeaderError::Kind(kind)));
        }
        for slot in [0x10, 0x80] {
            assert_eq!(with(1, slot), Err(HeaderError::Reserved));
        }
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
