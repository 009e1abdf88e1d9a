//! Which key speaks for which name.
//!
//! A name that is derived from a key needs no further proof. A name given by an operator (`--name`) is pinned to
//! the key with which it is first seen, on disk, so that the peer who was there keeps it: another key that claims
//! the name is refused, and the claim is reported by every host. A derived name always beats a pin, since nobody
//! but the owner of its key can have it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{PeerName, later};
use serde::{Deserialize, Serialize};

use crate::identity::{Binding, DerivedKeys, IdentityKey, Keys};
use crate::records::{Dispute, MAX_DISPUTES, MAX_PEERS};

/// The most names that are pinned
const MAX_PINS: usize = 2 * MAX_PEERS;

/// How long a claim in vain is reported
const REPORTED: Duration = Duration::from_secs(60);

/// A name and the key that speaks for it
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The name
    pub name: PeerName,
    /// Its key
    pub key: IdentityKey,
    /// When it was first seen, in milliseconds of Unix time
    pub since_ms: u64,
}

/// The pinned names
#[derive(Debug, Default)]
pub(crate) struct Pins {
    pins: BTreeMap<PeerName, Pin>,
    disputes: BTreeMap<PeerName, (IdentityKey, Instant)>,
    changed: bool,
}

/// What came of a name and a key
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// The key speaks for the name
    Yes,
    /// Another key does
    Disputed,
    /// Nothing is known of the name, and no more names can be pinned
    Full,
}

impl Pins {
    /// The pins of the last run
    pub(crate) fn new(kept: Vec<Pin>) -> Self {
        let pins = kept.into_iter().take(MAX_PINS);
        Self {
            pins: pins.map(|pin| (pin.name, pin)).collect(),
            ..Self::default()
        }
    }

    /// Pins a name that is seen with a proved key
    pub(crate) fn pin(&mut self, name: PeerName, key: IdentityKey, now_ms: u64, now: Instant) -> Pinned {
        match self.binding(name, &key) {
            Binding::Other => {
                self.dispute(name, key, now);
                return Pinned::Disputed;
            }
            Binding::Bound if self.pins.get(&name).is_some_and(|pin| pin.key == key) => return Pinned::Yes,
            Binding::Bound | Binding::Unknown => {}
        }
        if !self.pins.contains_key(&name) && !self.has_room() {
            return match self.binding(name, &key) {
                // Needs no pin.
                Binding::Bound => Pinned::Yes,
                Binding::Unknown | Binding::Other => Pinned::Full,
            };
        }
        let since_ms = now_ms;
        self.pins.insert(name, Pin { name, key, since_ms });
        self.changed = true;
        Pinned::Yes
    }

    /// Forgets the pin of a name, by the operator's word
    pub(crate) fn forget(&mut self, name: PeerName) -> bool {
        self.disputes.remove(&name);
        let forgotten = self.pins.remove(&name).is_some();
        self.changed |= forgotten;
        forgotten
    }

    /// The pins, if they changed since the last call
    pub(crate) fn take_changed(&mut self) -> Option<Vec<Pin>> {
        std::mem::take(&mut self.changed).then(|| self.pins.values().copied().collect())
    }

    /// All pins
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.pins.values()
    }

    /// Claims in vain of the last minute, for our own record
    pub(crate) fn disputes(&self) -> Vec<Dispute> {
        let disputes = self.disputes.iter().take(MAX_DISPUTES);
        disputes
            .map(|(name, (claimant, _))| Dispute {
                name: *name,
                claimant: *claimant,
            })
            .collect()
    }

    /// When a claim in vain is reported no longer
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.disputes.values().map(|(_, at)| later(*at, REPORTED)).min()
    }

    /// Drops claims that were reported for long enough; whether there were any
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.disputes.len();
        self.disputes.retain(|_, (_, at)| later(*at, REPORTED) > now);
        self.disputes.len() != before
    }

    fn dispute(&mut self, name: PeerName, claimant: IdentityKey, now: Instant) {
        if self.disputes.len() < MAX_DISPUTES || self.disputes.contains_key(&name) {
            if !self.disputes.contains_key(&name) {
                log::warn!(
                    "the name {name} was claimed with the key {claimant}, but belongs to another key; if its \
                     host was installed anew, run `weavectl rmpeer {name}` here"
                );
            }
            self.disputes.insert(name, (claimant, now));
        }
    }

    /// Whether another name can be pinned, for which one that needs no pin may have to go
    fn has_room(&mut self) -> bool {
        if self.pins.len() < MAX_PINS {
            return true;
        }
        let mut derived = self.pins.values().filter(|pin| pin.key.peer_name() == pin.name);
        match derived.next().map(|pin| pin.name) {
            Some(name) => self.pins.remove(&name).is_some(),
            None => false,
        }
    }
}

