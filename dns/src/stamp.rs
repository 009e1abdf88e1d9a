//! Which state of a part it is.

use serde::{Deserialize, Serialize};

/// The greatest epoch and the greatest sequence; beyond them there is room to outbid and to count on
pub(crate) const MAX_COUNT: u64 = 1 << 62;

/// Which state of a peer's part it is; of two the greater is the later
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Greater at every start of the peer
    pub(crate) epoch: u64,
    /// Counts the changes since
    pub(crate) sequence: u64,
}

impl Stamp {
    /// Whether a peer can be there
    pub(crate) const fn is_sound(self) -> bool {
        self.epoch <= MAX_COUNT && self.sequence <= MAX_COUNT
    }

    /// The epoch that is greater than this one's, if a peer can be there
    pub(crate) fn next_epoch(self) -> Option<u64> {
        self.epoch.checked_add(1).filter(|epoch| *epoch <= MAX_COUNT)
    }
}
