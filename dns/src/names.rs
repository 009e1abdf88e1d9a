//! Who says what of which name: a part of each peer, and what is answered of them.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use gossip::{Keys, Malformed, Replica};
use model::{ContainerId, PeerName};

use crate::assembly::Assembly;
use crate::domain::{Domain, NameError};
use crate::entry::{Entry, Filter, Listed};
use crate::part::{Difference, MAX_ENTRIES, Part, Stamp};
use crate::told::{Delta, MAX_PARTS, Told, Whole, decode, decode_summary, encode_summary};
use crate::zone::Zone;

/// How long the names of a peer that cannot be reached are kept for its return
pub const KEPT: Duration = Duration::from_secs(600);

/// How many changes are told again with the next ones, for those who missed a message on a path that broke
const TOLD_AGAIN: u64 = 16;

/// The table of names: the own ones, and a copy of every other peer's
///
/// After every call that takes `&mut self`: [`Names::take_zone`] for those who answer, and the exchange's
/// flood for the neighbours.
#[derive(Debug)]
pub struct Names {
    name: PeerName,
    domain: Domain,
    own: Part,
    /// The own entries of each container, by the sequences of their coming
    containers: BTreeMap<ContainerId, BTreeSet<u64>>,
    /// The last of the own changes that the neighbours were told
    told: Option<u64>,
    others: BTreeMap<PeerName, Copied>,
    assemblies: BTreeMap<PeerName, Assembly>,
    reachable: BTreeSet<PeerName>,
    zone: Zone,
    taken: Option<u32>,
}

/// The copy of another peer's part
#[derive(Debug)]
struct Copied {
    part: Part,
    /// Since when the peer cannot be reached, and its names are not answered
    gone: Option<Instant>,
}

impl Names {
    /// The table of the peer of this name; `epoch` is greater at each of its starts
    pub fn new(name: PeerName, epoch: u64, domain: Domain) -> Self {
        Self {
            name,
            zone: Zone::new(domain.clone()),
            domain,
            own: Part::new(epoch),
            containers: BTreeMap::new(),
            told: None,
            others: BTreeMap::new(),
            assemblies: BTreeMap::new(),
            reachable: BTreeSet::new(),
            taken: None,
        }
    }

    /// Says that a container has this name and this address; whether that is new
    ///
    /// # Errors
    ///
    /// If it is no name in the domain, or there is no room for more; nothing was changed.
    pub fn add(&mut self, name: &str, container: ContainerId, address: Ipv4Addr) -> Result<bool, AddError> {
        let entry = Entry {
            name: self.domain.complete(name)?,
            container,
            address,
        };
        // All own entries are answered, and a container may have thousands: all addresses of outside are one's.
        if self.zone.answers(&entry.name, address)
            && self
                .names_of(&entry.container)
                .any(|known| known.says_the_same(&entry))
        {
            return Ok(false);
        }
        if self.own.entries().len() >= MAX_ENTRIES {
            return Err(AddError::Full);
        }
        self.zone.insert(&entry.name, address);
        let container = entry.container.clone();
        let came = self.own.add(entry);
        self.containers.entry(container).or_default().insert(came);
        Ok(true)
    }

    /// Takes back the own entries that the filter is true of; how many they were
    ///
    /// # Errors
    ///
    /// If its name is none in the domain; nothing was changed.
    pub fn remove(&mut self, filter: &Filter) -> Result<usize, NameError> {
        let name = filter
            .name
            .as_deref()
            .map(|name| self.domain.complete(name))
            .transpose()?;
        let is_meant = |entry: &Entry| {
            name.as_ref()
                .is_none_or(|name| name.as_str().eq_ignore_ascii_case(entry.name.as_str()))
                && filter.address.is_none_or(|address| address == entry.address)
        };
        let own = self.own.entries();
        let meant: Vec<u64> = match &filter.container {
            Some(container) => {
                let of = self.containers.get(container).into_iter().flatten();
                of.filter(|came| own.get(came).is_some_and(is_meant))
                    .copied()
                    .collect()
            }
            None => {
                let all = own.iter();
                all.filter(|(_, entry)| is_meant(entry))
                    .map(|(came, _)| *came)
                    .collect()
            }
        };
        for came in &meant {
            if let Some(entry) = self.own.remove(*came) {
                self.zone.remove(&entry.name, entry.address);
                if let Slot::Occupied(mut of) = self.containers.entry(entry.container) {
                    of.get_mut().remove(came);
                    if of.get().is_empty() {
                        of.remove();
                    }
                }
            }
        }
        Ok(meant.len())
    }

