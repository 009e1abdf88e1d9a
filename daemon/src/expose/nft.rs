//! The table of masquerading, and the errors of `nft` in its terms.

use std::io;

use model::IfName;

use crate::nft::{self, Family, PATIENCE};
use crate::program::ProgramError;

/// Carries out a script as one transaction: all of it, or nothing
pub(super) async fn apply(script: &str) -> Result<(), NftError> {
    Ok(nft::apply(script).await?)
}

/// The table of this name as `nft` lists it, without counters and handles; none if it is not there
pub(super) async fn table(name: &IfName) -> Result<Option<String>, NftError> {
    Ok(nft::table(Family::Ip, name).await?)
}

/// Whether the kernel has a table of this name; without `nft`, or nf_tables, it has none
pub(super) async fn is_there(name: &IfName) -> bool {
    matches!(table(name).await, Ok(Some(_)))
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
