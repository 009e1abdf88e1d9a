//! What an address or a name belongs to.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_by_text;

/// The id under which a container is known on its host
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// The longest id in bytes
    pub const MAX: usize = 128;

    /// The id as text
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = ContainerIdError;

    fn from_str(text: &str) -> Result<Self, ContainerIdError> {
        let good = |c: char| c.is_ascii_graphic();
        if text.is_empty() || text.len() > Self::MAX || !text.chars().all(good) {
            return Err(ContainerIdError(text.chars().take(64).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

serde_by_text!(ContainerId, String, |id| id.0, |raw| raw.parse::<Self>());

/// The text is no container id
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a container id: 1 to 128 printable ASCII characters")]
pub struct ContainerIdError(pub String);
