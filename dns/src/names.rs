//! Who says what of which name: a part of each peer, and what is answered of them.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Instant;

use gossip::{Binding, Identity, Keys, Malformed, Replica};
use model::{ContainerId, PeerName, bump};

use crate::assembly::{Assemblies, Put, join};
use crate::budget::{Fill, MAX_ENTRIES, MAX_TEXT_BYTES, MAX_WEIGHT, Refused};
use crate::copies::{Copied, Copies};
use crate::domain::{Domain, NameError};
use crate::entry::{Entry, Filter, Listed};
use crate::part::{Difference, Part};
use crate::proof::Proof;
use crate::stamp::Stamp;
use crate::told::{Delta, Head, Lent, Told, Whole, decode, decode_summary, encode_summary};
use crate::zone::Zone;

/// How many changes are told again with the next ones, for those who missed a message on a path that broke
const TOLD_AGAIN: u64 = 16;

/// The most origins remembered that told something before the mesh reached them
const MAX_MISSED: usize = 256;

/// The table of names: the own ones, and a copy of every other peer's
///
/// After every call that takes `&mut self`: [`Names::take_zone`] for those who answer, [`Names::take_doubt`],
/// and the exchange's flood for the neighbours.
#[derive(Debug)]
pub struct Names {
    name: PeerName,
    identity: Identity,
    domain: Domain,
    own: Part,
    /// The own entries of each container, by the sequences of their coming
    containers: BTreeMap<ContainerId, BTreeSet<u64>>,
    /// The last of the own changes that the neighbours were told
    told: Option<u64>,
    others: Copies,
    assemblies: Assemblies,
    reachable: BTreeSet<PeerName>,
    /// Origins of which something was refused because the mesh did not reach them
    missed: BTreeSet<PeerName>,
    /// Some neighbours may have what is lacking here, or lack what came here in pieces
    doubt: bool,
    refused: BTreeMap<Refused, u64>,
    zone: Zone,
    taken: Option<u32>,
}

impl Names {
    /// The table of the peer of this name and key; `epoch` is greater at each of its starts
    pub fn new(name: PeerName, identity: Identity, epoch: u64, domain: Domain) -> Self {
        Self {
            name,
            identity,
            zone: Zone::new(domain.clone()),
            domain,
            own: Part::new(epoch),
            containers: BTreeMap::new(),
            told: None,
            others: Copies::default(),
            assemblies: Assemblies::default(),
            reachable: BTreeSet::new(),
            missed: BTreeSet::new(),
            doubt: false,
            refused: BTreeMap::new(),
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
        let (name, container) = (entry.name.clone(), entry.container.clone());
        let came = self.own.add(entry).map_err(|_full| AddError::Full)?;
        self.zone.insert(&name, address);
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
        for (origin, copied) in self.others.each() {
            match (peers.contains(origin), copied.gone) {
                (true, Some(_)) => {
                    copied.gone = None;
                    self.zone.insert_all(copied.part.entries().values());
                }
                (false, None) => {
                    copied.gone = Some(now);
                    self.zone.remove_all(copied.part.entries().values());
                }
                (true, None) | (false, Some(_)) => {}
            }
        }
        let is_full = self.missed.len() >= MAX_MISSED;
        let came = |peer: &PeerName| !self.reachable.contains(peer);
        if peers
            .iter()
            .any(|peer| came(peer) && (is_full || self.missed.contains(peer)))
        {
            self.doubt = true;
            self.missed.clear();
        }
        self.reachable.clone_from(peers);
    }

    /// Whether the neighbours are to be compared with soon, if that was not said yet
    pub const fn take_doubt(&mut self) -> bool {
        std::mem::replace(&mut self.doubt, false)
    }

    /// Forgets peers that have been away for [`KEPT`](crate::KEPT), and pieces that wait for others, if it is time
    pub fn handle_timeout(&mut self, now: Instant) {
        self.others.handle_timeout(now);
        self.assemblies.handle_timeout(now);
    }

    /// When to call [`Names::handle_timeout`]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let times = [self.others.poll_timeout(), self.assemblies.poll_timeout()];
        times.into_iter().flatten().min()
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
        let counts = self.parts().map(|(_, part)| part.entries().len());
        counts.fold(0, usize::saturating_add)
    }

    /// How much is known of others, and what was refused
    pub fn fill(&self) -> Fill {
        let copies = self.others.all().values();
        let entries = copies.map(|copied| copied.part.entries().len());
        Fill {
            origins: self.others.all().len(),
            entries: entries.fold(0, usize::saturating_add),
            weight: self.others.weight(),
            max_weight: MAX_WEIGHT,
            waiting_bytes: self.assemblies.bytes(),
            refused: self.refused.clone(),
        }
    }

    fn refuse(&mut self, reason: Refused) {
        bump(self.refused.entry(reason).or_default());
    }

