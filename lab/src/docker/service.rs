//! A program that serves a host with Docker, until it is ended by a signal.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use crate::command::{Background, DEADLINE, run};
use crate::topology::Host;

/// Leaves its process id, and joins the cgroup of programs: Docker wants none in the one above
const START: &str = "echo $$ >\"/run/$0.pid\"
echo $$ >/sys/fs/cgroup/programs/cgroup.procs
log=$1; shift
TMPDIR=/run/tmp exec setpriv --pdeathsig KILL -- \"$@\" >>\"$log\" 2>&1";

/// A program under way
#[derive(Debug)]
pub(super) struct Service {
    host: Host,
    name: &'static str,
    process: Background,
}

impl Service {
    /// Starts it; what it prints goes to a file of the host, which ends in `.log`
    pub(super) fn start(host: &Host, name: &'static str, program: &Path, line: &[&str]) -> Result<Self> {
        let mut command = host.command("sh");
        command
            .args(["-c", START, name])
            .arg(host.files().join(format!("{name}.log")))
            .arg(program)
            .args(line)
            .env("PATH", host.docker().path())
            .env_remove("DOCKER_HOST");
        Ok(Self {
            host: host.clone(),
            name,
            process: Background::start(command)?,
        })
    }

    /// Fails if it has ended
    pub(super) fn expect_running(&mut self) -> Result<()> {
        ensure!(self.process.is_running()?, "{} has ended", self.name);
        Ok(())
    }

    /// Sends it a signal, and waits for its end
    pub(super) fn end(self, signal: Signal, deadline: Duration) -> Result<()> {
        let mut command = self.host.command("sh");
        // By the id that it has among the host's processes.
        command.args(["-c", "kill -s \"$1\" \"$(cat \"/run/$0.pid\")\"", self.name]);
        command.arg(signal.as_str().trim_start_matches("SIG"));
        run(command, DEADLINE)?.ok()?;
        let finished = self.process.wait(deadline)?;
        let by_itself = signal != Signal::SIGTERM || finished.status.success();
        ensure!(by_itself, "{} did not end in order: {finished}", self.name);
        Ok(())
    }
}
