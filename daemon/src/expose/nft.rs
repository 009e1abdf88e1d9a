//! The program `nft`, which knows how rules are put to the kernel.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use model::IfName;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

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
    let mut child = Command::new("nft")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                NftError::Absent
            } else {
                NftError::Run(error)
            }
        })?;
    let stdin = child.stdin.take();
    let done = async {
        if let Some(mut stdin) = stdin {
            // It says itself what it did not get to read.
            let _closed = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(PATIENCE, done)
        .await
        .map_err(|_elapsed| NftError::Slow)?
        .map_err(NftError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().find(|line| !line.trim().is_empty());
    Err(NftError::Refused(
        first.unwrap_or("no reason given").trim().to_owned(),
    ))
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
