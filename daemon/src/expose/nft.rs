//! The program `nft`, which knows how rules are put to the kernel.

use std::io;
use std::time::Duration;

use model::IfName;

use crate::program::{self, ProgramError};

/// A transaction takes milliseconds, unless somebody holds the kernel's lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Carries out a script as one transaction: all of it, or nothing
pub(super) async fn apply(script: &str) -> Result<(), NftError> {
    run(&["-f", "-"], script).await.map(drop)
}

/// The table of this name as `nft` lists it, without counters and handles; none if it is not there
pub(super) async fn table(name: &IfName) -> Result<Option<String>, NftError> {
    match run(&["-s", "list", "table", "ip", name.as_str()], "").await {
        Ok(text) => Ok(Some(text)),
        Err(NftError::Refused(text)) if text.contains("No such file or directory") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the kernel has a table of this name; without `nft`, or nf_tables, it has none
pub(super) async fn is_there(name: &IfName) -> bool {
    matches!(table(name).await, Ok(Some(_)))
}

async fn run(args: &[&str], input: &str) -> Result<String, NftError> {
    Ok(program::run("nft", args, input, PATIENCE).await?)
}

/// The rules are not what they should be
#[derive(Debug, thiserror::Error)]
pub(crate) enum NftError {
    /// No such program
    #[error("masquerading needs the program nft: install nftables, or expose with --without-masquerade")]
    Absent,
    /// It could not be started, or not be listened to
    #[error("cannot run nft")]
    Run(#[source] io::Error),
    /// It does not end
    #[error("nft has not ended within {} s", PATIENCE.as_secs())]
    Slow,
    /// It, or the kernel, would not
    #[error(
        "nft refused the rules ({0}); does this kernel have nf_tables with NAT? --without-masquerade does without"
    )]
    Refused(String),
}

impl From<ProgramError> for NftError {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::Run(error) if error.kind() == io::ErrorKind::NotFound => Self::Absent,
            ProgramError::Run(error) => Self::Run(error),
            ProgramError::Slow(_patience) => Self::Slow,
            ProgramError::Refused(text) => Self::Refused(text),
        }
    }
}
