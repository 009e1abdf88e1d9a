//! Programs that put rules to the kernel, run to their end.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Where programs are looked for if this process was not told
const PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// What a program printed, if it succeeds in time; it is fed `input`, and of the environment knows only where
/// programs are: secrets come to this process by it
pub(crate) async fn run(
    program: &str,
    args: &[&str],
    input: &str,
    patience: Duration,
) -> Result<String, ProgramError> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(ProgramError::Run)?;
    let stdin = child.stdin.take();
    let done = async {
        if let Some(mut stdin) = stdin {
            // It says itself what it did not get to read.
            let _closed = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(patience, done)
        .await
        .map_err(|_elapsed| ProgramError::Slow(patience))?
        .map_err(ProgramError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().find(|line| !line.trim().is_empty());
    Err(ProgramError::Refused(
        first.unwrap_or("no reason given").trim().to_owned(),
    ))
}

/// The rules may not be what they should be
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It could not be started, or not be listened to
    #[error("cannot run it: {0}")]
    Run(#[source] io::Error),
    /// It does not end
    #[error("it has not ended within {} s", .0.as_secs())]
    Slow(Duration),
    /// It, or the kernel, would not
    #[error("it says: {0}")]
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_knows_nothing_of_the_environment_but_its_path() {
        assert!(std::env::vars_os().count() > 1);
        let printed = run("env", &[], "", Duration::from_secs(5)).await.unwrap();
        let names: Vec<&str> = printed
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        assert_eq!(names, ["PATH"]);
    }
}
