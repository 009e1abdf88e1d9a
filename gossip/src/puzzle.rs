//! Work that a stranger has to do while many others are in their handshake.
//!
//! ```text
//! accepts: prologue with difficulty and challenge ──►
//!          ◄── frame 4 (puzzle): a nonce such that BLAKE3(challenge | nonce) begins with so many zero bits
//! ```
//! A host that joins solves one puzzle in some milliseconds. Whoever wants to keep all places in the handshake
//! busy has to solve one for each, again and again. The challenge is random and belongs to one connection.

use rand::{Rng, RngExt};

/// Bytes of a challenge
pub(crate) const CHALLENGE: usize = 16;

/// Zero bits that are asked for: 65,536 hashes on average
const DIFFICULTY: u8 = 16;

/// The most zero bits that we would work for
const MAX_DIFFICULTY: u8 = 20;

/// What is asked of the other side
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Puzzle {
    pub(crate) difficulty: u8,
    pub(crate) challenge: [u8; CHALLENGE],
}

/// The bytes of a solution
pub(crate) type Solution = [u8; 8];

impl Puzzle {
    /// A new one
    pub(crate) fn draw<R: Rng + ?Sized>(rng: &mut R) -> Self {
        Self {
            difficulty: DIFFICULTY,
            challenge: rng.random(),
        }
    }

    /// Whether the nonce solves it
    pub(crate) fn accepts(&self, nonce: Solution) -> bool {
        let mut hasher = blake3::Hasher::new();
        let hash = hasher.update(&self.challenge).update(&nonce).finalize();
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_be_bytes([a, b, c, d]).leading_zeros() >= u32::from(self.difficulty)
    }

    /// A nonce that solves it; none if it asks for too much work
    pub(crate) fn solve(&self) -> Option<Solution> {
        let mut nonces = (0..u64::MAX).map(u64::to_be_bytes);
        (self.difficulty <= MAX_DIFFICULTY).then(|| nonces.find(|nonce| self.accepts(*nonce)))?
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_solution_is_one_for_its_challenge_only() {
        let mut rng = StdRng::seed_from_u64(1);
        let (puzzle, other) = (Puzzle::draw(&mut rng), Puzzle::draw(&mut rng));
        let solution = puzzle.solve().unwrap();
        assert!(puzzle.accepts(solution));
        assert!(!other.accepts(solution));
        assert!(!puzzle.accepts([0xff; 8]));
    }

    #[test]
    fn nobody_is_made_to_work_for_long() {
        let puzzle = Puzzle {
            difficulty: MAX_DIFFICULTY + 1,
            challenge: [0; CHALLENGE],
        };
        assert_eq!(puzzle.solve(), None);
    }
}
