//! How much is known of others, at most, and what becomes of more.
//!
//! A part weighs what it takes of memory, about: [`PART_BYTES`], and for each entry [`ENTRY_BYTES`] and twice its
//! texts, which are held by the part and by the zone. All parts of other peers together weigh [`MAX_WEIGHT`] at
//! most. Where there is no room, parts of peers that cannot be reached go first. Every origin has an equal
//! share for certain: a part within it makes room by the removal of the heaviest one beyond it.

use std::collections::BTreeMap;
use std::fmt;

use crate::entry::Entry;

/// The most entries of one peer
pub const MAX_ENTRIES: usize = 65_536;

/// The most bytes of names and containers of one peer
pub const MAX_TEXT_BYTES: usize = 8 << 20;

/// The most peers that names are known of
pub const MAX_PARTS: usize = 4096;

/// The most that the parts of all other peers weigh
pub const MAX_WEIGHT: usize = 72 << 20;

/// The most bytes of messages that wait for the rest of a part, of all neighbors
pub const MAX_WAITING_BYTES: usize = 12 << 20;

/// What a part takes beside its entries
const PART_BYTES: usize = 3 << 10;

/// What an entry takes beside its texts (`dns/examples/weight.rs` measures it)
const ENTRY_BYTES: usize = 400;

/// The bytes of an entry's texts
pub(crate) fn text(entry: &Entry) -> usize {
    let (name, container) = (entry.name.as_str(), entry.container.as_str());
    name.len().saturating_add(container.len())
}

/// What a part of so many entries with so many bytes of texts weighs
pub(crate) const fn weight(entries: usize, text: usize) -> usize {
    let entries = entries.saturating_mul(ENTRY_BYTES);
    PART_BYTES
        .saturating_add(entries)
        .saturating_add(text.saturating_mul(2))
}

/// The reason for which something that was told of names was not taken over
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// The mesh does not reach its origin
    Unreachable,
    /// Another key speaks for its origin
    OtherKey,
    /// The signature is not the key's
    Signature,
    /// What is told is not what was signed
    Digest,
    /// The origin would have more than one peer may have
    OriginFull,
    /// There is no room for the part, or it went to make room for others
    NoRoom,
    /// There is no room for a piece until the others come
    NoRoomToWait,
    /// A later run of this peer cannot be outbid
    Epoch,
}

impl Refused {
    /// All reasons
    pub const ALL: [Self; 8] = [
        Self::Unreachable,
        Self::OtherKey,
        Self::Signature,
        Self::Digest,
        Self::OriginFull,
        Self::NoRoom,
        Self::NoRoomToWait,
        Self::Epoch,
    ];

    /// The stable name
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "origin_unreachable",
            Self::OtherKey => "other_key",
            Self::Signature => "bad_signature",
            Self::Digest => "wrong_digest",
            Self::OriginFull => "origin_full",
            Self::NoRoom => "no_room",
            Self::NoRoomToWait => "no_room_to_wait",
            Self::Epoch => "epoch_out_of_bounds",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much is known of names, beside the most that may be
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Peers whose names are known, without this one
    pub origins: usize,
    /// Entries of these peers
    pub entries: usize,
    /// Bytes of memory that these peers' parts are held to take
    pub weight: usize,
    /// The most that `weight` may be
    pub max_weight: usize,
    /// Bytes of messages that wait for the rest of a part
    pub waiting_bytes: usize,
    /// What was refused, by reason
    pub refused: BTreeMap<Refused, u64>,
}
