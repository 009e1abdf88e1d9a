//! Which station is where, as the switch knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::{Mac, ShortId};
use openvswitch_sys::PortNo;

/// Where a station is
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// On a port of this host
    Port(PortNo),
    /// On the host of the peer with this short id
    Peer(ShortId),
}

/// What a frame taught
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lesson {
    Known,
    New {
        /// Who made room
        evicted: Option<Mac>,
    },
    Moved {
        from: Place,
    },
}

/// Ethernet address → place, with the time of the last frame
///
/// Bounded. Where it is full, a newcomer takes the room of the oldest station of the place that has
/// most stations: a container that makes addresses up pushes out its own.
#[derive(Debug)]
pub(super) struct Macs {
    entries: BTreeMap<Mac, Entry>,
    by_age: BTreeMap<Place, BTreeSet<(Instant, Mac)>>,
    capacity: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    place: Place,
    seen: Instant,
}

impl Macs {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_age: BTreeMap::new(),
            capacity,
        }
    }

    pub(super) fn place(&self, mac: Mac) -> Option<Place> {
        self.entries.get(&mac).map(|entry| entry.place)
    }

    pub(super) fn seen(&self, mac: Mac) -> Option<Instant> {
        self.entries.get(&mac).map(|entry| entry.seen)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Mac, Place, Instant)> {
        self.entries
            .iter()
            .map(|(mac, entry)| (*mac, entry.place, entry.seen))
    }

    /// All, place by place; those of this host's ports first
    pub(super) fn by_place(&self) -> impl Iterator<Item = (Mac, Place)> {
        let places = self.by_age.iter();
        places.flat_map(|(place, stations)| stations.iter().map(|(_, mac)| (*mac, *place)))
    }

    /// Those of this host's ports
    pub(super) fn local(&self) -> impl Iterator<Item = (Mac, Place)> {
        self.by_place()
            .take_while(|(_, place)| matches!(place, Place::Port(_)))
    }

    pub(super) fn count_at(&self, place: Place) -> usize {
        self.by_age.get(&place).map_or(0, BTreeSet::len)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes that a frame of `mac` came from `place` at `seen`
    pub(super) fn learn(&mut self, mac: Mac, place: Place, seen: Instant) -> Lesson {
        match self.entries.get(&mac).copied() {
            Some(old) if old.place == place => {
                if seen > old.seen {
                    self.unlink(mac, old);
                    self.link(mac, Entry { place, seen });
                }
                Lesson::Known
            }
            Some(old) => {
                self.unlink(mac, old);
                self.link(mac, Entry { place, seen });
                Lesson::Moved { from: old.place }
            }
            None => {
                let evicted = (self.entries.len() >= self.capacity)
                    .then(|| self.evict())
                    .flatten();
                self.link(mac, Entry { place, seen });
                Lesson::New { evicted }
            }
        }
    }

    /// Forgets all that were silent for longer than `age`
    pub(super) fn expire(&mut self, age: Duration, now: Instant) -> Vec<Mac> {
        let mut gone = vec![];
        for stations in self.by_age.values() {
            let old = stations
                .iter()
                .take_while(|(seen, _)| now.saturating_duration_since(*seen) > age);
            gone.extend(old.map(|(_, mac)| *mac));
        }
        self.forget(&gone);
        gone
    }

    /// Forgets all that are at `place`
    pub(super) fn forget_place(&mut self, place: Place) -> Vec<Mac> {
        let gone: Vec<Mac> = self
            .by_age
            .get(&place)
            .into_iter()
            .flatten()
            .map(|(_, mac)| *mac)
            .collect();
        self.forget(&gone);
        gone
    }

    /// The peers that have stations
    pub(super) fn peers(&self) -> impl Iterator<Item = ShortId> {
        self.by_age.keys().filter_map(|place| match place {
            Place::Peer(id) => Some(*id),
            Place::Port(_) => None,
        })
    }

    /// Peers changed their short ids; those without a new one lose their stations. Tells whose
    /// stations these were
    pub(super) fn renumber(&mut self, changes: &BTreeMap<ShortId, Option<ShortId>>) -> Vec<Mac> {
        // All out before any in: two peers may swap.
        let mut touched = vec![];
        let mut moved = vec![];
        for (old, new) in changes {
            for (seen, mac) in self.by_age.remove(&Place::Peer(*old)).unwrap_or_default() {
                touched.push(mac);
                self.entries.remove(&mac);
                moved.extend(new.map(|id| {
                    (
                        mac,
                        Entry {
                            place: Place::Peer(id),
                            seen,
                        },
                    )
                }));
            }
        }
        for (mac, entry) in moved {
            self.link(mac, entry);
        }
        touched
    }

    fn forget(&mut self, macs: &[Mac]) {
        for mac in macs {
            if let Some(entry) = self.entries.get(mac).copied() {
                self.unlink(*mac, entry);
            }
        }
    }

    fn evict(&mut self) -> Option<Mac> {
        let crowd = self.by_age.values().max_by_key(|stations| stations.len())?;
        let (_, mac) = *crowd.first()?;
        self.forget(&[mac]);
        Some(mac)
    }

    fn link(&mut self, mac: Mac, entry: Entry) {
        self.entries.insert(mac, entry);
        self.by_age
            .entry(entry.place)
            .or_default()
            .insert((entry.seen, mac));
    }

    fn unlink(&mut self, mac: Mac, entry: Entry) {
        self.entries.remove(&mac);
        if let Some(stations) = self.by_age.get_mut(&entry.place) {
            stations.remove(&(entry.seen, mac));
            if stations.is_empty() {
                self.by_age.remove(&entry.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u8) -> Mac {
        Mac::new([2, 0, 0, 0, 0, n])
    }

    const NOISY: Place = Place::Port(PortNo(1));
    const QUIET: Place = Place::Port(PortNo(2));

    #[test]
    fn whoever_floods_the_table_pushes_out_its_own() {
        let mut macs = Macs::new(4);
        let start = Instant::now();
        macs.learn(mac(1), QUIET, start);
        for n in 10..13 {
            macs.learn(mac(n), NOISY, start + Duration::from_secs(u64::from(n)));
        }
        for n in 13..50 {
            let lesson = macs.learn(mac(n), NOISY, start + Duration::from_secs(u64::from(n)));
            assert_eq!(
                lesson,
                Lesson::New {
                    evicted: Some(mac(n - 3))
                }
            );
        }
        assert_eq!(macs.place(mac(1)), Some(QUIET));
        assert_eq!(macs.len(), 4);
    }

    #[test]
    fn old_evidence_does_not_make_a_station_younger_or_older() {
        let mut macs = Macs::new(4);
        let start = Instant::now();
        let later = start + Duration::from_secs(9);
        macs.learn(mac(1), QUIET, later);
        assert_eq!(macs.learn(mac(1), QUIET, start), Lesson::Known);
        assert_eq!(macs.seen(mac(1)), Some(later));
        assert_eq!(
            macs.expire(Duration::from_secs(5), later + Duration::from_secs(5)),
            []
        );
        assert_eq!(
            macs.expire(Duration::from_secs(5), later + Duration::from_secs(6)),
            [mac(1)]
        );
        assert!(macs.by_age.is_empty());
    }

    #[test]
    fn peers_may_swap_their_ids() {
        let peer = |id| Place::Peer(ShortId::truncated(id));
        let mut macs = Macs::new(9);
        let now = Instant::now();
        for n in 1..4 {
            macs.learn(mac(n), peer(u16::from(n)), now);
        }
        let id = ShortId::truncated;
        let changes = BTreeMap::from([(id(1), Some(id(2))), (id(2), Some(id(1))), (id(3), None)]);
        assert_eq!(macs.renumber(&changes).len(), 3);
        let places: Vec<_> = (1..4).map(|n| macs.place(mac(n))).collect();
        assert_eq!(places, [Some(peer(2)), Some(peer(1)), None]);
        assert_eq!(macs.peers().count(), 2);
    }
}
