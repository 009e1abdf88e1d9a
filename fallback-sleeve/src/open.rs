//! The receiving side of a session.

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
            Err(OpenError::Header(_) | OpenError::Counter(_)) => &counters.malformed,
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
        if session != self.session {
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
        if counter >= self.suite.counter_limit() {
            return Err(OpenError::Counter(counter));
        }
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
            body: HEADER_LEN + INNER_LEN..HEADER_LEN + inner_end,
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
    /// A counter that no sender reaches
    #[error("counter {0} is beyond the session's end")]
    Counter(u64),
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
    /// [`OpenError::Header`] and [`OpenError::Counter`]
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
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use model::ShortId;
    use proptest::prelude::*;

    use super::*;
    use crate::Sealer;

    const KEY: [u8; 32] = [9; 32];
    const SESSION: SessionId = SessionId::new(3, 0x5_5555);
    const SUITES: [Suite; 3] = [Suite::Clear, Suite::Aes256Gcm, Suite::ChaCha20Poly1305];

    fn inner() -> InnerHeader {
        InnerHeader {
            flags: 0x41,
            vni: Vni::new(ShortId::truncated(5), ShortId::truncated(6)),
        }
    }

    fn pair(suite: Suite) -> (Sealer, Opener) {
        (
            Sealer::new(SESSION, suite, &KEY),
            Opener::new(SESSION, suite, &KEY),
        )
    }

    fn sealed(sealer: &Sealer, body: &[u8]) -> Vec<u8> {
        let room = sealer.room();
        let mut datagram = vec![0; room.head];
        datagram.extend_from_slice(body);
        datagram.resize(room.total() + body.len(), 0);
        sealer.seal_in_place(Kind::Data, inner(), &mut datagram).unwrap();
        datagram
    }

    fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn what_was_sealed_opens_in_every_suite() {
        for suite in SUITES {
            let (sealer, mut opener) = pair(suite);
            let mut datagram = sealed(&sealer, b"a frame");
            let opened = opener.open_in_place(&mut datagram).unwrap();
            assert_eq!(&datagram[opened.body.clone()], b"a frame");
            assert_eq!(
                (opened.kind, opened.flags, opened.vni),
                (Kind::Data, 0x41, inner().vni)
            );
            assert_eq!(read(&opener.counters().opened), 1);
        }
    }

    #[test]
    fn a_changed_bit_anywhere_is_refused() {
        for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
            let (sealer, mut opener) = pair(suite);
            let good = sealed(&sealer, b"a frame");
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(opener.open_in_place(&mut bad).is_err(), "{suite:?} bit {bit}");
            }
            assert!(opener.open_in_place(&mut good.clone()).is_ok());
            assert!(read(&opener.counters().forged) > 0);
        }
    }

    #[test]
    fn a_forgery_does_not_move_the_window() {
        let (sealer, mut opener) = pair(Suite::Aes256Gcm);
        let mut forged = sealed(&sealer, b"x");
        forged[8..16].copy_from_slice(&(1u64 << 39).to_be_bytes());
        assert_eq!(opener.open_in_place(&mut forged), Err(OpenError::Forged));
        assert!(opener.open_in_place(&mut sealed(&sealer, b"y")).is_ok());
        assert_eq!(read(&opener.counters().highest), 2);
    }

    #[test]
    fn replays_and_old_ones_are_refused_and_counted() {
        let (sealer, mut opener) = pair(Suite::Aes256Gcm);
        let first = sealed(&sealer, b"first");
        let second = sealed(&sealer, b"second");
        assert!(opener.open_in_place(&mut second.clone()).is_ok());
        assert!(opener.open_in_place(&mut first.clone()).is_ok(), "late but new");
        assert_eq!(
            opener.open_in_place(&mut first.clone()),
            Err(OpenError::Replayed(0))
        );
        let third = sealed(&sealer, b"third");
        for _ in 0..ReplayWindow::SIZE {
            assert!(opener.open_in_place(&mut sealed(&sealer, b"")).is_ok());
        }
        assert_eq!(
            opener.open_in_place(&mut third.clone()),
            Err(OpenError::TooOld(2))
        );
        assert_eq!(
            (
                read(&opener.counters().replayed),
                read(&opener.counters().too_old)
            ),
            (1, 1)
        );
    }

    #[test]
    fn a_clear_session_takes_only_its_own_clear_datagrams() {
        let (sealer, mut opener) = pair(Suite::Clear);
        let datagram = sealed(&sealer, b"frame");
        assert!(opener.open_in_place(&mut datagram.clone()).is_ok());
        assert!(
            opener.open_in_place(&mut datagram.clone()).is_ok(),
            "no replay check"
        );
        let mut other = datagram.clone();
        other[7] ^= 1;
        let session = SessionId(SESSION.0 ^ 1);
        assert_eq!(opener.open_in_place(&mut other), Err(OpenError::Session(session)));
        let mut flagged = datagram.clone();
        flagged[1] = 1;
        assert_eq!(opener.open_in_place(&mut flagged), Err(OpenError::Sealed));
    }

    #[test]
    fn each_refusal_has_its_error_and_its_count() {
        let (sealer, mut opener) = pair(Suite::Aes256Gcm);
        let good = sealed(&sealer, b"");
        let mut clear = good.clone();
        clear[1] = 0;
        let mut kind = good.clone();
        kind[0] = 9;
        let mut counter = good.clone();
        counter[8] = 0xff;
        let mut long = vec![0; MAX_LEN + 1];
        let mut try_open = |datagram: &mut [u8]| opener.open_in_place(datagram).unwrap_err();
        assert_eq!(try_open(&mut []), OpenError::TooShort(0));
        assert_eq!(try_open(&mut good[..35].to_vec()), OpenError::TooShort(35));
        assert_eq!(try_open(&mut clear), OpenError::NotSealed);
        assert_eq!(try_open(&mut kind), OpenError::Header(HeaderError::Kind(9)));
        assert_eq!(try_open(&mut counter), OpenError::Counter(0xff << 56));
        assert_eq!(try_open(&mut long), OpenError::TooLong(MAX_LEN + 1));
        let counters = opener.counters();
        assert_eq!(read(&counters.too_short), 2);
        assert_eq!(read(&counters.wrong_seal), 1);
        assert_eq!(read(&counters.malformed), 2);
        assert_eq!(read(&counters.too_long), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), suite in 0..3usize, ours: bool) {
            let (_, mut opener) = pair(SUITES[suite]);
            let mut datagram = bytes;
            if ours && datagram.len() >= 8 {
                let sealed = u8::from(SUITES[suite].is_sealed());
                datagram[..4].copy_from_slice(&[1, sealed, 0, 0]);
                datagram[4..8].copy_from_slice(&SESSION.0.to_be_bytes());
            }
            if let Ok(opened) = opener.open_in_place(&mut datagram) {
                prop_assert!(datagram.get(opened.body).is_some());
            }
        }
    }
}
