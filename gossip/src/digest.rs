//! How two tables are compared without sending them.
//!
//! ```text
//!   A                                   B
//!   │ Digest(hash of all names+stamps)  │
//!   ├──────────────────────────────────►│  the same: nothing follows
//!   │            Summary(names+stamps)  │  otherwise
//!   │◄──────────────────────────────────┤
//!   │ Records(what B lacks)             │
//!   │ Want(what A lacks)                │
//!   ├──────────────────────────────────►│
//!   │          Records(what A wanted)   │
//!   │◄──────────────────────────────────┤
//! ```

use std::collections::BTreeMap;

use model::{PeerName, Uid};
use serde::{Deserialize, Serialize};

/// Which version of a record: ordered, and equal only for equal records
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The writer's start
    pub epoch: u64,
    /// The change since then
    pub version: u64,
    /// The writer's run: tells two that claim one name apart
    pub uid: Uid,
}

/// BLAKE3 of every name and stamp of a table, in the order of names
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(stamps: impl Iterator<Item = (PeerName, Stamp)>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for (name, stamp) in stamps {
            hasher.update(&name.mac().octets());
            hasher.update(&stamp.epoch.to_be_bytes());
            hasher.update(&stamp.version.to_be_bytes());
            hasher.update(&stamp.uid.0.to_be_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// What has to be exchanged to make two tables equal
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Of these ours are newer, or theirs are missing
    pub(crate) give: Vec<PeerName>,
    /// Of these theirs are newer, or ours are missing
    pub(crate) want: Vec<PeerName>,
}

impl Difference {
    pub(crate) fn between(ours: &BTreeMap<PeerName, Stamp>, theirs: &BTreeMap<PeerName, Stamp>) -> Self {
        let lacks = |table: &BTreeMap<PeerName, Stamp>, (name, stamp): (&PeerName, &Stamp)| {
            table.get(name).is_none_or(|other| other < stamp).then_some(*name)
        };
        Self {
            give: ours.iter().filter_map(|entry| lacks(theirs, entry)).collect(),
            want: theirs.iter().filter_map(|entry| lacks(ours, entry)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::tests::name;

    fn stamps(entries: &[(u16, u64)]) -> BTreeMap<PeerName, Stamp> {
        let stamp = |version| Stamp {
            epoch: 1,
            version,
            uid: Uid(0),
        };
        entries.iter().map(|(n, v)| (name(*n), stamp(*v))).collect()
    }

    fn digest(stamps: &BTreeMap<PeerName, Stamp>) -> Digest {
        Digest::of(stamps.iter().map(|(name, stamp)| (*name, *stamp)))
    }

    #[test]
    fn only_what_differs_is_exchanged() {
        let ours = stamps(&[(1, 5), (2, 7), (3, 1)]);
        let theirs = stamps(&[(1, 5), (2, 8), (4, 1)]);
        assert_eq!(
            Difference::between(&ours, &theirs),
            Difference {
                give: vec![name(3)],
                want: vec![name(2), name(4)]
            }
        );
    }

    proptest! {
        #[test]
        fn digests_are_equal_exactly_when_nothing_differs(
            ours in prop::collection::vec((0..8u16, 0..3u64), 0..8),
            theirs in prop::collection::vec((0..8u16, 0..3u64), 0..8),
        ) {
            let (ours, theirs) = (stamps(&ours), stamps(&theirs));
            let same = Difference::between(&ours, &theirs) == Difference::default();
            prop_assert_eq!(same, digest(&ours) == digest(&theirs));
        }

        #[test]
        fn exchanging_the_difference_makes_the_tables_equal(
            ours in prop::collection::vec((0..8u16, 0..9u64), 0..8),
            theirs in prop::collection::vec((0..8u16, 0..9u64), 0..8),
        ) {
            let (mut ours, mut theirs) = (stamps(&ours), stamps(&theirs));
            let difference = Difference::between(&ours, &theirs);
            for name in difference.give {
                theirs.insert(name, ours[&name]);
            }
            for name in difference.want {
                ours.insert(name, theirs[&name]);
            }
            prop_assert_eq!(ours, theirs);
        }
    }
}