    /// The own entries of a container
    pub fn names_of(&self, container: &ContainerId) -> impl Iterator<Item = &Entry> {
        let of = self.containers.get(container).into_iter().flatten();
        of.filter_map(|came| self.own.entries().get(came))
    }

    /// Says which peers can be reached now: the names of the others are not answered until they can be
    pub fn reachable(&mut self, peers: &BTreeSet<PeerName>, now: Instant) {
        for (origin, copied) in &mut self.others {
            match (peers.contains(origin), copied.gone) {
                (true, Some(_)) => {
                    copied.gone = None;
                    for entry in copied.part.entries().values() {
                        self.zone.insert(&entry.name, entry.address);
                    }
                }
                (false, None) => {
                    copied.gone = Some(now);
                    for entry in copied.part.entries().values() {
                        self.zone.remove(&entry.name, entry.address);
                    }
                }
                (true, None) | (false, Some(_)) => {}
            }
        }
        self.reachable.clone_from(peers);
    }

    /// Forgets peers that have been away for [`KEPT`], if it is time
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_kept = |since: Instant| since + KEPT > now;
        self.others.retain(|_, copied| copied.gone.is_none_or(is_kept));
        self.assemblies.retain(|_, assembly| is_kept(assembly.came_at));
    }

    /// When to call [`Names::handle_timeout`]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gone = self.others.values().filter_map(|copied| copied.gone);
        let waiting = self.assemblies.values().map(|assembly| assembly.came_at);
        gone.chain(waiting).min().map(|since| since + KEPT)
    }

    /// What is to be answered, if that changed since this was called last
    pub fn take_zone(&mut self) -> Option<Zone> {
        let version = self.zone.version();
        (self.taken.replace(version) != Some(version)).then(|| self.zone.clone())
    }

    /// What is answered
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// All entries of peers that can be reached, the own ones first
    pub fn entries(&self) -> impl Iterator<Item = Listed<'_>> {
        let entries = self
            .parts()
            .flat_map(|(origin, part)| part.entries().values().map(move |entry| (origin, entry)));
        entries.map(|(origin, entry)| Listed {
            hostname: self
                .domain
                .host(entry.name.as_str())
                .unwrap_or(entry.name.as_str()),
            entry,
            origin,
        })
    }

    /// How many entries there are of peers that can be reached
    pub fn count(&self) -> usize {
        self.parts().map(|(_, part)| part.entries().len()).sum()
    }

    /// Somebody told of our own part what we never said: a later run of this peer is remembered than this
    /// one knows of, and has to be outdone
    fn outbid(&mut self, theirs: Stamp) {
        if theirs > self.own.stamp {
            self.own.stamp.epoch = theirs.epoch + 1;
            self.told = None;
        }
    }

    fn merge_delta(&mut self, delta: Delta<Entry>, now: Instant) -> Result<bool, Malformed> {
        let (origin, stamp) = (delta.origin, delta.stamp);
        match self.others.get_mut(&origin) {
            Some(known) if known.part.stamp >= stamp => Ok(false),
            Some(known) if known.part.stamp.epoch == stamp.epoch => {
                if known.part.stamp.sequence < delta.from {
                    return Ok(false);
                }
                let Difference { came, went } = known.part.apply(delta)?;
                if known.gone.is_none() {
                    for entry in came {
                        self.zone.insert(&entry.name, entry.address);
                    }
                    for entry in went {
                        self.zone.remove(&entry.name, entry.address);
                    }
                }
                Ok(true)
            }
            Some(_) | None if delta.from == 0 => {
                let mut part = Part::new(stamp.epoch);
                part.apply(delta)?;
                Ok(self.replace(origin, part, now))
            }
            Some(_) | None => Ok(false),
        }
    }

    fn merge_whole(&mut self, whole: Whole<Entry>, now: Instant) -> Result<bool, Malformed> {
        let (origin, stamp) = (whole.origin, whole.stamp);
        if self
            .others
            .get(&origin)
            .is_some_and(|known| known.part.stamp >= stamp)
        {
            return Ok(false);
        }
        if !self.assemblies.contains_key(&origin) && self.assemblies.len() >= MAX_PARTS {
            return Ok(false);
        }
        let assembly = match self.assemblies.entry(origin) {
            Slot::Occupied(slot) if slot.get().stamp > stamp => return Ok(false),
            Slot::Occupied(mut slot) if slot.get().stamp < stamp => {
                slot.insert(Assembly::new(&whole, now));
                slot.into_mut()
            }
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => slot.insert(Assembly::new(&whole, now)),
        };
        let is_news = assembly.insert(whole, now)?;
        if assembly.is_complete()
            && let Some(assembly) = self.assemblies.remove(&origin)
        {
            return Ok(self.replace(origin, assembly.part()?, now));
        }
        Ok(is_news)
    }

    /// Puts a part in the place of what was there; not if there is no room
    fn replace(&mut self, origin: PeerName, part: Part, now: Instant) -> bool {
        if !self.others.contains_key(&origin) && !self.has_room() {
            return false;
        }
        if self
            .assemblies
            .get(&origin)
            .is_some_and(|assembly| assembly.stamp <= part.stamp)
        {
            self.assemblies.remove(&origin);
        }
        let gone = (!self.reachable.contains(&origin)).then_some(now);
        if gone.is_none() {
            for entry in part.entries().values() {
                self.zone.insert(&entry.name, entry.address);
            }
        }
        let before = self.others.insert(origin, Copied { part, gone });
        if let Some(before) = before.filter(|before| before.gone.is_none()) {
            for entry in before.part.entries().values() {
                self.zone.remove(&entry.name, entry.address);
            }
        }
        true
    }

    /// Whether there is room for another peer, for which the one that has been away longest may have to go
    fn has_room(&mut self) -> bool {
        if self.others.len() + 1 < MAX_PARTS {
            return true;
        }
        let gone = self
            .others
            .iter()
            .filter_map(|(origin, copied)| Some((copied.gone?, *origin)));
        match gone.min() {
            Some((_, origin)) => self.others.remove(&origin).is_some(),
            None => false,
        }
    }

    /// The own part and those of peers that can be reached, which are answered and told of: nobody could
    /// answer with the others, and peers would never stop giving back to each other what they forget
    fn parts(&self) -> impl Iterator<Item = (PeerName, &Part)> {
        let others = self.others.iter().filter(|(_, copied)| copied.gone.is_none());
        let others = others.map(|(origin, copied)| (*origin, &copied.part));
        std::iter::once((self.name, &self.own)).chain(others)
    }
}

