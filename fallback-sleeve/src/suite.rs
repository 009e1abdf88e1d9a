//! The ways to protect a datagram.

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
    /// The sealing suite that this CPU computes fastest
    pub fn fastest_sealed() -> Self {
        #[cfg(target_arch = "x86_64")]
        let aes =
            std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        let aes = std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let aes = false;
        if aes {
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

    /// How many datagrams one session may have
    ///
    /// Far above where a session is replaced ([`crate::rekey`]) and far below where a counter wraps: it
    /// stops a sender whose receiver has ceased to draw keys.
    pub const fn counter_limit(self) -> u64 {
        match self {
            Self::Clear => 1 << 63,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 1 << 40,
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
        assert!(Suite::fastest_sealed().is_sealed());
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