impl Keys for Pins {
    fn binding(&self, name: PeerName, key: &IdentityKey) -> Binding {
        match (DerivedKeys.binding(name, key), self.pins.get(&name)) {
            (Binding::Bound, _) => Binding::Bound,
            (Binding::Unknown | Binding::Other, Some(pin)) if pin.key == *key => Binding::Bound,
            (Binding::Unknown | Binding::Other, Some(_)) => Binding::Other,
            (Binding::Unknown | Binding::Other, None) => Binding::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::{identity, name};

    #[test]
    fn a_given_name_stays_with_the_key_that_came_first() {
        let (mut pins, now) = (Pins::default(), Instant::now());
        let (first, second) = (identity(1).key(), identity(2).key());
        assert_eq!(pins.binding(name(1), &first), Binding::Unknown);
        assert_eq!(pins.pin(name(1), first, 5, now), Pinned::Yes);
        assert_eq!(pins.binding(name(1), &first), Binding::Bound);
        assert_eq!(pins.pin(name(1), second, 6, now), Pinned::Disputed);
        assert_eq!(pins.binding(name(1), &second), Binding::Other);
        let dispute = Dispute {
            name: name(1),
            claimant: second,
        };
        assert_eq!(pins.disputes(), [dispute]);

        // So it is after a restart.
        let kept = pins.take_changed().unwrap();
        assert_eq!(kept[0].since_ms, 5);
        assert_eq!(pins.take_changed(), None);
        let mut pins = Pins::new(kept);
        assert_eq!(pins.pin(name(1), second, 7, now), Pinned::Disputed);
        assert!(pins.forget(name(1)));
        assert_eq!(pins.pin(name(1), second, 8, now), Pinned::Yes);
        assert_eq!(pins.disputes(), []);
    }

    #[test]
    fn a_derived_name_beats_a_pin() {
        let (mut pins, now) = (Pins::default(), Instant::now());
        let owner = identity(1);
        assert_eq!(
            pins.pin(owner.peer_name(), identity(2).key(), 1, now),
            Pinned::Yes
        );
        assert_eq!(pins.binding(owner.peer_name(), &owner.key()), Binding::Bound);
        assert_eq!(pins.pin(owner.peer_name(), owner.key(), 2, now), Pinned::Yes);
        assert_eq!(
            pins.pin(owner.peer_name(), identity(2).key(), 3, now),
            Pinned::Disputed
        );
    }

    #[test]
    fn names_that_need_no_pin_give_way_and_given_ones_stay() {
        let (mut pins, now) = (Pins::default(), Instant::now());
        let derived = identity(1);
        pins.pin(derived.peer_name(), derived.key(), 1, now);
        for n in 1..MAX_PINS as u16 {
            assert_eq!(pins.pin(name(n), identity(n % 7).key(), 1, now), Pinned::Yes);
        }
        assert_eq!(pins.pin(name(60_000), identity(1).key(), 1, now), Pinned::Yes);
        assert_eq!(pins.pin(name(60_001), identity(1).key(), 1, now), Pinned::Full);
        assert_eq!(pins.pin(derived.peer_name(), derived.key(), 1, now), Pinned::Yes);
        assert_eq!(pins.iter().count(), MAX_PINS);
    }

    #[test]
    fn a_claim_in_vain_is_reported_for_a_minute() {
        let (mut pins, now) = (Pins::default(), Instant::now());
        pins.pin(name(1), identity(1).key(), 1, now);
        pins.pin(name(1), identity(2).key(), 1, now);
        let due = pins.timeout().unwrap();
        assert!(!pins.handle_timeout(due - Duration::from_millis(1)));
        assert!(pins.handle_timeout(due));
        assert_eq!((pins.disputes(), pins.timeout()), (vec![], None));
    }
}
