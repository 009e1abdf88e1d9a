//! The keys that say who a peer is.
//!
//! | key | algorithm | lives | proves |
//! |---|---|---|---|
//! | [`Identity`] | Ed25519 (RFC 8032) | on disk, one per peer | the peer's name; signs all that the peer writes |
//! | [`StaticKeypair`] | X25519 (RFC 7748) | one per process | this end of a Noise handshake; signed by the identity |
//! | [`BeatKey`] | 256 random bits | one per connection and direction | heartbeats of the data plane |
//! | [`Psk`] | 256 bits | on no disk | knowledge of the network's password |

use std::fmt;

use model::PeerName;
use rand::CryptoRng;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use zeroize::Zeroizing;

/// The bytes of an X25519 public key
pub type PublicKey = [u8; 32];

/// The purpose of a signature: a signature made for one purpose is never valid for another
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The X25519 key of a process, in its Hello
    Handshake,
    /// A peer's record in the topology
    Record,
    /// The refusal of another peer's key
    Ban,
    /// An owner's record and registers in the address space
    Addresses,
    /// A peer's part of the names
    Names,
}

impl Purpose {
    /// Comes before the signed bytes; each ends with a zero byte, so that none is the head of another
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Handshake => b"weaved handshake\0",
            Self::Record => b"weaved record\0",
            Self::Ban => b"weaved ban\0",
            Self::Addresses => b"weaved addresses\0",
            Self::Names => b"weaved names\0",
        }
    }
}

/// A peer's Ed25519 key pair; the seed is wiped when it is dropped
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl Identity {
    /// A new key pair, from a generator whose output nobody can guess
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_seed(seed)
    }

    /// The key pair of a stored seed
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice());
        Self {
            seed,
            pair: pair.expect("every 32 bytes are a seed"),
        }
    }

    /// The seed (RFC 8032, 5.1.5), to be stored where nobody else can read it
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public key
    pub fn key(&self) -> IdentityKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        IdentityKey(key)
    }

    /// The name that is derived from the key
    pub fn peer_name(&self) -> PeerName {
        self.key().peer_name()
    }

    /// Signs `message` for a purpose
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> Signature {
        let signature = self.pair.sign(&[purpose.prefix(), message].concat());
        let mut halves = Signature::default();
        let (r, s) = signature.as_ref().split_at(32);
        halves.r.copy_from_slice(r);
        halves.s.copy_from_slice(s);
        halves
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self::from_seed(self.seed.clone())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

/// A peer's Ed25519 public key
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentityKey(pub [u8; 32]);

impl IdentityKey {
    /// The name that is derived from the key: the head of its BLAKE3, as a locally administered unicast MAC
    pub fn peer_name(&self) -> PeerName {
        PeerName::from_public_key(&self.0)
    }

    /// Whether the owner of the key signed `message` for this purpose
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &Signature) -> bool {
        let bytes = [signature.r, signature.s].concat();
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(&[purpose.prefix(), message].concat(), &bytes)
            .is_ok()
    }
}

/// In hexadecimal digits
impl fmt::Display for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({self})")
    }
}

/// An Ed25519 signature; the default value is valid for nothing
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    r: [u8; 32],
    s: [u8; 32],
}

impl Signature {
    /// Bytes on the wire
    pub(crate) const LEN: usize = 64;
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.r;
        write!(f, "Signature({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// The relation between a name and a key, as far as this peer knows
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The key speaks for the name: the name is derived from it, or was pinned to it
    Bound,
    /// The name is not derived from the key, and no key is pinned to it
    Unknown,
    /// Another key speaks for the name
    Other,
}

/// Which key speaks for which name
pub trait Keys {
    /// The relation between `name` and `key`
    fn binding(&self, name: PeerName, key: &IdentityKey) -> Binding;
}

/// Knows names that are derived from their key, and no others
#[derive(Debug, Clone, Copy, Default)]
pub struct DerivedKeys;

impl Keys for DerivedKeys {
    fn binding(&self, name: PeerName, key: &IdentityKey) -> Binding {
        if key.peer_name() == name {
            Binding::Bound
        } else {
            Binding::Unknown
        }
    }
}

/// An X25519 key pair; the private half is wiped when it is dropped
#[derive(Clone)]
pub struct StaticKeypair {
    private: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl StaticKeypair {
    /// A new pair, from a generator whose output nobody can guess
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut private = Zeroizing::new([0; 32]);
        rng.fill_bytes(private.as_mut_slice());
        Self::from_private(private)
    }

