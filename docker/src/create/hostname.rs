//! How a container's hostname comes from its name and its labels.

use regex_lite::Regex;

/// The longest hostname with its domain, in bytes: more than that, no kernel keeps
pub(super) const MAX_BYTES: usize = 64;

/// What a hostname is made of
#[derive(Debug, Clone, Default)]
pub struct HostnamePolicy {
    /// The label that has it, if a container has that label
    label: Option<String>,
    /// What is replaced in it, and by what
    replacing: Option<(Regex, String)>,
}

impl HostnamePolicy {
    /// A policy: the label whose value stands for the name, and what of it all that matches is replaced by
    ///
    /// # Errors
    ///
    /// If what is to match is no regular expression.
    pub fn new(label: Option<String>, matching: &str, replacement: &str) -> Result<Self, PatternError> {
        let pattern = Regex::new(matching).map_err(|source| PatternError {
            pattern: matching.to_owned(),
            source,
        })?;
        Ok(Self {
            label: label.filter(|label| !label.is_empty()),
            replacing: Some((pattern, replacement.to_owned())),
        })
    }

    /// The label that is looked at
    pub(super) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// What a name or a label's value becomes
    pub(super) fn replaced(&self, text: &str) -> String {
        match &self.replacing {
            Some((pattern, by)) => pattern.replace_all(text, by.as_str()).into_owned(),
            None => text.to_owned(),
        }
    }
}

/// No regular expression; nothing was changed
#[derive(Debug, thiserror::Error)]
#[error("--hostname-match {pattern:?} is no regular expression: mend it, as in '^(.*)-[0-9]+$'")]
pub struct PatternError {
    /// The text
    pub pattern: String,
    /// What it lacks
    source: regex_lite::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_matches_is_replaced() {
        for (matching, replacement, became) in [
            ("(.*)", "$1", "aws-12798186823"),
            ("^aws-[0-9]+(.*)$", "my-app$1", "my-app"),
            ("^(aws)-.*$", "${1}x", "awsx"),
            ("[0-9]", "", "aws-"),
            ("nothing", "x", "aws-12798186823"),
            ("^.*$", "$2", ""),
            ("(?i)AWS", "a", "a-12798186823"),
        ] {
            let policy = HostnamePolicy::new(None, matching, replacement).unwrap();
            assert_eq!(policy.replaced("aws-12798186823"), became, "{matching}");
        }
        assert_eq!(HostnamePolicy::default().replaced("c1"), "c1");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let error = HostnamePolicy::new(None, "(", "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "--hostname-match \"(\" is no regular expression: mend it, as in '^(.*)-[0-9]+$'"
        );
    }

    #[test]
    fn an_empty_label_is_none() {
        let label = |label: &str| HostnamePolicy::new(Some(label.to_owned()), "", "").unwrap();
        assert_eq!(label("").label(), None);
        assert_eq!(label("hostname").label(), Some("hostname"));
    }
}
