//! The first bytes each way, in the clear.
//!
//! ```text
//!  0                   5     6     7       8        9
//! +----+----+----+----+----+-----+-----+-------+--------+------------ - -+------------+-----------+
//! | 'w'  'e'  'a'  'v'  'e'| min | max | flags | length | network's name | difficulty | challenge |
//! +----+----+----+----+----+-----+-----+-------+--------+------------ - -+------------+-----------+
//!   flags: bit 0: has a password; bit 1: difficulty (1 byte) and challenge (16) follow; only from the
//!   side that accepts
//! ```
//! The first seven bytes are those of Weave Net, whose protocol versions are 1 and 2: each of the two
//! programs tells its operator about the other in its own words. Both prologues go into the hash of
//! the Noise handshake, so that nobody between can change them unseen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::network::NetworkName;
use crate::puzzle::{CHALLENGE, Puzzle};
use crate::reject::Reject;

/// The protocol version; 1 and 2 are those of Weave Net, 3 took the records of peers without a signature
pub(crate) const VERSION: u8 = 4;

/// What this program speaks
pub(crate) const VERSIONS: Versions = Versions {
    min: VERSION,
    max: VERSION,
};

/// A range of protocol versions
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest
    pub min: u8,
    /// The newest
    pub max: u8,
}

impl Versions {
    /// What this program speaks
    pub const OURS: Self = VERSIONS;
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{},{}]", self.min, self.max)
    }
}

/// One side's first bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prologue {
    pub(crate) versions: Versions,
    pub(crate) password: bool,
    pub(crate) network: NetworkName,
    pub(crate) puzzle: Option<Puzzle>,
}

impl Prologue {
    /// The prologue at the head of `bytes` and its length, once all of it is there
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, PrologueError> {
        let magic = &bytes[..bytes.len().min(MAGIC.len())];
        if !MAGIC.starts_with(magic) {
            return Err(PrologueError::Magic);
        }
        let [min, max, ref rest @ ..] = *bytes.get(MAGIC.len()..).unwrap_or_default() else {
            return Ok(None);
        };
        let versions = Versions { min, max };
        if !(min..=max).contains(&VERSION) {
            // The rest of the prologue of another version is of no interest.
            let other = Self {
                versions,
                password: false,
                network: NetworkName::default(),
                puzzle: None,
            };
            return Ok(Some((other, FIXED.min(bytes.len()))));
        }
        let &[flags, len, ref rest @ ..] = rest else {
            return Ok(None);
        };
        if flags & !(PASSWORD | PUZZLE) != 0 {
            return Err(PrologueError::Malformed);
        }
        let len = usize::from(len);
        if len > NetworkName::MAX {
            return Err(PrologueError::Malformed);
        }
        let Some((name, rest)) = rest.split_at_checked(len) else {
            return Ok(None);
        };
        let network = NetworkName::from_bytes(name).ok_or(PrologueError::Malformed)?;
        let named = FIXED.saturating_add(len);
        let (puzzle, end) = match (flags & PUZZLE != 0, rest) {
            (false, _) => (None, named),
            (true, [difficulty, rest @ ..]) => match rest.first_chunk::<CHALLENGE>() {
                Some(challenge) => {
                    let puzzle = Puzzle {
                        difficulty: *difficulty,
                        challenge: *challenge,
                    };
                    (Some(puzzle), named.saturating_add(1 + CHALLENGE))
                }
                None => return Ok(None),
            },
            (true, []) => return Ok(None),
        };
        let prologue = Self {
            versions,
            password: flags & PASSWORD != 0,
            network,
            puzzle,
        };
        Ok(Some((prologue, end)))
    }

    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut flags = if self.password { PASSWORD } else { 0 };
        if self.puzzle.is_some() {
            flags |= PUZZLE;
        }
        let name = self.network.as_bytes();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[self.versions.min, self.versions.max, flags, name.len() as u8]);
        out.extend_from_slice(name);
        if let Some(Puzzle {
            difficulty,
            challenge,
        }) = self.puzzle
        {
            out.push(difficulty);
            out.extend_from_slice(&challenge);
        }
        out
    }

    /// Whether we (`self`) can talk to `theirs`, as far as the prologues tell
    pub(crate) fn check(&self, theirs: &Self) -> Result<(), Reject> {
        let (ours, other) = (self.versions, theirs.versions);
        if ours.max < other.min || other.max < ours.min || other.max < other.min {
            return Err(Reject::Versions { ours, theirs: other });
        }
        if self.network != theirs.network {
            return Err(Reject::OtherNetwork {
                ours: self.network,
                theirs: theirs.network,
            });
        }
        match (self.password, theirs.password) {
            (true, true) | (false, false) => Ok(()),
            (true, false) => Err(Reject::PasswordMissing),
            (false, true) => Err(Reject::PasswordUnexpected),
        }
    }
}

