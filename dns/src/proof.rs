//! The proof that a part is what its origin says: a signature over its stamp and its digest.

use gossip::{Identity, IdentityKey, Purpose, Signature};
use model::PeerName;
use serde::{Deserialize, Serialize};

use crate::stamp::Stamp;

/// The signature of an origin for the state of its part at one stamp
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// Who signed
    pub(crate) key: IdentityKey,
    /// Of the whole part at the stamp
    pub(crate) digest: [u8; 32],
    signature: Signature,
}

impl Proof {
    /// Signs a state of the own part
    pub(crate) fn sign(identity: &Identity, origin: PeerName, stamp: Stamp, digest: [u8; 32]) -> Self {
        Self {
            key: identity.key(),
            digest,
            signature: identity.sign(Purpose::Names, &statement(origin, stamp, &digest)),
        }
    }

    /// Whether the key signed this state
    pub(crate) fn holds(&self, origin: PeerName, stamp: Stamp) -> bool {
        let statement = statement(origin, stamp, &self.digest);
        self.key.verify(Purpose::Names, &statement, &self.signature)
    }
}

/// The signed bytes: origin, epoch and sequence in little endian, digest
fn statement(origin: PeerName, stamp: Stamp, digest: &[u8; 32]) -> Vec<u8> {
    let (epoch, sequence) = (stamp.epoch.to_le_bytes(), stamp.sequence.to_le_bytes());
    [&origin.mac().octets()[..], &epoch, &sequence, digest].concat()
}
