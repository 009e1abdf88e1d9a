//! The keys of owners, as this peer has met them.

use std::collections::{BTreeMap, BTreeSet};

use gossip::{Binding, IdentityKey, Keys};
use model::PeerName;

/// The key of each name that signed something held here
#[derive(Debug, Clone, Default)]
pub(crate) struct Ring(BTreeMap<PeerName, IdentityKey>);

impl Ring {
    /// The key that speaks for `name`: `hint`, if `keys` binds it, else the one that was met first
    pub(crate) fn key(
        &self,
        name: PeerName,
        hint: Option<IdentityKey>,
        keys: &dyn Keys,
    ) -> Option<IdentityKey> {
        let known = self.0.get(&name).copied();
        let binding = |key: &IdentityKey| keys.binding(name, key);
        hint.filter(|hint| binding(hint) == Binding::Bound)
            .or_else(|| known.filter(|known| binding(known) != Binding::Other))
            .or_else(|| hint.filter(|hint| known.is_none() && binding(hint) == Binding::Unknown))
    }

    /// The key that was met
    pub(crate) fn known(&self, name: PeerName) -> Option<IdentityKey> {
        self.0.get(&name).copied()
    }

    pub(crate) fn remember(&mut self, name: PeerName, key: IdentityKey) {
        self.0.insert(name, key);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all other names
    pub(crate) fn retain(&mut self, names: &BTreeSet<PeerName>) {
        self.0.retain(|name, _| names.contains(name));
    }

    /// The keys of these names that were met
    pub(crate) fn of(&self, names: &BTreeSet<PeerName>) -> Vec<(PeerName, IdentityKey)> {
        let known = |name: &PeerName| self.known(*name).map(|key| (*name, key));
        names.iter().filter_map(known).collect()
    }
}
