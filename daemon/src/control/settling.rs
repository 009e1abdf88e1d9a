//! How long a restarted daemon leaves alone the flows that it found.
//!
//! ```text
//!            the last neighbour of before is back        its paths had time
//! ┌─────────┐ ─────────────────────────────────► ┌──────┐ ─────────────────► settled
//! │ Waiting │                                    │ Soon │
//! └────┬────┘                                    └──────┘
//!      └──────────────────────────────────────────────────────────────────► settled
//!                               the grace is over
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::PeerName;

/// Adopted flows are left alone this long after the neighbours are back, so that their paths have had
/// time to prove themselves.
const SETTLE_AFTER: Duration = Duration::from_secs(2);

/// What a restarted daemon waits for before it reconciles adopted flows
#[derive(Debug)]
pub(crate) struct Settling {
    /// Neighbours of before the restart that are not back
    awaited: BTreeSet<PeerName>,
    /// None once it is settled
    at: Option<Instant>,
}

impl Settling {
    /// Waits for these, and no longer than until the grace is over
    pub(crate) const fn new(awaited: BTreeSet<PeerName>, grace_over: Instant) -> Self {
        Self {
            awaited,
            at: Some(grace_over),
        }
    }

    /// A neighbour is back, or will not come
    pub(crate) fn heard_of(&mut self, peer: PeerName, now: Instant) {
        if self.awaited.remove(&peer) && self.awaited.is_empty() && self.at.is_some() {
            self.at = Some(now + SETTLE_AFTER);
        }
    }

    /// Whether it has just settled
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }

    /// When to call [`Settling::handle_timeout`]
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.at
    }
}
