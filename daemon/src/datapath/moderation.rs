//! When upcalls are left to gather.
//!
//! A thread that is woken for every upcall of a flood spends more on waking than on answering, and on a
//! busy machine takes that time from the traffic that needs no upcall. As network cards do with their
//! interrupts, the first upcalls are answered at once; while many come, they are read a batch at a time.

use std::time::{Duration, Instant};

/// Over how long upcalls are counted
const WINDOW: Duration = Duration::from_millis(10);
/// More than this in one window is many: new conversations come by ones, floods by hundreds
const MANY: usize = 16;
/// How long upcalls gather then. Their sockets hold far more
const PAUSE: Duration = Duration::from_millis(4);
/// The same where most of them were refused: nobody waits for these
const LONG_PAUSE: Duration = Duration::from_millis(12);

/// Counts upcalls, and says when to read the next
#[derive(Debug)]
pub(super) struct Moderation {
    window_ends: Instant,
    count: usize,
    /// Of the window before this one
    before: usize,
    paused_until: Option<Instant>,
}

impl Moderation {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            window_ends: now,
            count: 0,
            before: 0,
            paused_until: None,
        }
    }

    /// This many upcalls were read and answered, so many of them by a refusal
    pub(super) fn answered(&mut self, upcalls: usize, refused: u64, now: Instant) {
        if now >= self.window_ends {
            let adjoining = now < self.window_ends + WINDOW;
            self.before = if adjoining { self.count } else { 0 };
            self.window_ends = now + WINDOW;
            self.count = 0;
        }
        self.count = self.count.saturating_add(upcalls);
        let many = self.count.max(self.before) > MANY;
        let pause = if refused.saturating_mul(2) > upcalls as u64 {
            LONG_PAUSE
        } else {
            PAUSE
        };
        self.paused_until = (upcalls > 0 && many).then(|| now + pause);
    }

    /// Until when upcalls are left to gather
    pub(super) const fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Whether upcalls are not to be read yet
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_upcalls_are_never_kept_waiting() {
        let mut now = Instant::now();
        let mut moderation = Moderation::new(now);
        for _upcall in 0..1000 {
            moderation.answered(1, 0, now);
            assert_eq!(moderation.paused_until(), None);
            now += Duration::from_millis(1);
        }
    }

    #[test]
    fn a_flood_is_read_in_batches_until_it_ends() {
        let mut now = Instant::now();
        let mut moderation = Moderation::new(now);
        moderation.answered(MANY, 0, now);
        assert_eq!(moderation.paused_until(), None);
        moderation.answered(1, 0, now);

        // Through this window and those after it, though none of their batches alone is many.
        for _batch in 0..20 {
            let until = moderation.paused_until();
            assert_eq!(until, Some(now + PAUSE));
            assert!(moderation.is_paused(now));
            now += PAUSE;
            assert!(!moderation.is_paused(now));
            moderation.answered(MANY / 2, 0, now);
        }

        // Nothing waited: whatever comes next is answered at once.
        now += PAUSE;
        moderation.answered(0, 0, now);
        assert_eq!(moderation.paused_until(), None);
        now += WINDOW * 2;
        moderation.answered(1, 0, now);
        assert_eq!(moderation.paused_until(), None);
    }
    #[test]
    fn a_flood_that_is_refused_is_looked_at_less_often() {
        let now = Instant::now();
        let mut moderation = Moderation::new(now);
        moderation.answered(100, 50, now);
        assert_eq!(moderation.paused_until(), Some(now + PAUSE));
        moderation.answered(100, 51, now);
        assert_eq!(moderation.paused_until(), Some(now + LONG_PAUSE));
    }
}
