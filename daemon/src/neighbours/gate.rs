//! Where heartbeats prove themselves, before control hears of them.
//!
//! Anybody can send what looks like a heartbeat, as fast as the wire takes it. The packet threads ask the
//! gate; control only opens it, with the key of each new connection, and closes it when there is none.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fallback_sleeve::heartbeat::{Beat, BeatOpener, BeatRefusal};
use model::PathKind;
use zeroize::Zeroizing;

/// Genuine heartbeats of one neighbour by one path that are passed on a second: two, and some dozens while the
/// path's MTU is looked for
const PER_SECOND: f64 = 100.0;
/// And at once
const BURST: f64 = 200.0;

/// The gate for the heartbeats of one neighbour by one path
#[derive(Debug)]
pub(crate) struct BeatGate {
    path: PathKind,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    opener: BeatOpener,
    tokens: f64,
    /// When the tokens were counted
    at: Option<Instant>,
}

impl BeatGate {
    /// A closed gate
    pub(crate) const fn new(path: PathKind) -> Self {
        Self {
            path,
            open: Mutex::new(None),
        }
    }

    /// Lets heartbeats in that are sealed with this key, and no others
    pub(super) fn open(&self, key: Zeroizing<[u8; 32]>) {
        *self.lock() = Some(Open {
            opener: BeatOpener::new(key, self.path),
            tokens: BURST,
            at: None,
        });
    }

    /// Lets no heartbeat in
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// Reads a heartbeat if it is genuine, new, and not one too many
    pub(crate) fn check(&self, body: &[u8], now: Instant) -> Result<Beat, BeatDrop> {
        let mut open = self.lock();
        let open = open.as_mut().ok_or(BeatDrop::UnknownPeer)?;
        let beat = open.opener.open(body)?;
        if open.take(now) {
            Ok(beat)
        } else {
            Err(BeatDrop::TooMany)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        // Each change is one assignment: a thread that panicked has left nothing half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn take(&mut self, now: Instant) -> bool {
        let passed = self
            .at
            .map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.tokens = (self.tokens + passed * PER_SECOND).min(BURST);
        self.at = Some(now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// Why a heartbeat is not passed on
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BeatDrop {
    /// From no neighbor
    UnknownPeer,
    /// Not sealed with the key of the neighbour's connection
    Forged,
    /// Seen before, or too old to tell
    Replayed,
    /// Genuine, of another version or kind
    Malformed,
    /// More than a neighbour has reason to send
    TooMany,
}

impl BeatDrop {
    const ALL: [Self; 5] = [
        Self::UnknownPeer,
        Self::Forged,
        Self::Replayed,
        Self::Malformed,
        Self::TooMany,
    ];

    /// A word for status and metrics
    const fn label(self) -> &'static str {
        match self {
            Self::UnknownPeer => "beat_unknown_peer",
            Self::Forged => "beat_forged",
            Self::Replayed => "beat_replayed",
            Self::Malformed => "beat_malformed",
            Self::TooMany => "beat_too_many",
        }
    }
}

impl From<BeatRefusal> for BeatDrop {
    fn from(refusal: BeatRefusal) -> Self {
        match refusal {
            BeatRefusal::Malformed => Self::Malformed,
            BeatRefusal::Forged => Self::Forged,
            BeatRefusal::Replayed => Self::Replayed,
        }
    }
}

/// Heartbeats that were not passed on, by reason
#[derive(Debug, Default)]
pub(crate) struct BeatDrops([AtomicU64; BeatDrop::ALL.len()]);

impl BeatDrops {
    /// Counts one
    pub(crate) fn count(&self, reason: BeatDrop) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of them
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    /// The counters of a path that are not zero, by name
    pub(crate) fn by_name(&self, path: &str) -> BTreeMap<String, u64> {
        BeatDrop::ALL
            .iter()
            .zip(&self.0)
            .map(|(reason, count)| {
                (
                    format!("{path}: {}", reason.label()),
                    count.load(Ordering::Relaxed),
                )
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fallback_sleeve::heartbeat::{BeatFields, BeatSealer};

    use super::*;

    const BEAT: Beat = Beat::Ping(BeatFields {
        id: 1,
        sequence: 2,
        size: 0,
    });

    fn key(byte: u8) -> Zeroizing<[u8; 32]> {
        Zeroizing::new([byte; 32])
    }

    #[test]
    fn only_the_key_of_the_newest_connection_passes() {
        let now = Instant::now();
        let gate = BeatGate::new(PathKind::Sleeve);
        let mut old = BeatSealer::new(key(1), PathKind::Sleeve);
        let mut new = BeatSealer::new(key(2), PathKind::Sleeve);
        let check = |sealer: &mut BeatSealer| gate.check(&sealer.seal(BEAT).unwrap(), now);
        assert_eq!(check(&mut old), Err(BeatDrop::UnknownPeer));
        gate.open(key(1));
        assert_eq!(check(&mut old), Ok(BEAT));
        gate.open(key(2));
        assert_eq!(check(&mut old), Err(BeatDrop::Forged));
        assert_eq!(check(&mut new), Ok(BEAT));
        gate.close();
        assert_eq!(check(&mut new), Err(BeatDrop::UnknownPeer));
    }

    #[test]
    fn forgeries_take_nothing_from_the_neighbours_budget_and_replays_count_apart() {
        let now = Instant::now();
        let gate = BeatGate::new(PathKind::Fastdp);
        gate.open(key(1));
        let mut sealer = BeatSealer::new(key(1), PathKind::Fastdp);
        for _ in 0..10_000 {
            assert_eq!(gate.check(&[0x02; 40], now), Err(BeatDrop::Forged));
        }
        let body = sealer.seal(BEAT).unwrap();
        assert_eq!(gate.check(&body, now), Ok(BEAT));
        assert_eq!(gate.check(&body, now), Err(BeatDrop::Replayed));
        assert_eq!(gate.check(&body[..39], now), Err(BeatDrop::Malformed));
    }

    #[test]
    fn a_neighbour_that_floods_is_held_to_its_budget() {
        let start = Instant::now();
        let gate = BeatGate::new(PathKind::Sleeve);
        gate.open(key(1));
        let mut sealer = BeatSealer::new(key(1), PathKind::Sleeve);
        let mut passed = |now| {
            let check = |_| gate.check(&sealer.seal(BEAT).unwrap(), now);
            let results: Vec<_> = (0..1000).map(check).collect();
            let refused = results.iter().filter(|result| **result == Err(BeatDrop::TooMany));
            1000 - refused.count()
        };
        assert_eq!(passed(start), 200);
        assert_eq!(passed(start + Duration::from_secs(1)), 100);
        assert_eq!(passed(start + Duration::from_secs(60)), 200);
    }

    #[test]
    fn every_reason_has_its_counter_and_its_label() {
        let drops = BeatDrops::default();
        for (n, reason) in BeatDrop::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, n);
            drops.count(reason);
        }
        assert_eq!(drops.total(), 5);
        let names = drops.by_name("fastdp");
        assert_eq!(names.len(), 5);
        assert_eq!(names.get("fastdp: beat_forged"), Some(&1));
    }
}