    /// Somebody told of our own part what we never said: a later run of this peer is remembered than this
    /// one knows of, and has to be outdone
    fn outbid(&mut self, head: &Head) -> Result<(), Refused> {
        if head.stamp <= self.own.stamp {
            return Ok(());
        }
        if head.proof.key != self.identity.key() {
            return Err(Refused::OtherKey);
        }
        if !head.proof.holds(self.name, head.stamp) {
            return Err(Refused::Signature);
        }
        self.own.stamp.epoch = head.stamp.next_epoch().ok_or(Refused::Epoch)?;
        self.told = None;
        Ok(())
    }

    /// Whether a part at this state is news of an origin that it is taken from
    fn check(&mut self, head: &Head, keys: &dyn Keys) -> Result<bool, Refused> {
        let Head { origin, stamp, proof } = head;
        // Who is kept for its return is followed: it may tell of itself before the mesh says that it is back.
        if !self.reachable.contains(origin) && self.others.get(*origin).is_none() {
            if self.missed.len() < MAX_MISSED {
                self.missed.insert(*origin);
            }
            return Err(Refused::Unreachable);
        }
        let known = self.others.get(*origin);
        let is_same_key = known.is_none_or(|known| known.proof.key == proof.key);
        if is_same_key && known.is_some_and(|known| known.part.stamp >= *stamp) {
            return Ok(false);
        }
        match keys.binding(*origin, &proof.key) {
            Binding::Bound => {}
            Binding::Unknown if is_same_key => {}
            Binding::Unknown | Binding::Other => return Err(Refused::OtherKey),
        }
        if !proof.holds(*origin, *stamp) {
            return Err(Refused::Signature);
        }
        if !is_same_key && let Some(before) = self.others.remove(*origin) {
            self.unanswer(&before);
        }
        Ok(true)
    }

    fn merge_delta(&mut self, delta: Delta<Lent<'_>>, now: Instant) -> Result<bool, Problem> {
        let Head { origin, stamp, proof } = delta.head;
        let fresh = Part::new(stamp.epoch);
        let base = match self.others.get(origin) {
            // What led nowhere before is not tried again where all is told.
            Some(Copied { part, lost, .. })
                if part.stamp.epoch == stamp.epoch && !(*lost && delta.from == 0) =>
            {
                if part.stamp.sequence < delta.from {
                    return Ok(false);
                }
                part
            }
            Some(_) | None if delta.from == 0 => &fresh,
            Some(_) | None => return Ok(false),
        };
        let is_fresh = std::ptr::eq(base, &raw const fresh);
        let step = match base.step(delta.take()?) {
            Ok(step) => step,
            Err(refused) => {
                if refused == Refused::Digest {
                    self.others.lost(origin);
                }
                return Err(refused.into());
            }
        };
        if is_fresh {
            let mut part = fresh;
            part.take(step);
            return self.replace(origin, part, proof, now);
        }
        self.make_room(origin, step.weight())?;
        let Difference { came, went } = self.others.take(origin, step, proof);
        if self.reachable.contains(&origin) {
            self.zone.insert_all(came.iter());
            self.zone.remove_all(went.iter());
        }
        self.assemblies.is_known(origin, stamp);
        Ok(true)
    }

    fn merge_whole(
        &mut self,
        teller: PeerName,
        whole: Whole<Lent<'_>>,
        bytes: &[u8],
        now: Instant,
    ) -> Result<bool, Problem> {
        let Whole {
            head, piece, pieces, ..
        } = whole;
        let whole = whole.take()?;
        if pieces == 1 {
            let part = Part::whole(head.stamp, whole.entries.into_iter().collect())?;
            return self.replace_signed(head, part, now);
        }
        match self.assemblies.put(teller, head, (piece, pieces), bytes, now)? {
            Put::Waits => Ok(false),
            Put::Complete(pieces) => {
                let part = Part::whole(head.stamp, join(&pieces)?)?;
                // Nobody was told of pieces that may have been wrong: the neighbours are asked what they lack.
                self.doubt |= self.replace_signed(head, part, now)?;
                Ok(false)
            }
        }
    }

    fn replace_signed(&mut self, head: Head, part: Part, now: Instant) -> Result<bool, Problem> {
        if part.digest() != head.proof.digest {
            return Err(Refused::Digest.into());
        }
        self.replace(head.origin, part, head.proof, now)
    }

    /// Puts a part in the place of what was there
    fn replace(&mut self, origin: PeerName, part: Part, proof: Proof, now: Instant) -> Result<bool, Problem> {
        self.make_room(origin, part.weight())?;
        self.assemblies.is_known(origin, part.stamp);
        let since = self.others.get(origin).and_then(|before| before.gone);
        let gone = (!self.reachable.contains(&origin)).then(|| since.unwrap_or(now));
        if gone.is_none() {
            self.zone.insert_all(part.entries().values());
        }
        let copied = Copied {
            part,
            proof,
            gone,
            lost: false,
        };
        if let Some(before) = self.others.put(origin, copied) {
            self.unanswer(&before);
        }
        Ok(true)
    }

