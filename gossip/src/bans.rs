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
    ///
    /// Where there is no room, an order of this host or of a key with standing takes the place of the latest that has
    /// neither: keys that somebody invented leave room for those of neighbors.
    pub(crate) fn merge(
        &mut self,
        ban: Ban,
        now_ms: u64,
        has_standing: impl Fn(&IdentityKey) -> bool,
    ) -> bool {
        let known = self.orders.get(&ban.key);
        let order = |ban: &Ban| (ban.at_ms, !ban.refused, ban.by);
        if known.is_some_and(|known| order(known) >= order(&ban)) {
            return false;
        }
        // A lift of a ban that is known takes its place.
        let may_give = (known.is_some() && !ban.refused) || self.given_by(&ban) < MAX_PER_SIGNER;
        let is_new = known.is_none();
        if !may_give
            || ban.by == ban.key
            || self.silences(&ban.by)
            || ban.at_ms > now_ms.saturating_add(MAX_AHEAD_MS)
            || !ban.is_signed()
        {
            return false;
        }
        if is_new && self.orders.len() >= MAX_ORDERS && !self.make_room(&ban, has_standing) {
            return false;
        }
        self.orders.insert(ban.key, ban);
        true
    }

    /// Returns the number of orders of the same kind by the same signer
    fn given_by(&self, ban: &Ban) -> usize {
        let same = |other: &&Ban| other.refused == ban.refused && other.by == ban.by;
        self.orders.values().filter(same).count()
    }

    /// Removes an order for one with standing, if there is one without
    fn make_room(&mut self, ban: &Ban, has_standing: impl Fn(&IdentityKey) -> bool) -> bool {
        let stands = |by: &IdentityKey| *by == self.own || has_standing(by);
        if !stands(&ban.by) {
            return false;
        }
        let others = self.orders.values().filter(|other| !stands(&other.by));
        let latest = others
            .max_by_key(|other| (other.at_ms, other.key))
            .map(|other| other.key);
        latest.is_some_and(|key| self.orders.remove(&key).is_some())
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

    fn nobody(_: &IdentityKey) -> bool {
        false
    }

    fn own() -> IdentityKey {
        identity(50).key()
    }

    #[test]
    fn the_latest_order_about_a_key_counts() {
        let mut bans = Bans::new(own(), Vec::new());
        assert!(bans.merge(ban(1, 9, true, NOW), NOW, nobody));
        assert!(bans.refuses(&identity(9).key()));
        assert!(!bans.merge(ban(1, 9, true, NOW), NOW, nobody), "known");
        assert!(!bans.merge(ban(2, 9, false, NOW - 1), NOW, nobody), "older");
        assert!(bans.merge(ban(2, 9, false, NOW + 1), NOW, nobody));
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
        assert!(!bans.merge(forged, NOW, nobody));
        assert!(!bans.merge(ban(1, 9, true, NOW + 2 * MAX_AHEAD_MS), NOW, nobody));
        assert!(bans.merge(ban(1, 9, true, NOW), NOW, nobody));
        assert!(
            !bans.merge(ban(9, 1, true, NOW + 1), NOW, nobody),
            "by the banned one"
        );
        assert!(!bans.merge(ban(9, 9, false, NOW + 1), NOW, nobody), "of itself");
    }

    #[test]
    fn a_host_whose_own_key_is_banned_still_has_its_say_at_home() {
        let mut bans = Bans::new(own(), Vec::new());
        assert!(bans.merge(ban(9, 50, true, NOW), NOW, nobody));
        assert!(bans.merge(ban(9, 51, true, NOW), NOW, nobody));
        let mut elsewhere = Bans::new(identity(52).key(), bans.iter().copied().collect());
        assert!(!elsewhere.merge(ban(50, 51, false, NOW + 1), NOW, nobody));
        assert!(bans.merge(ban(50, 51, false, NOW + 1), NOW, nobody));
        assert!(!bans.refuses(&identity(51).key()));
    }

    #[test]
    fn one_member_cannot_ban_a_whole_network() {
        let mut bans = Bans::new(own(), Vec::new());
        let banned = (100..200).filter(|of| bans.merge(ban(1, *of, true, NOW), NOW, nobody));
        assert_eq!(banned.count(), MAX_PER_SIGNER);
        assert!(bans.merge(ban(2, 150, true, NOW), NOW, nobody));
        // A ban that is lifted makes room for another.
        assert!(bans.merge(ban(1, 100, false, NOW + 1), NOW, nobody));
        assert!(bans.merge(ban(1, 199, true, NOW), NOW, nobody));
    }

    #[test]
    fn orders_of_invented_keys_leave_room_for_those_of_neighbors_and_of_this_host() {
        let mut bans = Bans::new(own(), Vec::new());
        let invented = (0..1024_u16).map(|number| ban(1000 + number / 16, 2000 + number, true, NOW));
        assert_eq!(
            invented.filter(|ban| bans.merge(*ban, NOW, nobody)).count(),
            MAX_ORDERS
        );
        assert!(!bans.merge(ban(1, 9, true, NOW), NOW, nobody));
        assert!(bans.merge(ban(1, 9, true, NOW), NOW, |by| *by == identity(1).key()));
        assert!(bans.merge(ban(50, 10, true, NOW), NOW, nobody), "this host's own");
        assert!(bans.refuses(&identity(9).key()) && bans.refuses(&identity(10).key()));
        assert_eq!(bans.iter().count(), MAX_ORDERS);
    }

    #[test]
    fn one_member_cannot_fill_the_room_with_lifts_of_what_nobody_banned() {
        let mut bans = Bans::new(own(), Vec::new());
        let lifted = (100..200).filter(|of| bans.merge(ban(1, *of, false, NOW), NOW, nobody));
        assert_eq!(lifted.count(), MAX_PER_SIGNER);
        // Those of others can be lifted in any case.
        assert!(bans.merge(ban(2, 300, true, NOW), NOW, nobody));
        assert!(bans.merge(ban(1, 300, false, NOW + 1), NOW, nobody));
    }
}
