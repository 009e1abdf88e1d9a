//! The receiving side of a session.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Vni;

use crate::Suite;
use crate::datagram::{HEADER_LEN, Header, HeaderError, INNER_LEN, InnerHeader, Kind, MAX_LEN, SessionId};
use crate::replay::{Freshness, ReplayWindow};
use crate::suite::Aead;

/// Checks and opens the datagrams of one session; owned by the one thread that receives them
pub struct Opener {
    session: SessionId,
    suite: Suite,
    key: Option<Aead>,
    window: ReplayWindow,
    counters: Arc<OpenCounters>,
}

impl Opener {
    /// An opener for the session and key that this host drew
    pub fn new(session: SessionId, suite: Suite, key: &[u8; 32]) -> Self {
        Self {
            session,
            suite,
            key: Aead::new(suite, key),
            window: ReplayWindow::new(),
            counters: Arc::default(),
        }
    }

    /// The session, as senders name it
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// How datagrams are protected
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// What was opened and refused, readable from any thread
    pub fn counters(&self) -> &Arc<OpenCounters> {
        &self.counters
    }

    /// Opens one datagram in place
    ///
    /// On error the datagram is to be dropped; it was counted, nothing else changed, and its bytes may
    /// be garbage. A clear session has no replay check: whoever can repeat a datagram can invent one.
    pub fn open_in_place(&mut self, datagram: &mut [u8]) -> Result<Opened, OpenError> {
        let opened = self.try_open(datagram);
        let counters = &*self.counters;
        if opened.is_ok() {
            counters.highest.store(self.window.next(), Ordering::Relaxed);
        }
        bump(match opened {
            Ok(_) => &counters.opened,
            Err(OpenError::TooShort(_)) => &counters.too_short,
            Err(OpenError::TooLong(_)) => &counters.too_long,
            Err(OpenError::Header(_)) => &counters.malformed,
            Err(OpenError::Session(_)) => &counters.wrong_session,
            Err(OpenError::NotSealed | OpenError::Sealed) => &counters.wrong_seal,
            Err(OpenError::Forged) => &counters.forged,
            Err(OpenError::Replayed(_)) => &counters.replayed,
            Err(OpenError::TooOld(_)) => &counters.too_old,
        });
        opened
    }

    fn try_open(&mut self, datagram: &mut [u8]) -> Result<Opened, OpenError> {
        let len = datagram.len();
        if len > MAX_LEN {
            return Err(OpenError::TooLong(len));
        }
        let header = Header::parse(datagram)?;
        let Header {
            kind,
            sealed,
            session,
            counter,
        } = header;
        if !session.matches(self.session) {
            return Err(OpenError::Session(session));
        }
        match (sealed, self.key.is_some()) {
            (true, true) | (false, false) => {}
            (false, true) => return Err(OpenError::NotSealed),
            (true, false) => return Err(OpenError::Sealed),
        }
        let Some((head, text)) = datagram.split_first_chunk_mut::<HEADER_LEN>() else {
            return Err(OpenError::TooShort(len));
        };
        let Some(inner_end) = text
            .len()
            .checked_sub(self.suite.tag_len())
            .filter(|end| *end >= INNER_LEN)
        else {
            return Err(OpenError::TooShort(len));
        };
        if let Some(key) = &self.key {
            match self.window.check(counter) {
                Freshness::Fresh => {}
                Freshness::Seen => return Err(OpenError::Replayed(counter)),
                Freshness::TooOld => return Err(OpenError::TooOld(counter)),
            }
            if !key.open(counter, head, text) {
                return Err(OpenError::Forged);
            }
            self.window.mark(counter);
        }
        let Some(inner) = text.first_chunk::<INNER_LEN>() else {
            return Err(OpenError::TooShort(len));
        };
        let InnerHeader { flags, vni } = InnerHeader::parse(*inner);
        Ok(Opened {
            kind,
            flags,
            vni,
            body: HEADER_LEN + INNER_LEN..inner_end.wrapping_add(HEADER_LEN),
        })
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("session", &self.session)
            .field("suite", &self.suite)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// What a genuine datagram carries
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the body is
    pub kind: Kind,
    /// The switch's own
    pub flags: u8,
    /// From which peer to which
    pub vni: Vni,
    /// Where in the datagram the body lies
    pub body: Range<usize>,
}

/// The datagram is to be dropped: a stranger's, a stale, or a damaged one
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Cut off
    #[error("{0} bytes are too few for a datagram of this session")]
    TooShort(usize),
    /// Longer than any datagram
    #[error("{0} bytes are more than a datagram can have")]
    TooLong(usize),
    /// The head makes no sense
    #[error("bad header")]
    Header(#[source] HeaderError),
    /// Another session's
    #[error("not for this session but for {0:?}")]
    Session(SessionId),
    /// Clear, in a sealed session
    #[error("not sealed, in a sealed session")]
    NotSealed,
    /// Sealed, in a clear session
    #[error("sealed, in a clear session")]
    Sealed,
    /// Not sealed with this session's key
    #[error("forged or damaged")]
    Forged,
    /// Seen before
    #[error("replayed: counter {0} was seen before")]
    Replayed(u64),
    /// So far behind the newest that it cannot be told whether it was seen
    #[error("too old: counter {0}")]
    TooOld(u64),
}

impl From<HeaderError> for OpenError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::TooShort(len) => Self::TooShort(len),
            HeaderError::Kind(_) | HeaderError::Reserved => Self::Header(error),
        }
    }
}

/// What became of the datagrams of one session; written by one thread, read by any
#[derive(Debug, Default)]
pub struct OpenCounters {
    /// Opened
    pub opened: AtomicU64,
    /// [`OpenError::TooShort`]
    pub too_short: AtomicU64,
    /// [`OpenError::TooLong`]
    pub too_long: AtomicU64,
    /// [`OpenError::Header`]
    pub malformed: AtomicU64,
    /// [`OpenError::Session`]
    pub wrong_session: AtomicU64,
    /// [`OpenError::NotSealed`] and [`OpenError::Sealed`]
    pub wrong_seal: AtomicU64,
    /// [`OpenError::Forged`]
    pub forged: AtomicU64,
    /// [`OpenError::Replayed`]
    pub replayed: AtomicU64,
    /// [`OpenError::TooOld`]
    pub too_old: AtomicU64,
    /// One more than the highest counter of a genuine sealed datagram: how much of the key is used
    pub highest: AtomicU64,
}

/// One more; a load and a store, since one thread writes
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}
