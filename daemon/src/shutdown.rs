//! One way to stop, asked for in three.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

/// What the end of this process is
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// A signal: another weaved is likely to follow, with what this one knew
    Signal,
    /// `weavectl stop`: the next start is a fresh one; the kernel's part stays
    Stop,
    /// `weavectl reset`: leave the network and remove everything
    Reset,
}

/// Asks for the end, and tells who waits for it
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    token: CancellationToken,
    ending: Arc<AtomicU8>,
}

impl Shutdown {
    /// Nobody has asked
    pub(crate) fn new() -> Self {
        Self {
            token: CancellationToken::new(),
            ending: Arc::new(AtomicU8::new(Ending::Signal as u8)),
        }
    }

    /// Asks for the end; of several askers the one that wants most wins
    pub(crate) fn ask(&self, ending: Ending) {
        self.ending.fetch_max(ending as u8, Ordering::SeqCst);
        self.token.cancel();
    }

    /// The token that is cancelled when the end is asked for
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// What was asked for
    pub(crate) fn ending(&self) -> Ending {
        match self.ending.load(Ordering::SeqCst) {
            0 => Ending::Signal,
            1 => Ending::Stop,
            _ => Ending::Reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_who_wants_most_wins() {
        let shutdown = Shutdown::new();
        assert_eq!(shutdown.ending(), Ending::Signal);
        shutdown.ask(Ending::Reset);
        shutdown.ask(Ending::Stop);
        assert_eq!(shutdown.ending(), Ending::Reset);
        assert!(shutdown.token().is_cancelled());
    }
}