    /// The pair that belongs to a private key
    pub fn from_private(private: Zeroizing<[u8; 32]>) -> Self {
        let mut dh = DefaultResolver
            .resolve_dh(&DHChoice::Curve25519)
            .expect("snow is built with its default primitives");
        dh.set(private.as_slice());
        let mut public = [0; 32];
        public.copy_from_slice(dh.pubkey());
        Self { private, public }
    }

    /// The private key
    pub fn private(&self) -> &[u8; 32] {
        &self.private
    }

    /// The public key
    pub const fn public(&self) -> PublicKey {
        self.public
    }
}

impl fmt::Debug for StaticKeypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticKeypair").finish_non_exhaustive()
    }
}

/// The key of the heartbeats that one peer sends to another, drawn by the receiver for each connection; wiped
/// when it is dropped
#[derive(Clone, PartialEq, Eq)]
pub struct BeatKey(Zeroizing<[u8; 32]>);

impl BeatKey {
    /// A new key, from a generator whose output nobody can guess
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The key with these bytes
    pub const fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The key's bytes
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Serialize for BeatKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BeatKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(|bytes| Self(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for BeatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeatKey(..)")
    }
}

/// A key made of the password that all peers of a network share; wiped when it is dropped
#[derive(Clone)]
pub struct Psk(Zeroizing<[u8; 32]>);

impl Psk {
    /// The key with these bytes
    pub const fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn unhex(text: &str) -> [u8; 32] {
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn the_public_key_of_an_identity_is_the_one_of_rfc_8032() {
        // RFC 8032, section 7.1, test 1.
        let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let identity = Identity::from_seed(Zeroizing::new(seed));
        assert_eq!(
            identity.key().to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(identity.clone().key(), identity.key());
    }

    #[test]
    fn a_signature_is_valid_for_its_key_its_purpose_and_its_message_only() {
        let mut rng = StdRng::seed_from_u64(7);
        let (one, other) = (Identity::generate(&mut rng), Identity::generate(&mut rng));
        let signature = one.sign(Purpose::Record, b"message");
        assert!(one.key().verify(Purpose::Record, b"message", &signature));
        assert!(!one.key().verify(Purpose::Names, b"message", &signature));
        assert!(!one.key().verify(Purpose::Record, b"massage", &signature));
        assert!(!other.key().verify(Purpose::Record, b"message", &signature));
        assert!(
            !one.key()
                .verify(Purpose::Record, b"message", &Signature::default())
        );
        assert!(!IdentityKey([0xff; 32]).verify(Purpose::Record, b"message", &signature));
    }

    #[test]
    fn a_derived_name_is_bound_to_its_key() {
        let identity = Identity::generate(&mut StdRng::seed_from_u64(7));
        let name = PeerName::from_public_key(&identity.key().0);
        assert_eq!(DerivedKeys.binding(name, &identity.key()), Binding::Bound);
        assert_eq!(DerivedKeys.binding(name, &IdentityKey([1; 32])), Binding::Unknown);
    }

    #[test]
    fn the_public_key_is_the_one_of_rfc_7748() {
        // RFC 7748, section 6.1: Alice's pair.
        let private = unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let public = unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        assert_eq!(
            StaticKeypair::from_private(Zeroizing::new(private)).public(),
            public
        );
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let mut rng = StdRng::seed_from_u64(7);
        let identity = Identity::generate(&mut rng);
        let seed: String = identity.seed().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!format!("{identity:?}").contains(&seed));
        assert_eq!(
            format!("{:?}", StaticKeypair::generate(&mut rng)),
            "StaticKeypair { .. }"
        );
        assert_eq!(format!("{:?}", Psk::new(Zeroizing::new([1; 32]))), "Psk(..)");
        assert_eq!(format!("{:?}", BeatKey::generate(&mut rng)), "BeatKey(..)");
    }
}
