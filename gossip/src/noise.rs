//! The Noise handshake and the sealed session after it.
//!
//! `Noise_XX_25519_AESGCM_SHA256`, and `XXpsk3` where there is a password: both sides learn each
//! other's static key, forward secrecy, and the password is never sent. Each handshake has an ephemeral key of
//! its own seed, which the caller draws; cipher and hash are those of ring.
//!
//! The password's key is mixed in only by the third message. The side that accepts can therefore try several
//! keys while a password is replaced by another: it goes on with as many handshakes, which are equal up to
//! there, and keeps the one that the third message belongs to.

use std::cell::Cell;

use rand::rngs::StdRng;
use rand::{CryptoRng, Rng, SeedableRng};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver, FallbackResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState, TransportState};
use zeroize::Zeroizing;

use crate::identity::{Psk, PublicKey, StaticKeypair};

/// The longest sealed frame, which is also the longest that a 16-bit length can tell
pub(crate) const FRAME: usize = 65535;
/// What fits into one
pub(crate) const PLAINTEXT: usize = FRAME - TAG;
/// AES-GCM's tag
const TAG: usize = 16;

/// A handshake in progress, once for each key of a password that the other side may have
pub(crate) struct Handshake(Vec<HandshakeState>);

/// The seed of an ephemeral key
pub(crate) type Seed = Zeroizing<[u8; 32]>;

impl Handshake {
    /// The side that dialled speaks first; `prologue` is what went each way before
    pub(crate) fn new(
        initiator: bool,
        keys: &StaticKeypair,
        psks: &[&Psk],
        prologue: &[u8],
        seed: &Seed,
    ) -> Result<Self, NoiseError> {
        let state = |psk: Option<&Psk>| {
            let pattern = match psk {
                None => "Noise_XX_25519_AESGCM_SHA256",
                Some(_) => "Noise_XXpsk3_25519_AESGCM_SHA256",
            };
            let resolver = Resolver::new(StdRng::from_seed(**seed));
            let mut builder = Builder::with_resolver(pattern.parse()?, Box::new(resolver))
                .local_private_key(keys.private())?
                .prologue(prologue)?;
            if let Some(psk) = psk {
                builder = builder.psk(3, psk.bytes())?;
            }
            if initiator {
                builder.build_initiator()
            } else {
                builder.build_responder()
            }
        };
        let states: Result<Vec<_>, snow::Error> = match psks {
            [] => state(None).map(|state| vec![state]),
            psks => psks.iter().map(|psk| state(Some(psk))).collect(),
        };
        Ok(Self(states?))
    }

    pub(crate) fn is_my_turn(&self) -> bool {
        self.0
            .iter()
            .any(|state| state.is_my_turn() && !state.is_handshake_finished())
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.iter().any(HandshakeState::is_handshake_finished)
    }

    pub(crate) fn write(&mut self) -> Result<Vec<u8>, NoiseError> {
        let mut message = vec![0; MESSAGE];
        let mut len = 0;
        for state in &mut self.0 {
            // The same each time: of one seed, and without the password up to here.
            len = state.write_message(&[], &mut message)?;
        }
        message.truncate(len);
        Ok(message)
    }

    pub(crate) fn read(&mut self, message: &[u8]) -> Result<(), NoiseError> {
        let mut payload = [0; MESSAGE];
        if message.len() > MESSAGE || self.0.is_empty() {
            return Err(snow::Error::Input.into());
        }
        let mut failed = None;
        self.0
            .retain_mut(|state| match state.read_message(message, &mut payload) {
                Ok(_empty) => true,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            });
        match failed {
            Some(error) if self.0.is_empty() => Err(error.into()),
            Some(_) | None => Ok(()),
        }
    }

    /// The session that both sides agreed on, and the other side's static key
    pub(crate) fn finish(mut self) -> Result<(Session, PublicKey), NoiseError> {
        let state = self.0.pop().ok_or(snow::Error::Input)?;
        let remote = state.get_remote_static().and_then(|key| key.try_into().ok());
        let key = remote.ok_or(snow::Error::Input)?;
        Ok((Session(Box::new(state.into_transport_mode()?)), key))
    }
}

/// The keys of both directions
pub(crate) struct Session(Box<TransportState>);

impl Session {
    /// Appends `plaintext`, which fits into one frame, sealed
    pub(crate) fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        let start = out.len();
        out.resize(start.saturating_add(plaintext.len()).saturating_add(TAG), 0);
        self.0.write_message(plaintext, &mut out[start..])?;
        Ok(())
    }

    /// Appends what is in the sealed frame
    pub(crate) fn open(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        let start = out.len();
        out.resize(start.saturating_add(sealed.len()), 0);
        let opened = self.0.read_message(sealed, &mut out[start..]);
        out.truncate(start.saturating_add(opened.as_ref().copied().unwrap_or_default()));
        opened?;
        Ok(())
    }
}