    /// Makes room for an origin's part
    fn make_room(&mut self, origin: PeerName, weight: usize) -> Result<(), Refused> {
        let (went, has_room) = self.others.make_room(origin, weight);
        for copied in &went {
            if copied.gone.is_none() {
                self.refuse(Refused::NoRoom);
            }
            self.unanswer(copied);
        }
        if has_room { Ok(()) } else { Err(Refused::NoRoom) }
    }

    /// A copy is no longer held: what was answered of it is not
    fn unanswer(&mut self, copied: &Copied) {
        if copied.gone.is_none() {
            self.zone.remove_all(copied.part.entries().values());
        }
    }

    /// The copy of another peer's part
    #[cfg(fuzzing)]
    pub(crate) fn copy(&self, origin: PeerName) -> Option<&Part> {
        Some(&self.others.get(origin)?.part)
    }

    /// The own part and those of peers that can be reached, which are answered and told of: nobody could
    /// answer with the others, and peers would never stop giving back to each other what they forget
    fn parts(&self) -> impl Iterator<Item = (PeerName, &Part)> {
        let others = self.others.reachable();
        let others = others.map(|(origin, copied)| (origin, &copied.part));
        std::iter::once((self.name, &self.own)).chain(others)
    }

    /// Tells the own part to somebody whose copy is at `known`
    fn tell_own(&self, known: Option<Stamp>) -> Vec<Vec<u8>> {
        let proof = Proof::sign(&self.identity, self.name, self.own.stamp, self.own.digest());
        self.own.tell(self.name, proof, known)
    }
}

/// The reason for which a message changed nothing
#[derive(Debug)]
enum Problem {
    Malformed(Malformed),
    Refused(Refused),
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
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
                self.tell_own(Some(known))
            }
            None => self.tell_own(None),
        }
    }

    fn summary(&self) -> Vec<u8> {
        let own = std::iter::once((self.name, self.own.stamp));
        let stamps: BTreeMap<PeerName, Stamp> = own.chain(self.others.stamps()).collect();
        encode_summary(&stamps.into_iter().collect())
    }

    fn missing(&self, summary: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
        let theirs: BTreeMap<PeerName, Stamp> = decode_summary(summary)?.into_iter().collect();
        let lacks = |origin: PeerName, stamp: Stamp| theirs.get(&origin).copied() < Some(stamp);
        let mut parts = Vec::new();
        if lacks(self.name, self.own.stamp) {
            parts.extend(self.tell_own(theirs.get(&self.name).copied()));
        }
        for (origin, Copied { part, proof, .. }) in self.others.reachable() {
            if lacks(origin, part.stamp) {
                parts.extend(part.tell(origin, *proof, theirs.get(&origin).copied()));
            }
        }
        Ok(parts)
    }

    fn merge(
        &mut self,
        teller: PeerName,
        part: &[u8],
        keys: &dyn Keys,
        now: Instant,
    ) -> Result<Option<Vec<u8>>, Malformed> {
        let told = decode(part)?;
        let head = *told.head();
        let merged = if head.origin == self.name {
            self.outbid(&head).map(|()| false).map_err(Problem::from)
        } else {
            match self.check(&head, keys) {
                Ok(true) => match told {
                    Told::Delta(delta) => self.merge_delta(delta, now),
                    Told::Whole(whole) => self.merge_whole(teller, whole, part, now),
                },
                Ok(false) => Ok(false),
                Err(refused) => Err(refused.into()),
            }
        };
        match merged {
            Ok(is_news) => Ok(is_news.then(|| part.to_vec())),
            Err(Problem::Malformed(malformed)) => Err(malformed),
            Err(Problem::Refused(refused)) => {
                self.refuse(refused);
                match refused {
                    // Whoever passes it on has looked at the signature before.
                    Refused::Signature => Err(Malformed("a part of names that its key did not sign")),
                    Refused::Unreachable
                    | Refused::OtherKey
                    | Refused::Digest
                    | Refused::OriginFull
                    | Refused::NoRoom
                    | Refused::NoRoomToWait
                    | Refused::Epoch => Ok(None),
                }
            }
        }
    }
}

/// Nothing was added
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The name cannot be one here
    #[error(transparent)]
    Name(#[from] NameError),
    /// There are too many
    #[error(
        "this host has as many names as a host may have ({MAX_ENTRIES} of {MAX_TEXT_BYTES} bytes): remove some \
         first (weavectl dns-remove)"
    )]
    Full,
}

#[cfg(test)]
mod tests;
