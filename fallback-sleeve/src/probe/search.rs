//! The search for the path's MTU, in the manner of RFC 8899.
//!
//! ```text
//!            up                      found
//!   ┌──────┐ ───► ┌────────────┐ ───────────► ┌──────────┐
//!   │ Idle │      │ Searching  │              │ Complete │
//!   └──────┘ ◄─── └────────────┘ ◄─────────── └──────────┘
//!            down   ▲    │        upward: time, network change
//!                   │    │ found, while only suspected
//!   full-size beat  │    ▼
//!   missed ─────────┘  ┌─────────┐  full-size beat answered → Complete, the old MTU
//!                      │ Suspect │  missed thrice           → Complete, the one found
//!                      └─────────┘
//! ```

use std::time::{Duration, Instant};

use model::later;

use super::fraction;

/// Finds the largest size that passes
pub(super) struct MtuSearch {
    floor: u16,
    ceiling: u16,
    interval: Duration,
    mtu: Option<u16>,
    phase: Phase,
}

enum Phase {
    /// The path is not up
    Idle,
    Searching(Search),
    /// A smaller MTU than the one in use was found (or none), and may not be needed
    Suspect {
        found: Option<u16>,
    },
    /// Nothing to do until `again`
    Complete {
        again: Instant,
    },
}

/// A bisection
struct Search {
    /// What is known to pass; one below the floor: nothing
    passes: u16,
    /// The smallest that was given up; one above the ceiling: none
    fails: u16,
    /// Whether `fails`, one above `passes`, was tried a second time
    confirmed: bool,
    below: Below,
    probe: Option<Probe>,
    tries: u32,
}

/// Whether a search is for something below a size that was thought to pass
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    No,
    Suspected(u16),
    Certain(u16),
}

impl Below {
    fn is_refuted_by(self, size: u16) -> bool {
        match self {
            Self::No => false,
            Self::Suspected(suspect) | Self::Certain(suspect) => size >= suspect,
        }
    }
}

struct Probe {
    size: u16,
    expires: Instant,
}

impl MtuSearch {
    pub(super) fn new(floor: u16, ceiling: u16, interval: Duration) -> Self {
        Self {
            floor: floor.max(1),
            ceiling: ceiling.max(floor).max(1),
            interval,
            mtu: None,
            phase: Phase::Idle,
        }
    }

    pub(super) fn mtu(&self) -> Option<u16> {
        self.mtu
    }

