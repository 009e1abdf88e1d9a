//! The ways to protect a datagram.

use std::time::{Duration, Instant};

use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use crate::datagram::{HEADER_LEN, Room, TAG_LEN};

/// How datagrams of a session are protected
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Not at all
    Clear,
    /// AES-256 in Galois/Counter Mode
    Aes256Gcm,
    /// ChaCha20 with Poly1305 (RFC 8439)
    ChaCha20Poly1305,
}

impl Suite {
    /// The sealing suite that this CPU computes fastest, by trying both; `now` is the clock
    ///
    /// Takes about a millisecond. The best of several turns counts: whatever else the CPU does only makes
    /// one slower.
    pub fn fastest_sealed(mut now: impl FnMut() -> Instant) -> Self {
        const TURNS: usize = 5;
        const DATAGRAMS: u64 = 64;
        let mut text = [0x5a; 1400];
        // Never sent, so that nonces may repeat.
        let keyed =
            [Self::Aes256Gcm, Self::ChaCha20Poly1305].map(|suite| (suite, Aead::new(suite, &[0; 32])));
        let mut best = [Duration::MAX; 2];
        for _turn in 0..TURNS {
            for ((_, key), best) in keyed.iter().zip(&mut best) {
                let begun = now();
                for counter in 0..DATAGRAMS {
                    let tag = key
                        .as_ref()
                        .and_then(|key| key.seal(counter, &[0; HEADER_LEN], &mut text));
                    std::hint::black_box(tag);
                }
                *best = now().saturating_duration_since(begun).min(*best);
            }
        }
        let [aes, chacha] = best;
        if aes <= chacha {
            Self::Aes256Gcm
        } else {
            Self::ChaCha20Poly1305
        }
    }

    /// Whether datagrams are sealed
    pub const fn is_sealed(self) -> bool {
        match self {
            Self::Clear => false,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => true,
        }
    }

    /// Bytes after what is carried
    pub const fn tag_len(self) -> usize {
        self.room().tail
    }

    /// The room around what is carried
    pub const fn room(self) -> Room {
        if self.is_sealed() {
            Room::SEALED
        } else {
            Room::CLEAR
        }
    }

    /// How many datagrams one session may have; none where that does not matter
    ///
    /// Far above where a session is replaced ([`crate::rekey`]): it stops a sender whose receiver has ceased to
    /// draw keys before the counter's 40 bits on the wire begin anew. Nobody looks at a clear one.
    pub const fn counter_limit(self) -> Option<u64> {
        match self {
            Self::Clear => None,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => Some(1 << 40),
        }
    }

    pub(crate) const fn wire(self) -> u8 {
        match self {
            Self::Clear => 0x00,
            Self::Aes256Gcm => 0x01,
            Self::ChaCha20Poly1305 => 0x02,
        }
    }

    pub(crate) const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            0x00 => Some(Self::Clear),
            0x01 => Some(Self::Aes256Gcm),
            0x02 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    const fn algorithm(self) -> Option<&'static Algorithm> {
        match self {
            Self::Clear => None,
            Self::Aes256Gcm => Some(&AES_256_GCM),
            Self::ChaCha20Poly1305 => Some(&CHACHA20_POLY1305),
        }
    }
}

/// An expanded key; overwritten when dropped
pub(crate) struct Aead(Box<LessSafeKey>);

impl Aead {
    /// The key of a sealing suite, none for [`Suite::Clear`]
    pub(crate) fn new(suite: Suite, key: &[u8; 32]) -> Option<Self> {
        suite
            .algorithm()
            .map(|algorithm| Self(Box::new(expand(algorithm, key))))
    }

    /// Encrypts `text` in place; `None` where it is longer than the algorithm takes
    pub(crate) fn seal(&self, counter: u64, header: &[u8; HEADER_LEN], text: &mut [u8]) -> Option<Tag> {
        let sealed = self
            .0
            .seal_in_place_separate_tag(nonce(counter), Aad::from(header), text);
        sealed.ok()
    }

    /// Decrypts `text`, which has its tag at the end, in place; `false` if it was not sealed with this key
    pub(crate) fn open(&self, counter: u64, header: &[u8; HEADER_LEN], text: &mut [u8]) -> bool {
        let opened = self.0.open_in_place(nonce(counter), Aad::from(header), text);
        opened.is_ok()
    }
}

impl Drop for Aead {
    fn drop(&mut self) {
        // ring does not clear its keys: store another one over it, and let the optimizer believe that
        // somebody looks.
        let algorithm = self.0.algorithm();
        *self.0 = expand(algorithm, &[0; 32]);
        std::hint::black_box(&*self.0);
    }
}

fn expand(algorithm: &'static Algorithm, key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(algorithm, key).expect("both algorithms take keys of 32 bytes"))
}

fn nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    Nonce::assume_unique_for_key([0, 0, 0, 0, a, b, c, d, e, f, g, h])
}

const _: () = assert!(TAG_LEN == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_its_number() {
        for (suite, byte) in [
            (Suite::Clear, 0),
            (Suite::Aes256Gcm, 1),
            (Suite::ChaCha20Poly1305, 2),
        ] {
            assert_eq!(suite.wire(), byte);
            assert_eq!(Suite::from_wire(byte), Some(suite));
        }
        assert_eq!(Suite::from_wire(3), None);
    }

    #[test]
    fn the_suite_that_took_less_time_is_chosen() {
        // A clock that shows, each time it is read, how long the turn between two reads took.
        let with = |aes: u64, chacha: u64| {
            let (mut time, mut reads) = (Instant::now(), 0);
            Suite::fastest_sealed(|| {
                time += Duration::from_micros(match reads % 4 {
                    1 => aes,
                    3 => chacha,
                    _ => 0,
                });
                reads += 1;
                time
            })
        };
        assert_eq!(with(10, 20), Suite::Aes256Gcm);
        assert_eq!(with(20, 10), Suite::ChaCha20Poly1305);
    }

    #[test]
    fn tags_are_as_long_as_the_room_kept_for_them() {
        for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
            let algorithm = suite.algorithm().unwrap();
            assert_eq!(
                (algorithm.tag_len(), algorithm.nonce_len(), algorithm.key_len()),
                (suite.tag_len(), 12, 32)
            );
        }
    }
}