/// The handshake or the session cannot go on
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum NoiseError {
    /// The other side does not have the keys that it should, or somebody changed its bytes
    #[error("the other side has other keys")]
    Decrypt,
    /// Bytes that are no message of the pattern, at this point
    #[error("not a Noise message")]
    Other(#[source] snow::Error),
}

impl From<snow::Error> for NoiseError {
    fn from(error: snow::Error) -> Self {
        if error == snow::Error::Decrypt {
            Self::Decrypt
        } else {
            Self::Other(error)
        }
    }
}

/// No message of this pattern, without payload, is longer
const MESSAGE: usize = 256;

/// Snow's primitives, with randomness from the mesh's generator in place of the system's
struct Resolver {
    rng: Cell<Option<StdRng>>,
    primitives: FallbackResolver,
}

impl Resolver {
    fn new(rng: StdRng) -> Self {
        Self {
            rng: Cell::new(Some(rng)),
            primitives: FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver)),
        }
    }
}

impl CryptoResolver for Resolver {
    /// Once: two ephemeral keys of one seed would be the same key
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        let rng = self.rng.take()?;
        Some(Box::new(Seeded(rng)))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        self.primitives.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        self.primitives.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        self.primitives.resolve_cipher(choice)
    }
}

struct Seeded(StdRng);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

/// A seed for one handshake
pub(crate) fn seed<R: CryptoRng + ?Sized>(rng: &mut R) -> Seed {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    seed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn both_sides_learn_the_keys_and_read_each_other() {
        let (mut a, mut b) = pair(None, None);
        talk(&mut a, &mut b).unwrap();
        let ((mut a, key_of_b), (mut b, key_of_a)) = (a.finish().unwrap(), b.finish().unwrap());
        assert_eq!(key_of_a, keys(1).public());
        assert_eq!(key_of_b, keys(2).public());

        let (mut sealed, mut opened) = (vec![], vec![]);
        a.seal(b"hello", &mut sealed).unwrap();
        b.open(&sealed, &mut opened).unwrap();
        assert_eq!(opened, b"hello");
    }

    #[test]
    fn other_passwords_end_at_the_third_message() {
        let (mut a, mut b) = pair(Some(1), Some(2));
        assert_eq!(talk(&mut a, &mut b), Err(NoiseError::Decrypt));
        let (mut a, mut b) = pair(Some(1), Some(1));
        assert_eq!(talk(&mut a, &mut b), Ok(()));
    }

    #[test]
    fn a_prologue_changed_on_the_way_ends_the_handshake() {
        let mut a = Handshake::new(true, &keys(1), &[], b"weave1", &Zeroizing::new([3; 32])).unwrap();
        let mut b = Handshake::new(false, &keys(2), &[], b"weave2", &Zeroizing::new([4; 32])).unwrap();
        assert!(talk(&mut a, &mut b).is_err());
    }

    #[test]
    fn every_changed_bit_of_a_sealed_frame_is_noticed() {
        let (mut a, mut b) = pair(None, None);
        talk(&mut a, &mut b).unwrap();
        let ((mut a, _), (mut b, _)) = (a.finish().unwrap(), b.finish().unwrap());
        let mut sealed = vec![];
        a.seal(b"x", &mut sealed).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let mut out = vec![];
            assert!(b.open(&forged, &mut out).is_err());
            assert!(out.is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(messages: Vec<Vec<u8>>) {
            let (mut a, mut b) = pair(None, Some(1));
            for message in messages {
                let _ = b.read(&message);
                if a.is_my_turn() {
                    a.write().unwrap();
                }
                let _ = a.read(&message);
            }
        }
    }

    fn keys(seed: u64) -> StaticKeypair {
        StaticKeypair::generate(&mut StdRng::seed_from_u64(seed))
    }

    fn pair(psk_a: Option<u8>, psk_b: Option<u8>) -> (Handshake, Handshake) {
        pair_with(psk_a.as_slice(), psk_b.as_slice())
    }

    fn pair_with(psks_a: &[u8], psks_b: &[u8]) -> (Handshake, Handshake) {
        let new = |initiator, number: u8, psks: &[u8]| {
            let psks: Vec<Psk> = psks
                .iter()
                .map(|byte| Psk::new(Zeroizing::new([*byte; 32])))
                .collect();
            let psks: Vec<&Psk> = psks.iter().collect();
            let seed = Zeroizing::new([number; 32]);
            Handshake::new(initiator, &keys(number.into()), &psks, b"weave", &seed).unwrap()
        };
        (new(true, 1, psks_a), new(false, 2, psks_b))
    }

    #[test]
    fn the_side_that_accepts_tries_each_of_its_passwords() {
        for (dials, accepts, agree) in [
            (1, &[1, 2][..], true),
            (2, &[1, 2], true),
            (3, &[1, 2], false),
            (2, &[1], false),
        ] {
            let (mut a, mut b) = pair_with(&[dials], accepts);
            let result = talk(&mut a, &mut b);
            assert_eq!(result.is_ok(), agree, "{dials} {accepts:?}: {result:?}");
            if agree {
                let ((mut a, _), (mut b, _)) = (a.finish().unwrap(), b.finish().unwrap());
                let (mut sealed, mut opened) = (vec![], vec![]);
                a.seal(b"hello", &mut sealed).unwrap();
                b.open(&sealed, &mut opened).unwrap();
                assert_eq!(opened, b"hello");
            }
        }
    }

    fn talk(a: &mut Handshake, b: &mut Handshake) -> Result<(), NoiseError> {
        while !(a.is_finished() && b.is_finished()) {
            if a.is_my_turn() {
                b.read(&a.write()?)?;
            } else {
                a.read(&b.write()?)?;
            }
        }
        Ok(())
    }
}
