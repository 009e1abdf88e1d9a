//! Membership of the network: password, bans and name conflicts.

use std::fmt;

use model::PeerName;
use serde::{Deserialize, Serialize};

use crate::PeerRef;

/// Membership: the password's state, banned keys, refused claims
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// The network's name
    pub network: String,
    /// State of its password
    pub password: PasswordState,
    /// The password that was given at the start can be found by trying
    pub weak_password: bool,
    /// Keys that are refused on every host
    pub banned: Vec<Banned>,
    /// Claims on names that belong to other keys, within the last minute
    pub disputes: Vec<NameDispute>,
}

/// State of the network's password
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordState {
    /// It has none: whoever reaches the control port of a host can join
    Open,
    /// It has one
    Set,
    /// Two are accepted while one replaces the other
    Rotating,
}

impl fmt::Display for PasswordState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "none",
            Self::Set => "one",
            Self::Rotating => "two, while one replaces the other",
        })
    }
}

/// A key that is refused
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banned {
    /// The name that it had
    pub peer: PeerName,
    /// The key, in hexadecimal digits
    pub key: String,
}

/// A claim on a name that belongs to another key
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameDispute {
    /// The name
    pub name: PeerName,
    /// The key that claims it, in hexadecimal digits
    pub claimant: String,
    /// The host that refused the claim
    pub at: PeerRef,
}

/// Refuses the key of a peer, or accepts it again
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// Its name, its nickname, or its key in hexadecimal digits
    pub peer: String,
    /// The key is refused from here on
    pub refused: bool,
}

/// A step in the replacement of the network's password
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum PasswordRequest {
    /// Accept this one, too
    Add {
        /// The new password
        password: String,
    },
    /// Connect with the new one from here on, and accept both
    Promote,
    /// Accept the old one no longer
    Drop,
}

impl fmt::Debug for PasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add { .. } => "Add(..)",
            Self::Promote => "Promote",
            Self::Drop => "Drop",
        })
    }
}
