//! The sending side of a session.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Suite;
use crate::datagram::{HEADER_LEN, Header, InnerHeader, Kind, MAX_LEN, Room, SessionId};
use crate::suite::Aead;

/// Numbers and seals the datagrams of one session; shared by the threads that send on it
///
/// No two datagrams get the same counter, whichever threads seal them.
pub struct Sealer {
    session: SessionId,
    suite: Suite,
    key: Option<Aead>,
    next: AtomicU64,
}

impl Sealer {
    /// A sealer for the session that the receiver named, under the key that it drew
    ///
    /// Building two for one key would repeat nonces; [`Keys`](crate::rekey::Keys) builds one per offer.
    pub fn new(session: SessionId, suite: Suite, key: &[u8; 32]) -> Self {
        Self {
            session,
            suite,
            key: Aead::new(suite, key),
            next: AtomicU64::new(0),
        }
    }

    /// The receiver's session
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// How datagrams are protected
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The room to leave around what a datagram carries
    pub fn room(&self) -> Room {
        self.suite.room()
    }

    /// Datagrams numbered so far
    pub fn used(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Completes one datagram in place and returns its length
    ///
    /// `datagram` is all of it: [`Room::head`] bytes that are filled in here, what it carries, and
    /// [`Room::tail`] bytes that are filled in here.
    pub fn seal_in_place(
        &self,
        kind: Kind,
        inner: InnerHeader,
        datagram: &mut [u8],
    ) -> Result<usize, SealError> {
        self.check_len(datagram.len())?;
        let counter = self.reserve(1)?;
        self.seal_numbered(kind, inner, counter, datagram)?;
        Ok(datagram.len())
    }

    /// Completes datagrams that lie `stride` bytes apart in `buffer`, the last perhaps shorter, and
    /// returns how many there are: what [`Segmenter::fill`](crate::segment::Segmenter::fill) and
    /// [`fragment`](crate::fragment::fragment) lay out, and what one send with `UDP_SEGMENT` takes
    pub fn seal_batch(
        &self,
        kind: Kind,
        inner: InnerHeader,
        buffer: &mut [u8],
        stride: usize,
    ) -> Result<usize, SealError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.check_len(stride)?;
        match buffer.len().checked_rem(stride).unwrap_or(0) {
            0 => {}
            last => self.check_len(last)?,
        }
        let count = buffer.len().div_ceil(stride);
        let first = self.reserve(count as u64)?;
        for (place, datagram) in (0..).zip(buffer.chunks_mut(stride)) {
            self.seal_numbered(kind, inner, first.wrapping_add(place), datagram)?;
        }
        Ok(count)
    }

    fn check_len(&self, len: usize) -> Result<(), SealError> {
        let least = self.room().total();
        if len < least {
            return Err(SealError::TooShort { len, least });
        }
        if len > MAX_LEN {
            return Err(SealError::TooLong(len));
        }
        Ok(())
    }

