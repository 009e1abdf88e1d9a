//! Which addresses a container asks for, of its environment.

use serde_json::value::RawValue;

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
pub(super) fn asked(env: &[Box<RawValue>]) -> Result<Asked, Refused> {
    let text = env
        .iter()
        .rev()
        .filter_map(|variable| serde_json::from_str::<String>(variable.get()).ok())
        .find_map(|variable| {
            let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
            (name == VARIABLE).then(|| value.to_owned())
        })
        .unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [] => Ok(Asked::Default),
        ["none"] => Ok(Asked::None),
        words if words.contains(&"none") => Err(Refused::NoneAndMore(words.join(" "))),
        words => Ok(Asked::These(words.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_variable_of_its_name_counts() {
        let these = |text: &str| Ok(Asked::These(text.to_owned()));
        for (env, expected) in [
            ("[]", Ok(Asked::Default)),
            (r#"["A=1","WEAVE_CIDRS=10.2.1.1/24"]"#, Ok(Asked::Default)),
            (r#"["WEAVE_CIDR="]"#, Ok(Asked::Default)),
            (r#"["WEAVE_CIDR= \t"]"#, Ok(Asked::Default)),
            (r#"["WEAVE_CIDR"]"#, Ok(Asked::Default)),
            (r#"["WEAVE_CIDR=10.2.1.1/24","WEAVE_CIDR"]"#, Ok(Asked::Default)),
            (r#"["WEAVE_CIDR=none"]"#, Ok(Asked::None)),
            (
                r#"["WEAVE_CIDR=10.2.1.1/24","WEAVE_CIDR= none "]"#,
                Ok(Asked::None),
            ),
            (
                r#"["WEAVE_CIDR=none","WEAVE_CIDR=10.2.1.1/24"]"#,
                these("10.2.1.1/24"),
            ),
            (
                r#"["WEAVE_CIDR= 10.2.1.1/24  net:default\n"]"#,
                these("10.2.1.1/24 net:default"),
            ),
            (r#"["WEAVE_CIDR=a=b"]"#, these("a=b")),
            (
                r#"[null,7,"\ud800","WEAVE_CIDR=10.2.1.1/24",{}]"#,
                these("10.2.1.1/24"),
            ),
            (
                r#"["WEAVE_CIDR=10.2.1.1/24 none"]"#,
                Err(Refused::NoneAndMore("10.2.1.1/24 none".to_owned())),
            ),
        ] {
            let env: Vec<Box<RawValue>> = serde_json::from_str(env).unwrap();
            assert_eq!(asked(&env), expected, "{env:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        assert_eq!(
            Refused::NoneAndMore("none net:default".to_owned()).to_string(),
            "WEAVE_CIDR=\"none net:default\" has `none` beside addresses: give `none` alone, or the addresses alone"
        );
    }
}
