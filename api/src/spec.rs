//! How people name a container.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a container is named by: a process id, the path of a network namespace, or a name
///
/// A number is a process id, text that begins with `/` a path, and anything else a name: that of a
/// namespace of `ip netns`, or an id that weaved knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerSpec {
    /// A process in the container
    Pid(u32),
    /// The path of its network namespace
    Path(String),
    /// A name without slashes
    Name(String),
}

impl ContainerSpec {
    /// The longest text in bytes
    pub const MAX: usize = 1024;
}

impl fmt::Display for ContainerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "{pid}"),
            Self::Path(text) | Self::Name(text) => f.write_str(text),
        }
    }
}

impl FromStr for ContainerSpec {
    type Err = ContainerSpecError;

    fn from_str(text: &str) -> Result<Self, ContainerSpecError> {
        let error = || ContainerSpecError(text.chars().take(64).collect());
        if text.is_empty() || text.len() > Self::MAX || text.contains(char::is_control) {
            return Err(error());
        }
        if text.starts_with('/') {
            return Ok(Self::Path(text.to_owned()));
        }
        match text.parse::<u32>() {
            Ok(0) => Err(error()),
            // A pid has one spelling, so that a text and its value are the same container.
            Ok(pid) if pid.to_string() == text => Ok(Self::Pid(pid)),
            Ok(_) | Err(_) => {
                let good = |c: char| c != '/' && !c.is_whitespace();
                if matches!(text, "." | "..") || text.starts_with('-') || !text.chars().all(good) {
                    return Err(error());
                }
                Ok(Self::Name(text.to_owned()))
            }
        }
    }
}

impl Serialize for ContainerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContainerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The text names no container
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no container: give a process id, the path of a network namespace, or a name from `ip netns`"
)]
pub struct ContainerSpecError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_text_says_what_it_is() {
        for (text, spec) in [
            ("1234", ContainerSpec::Pid(1234)),
            ("/run/netns/c1", ContainerSpec::Path("/run/netns/c1".to_owned())),
            ("c1", ContainerSpec::Name("c1".to_owned())),
            ("123456789012", ContainerSpec::Name("123456789012".to_owned())),
            ("007", ContainerSpec::Name("007".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(spec.clone()));
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "",
            "0",
            ".",
            "..",
            "a/b",
            "a b",
            "--help",
            "a\nb",
            &"x".repeat(1025),
        ] {
            assert!(text.parse::<ContainerSpec>().is_err(), "{text:?}");
        }
    }
}
