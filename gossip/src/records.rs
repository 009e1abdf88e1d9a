//! What every peer says of itself.
//!
//! Each peer writes and signs one record, its own, and raises the version when it changes. Of two records of
//! one peer the one with the greater [`Stamp`] is right, whoever brings it and in whatever order.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::{Mac, NickName, PeerName, ShortId, Uid};
use serde::{Deserialize, Serialize};

use crate::digest::Stamp;
use crate::identity::{Identity, IdentityKey, Purpose, Signature};
use crate::wire;

/// The most peers in a network: there are no more short ids
pub const MAX_PEERS: usize = ShortId::COUNT as usize;

/// The most addresses in a record
pub const MAX_ADDRESSES: usize = 16;

/// The most disputed names in a record
pub const MAX_DISPUTES: usize = 4;

/// Epochs and versions are below this: there is always room for a greater one
pub const COUNTER_LIMIT: u64 = 1 << 62;

/// What a peer says of itself
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Its name
    pub name: PeerName,
    /// The key that speaks for the name
    pub key: IdentityKey,
    /// What people call it
    pub nickname: NickName,
    /// Drawn at its start
    pub uid: Uid,
    /// Counts its starts
    pub epoch: u64,
    /// Counts the changes of this record since then
    pub version: u64,
    /// Its id in VXLAN network identifiers
    pub short_id: ShortId,
    /// Where it may be dialled, as far as it knows
    pub addresses: Vec<SocketAddr>,
    /// Its neighbours
    pub connections: BTreeMap<PeerName, Link>,
    /// Names that another key claimed at this peer than the one that speaks for them
    pub disputes: Vec<Dispute>,
    /// By `key`, of all of the above
    pub signature: Signature,
}

/// A claim on a name for which another key speaks
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// The name
    pub name: PeerName,
    /// The key that claimed it, in vain
    pub claimant: IdentityKey,
}

/// One of a peer's connections
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The neighbour's end of the TCP connection
    pub address: SocketAddr,
    /// The peer whose record this is dialled
    pub outbound: bool,
    /// A data path is up (or the neighbour is held, and its path was up)
    pub established: bool,
}

impl PeerRecord {
    /// Which of the record's versions this is
    pub const fn stamp(&self) -> Stamp {
        Stamp {
            epoch: self.epoch,
            version: self.version,
            uid: self.uid,
        }
    }

    /// Signs the record
    pub(crate) fn sign(&mut self, identity: &Identity) {
        self.signature = identity.sign(Purpose::Record, &self.signed_bytes());
    }

    /// Whether the record's own key signed it; the key may still be another than the one of its name
    pub(crate) fn is_signed(&self) -> bool {
        self.key
            .verify(Purpose::Record, &self.signed_bytes(), &self.signature)
    }

    /// Whether both say the same, whoever signed it
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let unsigned = |record: &Self| Self {
            signature: Signature::default(),
            ..record.clone()
        };
        self.stamp() == other.stamp() && unsigned(self) == unsigned(other)
    }

    /// The record without its signature, which comes last
    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        wire::append(&mut bytes, self);
        bytes.truncate(bytes.len().saturating_sub(Signature::LEN));
        bytes
    }

    /// Whether a peer can have written this: names of stations, counters that leave room for greater ones,
    /// and no more of anything than allowed
    pub(crate) fn is_sound(&self) -> bool {
        is_station(self.name)
            && self.epoch < COUNTER_LIMIT
            && self.version < COUNTER_LIMIT
            && self.disputes.len() <= MAX_DISPUTES
            && self.disputes.iter().all(|dispute| is_station(dispute.name))
            && self.addresses.len() <= MAX_ADDRESSES
            && self.connections.len() < MAX_PEERS
            && self.connections.keys().copied().all(is_station)
    }
}

/// Whether the name is one that a peer can have: the binary form holds any 48 bits
pub(crate) fn is_station(name: PeerName) -> bool {
    !name.mac().is_group() && name.mac() != Mac::ZERO
}

