//! Signs of life for systemd's watchdog (`WatchdogSec=`).

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Tells systemd that a loop still runs, often enough for the `WatchdogSec=` of the unit
///
/// The loop that matters feeds it: when that stops, systemd ends the process and starts it again.
#[derive(Debug)]
pub struct Watchdog {
    every: Option<Duration>,
    due: Option<Instant>,
}

impl Watchdog {
    /// What systemd asks of this process; it asks nothing where the unit has no `WatchdogSec=`
    pub fn from_environment(now: Instant) -> Self {
        Self::new(sd_notify::watchdog_enabled(), now)
    }

    fn new(limit: Option<Duration>, now: Instant) -> Self {
        // A third: one that comes late by a whole turn still comes in time.
        let every = limit.map(|limit| limit / 3).filter(|every| !every.is_zero());
        Self {
            every,
            due: every.map(|_every| now),
        }
    }

    /// When to call [`Watchdog::feed`]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Gives a sign of life, if one is due
    pub fn feed(&mut self, now: Instant) {
        if self.take_due(now) {
            crate::tell(NotifyState::Watchdog);
        }
    }

    fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = self.every.map(|every| now + every);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_is_given_at_once_and_three_times_per_limit() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut watchdog = Watchdog::new(Some(3 * second), now);
        assert!(watchdog.take_due(now));
        assert!(!watchdog.take_due(now + second / 2));
        assert_eq!(watchdog.due(), Some(now + second));
        assert!(watchdog.take_due(now + 2 * second));
        assert_eq!(watchdog.due(), Some(now + 3 * second));
    }

    #[test]
    fn nobody_asks_and_nothing_is_due() {
        let now = Instant::now();
        for limit in [None, Some(Duration::ZERO)] {
            let mut watchdog = Watchdog::new(limit, now);
            assert!(!watchdog.take_due(now));
            assert_eq!(watchdog.due(), None);
        }
    }
}
