//! The first bytes each way, in the clear.
//!
//! ```text
//!  0                   5     6     7     8
//! +----+----+----+----+----+-----+-----+-------+
//! | 'w'  'e'  'a'  'v'  'e'| min | max | flags |   flags: bit 0 = has a password
//! +----+----+----+----+----+-----+-----+-------+
//! ```
//! The first seven bytes are those of Weave Net, whose protocol versions are 1 and 2: each of the two
//! programs tells its operator about the other in its own words. Both prologues go into the hash of
//! the Noise handshake, so that nobody between can change them unseen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::reject::Reject;

/// The first protocol version after those of Weave Net
pub(crate) const VERSION: u8 = 3;

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
}

impl Prologue {
    pub(crate) const LEN: usize = 8;

    /// The prologue at the head of `bytes`, once it is there
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, PrologueError> {
        let magic = &bytes[..bytes.len().min(MAGIC.len())];
        if !MAGIC.starts_with(magic) {
            return Err(PrologueError::Magic);
        }
        let (min, max, flags) = match *bytes.get(MAGIC.len()..).unwrap_or_default() {
            // Weave Net sends its flags only after it has agreed to a version.
            [min, max] if max < VERSION => (min, max, 0),
            [min, max, flags, ..] => (min, max, flags),
            [] | [_] | [_, _] => return Ok(None),
        };
        Ok(Some(Self {
            versions: Versions { min, max },
            password: flags & PASSWORD != 0,
        }))
    }

    pub(crate) fn emit(self) -> [u8; Self::LEN] {
        let [w, e, a, v, e2] = *MAGIC;
        let flags = if self.password { PASSWORD } else { 0 };
        [w, e, a, v, e2, self.versions.min, self.versions.max, flags]
    }

    /// Whether we (`self`) can talk to `theirs`, as far as the prologues tell
    pub(crate) fn check(self, theirs: Self) -> Result<(), Reject> {
        let (ours, other) = (self.versions, theirs.versions);
        if ours.max < other.min || other.max < ours.min || other.max < other.min {
            return Err(Reject::Versions { ours, theirs: other });
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
}

const MAGIC: &[u8; 5] = b"weave";
const PASSWORD: u8 = 0x01;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: Prologue = Prologue {
        versions: VERSIONS,
        password: false,
    };

    #[test]
    fn the_bytes_are_those_of_the_drawing() {
        let bytes = [
            b'w', b'e', b'a', b'v', b'e', // magic
            0x03, // oldest version
            0x03, // newest version
            0x01, // flags: has a password
        ];
        let prologue = Prologue {
            password: true,
            ..OURS
        };
        assert_eq!(prologue.emit(), bytes);
        assert_eq!(Prologue::parse(&bytes), Ok(Some(prologue)));
    }

    #[test]
    fn weave_net_is_recognised_by_its_seven_bytes() {
        let theirs = Prologue::parse(b"weave\x01\x02").unwrap().unwrap();
        let reject = OURS.check(theirs).unwrap_err();
        assert_eq!(
            reject.text(true),
            "remote version range [1,2] is incompatible with ours [3,3]"
        );
    }

    #[test]
    fn passwords_are_had_by_both_or_by_none() {
        let with = Prologue {
            password: true,
            ..OURS
        };
        assert_eq!(OURS.check(OURS), Ok(()));
        assert_eq!(with.check(with), Ok(()));
        assert_eq!(with.check(OURS), Err(Reject::PasswordMissing));
        assert_eq!(OURS.check(with), Err(Reject::PasswordUnexpected));
    }

    #[test]
    fn the_first_wrong_byte_is_enough() {
        assert_eq!(Prologue::parse(b"GET"), Err(PrologueError::Magic));
        assert_eq!(Prologue::parse(b"wea"), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_err(bytes: Vec<u8>) {
            let _ = Prologue::parse(&bytes);
        }
    }
}