impl Replica for Names {
    fn take_changes(&mut self) -> Vec<Vec<u8>> {
        let Stamp { epoch, sequence } = self.own.stamp;
        match self.told.replace(sequence) {
            Some(told) if told == sequence => Vec::new(),
            Some(told) => {
                let from = told.saturating_sub(TOLD_AGAIN).max(self.own.floor().min(told));
                let known = Stamp {
                    epoch,
                    sequence: from,
                };
                self.own.tell(self.name, Some(known))
            }
            None => self.own.tell(self.name, None),
        }
    }

    fn summary(&self) -> Vec<u8> {
        let stamps: BTreeMap<PeerName, Stamp> =
            self.parts().map(|(origin, part)| (origin, part.stamp)).collect();
        encode_summary(&stamps.into_iter().collect())
    }

    fn missing(&self, summary: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
        let theirs: BTreeMap<PeerName, Stamp> = decode_summary(summary)?.into_iter().collect();
        let lacking = self.parts().filter_map(|(origin, part)| {
            let known = theirs.get(&origin).copied();
            (known < Some(part.stamp)).then(|| part.tell(origin, known))
        });
        Ok(lacking.flatten().collect())
    }

    fn merge(&mut self, part: &[u8], _keys: &dyn Keys, now: Instant) -> Result<Option<Vec<u8>>, Malformed> {
        let is_news = match decode(part)? {
            Told::Delta(Delta { origin, stamp, .. }) | Told::Whole(Whole { origin, stamp, .. })
                if origin == self.name =>
            {
                self.outbid(stamp);
                false
            }
            Told::Delta(delta) => self.merge_delta(delta, now)?,
            Told::Whole(whole) => self.merge_whole(whole, now)?,
        };
        Ok(is_news.then(|| part.to_vec()))
    }
}

/// Nothing was added
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The name cannot be one here
    #[error(transparent)]
    Name(#[from] NameError),
    /// There are too many
    #[error("this host has {MAX_ENTRIES} names already: remove some first (weavectl dns-remove)")]
    Full,
}

#[cfg(test)]
mod tests;
