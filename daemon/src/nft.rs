//! The program `nft`, which puts rules to the kernel's nf_tables.

use std::time::Duration;

use model::IfName;

use crate::program::{self, ProgramError};

/// The longest time for one run: a transaction takes milliseconds, unless another program holds the kernel's lock
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// An address family of nf_tables
#[derive(Debug, Clone, Copy)]
pub(crate) enum Family {
    /// IPv4
    Ip,
    /// IPv4 and IPv6
    Inet,
}

impl Family {
    const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Inet => "inet",
        }
    }
}

/// Carries out a script as one transaction: all of it, or nothing
pub(crate) async fn apply(script: &str) -> Result<(), ProgramError> {
    run(&["-f", "-"], script).await.map(drop)
}

/// Returns a table as `nft` lists it, without counters and handles, or `None` if the kernel has none of this name
pub(crate) async fn table(family: Family, name: &IfName) -> Result<Option<String>, ProgramError> {
    let family = family.name();
    match run(&["-s", "list", "table", family, name.as_str()], "").await {
        Ok(listed) => Ok(Some(listed)),
        Err(ProgramError::Refused(_)) if !has(&run(&["list", "tables", family], "").await?, family, name) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn has(tables: &str, family: &str, name: &IfName) -> bool {
    let words = ["table", family, name.as_str()];
    tables.lines().any(|line| line.split_whitespace().eq(words))
}

async fn run(args: &[&str], input: &str) -> Result<String, ProgramError> {
    program::run("nft", args, input, PATIENCE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_whole_name() {
        let listed = "table inet weave-2\ntable inet weave\n";
        assert!(has(listed, "inet", &"weave".parse().unwrap()));
        assert!(!has(listed, "inet", &"weav".parse().unwrap()));
        assert!(!has(listed, "ip", &"weave".parse().unwrap()));
    }
}
