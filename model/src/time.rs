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

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_beyond_the_clock_is_far_away() {
        let now = Instant::now();
        assert_eq!(later(now, Duration::from_secs(5)), now + Duration::from_secs(5));
        assert_eq!(later(now, Duration::MAX), now + CENTURY);
    }
}
