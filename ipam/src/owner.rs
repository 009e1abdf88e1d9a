//! Who owns an address.

use std::fmt;

use model::PeerName;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// A peer, as long as its state lives: one that lost its state is another owner
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The peer's name
    pub name: PeerName,
    /// Which of its states
    pub incarnation: Incarnation,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.incarnation)
    }
}

/// Drawn when a peer's state is made: ordered by time as far as the peer's clock is right
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// That of an owner named by `seed`, whom all have to know before it started
    pub const SEED: Self = Self(0);

    /// No peer has a greater one: there has to be one after it
    pub(crate) const MAX: Self = Self(1 << 62);

    /// One of this time that comes after `last`
    pub(crate) fn draw(unix_ms: u64, last: Option<Self>, rng: &mut impl Rng) -> Self {
        let ms = unix_ms.min(Self::MAX.0 >> RANDOM_BITS).saturating_sub(1);
        let drawn = Self((ms << RANDOM_BITS) | rng.random_range(1..1 << RANDOM_BITS));
        match last {
            Some(last) if last >= drawn => Self(last.0.saturating_add(1).min(Self::MAX.0)),
            Some(_) | None => drawn,
        }
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Two that start in the same millisecond differ in these
const RANDOM_BITS: u32 = 18;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_clock_that_jumped_back_gives_a_later_incarnation_all_the_same() {
        let mut rng = StdRng::seed_from_u64(1);
        let first = Incarnation::draw(1_800_000_000_000, None, &mut rng);
        let second = Incarnation::draw(1_000, Some(first), &mut rng);
        assert!(second > first && first > Incarnation::SEED);
        assert!(Incarnation::draw(u64::MAX, Some(Incarnation::MAX), &mut rng) <= Incarnation::MAX);
    }
}