/// The other side does not speak this protocol
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrologueError {
    /// Its first bytes are others
    #[error("the remote does not speak the weave protocol")]
    Magic,
    /// What follows the versions makes no sense
    #[error("malformed prologue")]
    Malformed,
}

const MAGIC: &[u8; 5] = b"weave";
/// Up to the network's name
const FIXED: usize = 9;
const PASSWORD: u8 = 0x01;
const PUZZLE: u8 = 0x02;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: Prologue = Prologue {
        versions: VERSIONS,
        password: false,
        network: NetworkName::WEAVE,
        puzzle: None,
    };

    #[test]
    #[rustfmt::skip]
    fn the_bytes_are_the_documented_ones() {
        let head = [
            b'w', b'e', b'a', b'v', b'e', // magic
            0x04, // oldest version
            0x04, // newest version
        ];
        let plain = [&head[..], &[
            0x01, // flags: has a password
            5, b'w', b'e', b'a', b'v', b'e', // network's name
        ]].concat();
        let prologue = Prologue { password: true, ..OURS };
        assert_eq!(prologue.emit(), plain);
        assert_eq!(Prologue::parse(&plain), Ok(Some((prologue, 14))));

        let puzzle = Puzzle { difficulty: 16, challenge: [0xcc; 16] };
        let loaded = [&head[..], &[
            0x02, // flags: a puzzle follows
            5, b'w', b'e', b'a', b'v', b'e', // network's name
            16, // difficulty
        ], &[0xcc; 16]].concat();
        let prologue = Prologue { puzzle: Some(puzzle), ..OURS };
        assert_eq!(prologue.emit(), loaded);
        assert_eq!(Prologue::parse(&loaded), Ok(Some((prologue, 31))));
        for len in 0..loaded.len() {
            assert_eq!(Prologue::parse(&loaded[..len]), Ok(None), "{len}");
        }
    }

    #[test]
    fn older_programs_are_recognised_by_their_seven_bytes_and_refused_by_version() {
        for (theirs, range) in [(&b"weave\x01\x02"[..], "[1,2]"), (b"weave\x03\x03\x01", "[3,3]")] {
            let (theirs, _) = Prologue::parse(theirs).unwrap().unwrap();
            let reject = OURS.check(&theirs).unwrap_err();
            assert_eq!(
                reject.text(true),
                format!("remote version range {range} is incompatible with ours [4,4]")
            );
        }
    }

    #[test]
    fn passwords_are_had_by_both_or_by_none() {
        let with = Prologue {
            password: true,
            ..OURS
        };
        assert_eq!(OURS.check(&OURS), Ok(()));
        assert_eq!(with.check(&with), Ok(()));
        assert_eq!(with.check(&OURS), Err(Reject::PasswordMissing));
        assert_eq!(OURS.check(&with), Err(Reject::PasswordUnexpected));
    }

    #[test]
    fn another_network_is_refused_by_its_name() {
        let theirs = Prologue {
            network: "staging".parse().unwrap(),
            ..OURS
        };
        let reject = OURS.check(&theirs).unwrap_err();
        assert_eq!(
            reject.text(true),
            "the remote belongs to network staging, this host to weave"
        );
        assert_eq!(
            reject.text(false),
            "the remote belongs to network weave, this host to staging"
        );
    }

    #[test]
    fn the_first_wrong_byte_is_enough() {
        assert_eq!(Prologue::parse(b"GET"), Err(PrologueError::Magic));
        assert_eq!(Prologue::parse(b"wea"), Ok(None));
        for malformed in [
            &b"weave\x04\x04\x04\x00"[..],
            b"weave\x04\x04\x00\xff",
            b"weave\x04\x04\x00\x01\x07",
        ] {
            assert_eq!(Prologue::parse(malformed), Err(PrologueError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_err(bytes: Vec<u8>) {
            let _ = Prologue::parse(&bytes);
            let _ = Prologue::parse(&[&b"weave\x04\x04"[..], &bytes].concat());
        }
    }
}