#[cfg(test)]
pub(crate) mod tests {
    use zeroize::Zeroizing;

    use super::*;

    /// A record of the peer number `n`, connected to `neighbours`, and signed by [`identity`]
    pub(crate) fn signed(n: u16, version: u64, neighbours: &[u16]) -> PeerRecord {
        let mut record = PeerRecord {
            key: identity(n).key(),
            ..record(n, version, neighbours)
        };
        record.sign(&identity(n));
        record
    }

    /// The same without a signature
    pub(crate) fn record(n: u16, version: u64, neighbours: &[u16]) -> PeerRecord {
        let link = Link {
            address: "192.0.2.1:6783".parse().unwrap(),
            outbound: true,
            established: true,
        };
        PeerRecord {
            name: name(n),
            key: IdentityKey([n as u8; 32]),
            nickname: format!("host{n}").parse().unwrap(),
            uid: Uid(n.into()),
            epoch: 1,
            version,
            short_id: ShortId::truncated(n),
            addresses: vec![],
            connections: neighbours.iter().map(|n| (name(*n), link)).collect(),
            disputes: vec![],
            signature: Signature::default(),
        }
    }

    /// The name of the peer number `n`, as an operator may give it
    pub(crate) fn name(n: u16) -> PeerName {
        PeerName::from(Mac::from_bits(0x0200_0000_0000 | u64::from(n)))
    }

    /// The identity of the peer number `n`
    pub(crate) fn identity(n: u16) -> Identity {
        let mut seed = Zeroizing::new([0; 32]);
        seed[..2].copy_from_slice(&n.to_be_bytes());
        Identity::from_seed(seed)
    }

    #[test]
    fn unsound_records_are_known_as_such() {
        assert!(record(1, 1, &[2, 3]).is_sound());
        let sound = || record(1, 1, &[]);
        let dispute = Dispute {
            name: name(2),
            claimant: identity(3).key(),
        };
        for unsound in [
            PeerRecord {
                name: PeerName::from(Mac::BROADCAST),
                ..sound()
            },
            PeerRecord {
                addresses: vec!["192.0.2.1:1".parse().unwrap(); MAX_ADDRESSES + 1],
                ..sound()
            },
            PeerRecord {
                disputes: vec![dispute; MAX_DISPUTES + 1],
                ..sound()
            },
            PeerRecord {
                epoch: COUNTER_LIMIT,
                ..sound()
            },
            PeerRecord {
                version: u64::MAX,
                ..sound()
            },
        ] {
            assert!(!unsound.is_sound(), "{unsound:?}");
        }
    }

    #[test]
    fn a_signature_covers_every_field() {
        let signed = || signed(1, 1, &[2, 3]);
        assert!(signed().is_signed());
        let dispute = Dispute {
            name: name(2),
            claimant: identity(3).key(),
        };
        for forged in [
            PeerRecord {
                name: name(2),
                ..signed()
            },
            PeerRecord {
                key: identity(2).key(),
                ..signed()
            },
            PeerRecord {
                nickname: "other".parse().unwrap(),
                ..signed()
            },
            PeerRecord {
                uid: Uid(9),
                ..signed()
            },
            PeerRecord { epoch: 2, ..signed() },
            PeerRecord {
                version: 2,
                ..signed()
            },
            PeerRecord {
                short_id: ShortId::truncated(9),
                ..signed()
            },
            PeerRecord {
                addresses: vec!["192.0.2.1:1".parse().unwrap()],
                ..signed()
            },
            PeerRecord {
                connections: BTreeMap::new(),
                ..signed()
            },
            PeerRecord {
                disputes: vec![dispute],
                ..signed()
            },
            PeerRecord {
                signature: Signature::default(),
                ..signed()
            },
        ] {
            assert!(!forged.is_signed(), "{forged:?}");
        }
    }
}
