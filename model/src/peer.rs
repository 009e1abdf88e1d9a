//! Who a peer is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::serde_by_text;
use crate::{Mac, MacError};

/// A peer's name: 48 bits in the form of an Ethernet address, kept for the life of its state
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(Mac);

impl PeerName {
    /// The name that goes with an X25519 public key: the head of its BLAKE3, made a locally
    /// administered unicast address
    pub fn from_public_key(key: &[u8; 32]) -> Self {
        let hash = blake3::hash(key);
        let [a, b, c, d, e, f, ..] = *hash.as_bytes();
        Self(Mac::new([a, b, c, d, e, f]).to_local_unicast())
    }

    /// The name as an Ethernet address
    pub const fn mac(self) -> Mac {
        self.0
    }
}

impl From<Mac> for PeerName {
    fn from(mac: Mac) -> Self {
        Self(mac)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for PeerName {
    type Err = PeerNameError;

    fn from_str(text: &str) -> Result<Self, PeerNameError> {
        let mac: Mac = text.parse().map_err(PeerNameError::Form)?;
        if mac.is_group() || mac == Mac::ZERO {
            return Err(PeerNameError::NotAStation(mac));
        }
        Ok(Self(mac))
    }
}

serde_by_text!(PeerName, [u8; 6], |name| name.0.octets(), |raw| Ok::<
    _,
    std::convert::Infallible,
>(Self(
    Mac::new(raw)
)));

/// The text names no peer
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerNameError {
    /// Not six octets
    #[error("a peer name has the form of an Ethernet address")]
    Form(#[source] MacError),
    /// A group address or zero
    #[error("{0} cannot be a peer name: it is a group address or zero")]
    NotAStation(Mac),
}

/// What people call a peer: its host name unless they chose another
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NickName(String);

impl NickName {
    /// The longest nickname, in bytes: that of a DNS name
    pub const MAX: usize = 253;

    /// The name as text
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NickName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NickName {
    type Err = NickNameError;

    fn from_str(text: &str) -> Result<Self, NickNameError> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err(NickNameError::Length(text.len()));
        }
        match text.chars().find(|c| c.is_control() || c.is_whitespace()) {
            None => Ok(Self(text.to_owned())),
            Some(c) => Err(NickNameError::Character(c)),
        }
    }
}

serde_by_text!(NickName, String, |name| name.0, |raw| raw.parse::<Self>());

/// The text is no nickname
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NickNameError {
    /// Empty or too long
    #[error("a nickname has 1 to 253 bytes, not {0}")]
    Length(usize),
    /// A character that would break a line of status
    #[error("a nickname cannot contain {0:?}")]
    Character(char),
}

/// 64 random bits that a peer draws at each start
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Uid(pub u64);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_a_key_is_a_local_station_address() {
        let name = PeerName::from_public_key(&[7; 32]);
        assert_eq!(name.mac().octets()[0] & 3, 2);
        assert_eq!(name.to_string().parse::<PeerName>(), Ok(name));
    }

    #[test]
    fn group_and_zero_names_are_refused() {
        assert!("ff:ff:ff:ff:ff:ff".parse::<PeerName>().is_err());
        assert!("00:00:00:00:00:00".parse::<PeerName>().is_err());
    }

    #[test]
    fn a_nickname_fits_on_a_status_line() {
        assert!("host-1".parse::<NickName>().is_ok());
        for text in ["", "a b", "a\nb", &"x".repeat(254)] {
            assert!(text.parse::<NickName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_are_text_in_json() {
        let name: PeerName = "7a:00:00:00:00:01".parse().unwrap();
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(json, "\"7a:00:00:00:00:01\"");
        assert_eq!(serde_json::from_str::<PeerName>(&json).unwrap(), name);
    }
}
