//! Deadlines.

use std::time::{Duration, Instant};

/// The instant so long after `from`; a hundred years after it where that is beyond the clock
///
/// A duration of the configuration can be of any length, and a wait that nobody sees the end of is a wait.
pub fn later(from: Instant, wait: Duration) -> Instant {
    from.checked_add(wait)
        .or_else(|| from.checked_add(CENTURY))
        .unwrap_or(from)
}

/// Returns the wait from `now` until the next instant that is a whole number of intervals after `grid`
///
/// At such an instant that is a whole interval; of an interval of zero it is zero.
pub fn until_next(interval: Duration, grid: Instant, now: Instant) -> Duration {
    let since = now.saturating_duration_since(grid).as_nanos();
    let into = since.checked_rem(interval.as_nanos()).unwrap_or(0);
    interval.saturating_sub(Duration::from_nanos(u64::try_from(into).unwrap_or(0)))
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_instant_of_a_grid_is_at_most_an_interval_away() {
        let grid = Instant::now();
        let second = Duration::from_secs(1);
        let wait = |ms| until_next(second, grid, grid + Duration::from_millis(ms));
        assert_eq!(wait(0), second);
        assert_eq!(wait(2300), Duration::from_millis(700));
        assert_eq!(wait(3000), second);
        assert_eq!(until_next(Duration::ZERO, grid, grid), Duration::ZERO);
    }

    #[test]
    fn a_deadline_beyond_the_clock_is_far_away() {
        let now = Instant::now();
        assert_eq!(later(now, Duration::from_secs(5)), now + Duration::from_secs(5));
        assert_eq!(later(now, Duration::MAX), now + CENTURY);
    }
}
