//! Why a connection is refused, in words and as data for the other side.

use model::PeerName;
use serde::{Deserialize, Serialize};

use crate::network::NetworkName;
use crate::prologue::Versions;

/// Why one side does not want a connection, as the side that says so sees the matter
///
/// Before the handshake is complete it travels in the clear, unauthenticated: good for a status line and the
/// end of that one connection. It never keeps a target from being dialled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reject {
    /// No protocol version in common
    Versions {
        /// What the refusing side speaks
        ours: Versions,
        /// What the refused side speaks
        theirs: Versions,
    },
    /// The refusing side has a password, the refused one none
    PasswordMissing,
    /// The refusing side has no password, the refused one has
    PasswordUnexpected,
    /// Both have one, and they differ
    PasswordWrong,
    /// The refusing side has as many neighbours as it may
    ConnectionLimit(u32),
    /// Both are the same process
    Ourselves,
    /// Another peer has this name already, or a newer start of the same one is connected
    NameCollision(PeerName),
    /// They belong to networks of different names
    OtherNetwork {
        /// The network of the refusing side
        ours: NetworkName,
        /// The network of the refused side
        theirs: NetworkName,
    },
    /// The refused side's key is banned
    Banned,
}

impl Reject {
    /// Dialling again cannot help until somebody changes something
    pub const fn is_final(self) -> bool {
        match self {
            Self::Ourselves => true,
            // The other one of that name may be what this one was before it lost its key, and lapses.
            Self::NameCollision(_)
            | Self::Versions { .. }
            | Self::PasswordMissing
            | Self::PasswordUnexpected
            | Self::PasswordWrong
            | Self::ConnectionLimit(_)
            | Self::OtherNetwork { .. }
            | Self::Banned => false,
        }
    }

    /// What the operator reads: on the refusing side, or on the refused
    pub fn text(self, by_us: bool) -> String {
        const EXPECTED: &str = "password specified, but peer requested an unencrypted connection";
        const UNEXPECTED: &str = "no password specified, but peer requested an encrypted connection";
        match (self, by_us) {
            (Self::Versions { ours, theirs }, true)
            | (
                Self::Versions {
                    ours: theirs,
                    theirs: ours,
                },
                false,
            ) => {
                format!("remote version range {theirs} is incompatible with ours {ours}")
            }
            (Self::PasswordMissing, true) | (Self::PasswordUnexpected, false) => EXPECTED.to_owned(),
            (Self::PasswordMissing, false) | (Self::PasswordUnexpected, true) => UNEXPECTED.to_owned(),
            (Self::PasswordWrong, _) => "unable to decrypt TCP msg: the passwords differ".to_owned(),
            (Self::ConnectionLimit(limit), true) => format!("connection limit reached ({limit})"),
            (Self::ConnectionLimit(limit), false) => {
                format!("connection limit of the remote reached ({limit})")
            }
            (Self::Ourselves, _) => "cannot connect to ourself".to_owned(),
            (Self::OtherNetwork { ours, theirs }, true)
            | (
                Self::OtherNetwork {
                    ours: theirs,
                    theirs: ours,
                },
                false,
            ) => format!("the remote belongs to network {theirs}, this host to {ours}"),
            (Self::Banned, true) => "the key of the remote is banned".to_owned(),
            (Self::Banned, false) => "the key of this host is banned from the network".to_owned(),
            (Self::NameCollision(name), _) => format!("peer names collision: more than one peer is {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_read_the_same_matter_from_their_own_end() {
        let versions = Reject::Versions {
            ours: Versions { min: 3, max: 4 },
            theirs: Versions { min: 1, max: 2 },
        };
        assert_eq!(
            versions.text(true),
            "remote version range [1,2] is incompatible with ours [3,4]"
        );
        assert_eq!(
            versions.text(false),
            "remote version range [3,4] is incompatible with ours [1,2]"
        );
        assert_eq!(
            Reject::PasswordMissing.text(true),
            Reject::PasswordUnexpected.text(false)
        );
        assert_ne!(
            Reject::PasswordMissing.text(true),
            Reject::PasswordMissing.text(false)
        );
    }

    #[test]
    fn only_what_cannot_pass_is_final() {
        assert!(Reject::Ourselves.is_final());
        assert!(!Reject::NameCollision(PeerName::from(model::Mac::new([2, 0, 0, 0, 0, 1]))).is_final());
        assert!(!Reject::PasswordWrong.is_final());
    }
}
