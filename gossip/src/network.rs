//! The name of a network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a network: peers of networks with different names refuse each other
///
/// 1 to 32 lower-case letters, digits, `-`, `_` and `.`; it is told in the clear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkName {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl NetworkName {
    /// The longest name in bytes
    pub const MAX: usize = 32;

    /// The name of a network that was given none
    pub const WEAVE: Self = {
        let mut bytes = [0; Self::MAX];
        let name = *b"weave";
        let mut at = 0;
        while at < name.len() {
            bytes[at] = name[at];
            at += 1;
        }
        Self { bytes, len: 5 }
    };

    /// The name as text
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(crate) fn from_bytes(name: &[u8]) -> Option<Self> {
        let is_allowed =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(byte);
        if name.is_empty() || name.len() > Self::MAX || !name.iter().all(is_allowed) {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self {
            bytes,
            len: name.len() as u8,
        })
    }
}

impl Default for NetworkName {
    fn default() -> Self {
        Self::WEAVE
    }
}

impl FromStr for NetworkName {
    type Err = NetworkNameError;

    fn from_str(text: &str) -> Result<Self, NetworkNameError> {
        Self::from_bytes(text.as_bytes()).ok_or(NetworkNameError)
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkName({:?})", self.as_str())
    }
}

impl Serialize for NetworkName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for NetworkName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text cannot be the name of a network
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network's name has 1 to 32 lower-case letters, digits, '-', '_' and '.'")]
pub struct NetworkNameError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!("weave".parse(), Ok(NetworkName::WEAVE));
        assert_eq!(NetworkName::WEAVE.to_string(), "weave");
        let longest = "a".repeat(NetworkName::MAX);
        assert_eq!(longest.parse::<NetworkName>().unwrap().as_str(), longest);
        for wrong in ["", "A", "a b", "a\n", "ä", &"a".repeat(NetworkName::MAX + 1)] {
            assert_eq!(wrong.parse::<NetworkName>(), Err(NetworkNameError), "{wrong:?}");
        }
    }
}
