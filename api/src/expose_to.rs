//! Who, beside the host itself, reaches containers through a host that is exposed.

use std::fmt;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bounded::bounded;

/// The most networks that one question may name
const SCOPES_LIMIT: usize = 64;

/// A part of the world outside the network
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExposeScope {
    /// `host`: this host, which always does
    Host,
    /// `underlay`: whoever has a route to this host, but not by Docker's bridges
    Underlay,
    /// `docker`: containers on Docker's bridges of this host
    Docker,
    /// `192.168.1.0/24`: whoever has an address there
    Network(IpNetwork),
}

impl fmt::Display for ExposeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.pad("host"),
            Self::Underlay => f.pad("underlay"),
            Self::Docker => f.pad("docker"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl FromStr for ExposeScope {
    type Err = ExposeScopeError;

    fn from_str(text: &str) -> Result<Self, ExposeScopeError> {
        match text {
            "host" => return Ok(Self::Host),
            "underlay" => return Ok(Self::Underlay),
            "docker" => return Ok(Self::Docker),
            _ => {}
        }
        let network: IpNetwork = text
            .parse()
            .map_err(|_no_network| ExposeScopeError::Unknown(text.to_owned()))?;
        if network.ip() != network.network() {
            return Err(ExposeScopeError::HostBits(network));
        }
        Ok(Self::Network(network))
    }
}

impl Serialize for ExposeScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExposeScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// All of the outside that reaches containers through this host; by default none of it
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExposeTo(Vec<ExposeScope>);

impl ExposeTo {
    /// Each part that the host is open for, once
    pub fn scopes(&self) -> &[ExposeScope] {
        &self.0
    }

    /// Returns whether the set contains this scope
    pub fn has(&self, scope: ExposeScope) -> bool {
        self.0.contains(&scope)
    }
}

impl FromIterator<ExposeScope> for ExposeTo {
    fn from_iter<I: IntoIterator<Item = ExposeScope>>(scopes: I) -> Self {
        // The host is in any case.
        let mut scopes: Vec<ExposeScope> = scopes
            .into_iter()
            .filter(|scope| *scope != ExposeScope::Host)
            .collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }
}

impl fmt::Display for ExposeTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ExposeScope::Host.fmt(f)?;
        self.0.iter().try_for_each(|scope| write!(f, ", {scope}"))
    }
}

impl<'de> Deserialize<'de> for ExposeTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let scopes: Vec<ExposeScope> = bounded::<_, _, SCOPES_LIMIT>(deserializer)?;
        Ok(scopes.into_iter().collect())
    }
}

/// The text names no part of the outside
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExposeScopeError {
    /// Neither a word nor a network
    #[error("invalid scope {0:?}: give host, underlay, docker, or a network such as 192.168.1.0/24")]
    Unknown(String),
    /// A network that is rather an address
    #[error("invalid network - bits after network prefix are not all zero: {0}")]
    HostBits(IpNetwork),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_word_and_each_network_has_its_form() {
        for text in [
            "host",
            "underlay",
            "docker",
            "192.168.1.0/24",
            "10.0.0.7/32",
            "fd00::/64",
        ] {
            let scope: ExposeScope = text.parse().unwrap();
            assert_eq!(scope.to_string(), text);
            let json = serde_json::to_string(&scope).unwrap();
            assert_eq!(serde_json::from_str::<ExposeScope>(&json).unwrap(), scope);
        }
        for (text, error) in [
            ("", "invalid scope \"\": give host, "),
            ("all", "invalid scope \"all\": give host, "),
            ("Host", "invalid scope \"Host\": give host, "),
            ("10.0.0.0/33", "invalid scope \"10.0.0.0/33\": give host, "),
            (
                "10.0.0.1/24",
                "invalid network - bits after network prefix are not all zero: 10.0.0.1/24",
            ),
        ] {
            let told = text.parse::<ExposeScope>().unwrap_err().to_string();
            assert!(told.starts_with(error), "{told}");
        }
    }

    #[test]
    fn the_host_is_always_part_and_nothing_is_twice() {
        let of = |json: &str| serde_json::from_str::<ExposeTo>(json).unwrap();
        assert_eq!(of("[]"), ExposeTo::default());
        assert_eq!(of("[\"host\"]"), ExposeTo::default());
        assert_eq!(ExposeTo::default().to_string(), "host");
        let all = of("[\"docker\",\"host\",\"10.0.0.0/8\",\"underlay\",\"docker\"]");
        assert_eq!(all.to_string(), "host, underlay, docker, 10.0.0.0/8");
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(of(&json), all);
        let many = vec!["docker"; SCOPES_LIMIT + 1];
        assert!(serde_json::from_value::<ExposeTo>(serde_json::json!(many)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_scope_or_an_error(text in ".{0,40}") {
            let _either = text.parse::<ExposeScope>();
        }
    }
}
