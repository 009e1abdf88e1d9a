//! At which address the neighbour is on one path, and what proves that it has another.
//!
//! ```text
//!                 genuine ping from elsewhere: challenge there
//!   ┌──────────┐ ─────────────────────────────────────────────► ┌────────────┐
//!   │ Settled  │                                                │ Challenged │
//!   └──────────┘ ◄───────────────────────────────────────────── └────────────┘
//!                 its answer, genuine and from there: moved
//! ```
//! A genuine heartbeat alone proves no address: anybody on the way can hold it back and send it on from
//! elsewhere first. Who answers a challenge receives what is sent to the address, and answers from it.

use std::time::{Duration, Instant};

use crate::heartbeat::{Beat, BeatFields};

/// The address of a neighbour on one path; `A` is the kind of address
#[derive(Debug, Clone)]
pub struct Roam<A> {
    remote: A,
    candidate: Option<Candidate<A>>,
}

#[derive(Debug, Clone)]
struct Candidate<A> {
    address: A,
    id: u64,
    asked: Instant,
}

impl<A: Copy + Eq> Roam<A> {
    /// At the address of the control connection, where nobody else answers
    pub const fn new(remote: A) -> Self {
        Self {
            remote,
            candidate: None,
        }
    }

    /// The proved address
    pub const fn remote(&self) -> A {
        self.remote
    }

    /// A genuine ping came from `from`: the challenge to send there, unless it is the proved address or there
    /// was a challenge a moment ago; `id` is random and not that of a probe
    pub fn pinged(&mut self, from: A, id: u64, now: Instant) -> Option<Beat> {
        let asked_lately = self
            .candidate
            .as_ref()
            .is_some_and(|candidate| now.saturating_duration_since(candidate.asked) < BETWEEN_CHALLENGES);
        if from == self.remote || asked_lately {
            return None;
        }
        self.candidate = Some(Candidate {
            address: from,
            id,
            asked: now,
        });
        Some(Beat::Ping(BeatFields {
            id,
            sequence: 0,
            size: 0,
        }))
    }

    /// A genuine pong came from `from`: whether it answers the challenge, and the neighbour is there from here
    /// on
    pub fn answered(&mut self, pong: BeatFields, from: A, now: Instant) -> bool {
        let proved = self.candidate.take_if(|candidate| {
            let in_time = now.saturating_duration_since(candidate.asked) < CHALLENGE_LIFE;
            candidate.id == pong.id && candidate.address == from && in_time
        });
        if let Some(Candidate { address, .. }) = &proved {
            self.remote = *address;
        }
        proved.is_some()
    }
}

/// From one challenge to the next: a neighbour pings twice a second
const BETWEEN_CHALLENGES: Duration = Duration::from_millis(100);
/// An answer that comes later says nothing of where the neighbour is
const CHALLENGE_LIFE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pong(challenge: Option<Beat>) -> BeatFields {
        challenge.expect("a challenge").fields()
    }

    #[test]
    fn an_answered_challenge_moves_the_neighbour() {
        let now = Instant::now();
        let mut roam = Roam::new('a');
        let challenge = roam.pinged('b', 7, now);
        assert_eq!(roam.remote(), 'a', "a ping moves nothing");
        assert!(roam.answered(pong(challenge), 'b', now));
        assert_eq!(roam.remote(), 'b');
        assert!(!roam.answered(pong(challenge), 'b', now), "once");
    }

    #[test]
    fn nothing_else_moves_it() {
        let now = Instant::now();
        let mut roam = Roam::new('a');
        assert_eq!(roam.pinged('a', 7, now), None, "it is there");
        let challenge = pong(roam.pinged('b', 7, now));
        assert!(!roam.answered(challenge, 'c', now), "from elsewhere");
        assert!(
            !roam.answered(BeatFields { id: 8, ..challenge }, 'b', now),
            "to another ping"
        );
        assert!(!roam.answered(challenge, 'b', now + CHALLENGE_LIFE), "too late");
        assert_eq!(roam.remote(), 'a');
    }

    #[test]
    fn of_two_candidates_the_newer_is_asked() {
        let now = Instant::now();
        let later = now + BETWEEN_CHALLENGES;
        let mut roam = Roam::new('a');
        let first = pong(roam.pinged('b', 7, now));
        assert_eq!(roam.pinged('c', 8, now), None, "not so soon");
        let second = pong(roam.pinged('c', 9, later));
        assert!(!roam.answered(first, 'b', later));
        assert!(roam.answered(second, 'c', later));
    }

    proptest! {
        #[test]
        fn only_who_receives_at_an_address_brings_the_neighbour_there(
            steps in prop::collection::vec((any::<bool>(), 0..4u8, 0..6u64, 0..300u64), 1..60),
        ) {
            let mut now = Instant::now();
            let mut roam = Roam::new(0);
            let mut asked = Vec::new();
            for (is_ping, from, id, pause) in steps {
                now += Duration::from_millis(pause);
                let before = roam.remote();
                if is_ping {
                    if roam.pinged(from, id, now).is_some() {
                        asked.push((from, id));
                    }
                    prop_assert_eq!(roam.remote(), before);
                } else {
                    let fields = BeatFields { id, sequence: 0, size: 0 };
                    let moved = roam.answered(fields, from, now);
                    prop_assert!(!moved || asked.contains(&(from, id)));
                    prop_assert_eq!(roam.remote(), if moved { from } else { before });
                }
            }
        }
    }
}
