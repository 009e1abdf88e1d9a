//! Names of kernel network devices.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_by_text;

/// The name of a network device: 1 to 15 bytes, as the kernel allows (`dev_valid_name`)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(String);

impl IfName {
    /// The longest name in bytes (`IFNAMSIZ` less the zero)
    pub const MAX: usize = 15;

    /// The name as text
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IfName {
    type Err = IfNameError;

    fn from_str(text: &str) -> Result<Self, IfNameError> {
        let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if text.is_empty() || text.len() > Self::MAX || text == "." || text == ".." || text.contains(bad) {
            return Err(IfNameError(text.chars().take(64).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

serde_by_text!(IfName, String, |name| name.0, |raw| raw.parse::<Self>());

/// The kernel would refuse this name
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a device name: 1 to 15 bytes, no '/', ':' or space")]
pub struct IfNameError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_kernel_takes() {
        assert!("vethwe0123456789".parse::<IfName>().is_err());
        assert!("weave".parse::<IfName>().is_ok());
        for text in ["", ".", "..", "a/b", "a b", "a:b"] {
            assert!(text.parse::<IfName>().is_err(), "{text}");
        }
    }
}
