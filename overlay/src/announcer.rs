//! Which choices of a path people are told of.
//!
//! ```text
//!             it has settled: told at once
//!  ┌───────┐  the grace is over: told as it is  ┌──────┐ ──┐ another path:
//!  │ Quiet │ ─────────────────────────────────► │ Told │   │ told at once
//!  └───────┘                                    └──────┘ ◄─┘
//! ```
//! Between hosts that have just met the sleeve often works a beat before fastdp does, and its reason
//! reads like trouble. Frames take it meanwhile, and the status says so; what is announced can wait for
//! the choice that stays.

use std::time::{Duration, Instant};

use model::{PathKind, later};

use crate::chooser::{Choice, Reason};

/// Announces one neighbour's paths
#[derive(Debug, Clone)]
pub struct Announcer {
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Quiet { until: Instant },
    Told(Option<PathKind>),
}

impl Announcer {
    /// A neighbour that has just been met: its first choice has this long to settle
    pub fn new(grace: Duration, now: Instant) -> Self {
        Self {
            state: State::Quiet {
                until: later(now, grace),
            },
        }
    }

    /// Takes in the choice of this moment; the same again if it is to be announced
    pub fn update(&mut self, choice: Choice, now: Instant) -> Option<Choice> {
        let tell = match self.state {
            State::Quiet { until } => has_settled(&choice) || now >= until,
            State::Told(path) => path != choice.path,
        };
        tell.then(|| {
            self.state = State::Told(choice.path);
            choice
        })
    }

    /// When to call [`Announcer::update`] even if the choice is the same, and why
    pub const fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self.state {
            State::Quiet { until } => Some((until, "the first choice is announced as it is")),
            State::Told(_) => None,
        }
    }
}

/// Whether time alone will not bring another choice
const fn has_settled(choice: &Choice) -> bool {
    match (choice.path, choice.reason) {
        (None, _) | (Some(_), Some(Reason::NeverHeard { .. })) => false,
        (Some(_), _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which millisecond there is which choice, and whether it is told
    type Step = (u64, Choice, bool);

    const GRACE: Duration = Duration::from_secs(1);

    const NONE: Choice = Choice {
        path: None,
        reason: Some(Reason::NeverHeard { port: 6784 }),
        mtu: None,
    };
    const NO_HEARTBEAT_YET: Choice = Choice {
        path: Some(PathKind::Sleeve),
        ..NONE
    };
    const FASTDP: Choice = Choice {
        path: Some(PathKind::Fastdp),
        reason: None,
        mtu: None,
    };
    const ENCRYPTED: Choice = Choice {
        path: Some(PathKind::Sleeve),
        reason: Some(Reason::Encrypted),
        mtu: None,
    };
    const MEASURED: Choice = Choice {
        mtu: Some(1450),
        ..FASTDP
    };
    const CUT: Choice = Choice {
        path: Some(PathKind::Sleeve),
        reason: Some(Reason::Silent {
            silent: Duration::from_millis(1600),
            port: 6784,
        }),
        mtu: None,
    };

    #[test]
    fn only_choices_that_stay_are_told_of() {
        #[rustfmt::skip]
        let table: &[(&str, &[Step])] = &[
            ("the sleeve first, then fastdp", &[
                (0, NONE, false), (300, NO_HEARTBEAT_YET, false), (500, FASTDP, true), (1000, FASTDP, false),
            ]),
            ("fastdp first", &[(0, NONE, false), (10, FASTDP, true), (20, MEASURED, false)]),
            ("a reason that lasts", &[(0, NONE, false), (10, ENCRYPTED, true), (1000, ENCRYPTED, false)]),
            ("VXLAN blocked from the start", &[
                (10, NO_HEARTBEAT_YET, false), (999, NO_HEARTBEAT_YET, false),
                (1000, NO_HEARTBEAT_YET, true), (1500, NO_HEARTBEAT_YET, false), (9000, FASTDP, true),
            ]),
            ("everything blocked from the start", &[
                (0, NONE, false), (1000, NONE, true), (2000, NONE, false), (9000, NO_HEARTBEAT_YET, true),
            ]),
            ("cut soon after it was told of", &[
                (10, FASTDP, true), (20, CUT, true), (30, CUT, false), (40, NONE, true), (50, FASTDP, true),
            ]),
            ("a clock that is late", &[(0, NO_HEARTBEAT_YET, false), (7000, NO_HEARTBEAT_YET, true)]),
        ];
        for (what, steps) in table {
            let start = Instant::now();
            let mut announcer = Announcer::new(GRACE, start);
            for (ms, choice, told) in *steps {
                let now = start + Duration::from_millis(*ms);
                let expected = told.then_some(*choice);
                assert_eq!(announcer.update(*choice, now), expected, "{what}: at {ms} ms");
            }
        }
    }

    #[test]
    fn it_wants_to_be_asked_when_the_grace_is_over_and_not_again() {
        let start = Instant::now();
        let mut announcer = Announcer::new(GRACE, start);
        announcer.update(NO_HEARTBEAT_YET, start);
        assert_eq!(announcer.poll_timeout().map(|(at, _)| at), Some(start + GRACE));
        announcer.update(NO_HEARTBEAT_YET, start + GRACE);
        assert_eq!(announcer.poll_timeout(), None);
    }
}
