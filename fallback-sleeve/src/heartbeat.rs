//! The heartbeat's body, in control datagrams of the sleeve and in frames of its own on fastdp.
//!
//! ```text
//!  0       1       2       3
//! +-------+-------+-------+-------+
//! |version| kind  |     size      |  version 2; kind: 1 ping, 2 pong
//! +-------+-------+-------+-------+
//! |           sequence            |
//! +-------+-------+-------+-------+
//! |                               |
//! +              id               +  drawn by the side that pings
//! |                               |
//! +-------+-------+-------+-------+
//! |                               |
//! +            counter            +  one more for each heartbeat under one key, pings and pongs alike
//! |                               |
//! +-------+-------+-------+-------+
//! |                               |
//! +              MAC              +  the first 16 bytes of BLAKE3, keyed, over a byte for the path
//! |                               |  (1 fastdp, 2 sleeve) and the 24 bytes above
//! +                               +
//! |                               |
//! +                               +
//! |                               |
//! +-------+-------+-------+-------+
//! | padding, up to the size …
//! +-------+-------+-------+-------+
//! ```
//! A ping's size is that of the outer IP packet it was padded to, zero if it was not; a pong gives back
//! the ping's sequence and id and the size that arrived, and is never padded.
//!
//! The receiver draws the key for each control connection and tells it there, so a heartbeat proves that its
//! sender holds that connection. [`BeatSealer`] and [`BeatOpener`] are the two ends.

mod seal;

pub use seal::{BeatOpener, BeatRefusal, BeatSealer};

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
    pub const LEN: usize = 40;

    /// The fields of either kind
    pub const fn fields(self) -> BeatFields {
        match self {
            Self::Ping(fields) | Self::Pong(fields) => fields,
        }
    }

    /// Reads the head of a body whose MAC is right
    fn parse([version, kind, head @ ..]: [u8; HEAD]) -> Result<Self, BeatRefusal> {
        if version != VERSION {
            return Err(BeatRefusal::Malformed);
        }
        let [z0, z1, s0, s1, s2, s3, id @ ..] = head;
        let fields = BeatFields {
            id: u64::from_be_bytes(id),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            size: u16::from_be_bytes([z0, z1]),
        };
        match kind {
            PING => Ok(Self::Ping(fields)),
            PONG => Ok(Self::Pong(fields)),
            _ => Err(BeatRefusal::Malformed),
        }
    }

    const fn emit(self) -> [u8; HEAD] {
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

/// A genuine heartbeat that was not expected; nothing changed
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeatError {
    /// A ping of this probe came back: a loop
    #[error("an own heartbeat came back")]
    Reflected,
    /// A pong to no ping of this probe, or to one long forgotten
    #[error("an answer to no heartbeat: sequence {0}")]
    Unasked(u32),
}

/// Bytes before the counter
const HEAD: usize = 16;
const VERSION: u8 = 0x02;
const PING: u8 = 0x01;
const PONG: u8 = 0x02;
