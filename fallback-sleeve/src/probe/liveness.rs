//! Beats, and how many in a row were answered or missed.

use std::time::{Duration, Instant};

use model::{later, until_next};

use super::fraction;

/// Whether packets pass
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Untried,
    Up,
    Down { good: u32 },
}

/// Sends beats and counts answers
pub(super) struct Liveness {
    interval: Duration,
    /// Beats are due a number of intervals after this
    grid: Instant,
    missed: u32,
    recovery: u32,
    phase: Phase,
    /// The latest beat; beats are numbered from 1
    beat: Beat,
    next_beat: Instant,
    /// Up to which beat it has been seen whether an answer came in time
    judged: u64,
    /// The latest beat that was answered
    answered: u64,
    /// Beats up to this one are not counted as missed
    forgiven: u64,
    /// Beats in a row that were answered, though not at full size
    full_missed: u32,
    last_answer: Instant,
}

struct Beat {
    number: u64,
    started: Instant,
    /// Pings are repeated at this distance
    gap: Duration,
    /// When to repeat the latest ping
    retry: Instant,
    tries: u32,
    answered: bool,
    full: bool,
    full_answered: bool,
}

/// Pings to send now
pub(super) struct Tries {
    pub(super) beat: u64,
    pub(super) small: bool,
    pub(super) full: bool,
}

impl Liveness {
    pub(super) fn new(interval: Duration, grid: Instant, missed: u32, recovery: u32, now: Instant) -> Self {
        Self {
            interval,
            grid,
            missed: missed.max(1),
            recovery: recovery.max(1),
            phase: Phase::Untried,
            beat: Beat {
                number: 0,
                started: now,
                gap: interval,
                retry: now,
                tries: MAX_TRIES,
                answered: true,
                full: false,
                full_answered: false,
            },
            next_beat: now,
            judged: 0,
            answered: 0,
            forgiven: 0,
            full_missed: 0,
            last_answer: now,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    pub(super) fn beat(&self) -> u64 {
        self.beat.number
    }

    /// Whether there was time for a first answer
    pub(super) fn has_judged(&self) -> bool {
        self.judged > 0
    }

    pub(super) fn full_missed(&self) -> u32 {
        self.full_missed
    }

    pub(super) fn poll_timeout(&self) -> (Instant, &'static str) {
        let retry = self.retry_at().map(|at| (at, "heartbeat again"));
        let judge = (self.judged < self.beat.number).then(|| (self.judge_at(), "heartbeat due back"));
        let next = (self.next_beat, "heartbeat");
        [retry, judge]
            .into_iter()
            .flatten()
            .chain([next])
            .min_by_key(|(at, _)| *at)
            .unwrap_or(next)
    }

    /// Does what is due: sees whether the latest beat was answered in time, repeats it, or starts another,
    /// at full size if there is one
    pub(super) fn handle_timeout(&mut self, now: Instant, gap: Duration, full: bool) -> Option<Tries> {
        if self.judged < self.beat.number && now >= self.judge_at() {
            self.judge();
        }
        if now >= self.next_beat {
            self.beat = Beat {
                number: self.beat.number.wrapping_add(1),
                started: now,
                gap,
                retry: later(now, gap),
                tries: 1,
                answered: false,
                full,
                full_answered: false,
            };
            self.next_beat = self.beat_after(now);
            return Some(Tries {
                beat: self.beat.number,
                small: !full,
                full,
            });
        }
        if self.retry_at().is_some_and(|at| now >= at) {
            self.beat.tries = self.beat.tries.saturating_add(1);
            self.beat.retry = later(now, self.beat.gap);
            return Some(Tries {
                beat: self.beat.number,
                small: !self.beat.answered,
                full: self.beat.full && !self.beat.full_answered,
            });
        }
        None
    }

    /// A ping of this beat was answered; `full`: one of full size
    pub(super) fn answered(&mut self, beat: u64, full: bool, now: Instant) {
        self.count(beat, full, now);
        // Not left to its time: that would be a wake-up for nothing.
        if self.judged < self.beat.number && self.is_done() {
            self.judge();
        }
    }

    fn count(&mut self, beat: u64, full: bool, now: Instant) {
        self.last_answer = now;
        if beat == self.beat.number {
            self.beat.answered = true;
            self.beat.full_answered |= full;
        }
        if full {
            self.full_missed = 0;
        }
        if beat <= self.answered {
            return;
        }
        if self.is_hopeless() {
            self.beat.retry = later(now, self.beat.gap);
        }
        let in_a_row = beat == self.answered.wrapping_add(1);
        self.answered = beat;
        self.phase = match self.phase {
            Phase::Untried | Phase::Up => Phase::Up,
            Phase::Down { good } => {
                let good = if in_a_row { good.saturating_add(1) } else { 1 };
                if good >= self.recovery {
                    self.full_missed = 0;
                    Phase::Up
                } else {
                    Phase::Down { good }
                }
            }
        };
    }

    /// The process slept: answers may wait to be read, and pings were not sent. Start again, unless the
    /// path has been silent for so long that this is no excuse
    pub(super) fn starved(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last_answer) < self.interval.saturating_mul(SILENCE) {
            self.forgive(now);
        }
    }

    /// Forgets what was missed and beats at once
    pub(super) fn restart(&mut self, now: Instant) {
        self.last_answer = now;
        self.forgive(now);
    }

    fn forgive(&mut self, now: Instant) {
        self.forgiven = self.beat.number;
        self.judged = self.beat.number;
        self.next_beat = now;
        self.full_missed = 0;
    }

    fn judge(&mut self) {
        self.judged = self.beat.number;
        let beat = &self.beat;
        if beat.full_answered {
            self.full_missed = 0;
        } else if beat.full && beat.answered {
            self.full_missed = self.full_missed.saturating_add(1);
        }
        let missed = self.judged.saturating_sub(self.answered.max(self.forgiven));
        match self.phase {
            Phase::Up if missed >= u64::from(self.missed) => self.phase = Phase::Down { good: 0 },
            Phase::Down { .. } if missed >= u64::from(self.missed) => self.phase = Phase::Down { good: 0 },
            Phase::Untried | Phase::Up | Phase::Down { .. } => {}
        }
    }

    /// The next of the moments for beats, half an interval away or more
    fn beat_after(&self, now: Instant) -> Instant {
        let wait = until_next(self.interval, self.grid, now);
        if wait.saturating_mul(2) < self.interval {
            later(now, wait.saturating_add(self.interval))
        } else {
            later(now, wait)
        }
    }

    /// When an answer is overdue: before the next beat, so that the last of the missed ones is known
    /// within `missed + 1` intervals of a cut
    fn judge_at(&self) -> Instant {
        later(self.beat.started, fraction(self.interval.saturating_mul(4), 5))
    }

    fn retry_at(&self) -> Option<Instant> {
        if self.is_hopeless()
            || self.is_done()
            || self.judged >= self.beat.number
            || self.beat.tries >= MAX_TRIES
        {
            return None;
        }
        (self.beat.retry < self.judge_at()).then_some(self.beat.retry)
    }

    /// Whether every ping of the latest beat was answered
    fn is_done(&self) -> bool {
        self.beat.answered && (self.beat.full_answered || !self.beat.full)
    }

    /// Whether repeating pings would only be noise
    fn is_hopeless(&self) -> bool {
        matches!(self.phase, Phase::Untried | Phase::Down { good: 0 })
    }
}

/// Pings of one beat
const MAX_TRIES: u32 = 4;
/// Intervals of silence that starvation does not excuse
const SILENCE: u32 = 20;
