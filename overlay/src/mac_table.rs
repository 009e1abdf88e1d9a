//! Where each station is, for threads that cannot wait.
//!
//! A fixed number of sets of eight entries; an address may stand only in the set that it hashes to.
//! An entry is one atomic word, written by compare-and-swap, and beside it the tick of the last frame,
//! so that readers and writers never block one another. Where a set is full, its oldest entry goes.
//!
//! ```text
//! word:  63 … 16  address     15 … 4  short id     3 … 2  zero     1  local     0  occupied
//! ```
//! Two threads that learn one new address at once may both write it. Each looks over the set after
//! writing, in the one order that all agree on (`SeqCst`), so at least one sees both and clears the
//! one further back; lookups take the first.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use model::{Mac, ShortId};

/// Where a station is
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Station {
    /// On this host
    Local,
    /// On the host of this peer
    Peer(ShortId),
}

/// What a frame taught
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learnt {
    /// Nothing new
    Known,
    /// A station not seen before
    New,
    /// A station that was elsewhere
    Moved {
        /// Where
        from: Station,
    },
    /// Not an address of a station: a group's, or zero
    Refused,
}

/// Ethernet address → place, shared between threads
#[derive(Debug)]
pub struct MacTable {
    sets: Box<[Set]>,
    seed: u64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Set([Entry; WAYS]);

#[derive(Debug, Default)]
struct Entry {
    word: AtomicU64,
    seen: AtomicU32,
}

impl MacTable {
    /// An empty table for about `capacity` stations
    ///
    /// `seed` is drawn at random, lest a container choose addresses that all fall into one set.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let sets = capacity.div_ceil(WAYS).clamp(1, 1 << 20).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| Set::default()).collect(),
            seed: seed | 1,
            evicted: AtomicU64::new(0),
        }
    }

    /// Notes that a frame from `mac` came from `station` at `tick`
    ///
    /// Ticks are coarse and never go back; a second is fine.
    pub fn learn(&self, mac: Mac, station: Station, tick: u32) -> Learnt {
        if mac.is_group() || mac == Mac::ZERO {
            return Learnt::Refused;
        }
        let set = self.set(mac);
        let word = pack(mac, station);
        // Each round fails only because another thread changed the set meanwhile; giving up loses one
        // lesson that the next frame repeats.
        for _ in 0..ROUNDS {
            match set.find(mac) {
                Some((entry, old)) if old == word => {
                    if entry.seen.load(SeqCst) != tick {
                        entry.seen.store(tick, SeqCst);
                    }
                    return Learnt::Known;
                }
                Some((entry, old)) => {
                    entry.seen.store(tick, SeqCst);
                    if entry.word.compare_exchange(old, word, SeqCst, SeqCst).is_ok() {
                        let from = station_of(old);
                        return Learnt::Moved { from };
                    }
                }
                None => {
                    let (entry, old) = set.victim(tick);
                    entry.seen.store(tick, SeqCst);
                    if entry.word.compare_exchange(old, word, SeqCst, SeqCst).is_ok() {
                        if old != EMPTY {
                            self.evicted.fetch_add(1, SeqCst);
                        }
                        set.clear_all_but_first(mac);
                        return Learnt::New;
                    }
                }
            }
        }
        Learnt::Known
    }

    /// Where this station is
    pub fn lookup(&self, mac: Mac) -> Option<Station> {
        let (_, word) = self.set(mac).find(mac)?;
        Some(station_of(word))
    }

    /// Forgets one station
    pub fn forget(&self, mac: Mac) {
        let set = self.set(mac);
        while let Some((entry, word)) = set.find(mac) {
            let _lost_to_another_writer = entry.word.compare_exchange(word, EMPTY, SeqCst, SeqCst);
        }
    }

    /// Forgets every station of a peer: it left, or its short id is another's
    pub fn forget_peer(&self, id: ShortId) {
        self.retain(|word, _| station_of(word) != Station::Peer(id));
    }

    /// Forgets who was silent for more than `max_age` ticks
    pub fn expire(&self, tick: u32, max_age: u32) {
        self.retain(|_, seen| tick.saturating_sub(seen) <= max_age);
    }

    /// Every station, where it is, and the tick of its last frame
    pub fn for_each(&self, mut f: impl FnMut(Mac, Station, u32)) {
        for entry in self.entries() {
            let word = entry.word.load(SeqCst);
            if word != EMPTY {
                f(
                    Mac::from_bits(word >> MAC_SHIFT),
                    station_of(word),
                    entry.seen.load(SeqCst),
                );
            }
        }
    }

    /// How many stations are known
    pub fn len(&self) -> usize {
        self.entries()
            .filter(|entry| entry.word.load(SeqCst) != EMPTY)
            .count()
    }

    /// Whether nothing is known
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many stations fit
    pub const fn capacity(&self) -> usize {
        self.sets.len().saturating_mul(WAYS)
    }

    /// How many stations gave way to another before their time
    pub fn evicted(&self) -> u64 {
        self.evicted.load(SeqCst)
    }

    fn set(&self, mac: Mac) -> &Set {
        // Multiply and fold, twice: every bit of the address reaches the index, the seed picks how.
        let fold = |x: u64| {
            let product =
                u128::from(x ^ self.seed).wrapping_mul(u128::from(self.seed ^ 0x9e37_79b9_7f4a_7c15));
            (product >> 64) as u64 ^ product as u64
        };
        let hash = fold(fold(mac.to_bits()));
        &self.sets[hash as usize & self.sets.len().wrapping_sub(1)]
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.sets.iter().flat_map(|set| &set.0)
    }

    fn retain(&self, keep: impl Fn(u64, u32) -> bool) {
        for entry in self.entries() {
            let word = entry.word.load(SeqCst);
            if word != EMPTY && !keep(word, entry.seen.load(SeqCst)) {
                // A word that changed meanwhile was just learnt, and stays.
                let _changed = entry.word.compare_exchange(word, EMPTY, SeqCst, SeqCst);
            }
        }
    }
}

