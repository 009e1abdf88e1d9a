//! Key messages on the control channel.
//!
//! ```text
//!  0       1       2       3
//! +-------+-------+-------+-------+
//! |version| kind  | suite |   0   |  version 2; kind: 1 offer, 2 accept; suite: 0 clear,
//! +-------+-------+-------+-------+  1 AES-256-GCM, 2 ChaCha20-Poly1305 (0 in accept)
//! |     slot      |               |
//! +-------+-------+               +
//! |          session id           |
//! +               +-------+-------+
//! |               |
//! +-------+-------+
//! | key (32), in an offer of a sealed session
//! +-------+-------+-------+-------+
//! ```

use zeroize::Zeroizing;

use crate::Suite;
use crate::datagram::SessionId;

/// What neighbours tell each other about keys
#[derive(Clone, PartialEq, Eq)]
pub enum KeyMessage {
    /// Send to me like this
    Offer(SessionKey),
    /// I do
    Accept(SessionId),
}

/// A session and its key
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    /// The receiver's session
    pub session: SessionId,
    /// How its datagrams are protected
    pub suite: Suite,
    /// With what; zero for [`Suite::Clear`]
    pub key: Zeroizing<[u8; 32]>,
}

impl KeyMessage {
    /// Reads a message
    pub fn parse(message: &[u8]) -> Result<Self, KeyMessageError> {
        let length = KeyMessageError::Length(message.len());
        let Some((&[version, kind, suite, reserved, s0, s1, random @ ..], rest)) =
            message.split_first_chunk::<HEAD>()
        else {
            return Err(length);
        };
        if version != VERSION {
            return Err(KeyMessageError::Version(version));
        }
        let suite = Suite::from_wire(suite).ok_or(KeyMessageError::Suite(suite))?;
        if reserved != 0 {
            return Err(KeyMessageError::Reserved);
        }
        let session = SessionId::parse([s0, s1], random).ok_or(KeyMessageError::Reserved)?;
        match (kind, suite, rest) {
            (OFFER, Suite::Clear, []) => Ok(Self::Offer(SessionKey {
                session,
                suite,
                key: Zeroizing::new([0; 32]),
            })),
            (OFFER, Suite::Aes256Gcm | Suite::ChaCha20Poly1305, key) => Ok(Self::Offer(SessionKey {
                session,
                suite,
                key: Zeroizing::new(key.try_into().map_err(|_not_32_bytes| length)?),
            })),
            (ACCEPT, Suite::Clear, []) => Ok(Self::Accept(session)),
            (ACCEPT, Suite::Aes256Gcm | Suite::ChaCha20Poly1305, _) => Err(KeyMessageError::Reserved),
            (OFFER | ACCEPT, Suite::Clear, _) => Err(length),
            (other, _, _) => Err(KeyMessageError::Kind(other)),
        }
    }

    /// The message's bytes, cleared when dropped
    pub fn emit(&self) -> Zeroizing<Vec<u8>> {
        // At full capacity from the start: a vector that grows leaves copies of the key behind.
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD + 32));
        let (kind, suite, session) = match self {
            Self::Offer(offer) => (OFFER, offer.suite, offer.session),
            Self::Accept(session) => (ACCEPT, Suite::Clear, *session),
        };
        out.extend_from_slice(&[VERSION, kind, suite.wire(), 0]);
        let (slot, random) = session.emit();
        out.extend_from_slice(&slot);
        out.extend_from_slice(&random);
        match self {
            Self::Offer(offer) if offer.suite.is_sealed() => out.extend_from_slice(&*offer.key),
            Self::Offer(_) | Self::Accept(_) => {}
        }
        out
    }
}

impl std::fmt::Debug for KeyMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Offer(SessionKey { session, suite, .. }) => write!(f, "Offer({session:?}, {suite:?})"),
            Self::Accept(session) => write!(f, "Accept({session:?})"),
        }
    }
}

/// The bytes are no key message
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyMessageError {
    /// Too short or too long for what it says it is
    #[error("{0} bytes are no key message")]
    Length(usize),
    /// Of a version that is not spoken here
    #[error("unknown key message version {0}")]
    Version(u8),
    /// Neither offer nor accept
    #[error("unknown key message kind {0}")]
    Kind(u8),
    /// A suite that is not known here
    #[error("unknown suite {0}")]
    Suite(u8),
    /// A byte that is not used is not zero
    #[error("a reserved byte of a key message is set")]
    Reserved,
}

/// Bytes before the key
const HEAD: usize = 4 + SessionId::LEN;
const VERSION: u8 = 0x02;
const OFFER: u8 = 0x01;
const ACCEPT: u8 = 0x02;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(suite: Suite, key: [u8; 32]) -> KeyMessage {
        KeyMessage::Offer(SessionKey {
            session: SessionId::new(7, 0x0123_4567_89ab_cdef),
            suite,
            key: Zeroizing::new(key),
        })
    }

    #[test]
    fn every_message_reads_and_writes_its_bytes() {
        let clear = [
            0x02, // version
            0x01, // kind: offer
            0x00, // suite: clear
            0x00, // reserved
            0x00, 0x07, // slot
            0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, // session
        ];
        let mut sealed = [0x5a; 46]; // key: 32 times 5a
        sealed[..14].copy_from_slice(&clear);
        sealed[2] = 0x02; // suite: ChaCha20-Poly1305
        let mut accept = clear;
        accept[1] = 0x02; // kind: accept
        for (message, bytes) in [
            (offer(Suite::Clear, [0; 32]), &clear[..]),
            (offer(Suite::ChaCha20Poly1305, [0x5a; 32]), &sealed[..]),
            (
                KeyMessage::Accept(SessionId::new(7, 0x0123_4567_89ab_cdef)),
                &accept[..],
            ),
        ] {
            assert_eq!(&message.emit()[..], bytes);
            assert_eq!(KeyMessage::parse(bytes), Ok(message));
        }
    }

    #[test]
    fn what_is_no_key_message_is_refused() {
        let sealed = offer(Suite::Aes256Gcm, [1; 32]).emit();
        let with = |at: usize, byte: u8| {
            let mut bytes = sealed.clone();
            bytes[at] = byte;
            KeyMessage::parse(&bytes)
        };
        assert_eq!(KeyMessage::parse(&sealed[..45]), Err(KeyMessageError::Length(45)));
        assert_eq!(with(0, 1), Err(KeyMessageError::Version(1)));
        assert_eq!(with(1, 2), Err(KeyMessageError::Reserved));
        assert_eq!(with(1, 3), Err(KeyMessageError::Kind(3)));
        assert_eq!(with(2, 0), Err(KeyMessageError::Length(46)));
        assert_eq!(with(2, 3), Err(KeyMessageError::Suite(3)));
        assert_eq!(with(3, 1), Err(KeyMessageError::Reserved));
        assert_eq!(with(4, 0x10), Err(KeyMessageError::Reserved));
    }

    #[test]
    fn debug_output_has_no_key() {
        assert!(!format!("{:?}", offer(Suite::Aes256Gcm, [0x5a; 32])).contains("90"));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_what_they_were_or_err(
            mut bytes in prop::collection::vec(any::<u8>(), 0..50),
            ours: bool,
        ) {
            if ours && bytes.len() >= 4 {
                let head = [2, bytes[1] % 4, bytes[2] % 4, 0];
                bytes[..4].copy_from_slice(&head);
            }
            if let Ok(message) = KeyMessage::parse(&bytes) {
                prop_assert_eq!(&message.emit()[..], &bytes[..]);
            }
        }
    }
}
