//! The keys that say who a peer is.

use std::fmt;

use model::PeerName;
use rand::CryptoRng;
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use zeroize::Zeroizing;

/// The bytes of an X25519 public key
pub type PublicKey = [u8; 32];

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

    /// The pair that belongs to a stored private key
    pub fn from_private(private: Zeroizing<[u8; 32]>) -> Self {
        let mut dh = DefaultResolver
            .resolve_dh(&DHChoice::Curve25519)
            .expect("snow is built with its default primitives");
        dh.set(private.as_slice());
        let mut public = [0; 32];
        public.copy_from_slice(dh.pubkey());
        Self { private, public }
    }

    /// The private key, to be stored where nobody else can read it
    pub fn private(&self) -> &[u8; 32] {
        &self.private
    }

    /// The public key
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The name that goes with this key
    pub fn peer_name(&self) -> PeerName {
        PeerName::from_public_key(&self.public)
    }
}

impl fmt::Debug for StaticKeypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticKeypair")
            .field("peer_name", &self.peer_name())
            .finish_non_exhaustive()
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

    #[test]
    fn the_same_seed_gives_the_same_pair_and_the_stored_key_gives_it_back() {
        let pair = StaticKeypair::generate(&mut StdRng::seed_from_u64(7));
        let again = StaticKeypair::generate(&mut StdRng::seed_from_u64(7));
        assert_eq!(pair.public(), again.public());

        let stored = StaticKeypair::from_private(Zeroizing::new(*pair.private()));
        assert_eq!(stored.public(), pair.public());
        assert_eq!(stored.peer_name(), PeerName::from_public_key(&pair.public()));
    }

    #[test]
    fn the_public_key_is_the_one_of_rfc_7748() {
        // RFC 7748, section 6.1: Alice's pair.
        let private = [
            0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
            0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
        ];
        let public = [
            0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a,
            0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a,
        ];
        assert_eq!(
            StaticKeypair::from_private(Zeroizing::new(private)).public(),
            public
        );
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let pair = StaticKeypair::generate(&mut StdRng::seed_from_u64(7));
        assert!(!format!("{pair:?}").contains("private"));
        assert_eq!(format!("{:?}", Psk::new(Zeroizing::new([1; 32]))), "Psk(..)");
    }
}