    /// Takes the next `count` counters, or none at all
    fn reserve(&self, count: u64) -> Result<u64, SealError> {
        let Some(limit) = self.suite.counter_limit() else {
            return Ok(self.next.fetch_add(count, Ordering::Relaxed));
        };
        let take = |next: u64| next.checked_add(count).filter(|end| *end <= limit);
        let taken = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|_unchanged| SealError::Exhausted)
    }

    fn seal_numbered(
        &self,
        kind: Kind,
        inner: InnerHeader,
        counter: u64,
        datagram: &mut [u8],
    ) -> Result<(), SealError> {
        let len = datagram.len();
        let Some((head, rest)) = datagram.split_first_chunk_mut::<HEADER_LEN>() else {
            return Err(SealError::TooShort {
                len,
                least: self.room().total(),
            });
        };
        *head = Header {
            kind,
            sealed: self.key.is_some(),
            session: self.session,
            counter,
        }
        .emit();
        let text_len = rest.len().wrapping_sub(self.suite.tag_len());
        let (text, tail) = rest.split_at_mut(text_len);
        for (to, from) in text.iter_mut().zip(inner.emit()) {
            *to = from;
        }
        if let Some(key) = &self.key {
            let tag = key.seal(counter, head, text).ok_or(SealError::TooLong(len))?;
            tail.copy_from_slice(tag.as_ref());
        }
        Ok(())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer")
            .field("session", &self.session)
            .field("suite", &self.suite)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

/// The datagram was not sealed and must not be sent
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// All counters of the session are used; nothing more can be sent until the receiver offers another
    #[error("the session's counters are used up")]
    Exhausted,
    /// The buffer does not even hold headers and tag: the caller's mistake
    #[error("{len} bytes cannot hold a datagram, which has at least {least}")]
    TooShort {
        /// What was given
        len: usize,
        /// Headers and tag
        least: usize,
    },
    /// More than UDP carries: the caller's mistake
    #[error("{0} bytes are more than a datagram can have")]
    TooLong(usize),
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test is about threads")]
mod tests {
    use std::collections::BTreeSet;

    use model::{ShortId, Vni};

    use super::*;

    const INNER: InnerHeader = InnerHeader {
        flags: 0,
        vni: Vni::new(ShortId::truncated(1), ShortId::truncated(2)),
    };

    #[test]
    fn threads_never_share_a_counter() {
        let sealer = Sealer::new(SessionId::new(7, 7), Suite::Aes256Gcm, &[1; 32]);
        let counters = |batch: usize| {
            let mut buffer = vec![0; 64 * batch];
            let mut seen = Vec::new();
            for _ in 0..2_000 {
                sealer.seal_batch(Kind::Data, INNER, &mut buffer, 64).unwrap();
                seen.extend(buffer.chunks(64).map(|d| Header::parse(d).unwrap().counter));
            }
            seen
        };
        let all: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=4)
                .map(|batch| scope.spawn(move || counters(batch)))
                .collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(all.len(), 2_000 * (1 + 2 + 3 + 4));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(sealer.used(), all.len() as u64);
    }

    #[test]
    fn a_used_up_session_refuses_and_stays_used_up() {
        let sealer = Sealer::new(SessionId::new(7, 7), Suite::ChaCha20Poly1305, &[1; 32]);
        let limit = Suite::ChaCha20Poly1305.counter_limit().unwrap();
        sealer.next.store(limit - 3, Ordering::Relaxed);
        let mut buffer = [0; 4 * 40];
        assert_eq!(
            sealer.seal_batch(Kind::Data, INNER, &mut buffer, 40),
            Err(SealError::Exhausted)
        );
        assert_eq!(
            sealer.seal_batch(Kind::Data, INNER, &mut buffer[..120], 40),
            Ok(3)
        );
        for _ in 0..3 {
            let sealed = sealer.seal_in_place(Kind::Data, INNER, &mut buffer[..40]);
            assert_eq!(sealed, Err(SealError::Exhausted));
        }
        assert_eq!(sealer.used(), limit);
    }

    #[test]
    fn a_clear_session_never_ends() {
        let sealer = Sealer::new(SessionId::new(7, 7), Suite::Clear, &[0; 32]);
        for next in [1 << 40, u64::MAX] {
            sealer.next.store(next, Ordering::Relaxed);
            let mut buffer = [0; 3 * 40];
            assert_eq!(sealer.seal_batch(Kind::Data, INNER, &mut buffer, 40), Ok(3));
            for datagram in buffer.chunks(40) {
                assert!(Header::parse(datagram).unwrap().session.matches(sealer.session()));
            }
        }
    }

    #[test]
    fn lengths_that_no_datagram_has_are_refused_without_a_counter() {
        let sealer = Sealer::new(SessionId::new(7, 7), Suite::Aes256Gcm, &[1; 32]);
        let short = sealer.seal_in_place(Kind::Data, INNER, &mut [0; 35]);
        assert_eq!(short, Err(SealError::TooShort { len: 35, least: 36 }));
        let long = sealer.seal_in_place(Kind::Data, INNER, &mut vec![0; MAX_LEN + 1]);
        assert_eq!(long, Err(SealError::TooLong(MAX_LEN + 1)));
        let last = sealer.seal_batch(Kind::Data, INNER, &mut [0; 100], 90);
        assert_eq!(last, Err(SealError::TooShort { len: 10, least: 36 }));
        assert_eq!(sealer.seal_batch(Kind::Data, INNER, &mut [], 0), Ok(0));
        assert_eq!(sealer.used(), 0);
    }
}
