//! Token buckets: how often something may happen.

use std::time::Instant;

/// Tokens a second, and tokens at most
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

/// What is left of a rate
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) const fn full(rate: Rate, now: Instant) -> Self {
        Self {
            tokens: rate.burst,
            at: now,
        }
    }

    /// Takes a token if there is one
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.take_many(1.0, rate, now)
    }

    /// Takes so many tokens if there are as many
    pub(crate) fn take_many(&mut self, count: f64, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let enough = self.tokens >= count;
        if enough {
            self.tokens -= count;
        }
        enough
    }

    /// Whether no token is left
    pub(crate) fn is_empty(&self, rate: Rate, now: Instant) -> bool {
        self.level(rate, now) < 1.0
    }

    /// Whether nothing is missing
    pub(crate) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.level(rate, now) >= rate.burst
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        self.tokens = self.level(rate, now);
        self.at = self.at.max(now);
    }

    fn level(&self, rate: Rate, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + since * rate.per_second).min(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_followed_by_so_many_a_second() {
        let (rate, start) = (
            Rate {
                per_second: 2.0,
                burst: 3.0,
            },
            Instant::now(),
        );
        let mut bucket = Bucket::full(rate, start);
        let taken = |bucket: &mut Bucket, at| (0..9).filter(|_| bucket.take(rate, at)).count();
        assert_eq!(taken(&mut bucket, start), 3);
        assert!(!bucket.is_full(rate, start));
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(1)), 2);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(100)), 3);
        assert!(bucket.is_full(rate, start + Duration::from_secs(200)));
        // A clock that does not go forward gives nothing.
        assert_eq!(taken(&mut bucket, start), 0);
    }
}
