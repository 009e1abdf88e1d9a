//! How many misses a source may cause.

use std::collections::BTreeMap;
use std::time::Instant;

use openvswitch_sys::PortNo;

use super::macs::Place;

/// Whose misses are counted together
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Frames from a container, or from a peer by whatever way
    At(Place),
    /// Frames on a port that name no place
    Odd(PortNo),
    /// Frames from stations that were not known to be there
    Strangers(Place),
    /// Frames too long for their path
    Oversize(Place),
    /// Nobody's misses: flows put before a frame asked for them
    Ready,
}

/// A token bucket for each source of misses
#[derive(Debug)]
pub(super) struct Limits {
    misses: Limit,
    strangers: Limit,
    ready: Limit,
    buckets: BTreeMap<Source, Bucket>,
}

/// Tokens a second, and tokens at most
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    per_second: f64,
    burst: f64,
}

impl Limit {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: f64::from(per_second),
            burst: f64::from(burst),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limits {
    pub(super) const fn new(misses: Limit, strangers: Limit, ready: Limit) -> Self {
        Self {
            misses,
            strangers,
            ready,
            buckets: BTreeMap::new(),
        }
    }

    const fn of(&self, source: Source) -> Limit {
        match source {
            Source::Strangers(_) => self.strangers,
            Source::Ready => self.ready,
            Source::At(_) | Source::Odd(_) | Source::Oversize(_) => self.misses,
        }
    }

    /// Whether one more is within the limit
    pub(super) fn take(&mut self, source: Source, now: Instant) -> bool {
        let limit = self.of(source);
        let full = Bucket {
            tokens: limit.burst,
            at: now,
        };
        let bucket = self.buckets.entry(source).or_insert(full);
        bucket.tokens = level(bucket, limit, now).min(limit.burst);
        bucket.at = bucket.at.max(now);
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }

    /// Drops the buckets that are full again: they are as good as absent
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut buckets = std::mem::take(&mut self.buckets);
        buckets.retain(|source, bucket| {
            let limit = self.of(*source);
            level(bucket, limit, now) < limit.burst
        });
        self.buckets = buckets;
    }
}

fn level(bucket: &Bucket, limit: Limit, now: Instant) -> f64 {
    bucket.tokens + now.saturating_duration_since(bucket.at).as_secs_f64() * limit.per_second
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate_and_troubles_nobody_else() {
        let mut limits = Limits::new(Limit::new(100, 10), Limit::new(1, 1), Limit::new(1, 1));
        let start = Instant::now();
        let [noisy, quiet] = [1, 2].map(|n| Source::At(Place::Port(PortNo(n))));
        let taken = (0..1000).filter(|_| limits.take(noisy, start)).count();
        assert_eq!(taken, 10);
        assert!(limits.take(quiet, start));
        let later = start + Duration::from_millis(50);
        assert_eq!((0..1000).filter(|_| limits.take(noisy, later)).count(), 5);
        limits.sweep(later);
        assert_eq!(limits.buckets.len(), 1, "the quiet one's is full again");
        limits.sweep(later + Duration::from_secs(1));
        assert!(limits.buckets.is_empty());
    }

    #[test]
    fn a_clock_that_stands_still_gives_no_tokens() {
        let mut limits = Limits::new(Limit::new(100, 1), Limit::new(1, 1), Limit::new(1, 1));
        let now = Instant::now();
        let source = Source::Odd(PortNo(1));
        assert!(limits.take(source, now + Duration::from_secs(1)));
        assert!(!limits.take(source, now));
        assert!(!limits.take(source, now + Duration::from_secs(1)));
    }
}
