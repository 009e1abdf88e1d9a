//! Which addresses a container asks for, of its environment.

/// The variable of a container's environment that says it
const VARIABLE: &str = "WEAVE_CIDR";

/// What a container asks for
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing is said: an address of the default subnet
    Default,
    /// To be left alone
    None,
    /// These, one blank between each and the next
    These(String),
}

/// The container cannot have what it asks for; Docker was asked nothing
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Both to be left alone and to have addresses
    #[error("WEAVE_CIDR={0:?} has `none` beside addresses: give `none` alone, or the addresses alone")]
    NoneAndMore(String),
}

/// What the last variable of its name in an environment asks for
pub(super) fn asked(env: &[Option<String>]) -> Result<Asked, Refused> {
    let text = env
        .iter()
        .rev()
        .flatten()
        .map(|variable| variable.split_once('=').unwrap_or((variable, "")))
        .find(|(name, _)| *name == VARIABLE)
        .map_or("", |(_, value)| value);
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [] => Ok(Asked::Default),
        ["none"] => Ok(Asked::None),
        words if words.contains(&"none") => Err(Refused::NoneAndMore(words.join(" "))),
        words => Ok(Asked::These(words.join(" "))),
    }
}
