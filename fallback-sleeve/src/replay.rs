//! Which numbers of a session have been seen: a bitmap that slides with the highest (RFC 6479).

/// A sliding window over the counters of one session
pub(crate) struct ReplayWindow {
    /// One more than the highest counter marked
    next: u64,
    /// A ring: counter `c` is bit `c % 64` of word `c / 64 % WORDS`
    words: Box<[u64; WORDS]>,
}

/// What the window says of a counter
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    Seen,
    TooOld,
}

impl ReplayWindow {
    /// How far below the highest a counter may be; one word of the ring is always being cleared
    pub(crate) const SIZE: u64 = (WORDS as u64 - 1) * 64;

    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            words: Box::new([0; WORDS]),
        }
    }

    /// One more than the highest counter marked
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn check(&self, counter: u64) -> Freshness {
        if counter >= self.next {
            Freshness::Fresh
        } else if self.next.wrapping_sub(counter) > Self::SIZE {
            Freshness::TooOld
        } else if self.words[word(counter)] & bit(counter) != 0 {
            Freshness::Seen
        } else {
            Freshness::Fresh
        }
    }

    /// Marks a counter that [`check`](Self::check) called fresh and that proved genuine
    pub(crate) fn mark(&mut self, counter: u64) {
        if counter >= self.next {
            // The words between the highest so far and this one hold counters of a ring turn ago.
            let newest = self.next.div_ceil(64);
            let needed = counter / 64;
            for stale in newest..=needed.min(newest.saturating_add(RING - 1)) {
                self.words[(stale % RING) as usize] = 0;
            }
            self.next = counter.saturating_add(1);
        }
        self.words[word(counter)] |= bit(counter);
    }
}

const fn word(counter: u64) -> usize {
    (counter / 64 % RING) as usize
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

/// 64 Ki counters, 8 KiB: about 70 ms of 1400-byte datagrams at 10 Gbit/s
///
/// A sender's threads number datagrams before they send them, up to 64 at once; those of a thread that has
/// to wait for a CPU in between come late by all that the other threads send meanwhile.
const WORDS: usize = 1024;
const RING: u64 = WORDS as u64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_window_says_what_a_set_of_all_counters_says(
            start in prop_oneof![Just(0u64), 0..1_000_000u64],
            steps in prop::collection::vec(prop_oneof![
                8 => -200i64..200,
                2 => -20_000i64..20_000,
                1 => -70_000i64..70_000,
            ], 1..300),
        ) {
            let mut window = ReplayWindow::new();
            let mut seen = BTreeSet::new();
            let mut at = start;
            for step in steps {
                at = at.saturating_add_signed(step);
                let highest = seen.last().copied();
                let expected = if highest.is_some_and(|h| at + ReplayWindow::SIZE <= h) {
                    Freshness::TooOld
                } else if seen.contains(&at) {
                    Freshness::Seen
                } else {
                    Freshness::Fresh
                };
                prop_assert_eq!(window.check(at), expected, "{} after {:?}", at, highest);
                if expected == Freshness::Fresh {
                    window.mark(at);
                    seen.insert(at);
                }
            }
        }
    }

    #[test]
    fn a_run_of_counters_is_fresh_once_each() {
        let mut window = ReplayWindow::new();
        for counter in 0..100_000 {
            assert_eq!(window.check(counter), Freshness::Fresh);
            window.mark(counter);
            assert_eq!(window.check(counter), Freshness::Seen);
        }
        assert_eq!(window.check(100_000 - ReplayWindow::SIZE), Freshness::Seen);
        assert_eq!(window.check(100_000 - ReplayWindow::SIZE - 1), Freshness::TooOld);
    }
}
