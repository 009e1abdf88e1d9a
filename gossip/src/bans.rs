//! Keys that are refused: an operator's word, signed by the peer where it was given, that all peers know.
//!
//! A ban holds for a key, not for a name: a host that is banned does not come back with the old password, under
//! whatever name. Of several orders about a key the latest counts; lifting a ban is an order, too. Any member may
//! ban, as any member may do everything else; one member has at most [`MAX_PER_SIGNER`] bans in force, so that a
//! hostile one cannot ban a whole network.

use std::collections::BTreeMap;

use model::PeerName;
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, IdentityKey, Purpose, Signature};
use crate::records::{COUNTER_LIMIT, is_station};
use crate::wire;

/// The most keys of which there are orders
pub(crate) const MAX_ORDERS: usize = 1024;

/// The most bans of one signer
pub const MAX_PER_SIGNER: usize = 16;

/// How far the clock of a signer may be ahead of ours: an order of a later time could not be outdone
const MAX_AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

/// An order about a key
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The key
    pub key: IdentityKey,
    /// The name that it had, for people
    pub name: PeerName,
    /// Whether the key is refused, or accepted again
    pub refused: bool,
    /// When the order was given, in milliseconds of Unix time
    pub at_ms: u64,
    /// The key of the peer where it was given
    pub by: IdentityKey,
    /// By that key, of all of the above
    pub signature: Signature,
}

impl Ban {
    /// An order given here
    pub(crate) fn new(
        identity: &Identity,
        key: IdentityKey,
        name: PeerName,
        refused: bool,
        at_ms: u64,
    ) -> Self {
        let mut ban = Self {
            key,
            name,
            refused,
            at_ms,
            by: identity.key(),
            signature: Signature::default(),
        };
        ban.signature = identity.sign(Purpose::Ban, &ban.signed_bytes());
        ban
    }

    /// Whether a peer can have given it; its signature is checked apart
    pub(crate) fn is_sound(&self) -> bool {
        is_station(self.name) && self.at_ms < COUNTER_LIMIT
    }

    fn is_signed(&self) -> bool {
        self.by
            .verify(Purpose::Ban, &self.signed_bytes(), &self.signature)
    }

    /// All but the signature, which comes last
    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        wire::append(&mut bytes, self);
        bytes.truncate(bytes.len().saturating_sub(Signature::LEN));
        bytes
    }
}

/// The latest order about each key
#[derive(Debug)]
pub(crate) struct Bans {
    /// The key of this host
    own: IdentityKey,
    orders: BTreeMap<IdentityKey, Ban>,
}

impl Bans {
    /// The orders of the last run, on the host with the key `own`
    pub(crate) fn new(own: IdentityKey, kept: Vec<Ban>) -> Self {
        let orders = kept.into_iter().take(MAX_ORDERS);
        Self {
            own,
            orders: orders.map(|ban| (ban.key, ban)).collect(),
        }
    }

    /// Whether connections and records of this key are refused
    pub(crate) fn refuses(&self, key: &IdentityKey) -> bool {
        self.orders.get(key).is_some_and(|ban| ban.refused)
    }

    /// Returns true if this key has no say: a refused key, other than this host's own
    ///
    /// On its own host a key has its say: otherwise hosts that were banned together could never be taken back.
    pub(crate) fn silences(&self, key: &IdentityKey) -> bool {
        *key != self.own && self.refuses(key)
    }

    /// Takes an order over if it is authentic and the latest about its key; whether it was news
    pub(crate) fn merge(&mut self, ban: Ban, now_ms: u64) -> bool {
        let known = self.orders.get(&ban.key);
        let order = |ban: &Ban| (ban.at_ms, !ban.refused, ban.by);
        if known.is_some_and(|known| order(known) >= order(&ban)) {
            return false;
        }
        let has_room = known.is_some() || self.orders.len() < MAX_ORDERS;
        let is_own = ban.by == ban.key;
        let in_force = self
            .orders
            .values()
            .filter(|other| other.refused && other.by == ban.by);
        let may_ban = !ban.refused || in_force.count() < MAX_PER_SIGNER;
        if !has_room
            || !may_ban
            || is_own
            || self.silences(&ban.by)
            || ban.at_ms > now_ms.saturating_add(MAX_AHEAD_MS)
            || !ban.is_signed()
        {
            return false;
        }
        self.orders.insert(ban.key, ban);
        true
    }

    /// The latest order about each key
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.orders.values()
    }

    /// The time of the order about this key
    pub(crate) fn at_ms(&self, key: &IdentityKey) -> Option<u64> {
        self.orders.get(key).map(|ban| ban.at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::{identity, name};

    const NOW: u64 = 1_000_000;

    fn ban(by: u16, of: u16, refused: bool, at_ms: u64) -> Ban {
        Ban::new(&identity(by), identity(of).key(), name(of), refused, at_ms)
    }

    fn own() -> IdentityKey {
        identity(50).key()
    }

    #[test]
    fn the_latest_order_about_a_key_counts() {
        let mut bans = Bans::new(own(), Vec::new());
        assert!(bans.merge(ban(1, 9, true, NOW), NOW));
        assert!(bans.refuses(&identity(9).key()));
        assert!(!bans.merge(ban(1, 9, true, NOW), NOW), "known");
        assert!(!bans.merge(ban(2, 9, false, NOW - 1), NOW), "older");
        assert!(bans.merge(ban(2, 9, false, NOW + 1), NOW));
        assert!(!bans.refuses(&identity(9).key()));
        assert_eq!(bans.at_ms(&identity(9).key()), Some(NOW + 1));
        let again = Bans::new(own(), bans.iter().copied().collect());
        assert!(!again.refuses(&identity(9).key()));
    }

    #[test]
    fn forged_and_future_orders_and_those_of_the_banned_count_nothing() {
        let mut bans = Bans::new(own(), Vec::new());
        let forged = Ban {
            name: name(3),
            ..ban(1, 9, true, NOW)
        };
        assert!(!bans.merge(forged, NOW));
        assert!(!bans.merge(ban(1, 9, true, NOW + 2 * MAX_AHEAD_MS), NOW));
        assert!(bans.merge(ban(1, 9, true, NOW), NOW));
        assert!(!bans.merge(ban(9, 1, true, NOW + 1), NOW), "by the banned one");
        assert!(!bans.merge(ban(9, 9, false, NOW + 1), NOW), "of itself");
    }

    #[test]
    fn a_host_whose_own_key_is_banned_still_has_its_say_at_home() {
        let mut bans = Bans::new(own(), Vec::new());
        assert!(bans.merge(ban(9, 50, true, NOW), NOW));
        assert!(bans.merge(ban(9, 51, true, NOW), NOW));
        let mut elsewhere = Bans::new(identity(52).key(), bans.iter().copied().collect());
        assert!(!elsewhere.merge(ban(50, 51, false, NOW + 1), NOW));
        assert!(bans.merge(ban(50, 51, false, NOW + 1), NOW));
        assert!(!bans.refuses(&identity(51).key()));
    }

    #[test]
    fn one_member_cannot_ban_a_whole_network() {
        let mut bans = Bans::new(own(), Vec::new());
        let banned = (100..200).filter(|of| bans.merge(ban(1, *of, true, NOW), NOW));
        assert_eq!(banned.count(), MAX_PER_SIGNER);
        assert!(bans.merge(ban(2, 150, true, NOW), NOW));
        // A ban that is lifted makes room for another.
        assert!(bans.merge(ban(1, 100, false, NOW + 1), NOW));
        assert!(bans.merge(ban(1, 199, true, NOW), NOW));
    }
}
