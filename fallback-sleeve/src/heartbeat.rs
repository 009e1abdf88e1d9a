//! The heartbeat's body, in control datagrams of the sleeve and in frames of its own on fastdp.
//!
//! ```text
//!  0       1       2       3
//! +-------+-------+-------+-------+
//! |version| kind  |     size      |  version 1; kind: 1 ping, 2 pong
//! +-------+-------+-------+-------+
//! |           sequence            |
//! +-------+-------+-------+-------+
//! |                               |
//! +              id               +  drawn by the side that pings
//! |                               |
//! +-------+-------+-------+-------+
//! | padding, up to the size …
//! +-------+-------+-------+-------+
//! ```
//! A ping's size is that of the outer IP packet it was padded to, zero if it was not; a pong gives back
//! the ping's sequence and id and the size that arrived, and is never padded.

/// One heartbeat
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// To be answered at once
    Ping(BeatFields),
    /// The answer
    Pong(BeatFields),
}

/// What both carry
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeatFields {
    /// Who pings
    pub id: u64,
    /// Which ping
    pub sequence: u32,
    /// Outer IP packet size, or zero
    pub size: u16,
}

impl Beat {
    /// Bytes without padding
    pub const LEN: usize = 16;

    /// Reads a body; what follows it is padding
    pub fn parse(body: &[u8]) -> Result<Self, BeatError> {
        let Some(
            &[
                version,
                kind,
                z0,
                z1,
                s0,
                s1,
                s2,
                s3,
                i0,
                i1,
                i2,
                i3,
                i4,
                i5,
                i6,
                i7,
            ],
        ) = body.first_chunk::<{ Self::LEN }>()
        else {
            return Err(BeatError::TooShort(body.len()));
        };
        if version != VERSION {
            return Err(BeatError::Version(version));
        }
        let fields = BeatFields {
            id: u64::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            size: u16::from_be_bytes([z0, z1]),
        };
        match kind {
            PING => Ok(Self::Ping(fields)),
            PONG => Ok(Self::Pong(fields)),
            other => Err(BeatError::Kind(other)),
        }
    }

    /// The body without padding
    pub const fn emit(self) -> [u8; Self::LEN] {
        let (kind, fields) = match self {
            Self::Ping(fields) => (PING, fields),
            Self::Pong(fields) => (PONG, fields),
        };
        let [z0, z1] = fields.size.to_be_bytes();
        let [s0, s1, s2, s3] = fields.sequence.to_be_bytes();
        let [i0, i1, i2, i3, i4, i5, i6, i7] = fields.id.to_be_bytes();
        [
            VERSION, kind, z0, z1, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7,
        ]
    }
}

/// The bytes are no heartbeat that was expected; nothing changed
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeatError {
    /// Cut off
    #[error("{0} bytes are no heartbeat")]
    TooShort(usize),
    /// Of a version that is not spoken here
    #[error("unknown heartbeat version {0}")]
    Version(u8),
    /// Neither ping nor pong
    #[error("unknown heartbeat kind {0}")]
    Kind(u8),
    /// A ping of this probe came back: a loop
    #[error("an own heartbeat came back")]
    Reflected,
    /// A pong to no ping of this probe, or to one long forgotten
    #[error("an answer to no heartbeat: sequence {0}")]
    Unasked(u32),
    /// More pings than are worth an answer
    #[error("too many heartbeats at once")]
    TooMany,
}

const VERSION: u8 = 0x01;
const PING: u8 = 0x01;
const PONG: u8 = 0x02;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: BeatFields = BeatFields {
        id: 0x0102_0304_0506_0708,
        sequence: 0xa1,
        size: 1500,
    };
    const PING_BYTES: [u8; 16] = [
        0x01, // version
        0x01, // kind: ping
        0x05, 0xdc, // size: 1500
        0x00, 0x00, 0x00, 0xa1, // sequence
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // id
    ];

    #[test]
    fn a_ping_and_a_pong_read_and_write_their_bytes() {
        let mut pong = PING_BYTES;
        pong[1] = 0x02;
        for (beat, bytes) in [(Beat::Ping(FIELDS), PING_BYTES), (Beat::Pong(FIELDS), pong)] {
            assert_eq!(beat.emit(), bytes);
            assert_eq!(Beat::parse(&bytes), Ok(beat));
            assert_eq!(Beat::parse(&[&bytes[..], &[0; 99]].concat()), Ok(beat), "padding");
        }
    }

    #[test]
    fn what_is_no_heartbeat_is_refused() {
        let with = |at: usize, byte: u8| {
            let mut bytes = PING_BYTES;
            bytes[at] = byte;
            Beat::parse(&bytes)
        };
        assert_eq!(Beat::parse(&PING_BYTES[..15]), Err(BeatError::TooShort(15)));
        assert_eq!(with(0, 2), Err(BeatError::Version(2)));
        assert_eq!(with(1, 0), Err(BeatError::Kind(0)));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_what_they_were_or_err(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(beat) = Beat::parse(&bytes) {
                prop_assert_eq!(&beat.emit()[..], &bytes[..Beat::LEN]);
            }
        }
    }
}
