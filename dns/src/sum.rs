//! A digest of a set of entries that a change costs the same however many there are.
//!
//! LtHash (Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997; the parameters of Lewi et
//! al., "Securing Update Propagation with Homomorphic Hashing", 2019): every entry is hashed to [`LANES`] numbers
//! of 16 bits, and a set is their sum. 1024 lanes give at least 200 bits of security against two sets of one sum.

use std::fmt;

use crate::entry::Entry;

/// How many numbers of 16 bits a sum has
const LANES: usize = 1024;

/// The sum of the entries of a part, each with the sequence that it came with
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sum(Box<[u16; LANES]>);

impl Sum {
    pub(crate) fn add(&mut self, came: u64, entry: &Entry) {
        self.change(came, entry, u16::wrapping_add);
    }

    pub(crate) fn remove(&mut self, came: u64, entry: &Entry) {
        self.change(came, entry, u16::wrapping_sub);
    }

    /// BLAKE3 of the sum
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; LANES.wrapping_mul(2)];
        for (bytes, lane) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(self.0.iter()) {
            *bytes = lane.to_le_bytes();
        }
        *blake3::hash(&bytes).as_bytes()
    }

    fn change(&mut self, came: u64, entry: &Entry, change: impl Fn(u16, u16) -> u16) {
        let mut bytes = [0; LANES.wrapping_mul(2)];
        let name = entry.name.as_str();
        // The length of the name keeps it apart from the container; it is 253 at most.
        let length = name.len().to_le_bytes();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&came.to_le_bytes());
        hasher.update(&entry.address.octets());
        hasher.update(&length[..1]);
        hasher.update(name.as_bytes());
        hasher.update(entry.container.as_str().as_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        for (lane, bytes) in self.0.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *lane = change(*lane, u16::from_le_bytes(*bytes));
        }
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self(Box::new([0; LANES]))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.digest();
        write!(f, "Sum({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_of_the_set_whatever_the_order_and_without_what_went() {
        let (one, two) = (entry("c1.x", "a", 1), entry("c2.x", "b", 2));
        let (mut forth, mut back) = (Sum::default(), Sum::default());
        forth.add(1, &one);
        forth.add(2, &two);
        back.add(2, &two);
        back.add(3, &one);
        assert_ne!(forth, back);
        back.remove(3, &one);
        back.add(1, &one);
        assert_eq!(forth.digest(), back.digest());
        forth.remove(1, &one);
        forth.remove(2, &two);
        assert_eq!(forth.digest(), Sum::default().digest());
    }

    #[test]
    fn every_field_counts() {
        let digest = |came, entry: &Entry| {
            let mut sum = Sum::default();
            sum.add(came, entry);
            sum.digest()
        };
        let first = digest(1, &entry("c1.x", "a", 1));
        for (came, other) in [
            (2, entry("c1.x", "a", 1)),
            (1, entry("c1.y", "a", 1)),
            (1, entry("c1.x", "b", 1)),
            (1, entry("c1.x", "a", 2)),
            // The same letters, divided elsewhere
            (1, entry("c1.xa", "b", 1)),
            (1, entry("c1.x", "ab", 1)),
        ] {
            assert_ne!(first, digest(came, &other), "{came} {other:?}");
        }
        assert_ne!(
            digest(1, &entry("c1.xa", "b", 1)),
            digest(1, &entry("c1.x", "ab", 1))
        );
    }

    fn entry(name: &str, container: &str, last: u8) -> Entry {
        Entry {
            name: name.parse().unwrap(),
            container: container.parse().unwrap(),
            address: [10, 32, 0, last].into(),
        }
    }
}
