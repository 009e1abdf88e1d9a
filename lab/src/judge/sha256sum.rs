//! `sha256sum`, fed piece by piece.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// One sum in the making
#[derive(Debug)]
pub struct Sha256Sum {
    program: Child,
}

impl Sha256Sum {
    /// Of nothing so far
    pub fn start() -> Result<Self> {
        let program = Command::new("sha256sum")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sha256sum")?;
        Ok(Self { program })
    }

    /// These bytes, too
    pub fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let input = self.program.stdin.as_mut().context("no input")?;
        input.write_all(bytes).context("sha256sum takes no more")
    }

    /// The sum, in hexadecimal digits
    pub fn finish(mut self) -> Result<String> {
        drop(self.program.stdin.take());
        let finished = self.program.wait_with_output()?;
        ensure!(
            finished.status.success(),
            "sha256sum ended with {}",
            finished.status
        );
        let line = String::from_utf8_lossy(&finished.stdout);
        let sum = line.split(' ').next().unwrap_or_default();
        ensure!(sum.len() == 64, "sha256sum printed {line:?}");
        Ok(sum.to_owned())
    }
}
