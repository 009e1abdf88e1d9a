//! What the sleeve dropped, and why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// A reason to drop, with the name that `status` and `/metrics` give it
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(crate) enum Drop {
    /// No neighbour's session has this id
    UnknownSession,
    /// The session refused it: forged, replayed, too old, cut off, of the wrong form
    Refused,
    /// A frame to a peer that no path leads to
    NoPath,
    /// The neighbour has not offered a key yet, or all counters of the last are used
    NoKey,
    /// A frame from the TAP that makes no sense
    Malformed,
    /// The socket's buffer was full
    SendFull,
    /// The kernel refused to send
    SendFailed,
    /// The TAP refused the frame
    TapRefused,
    /// The control task's queue was full
    ControlFull,
    /// A packet too large for the path, answered by ICMP
    TooBigAnswered,
    /// A packet too large for the path, which nobody may be told of
    TooBigSilent,
    /// A piece of a frame that does not fit the others, or whose others never came
    Fragment,
}

const NAMES: [(Drop, &str); 12] = [
    (Drop::UnknownSession, "sleeve: unknown session"),
    (Drop::Refused, "sleeve: forged, replayed or malformed"),
    (Drop::NoPath, "sleeve: no path to the peer"),
    (Drop::NoKey, "sleeve: no key from the peer"),
    (Drop::Malformed, "sleeve: malformed frame"),
    (Drop::SendFull, "sleeve: send buffer full"),
    (Drop::SendFailed, "sleeve: send failed"),
    (Drop::TapRefused, "sleeve: TAP refused"),
    (Drop::ControlFull, "sleeve: control queue full"),
    (Drop::TooBigAnswered, "sleeve: too big, answered by ICMP"),
    (Drop::TooBigSilent, "sleeve: too big"),
    (Drop::Fragment, "sleeve: incomplete frame"),
];

/// Counters, one for each reason
#[derive(Debug, Default)]
pub(crate) struct Drops([AtomicU64; NAMES.len()]);

impl Drops {
    /// Counts one
    pub(crate) fn count(&self, reason: Drop) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters that are not zero, by name
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        NAMES
            .iter()
            .zip(&self.0)
            .map(|((_, name), counter)| ((*name).to_owned(), counter.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_name_and_counter() {
        for (at, (reason, name)) in NAMES.iter().enumerate() {
            assert_eq!(*reason as usize, at);
            let drops = Drops::default();
            drops.count(*reason);
            assert_eq!(drops.by_name(), BTreeMap::from([((*name).to_owned(), 1)]));
        }
    }
}