impl Set {
    fn find(&self, mac: Mac) -> Option<(&Entry, u64)> {
        let bits = mac.to_bits();
        self.0.iter().find_map(|entry| {
            let word = entry.word.load(SeqCst);
            (word != EMPTY && word >> MAC_SHIFT == bits).then_some((entry, word))
        })
    }

    /// The place for a newcomer: an empty one, else the oldest
    fn victim(&self, tick: u32) -> (&Entry, u64) {
        let mut oldest = (&self.0[0], EMPTY, 0);
        for (index, entry) in self.0.iter().enumerate() {
            let word = entry.word.load(SeqCst);
            if word == EMPTY {
                return (entry, EMPTY);
            }
            let age = tick.saturating_sub(entry.seen.load(SeqCst));
            if index == 0 || age > oldest.2 {
                oldest = (entry, word, age);
            }
        }
        (oldest.0, oldest.1)
    }

    fn clear_all_but_first(&self, mac: Mac) {
        let bits = mac.to_bits();
        let mut first = true;
        for entry in &self.0 {
            let mut word = entry.word.load(SeqCst);
            while word != EMPTY && word >> MAC_SHIFT == bits {
                if first {
                    first = false;
                    break;
                }
                word = match entry.word.compare_exchange(word, EMPTY, SeqCst, SeqCst) {
                    Ok(_) => EMPTY,
                    Err(changed) => changed,
                };
            }
        }
    }
}

const fn pack(mac: Mac, station: Station) -> u64 {
    let place = match station {
        Station::Local => LOCAL,
        Station::Peer(id) => (id.value() as u64) << ID_SHIFT,
    };
    mac.to_bits() << MAC_SHIFT | place | OCCUPIED
}

const fn station_of(word: u64) -> Station {
    if word & LOCAL != 0 {
        Station::Local
    } else {
        Station::Peer(ShortId::truncated((word >> ID_SHIFT) as u16))
    }
}

/// Entries of a set: with sixteen bytes each, two cache lines
const WAYS: usize = 8;
const ROUNDS: usize = 8;
const EMPTY: u64 = 0;
const OCCUPIED: u64 = 1;
const LOCAL: u64 = 2;
const ID_SHIFT: u32 = 4;
const MAC_SHIFT: u32 = 16;

#[cfg(test)]
mod tests;
