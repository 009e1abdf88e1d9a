//! One address to dial.
//!
//! ```text
//!            due                connected             Hello
//!  Waiting ───────► Dialling ──────────────► Greeting ──────► Connected
//!     ▲  ▲             │ failed, 10 s           │ ended          │ neighbour lost
//!     │  └─────────────┴────────────────────────┤                │
//!     │        back-off                         │                │
//!     └─────────────────────────────────────────┼────────────────┘ at once, if it was stable
//!                                               ▼ ourselves
//!                                             Never
//! ```
//! Back-off: the first wait is about 1 s, each next half as long again, up to 30 s; the actual wait is
//! drawn between half and three halves of that, so that peers which lost each other at the same moment
//! do not dial at the same moment. An address of a held neighbour is dialled every 250 ms.

use std::time::{Duration, Instant};

use model::{PeerName, later};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::config::Timers;
use crate::output::{ConnId, DialId};

/// One address to dial
#[derive(Debug)]
pub(crate) struct Entry {
    /// The operator named it
    pub(crate) user: bool,
    /// Whom it leads to, as far as is known
    pub(crate) peer: Option<PeerName>,
    pub(crate) state: State,
    pub(crate) error: Option<String>,
    /// It once led to a neighbour: kept until then, even when nobody speaks of its peer
    pub(crate) remembered: Option<Instant>,
    interval: Duration,
    /// Its neighbour is held: dialled often until then
    urgent: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting { due: Instant },
    Dialling { dial: DialId, deadline: Instant },
    Greeting { conn: ConnId },
    Connected { since: Instant },
    Never,
}

impl Entry {
    pub(crate) const fn new(user: bool, peer: Option<PeerName>, due: Instant, timers: &Timers) -> Self {
        Self {
            user,
            peer,
            state: State::Waiting { due },
            error: None,
            remembered: None,
            interval: timers.retry_first,
            urgent: None,
        }
    }

    /// Dial at the next opportunity
    pub(crate) fn hurry(&mut self, due: Instant, timers: &Timers) {
        self.interval = timers.retry_first;
        if let State::Waiting { due: later } = &mut self.state {
            *later = due.min(*later);
        }
    }

    /// The neighbour that it leads to is held: dial at once, and often until then
    pub(crate) fn urge(&mut self, until: Instant, timers: &Timers, now: Instant) {
        self.urgent = Some(until);
        self.hurry(now, timers);
    }

    /// It did not lead to a neighbour
    pub(crate) fn failed(
        &mut self,
        error: String,
        is_final: bool,
        timers: &Timers,
        rng: &mut StdRng,
        now: Instant,
    ) {
        self.error = Some(error);
        self.state = if is_final {
            State::Never
        } else {
            self.wait(timers, rng, now)
        };
    }

    /// It leads to a neighbour
    pub(crate) fn connected(&mut self, now: Instant) {
        self.error = None;
        self.urgent = None;
        if !matches!(self.state, State::Connected { .. }) {
            self.state = State::Connected { since: now };
        }
    }

    /// The neighbour that it led to is no more
    pub(crate) fn lost(
        &mut self,
        error: String,
        is_final: bool,
        timers: &Timers,
        rng: &mut StdRng,
        now: Instant,
    ) {
        let State::Connected { since } = self.state else {
            return;
        };
        self.error = Some(error);
        self.remembered = Some(later(now, timers.remember));
        self.state = if is_final {
            State::Never
        } else if now >= later(since, timers.stable) {
            self.interval = timers.retry_first;
            State::Waiting { due: now }
        } else {
            self.wait(timers, rng, now)
        };
    }

    /// Whether an order to dial or a handshake is under way
    pub(crate) const fn is_active(&self) -> bool {
        matches!(self.state, State::Dialling { .. } | State::Greeting { .. })
    }

    pub(crate) const fn timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { due } => Some(due),
            State::Dialling { deadline, .. } => Some(deadline),
            State::Greeting { .. } | State::Connected { .. } | State::Never => None,
        }
    }

    fn wait(&mut self, timers: &Timers, rng: &mut StdRng, now: Instant) -> State {
        if self.urgent.is_some_and(|until| now < until) {
            return State::Waiting {
                due: later(now, timers.held_retry),
            };
        }
        let delay = self.interval.mul_f64(rng.random_range(0.5..1.5));
        self.interval = self.interval.mul_f64(1.5).min(timers.retry_cap);
        State::Waiting {
            due: later(now, delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::records::tests::name;

    #[test]
    fn waits_grow_by_half_up_to_the_cap_and_start_anew_after_a_stable_connection() {
        let (timers, mut rng, mut now) = (Timers::default(), StdRng::seed_from_u64(1), Instant::now());
        let mut entry = Entry::new(true, None, now, &timers);
        let mut expected = 1.0;
        for _ in 0..20 {
            entry.failed("no route to host".into(), false, &timers, &mut rng, now);
            let wait = entry.timeout().unwrap() - now;
            let (low, high) = (expected * 0.5, expected * 1.5);
            assert!(
                (low..=high).contains(&wait.as_secs_f64()),
                "{wait:?} is not in {low}..{high}"
            );
            expected = f64::min(expected * 1.5, 30.0);
            now += wait;
        }

        entry.connected(now);
        entry.lost("gone".into(), false, &timers, &mut rng, now + timers.stable);
        assert_eq!(entry.timeout(), Some(now + timers.stable));
        entry.failed("refused".into(), false, &timers, &mut rng, now);
        assert!(entry.timeout().unwrap() - now <= timers.retry_first.mul_f64(1.5));
    }

    #[test]
    fn a_connection_that_never_lasts_is_not_dialled_without_pause() {
        let (timers, mut rng, now) = (Timers::default(), StdRng::seed_from_u64(1), Instant::now());
        let mut entry = Entry::new(true, Some(name(1)), now, &timers);
        entry.connected(now);
        entry.lost("gone".into(), false, &timers, &mut rng, now);
        assert!(entry.timeout().unwrap() >= now + timers.retry_first / 2);
    }

    #[test]
    fn an_address_of_a_held_neighbour_is_dialled_often_while_the_grace_lasts() {
        let (timers, mut rng, now) = (Timers::default(), StdRng::seed_from_u64(1), Instant::now());
        let mut entry = Entry::new(true, Some(name(1)), now, &timers);
        let until = now + timers.restart_grace;
        entry.urge(until, &timers, now);
        entry.failed("connection refused".into(), false, &timers, &mut rng, now);
        assert_eq!(entry.timeout(), Some(now + timers.held_retry));
        entry.failed("connection refused".into(), false, &timers, &mut rng, until);
        assert!(entry.timeout().unwrap() > until + timers.held_retry);
    }

    #[test]
    fn what_cannot_succeed_is_not_tried_again() {
        let (timers, mut rng, now) = (Timers::default(), StdRng::seed_from_u64(1), Instant::now());
        let mut entry = Entry::new(true, None, now, &timers);
        entry.failed("cannot connect to ourself".into(), true, &timers, &mut rng, now);
        entry.hurry(now, &timers);
        assert_eq!(entry.timeout(), None);
    }
}
