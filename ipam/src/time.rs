//! Arithmetic with times, without overflow.

use std::time::{Duration, Instant};

/// So long after `now`; `now`, if no clock goes that far
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

/// The nth part of a time
pub(crate) fn part(of: Duration, n: u32) -> Duration {
    of.checked_div(n).unwrap_or(of)
}
