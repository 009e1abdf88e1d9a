//! Names of hosts, and the domain that they are in.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name in bytes, without its last dot (RFC 1035, 3.1: 255 bytes on the wire)
pub const MAX_NAME_BYTES: usize = 253;

/// The longest label in bytes
pub const MAX_LABEL_BYTES: usize = 63;

/// The whole name of a host; of the case that it was given in, and looked up in any
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    /// The name without its last dot
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is looked up by: the name in lower case
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    fn letters(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl FromStr for HostName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let error = |problem| NameError {
            name: text.chars().take(MAX_NAME_BYTES).collect(),
            problem,
        };
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(error(Problem::Length));
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL_BYTES {
                return Err(error(Problem::Label));
            }
            if !label.bytes().all(is_of_a_host) {
                return Err(error(Problem::Character));
            }
        }
        Ok(Self(name.into()))
    }
}

/// By the letters first, whatever their case
impl Ord for HostName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.letters()
            .cmp(other.letters())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for HostName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The domain whose names are the containers'
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(HostName);

impl Domain {
    /// The domain without its last dot
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The whole name of a host: one of a single label is completed, any other has to be in the domain
    ///
    /// # Errors
    ///
    /// If it is no name, or that of something elsewhere.
    pub fn complete(&self, name: &str) -> Result<HostName, NameError> {
        let whole: HostName = if name.contains('.') {
            name.parse()?
        } else {
            format!("{name}.{}", self.as_str()).parse()?
        };
        if self.host(whole.as_str()).is_none_or(str::is_empty) {
            return Err(NameError {
                name: whole.to_string(),
                problem: Problem::Elsewhere(self.clone()),
            });
        }
        Ok(whole)
    }

    /// What of a name in this domain is before the domain; nothing of the domain itself
    pub fn host<'a>(&self, name: &'a str) -> Option<&'a str> {
        let (domain, at) = (self.as_str(), name.len().checked_sub(self.as_str().len())?);
        if !name.is_char_boundary(at) || !name[at..].eq_ignore_ascii_case(domain) {
            return None;
        }
        match &name[..at] {
            "" => Some(""),
            host => host.strip_suffix('.'),
        }
    }
}

impl Default for Domain {
    /// `weave.local.`
    fn default() -> Self {
        Self(HostName("weave.local".into()))
    }
}

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The text is no name of a host, or of none that is in the domain; nothing was changed
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} {problem}")]
pub struct NameError {
    /// The text
    pub name: String,
    /// What it lacks
    pub problem: Problem,
}

/// Why a text cannot be a name
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Empty or too long
    #[error("is not a host's name: those have 1 to {MAX_NAME_BYTES} bytes")]
    Length,
    /// Two dots with nothing between, or too much
    #[error("is not a host's name: between dots there are 1 to {MAX_LABEL_BYTES} bytes")]
    Label,
    /// What no host has in its name
    #[error("is not a host's name: use letters, digits, '-' and '_'")]
    Character,
    /// Of another domain, or the domain itself
    #[error("is not a name in {0} (--dns-domain): give a name that ends so, or one without a dot")]
    Elsewhere(Domain),
}

fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_label_is_completed_and_the_rest_has_to_be_in_the_domain() {
        let domain: Domain = "weave.local.".parse().unwrap();
        assert_eq!(domain, "weave.local".parse().unwrap());
        for (text, whole) in [
            ("C1", "C1.weave.local."),
            ("c1.weave.local", "c1.weave.local."),
            ("a.b.Weave.Local.", "a.b.Weave.Local."),
        ] {
            assert_eq!(domain.complete(text).unwrap().to_string(), whole);
        }
        for text in ["c1.", "c1.example", "xweave.local", "weave.local", "weave.local."] {
            let error = domain.complete(text).unwrap_err();
            assert!(matches!(error.problem, Problem::Elsewhere(_)), "{text}");
        }
        assert_eq!(
            domain.complete("c1.example").unwrap_err().to_string(),
            "\"c1.example.\" is not a name in weave.local. (--dns-domain): \
             give a name that ends so, or one without a dot"
        );
    }

    #[test]
    fn the_host_is_what_is_before_the_domain() {
        let domain = Domain::default();
        assert_eq!(domain.host("c1.WEAVE.local"), Some("c1"));
        assert_eq!(domain.host("a.b.weave.local"), Some("a.b"));
        assert_eq!(domain.host("weave.local"), Some(""));
        for elsewhere in ["c1.weave.localx", "c1weave.local", "local", "", "é.weave.locaé"] {
            assert_eq!(domain.host(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn texts_that_are_no_names_are_refused() {
        let long = [["a"; 64].join("."), ["a"; 64].join(".")].join(".");
        for text in ["", ".", "a..b", ".a", "a b", "a/b", "ä", &"x".repeat(64), &long] {
            assert!(text.parse::<HostName>().is_err(), "{text:?}");
        }
        assert!("x".repeat(63).parse::<HostName>().is_ok());
        assert!(long[2..].parse::<HostName>().is_ok());
    }

    #[test]
    fn names_are_ordered_without_case_first() {
        let mut names: Vec<HostName> = ["b.x", "B.x", "a.x", "C.x"]
            .map(|name| name.parse().unwrap())
            .into();
        names.sort();
        let names: Vec<&str> = names.iter().map(HostName::as_str).collect();
        assert_eq!(names, ["a.x", "B.x", "b.x", "C.x"]);
    }
}