    pub(super) fn is_running(&self) -> bool {
        match self.phase {
            Phase::Idle | Phase::Searching(_) => true,
            Phase::Suspect { .. } | Phase::Complete { .. } => false,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match &self.phase {
            Phase::Idle | Phase::Suspect { .. } => None,
            Phase::Searching(search) => search
                .probe
                .as_ref()
                .map(|probe| (probe.expires, "MTU probe due back")),
            Phase::Complete { again } => Some((*again, "MTU search")),
        }
    }

    /// The path is up, or something changed: looks above what is known to pass
    pub(super) fn start(&mut self) {
        let passes = self.mtu.unwrap_or_else(|| self.floor.saturating_sub(1));
        self.phase = Phase::Searching(Search::new(passes, self.ceiling.saturating_add(1), Below::No));
    }

    /// The path is down: sizes cannot be told from losses
    pub(super) fn pause(&mut self) {
        self.phase = Phase::Idle;
    }

    /// The process slept: what is on its way may have been answered
    pub(super) fn starved(&mut self) {
        if let Phase::Searching(search) = &mut self.phase {
            search.probe = None;
        }
    }

    pub(super) fn set_ceiling(&mut self, ceiling: u16) {
        self.ceiling = ceiling.max(self.floor);
        self.mtu = self.mtu.map(|mtu| mtu.min(self.ceiling));
    }

    /// Gives up a probe that is overdue, and returns the size to probe now
    pub(super) fn handle_timeout(&mut self, now: Instant, timeout: Duration) -> Option<u16> {
        if matches!(self.phase, Phase::Complete { again } if now >= again) {
            self.start();
        }
        let ceiling = self.ceiling;
        let Phase::Searching(search) = &mut self.phase else {
            return None;
        };
        if let Some(probe) = &search.probe {
            if now < probe.expires {
                return None;
            }
            let size = probe.size;
            search.missed(size);
        }
        let Some(size) = search.next(ceiling) else {
            self.finish(now);
            return None;
        };
        // Packets are being lost meanwhile, and a wrong answer counts only if full-size beats confirm it.
        let hurry = if search.below == Below::No { 1 } else { 2 };
        search.probe = Some(Probe {
            size,
            expires: later(now, fraction(timeout, hurry)),
        });
        Some(size)
    }

    /// A packet of this size passed
    pub(super) fn answered(&mut self, size: u16, now: Instant) {
        let refuted = match &mut self.phase {
            Phase::Searching(search) if search.below.is_refuted_by(size) => true,
            Phase::Searching(search) => {
                search.answered(size, self.ceiling);
                false
            }
            Phase::Suspect { .. } => self.mtu.is_some_and(|mtu| size >= mtu),
            Phase::Complete { .. } | Phase::Idle => false,
        };
        if refuted {
            // What seemed too large does pass.
            self.mtu = self.mtu.max(Some(size));
            self.complete(now);
        }
    }

    /// The kernel would not send this size
    pub(super) fn refused(&mut self, size: u16) {
        match &mut self.phase {
            Phase::Searching(search) if search.probe.as_ref().is_some_and(|probe| probe.size == size) => {
                search.tries = MAX_TRIES;
                search.missed(size);
            }
            Phase::Searching(Search { below: Below::No, .. })
            | Phase::Suspect { .. }
            | Phase::Complete { .. }
                if self.mtu.is_some_and(|mtu| size <= mtu) =>
            {
                self.phase = Phase::Searching(Search::new(
                    self.floor.saturating_sub(1),
                    size,
                    Below::Certain(size),
                ));
            }
            Phase::Searching(_) | Phase::Suspect { .. } | Phase::Complete { .. } | Phase::Idle => {}
        }
    }

    /// `beats` in a row got answers, though not at full size; `limit` make it certain
    pub(super) fn full_size_missed(&mut self, beats: u32, limit: u32, now: Instant) {
        let Some(mtu) = self.mtu else { return };
        if beats == 0 {
            return;
        }
        let certain = beats >= limit;
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Searching(search) if search.below != Below::No => {
                if let Below::Suspected(size) = search.below
                    && certain
                {
                    search.below = Below::Certain(size);
                    // A search that has come far already is good enough to stop the losses.
                    if search.passes >= ENOUGH && search.passes < mtu {
                        self.mtu = Some(search.passes);
                    }
                }
            }
            Phase::Searching(_) | Phase::Complete { .. } => {
                let below = if certain {
                    Below::Certain(mtu)
                } else {
                    Below::Suspected(mtu)
                };
                self.phase = Phase::Searching(Search::new(self.floor.saturating_sub(1), mtu, below));
            }
            Phase::Suspect { found } if certain => {
                self.mtu = *found;
                self.complete(now);
            }
            Phase::Suspect { .. } => {}
        }
    }

    fn finish(&mut self, now: Instant) {
        let Phase::Searching(search) = &self.phase else {
            return;
        };
        let found = (search.passes >= self.floor).then_some(search.passes);
        match search.below {
            Below::Suspected(_) => self.phase = Phase::Suspect { found },
            Below::No | Below::Certain(_) => {
                self.mtu = found;
                self.complete(now);
            }
        }
    }

    fn complete(&mut self, now: Instant) {
        let wait = match self.mtu {
            Some(_) => self.interval,
            None => self.interval.min(RETRY),
        };
        self.phase = Phase::Complete {
            again: later(now, wait),
        };
    }
}

impl Search {
    fn new(passes: u16, fails: u16, below: Below) -> Self {
        Self {
            passes,
            fails,
            confirmed: below != Below::No,
            below,
            probe: None,
            tries: 0,
        }
    }

    /// The size to try now; `None`: found
    fn next(&mut self, ceiling: u16) -> Option<u16> {
        if self.passes >= ceiling {
            return None;
        }
        if self.fails > ceiling {
            return Some(ceiling);
        }
        let between = self.fails.saturating_sub(self.passes);
        if between > 1 {
            return Some(self.passes.saturating_add(between / 2));
        }
        // Three losses in a row happen by chance; do not let one of them decide.
        if self.confirmed {
            return None;
        }
        Some(self.fails)
    }

    fn answered(&mut self, size: u16, ceiling: u16) {
        if size <= self.passes {
            return;
        }
        self.passes = size;
        if self.passes >= self.fails {
            self.fails = ceiling.saturating_add(1);
            self.confirmed = false;
        }
        if self.probe.as_ref().is_some_and(|probe| probe.size <= size) {
            self.probe = None;
            self.tries = 0;
        }
    }

    fn missed(&mut self, size: u16) {
        self.probe = None;
        self.tries = self.tries.saturating_add(1);
        if self.tries >= MAX_TRIES {
            self.tries = 0;
            self.confirmed |= size == self.fails;
            self.fails = self.fails.min(size);
        }
    }
}

/// Tries of each size
const MAX_TRIES: u32 = 3;
/// Wait before another search after one that found nothing
const RETRY: Duration = Duration::from_secs(5);
/// A size at which the search may be cut short: what every IPv6 link takes
const ENOUGH: u16 = 1280;
