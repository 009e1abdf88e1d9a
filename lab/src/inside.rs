//! Mounts, processes and cgroups that are a host's own, beside its network.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::Background;

/// How long the last of them may take to end
const ENDING: Duration = Duration::from_secs(10);

/// Where a host's programs run that has more than a network of its own; all of them end when this is dropped
#[derive(Debug)]
pub(crate) struct Inside {
    /// The first of its processes, as this program sees it; it takes all others along
    first: i32,
    /// Ends that one when it ends itself
    namespaces: Option<Background>,
}

impl Inside {
    /// What this process keeps, and its first one
    pub(crate) fn new(namespaces: Background, first: i32) -> Self {
        Self {
            first,
            namespaces: Some(namespaces),
        }
    }

    /// A command that will run there
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.first))
            .args(["--net", "--mount", "--pid", "--cgroup", "--"])
            .arg(program);
        command
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // From within, so that each process is still waited for by its parent.
        kill(Pid::from_raw(self.first), Signal::SIGKILL).ok();
        if let Some(namespaces) = self.namespaces.take() {
            namespaces.wait(ENDING).ok();
        }
    }
}
