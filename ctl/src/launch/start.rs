//! weaved, and weave-docker, as processes of their own.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Log;
use super::settings::Settings;
use super::systemd;
use crate::process::{self, wait_until};

const LOG_FILE: &str = "/var/log/weaved.log";
/// How long a weaved that did not become ready may take to end
const END_LIMIT: Duration = Duration::from_secs(5);

/// What was started
#[derive(Debug)]
pub(super) enum Started {
    /// weaved itself
    Process(Child),
    /// The `systemctl` that starts it and ends when it is ready or has failed
    Unit(Child),
}

impl Started {
    /// How it failed, if it did
    pub(super) fn failure(&mut self) -> Option<ExitStatus> {
        match self {
            Self::Process(weaved) => weaved.try_wait().ok().flatten(),
            Self::Unit(systemctl) => systemctl
                .try_wait()
                .ok()
                .flatten()
                .filter(|status| !status.success()),
        }
    }

    /// Ends what is left of a start that failed
    pub(super) fn stop(&mut self) {
        match self {
            Self::Process(weaved) => end(weaved),
            Self::Unit(systemctl) => {
                systemd::stop();
                end(systemctl);
            }
        }
    }
}

fn end(child: &mut Child) {
    // A child that has not been waited for keeps its id, so the signal meets no other process.
    let mut has_ended = || !matches!(child.try_wait(), Ok(None));
    if has_ended() {
        return;
    }
    if let Ok(pid) = child.id().try_into() {
        let _already_gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if !wait_until(|| !matches!(child.try_wait(), Ok(None)), END_LIMIT) {
        let _already_gone = child.kill();
    }
}

/// Starts weaved in a session of its own, with its output going to the log
pub(super) fn start(settings: &Settings) -> Result<(Started, Log)> {
    let weaved = process::weaved()?;
    let path = settings.log_file.clone().unwrap_or_else(|| LOG_FILE.into());
    let from = path.metadata().map_or(0, |metadata| metadata.len());
    let password = settings.password.as_deref();
    let child = detached(&weaved, &settings.flags, &path, password)?;
    Ok((Started::Process(child), Log::File { path, from }))
}

/// Starts a program in a session of its own, its output going to a log
pub(super) fn detached(
    program: &Path,
    flags: &[String],
    log: &Path,
    password: Option<&str>,
) -> Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(log)
        .with_context(|| format!("cannot open the log {}", log.display()))?;
    let errors = log.try_clone().context("cannot share the log")?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["detached", "--"]).arg(program).args(flags);
    // Everything that it reads from its environment is on its command line, except this.
    command.env_remove("WEAVE_SOCKET").env_remove("WEAVE_PASSWORD");
    if let Some(password) = password {
        command.env("WEAVE_PASSWORD", password);
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Makes this process the leader of a session without a terminal, then `program`
///
/// The session cannot be made between fork and exec without unsafe code, so a launch starts
/// weavectl itself again for this; the process id stays.
pub(crate) fn become_detached(program: &Path, args: &[OsString]) -> Result<()> {
    nix::unistd::setsid().context("cannot make a session")?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
