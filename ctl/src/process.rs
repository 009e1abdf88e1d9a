//! Processes of this host, by /proc.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;

/// A process that was alive, and not another that got its id later
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
    started: Option<u64>,
}

impl Process {
    /// The process that has this id at the moment, if any
    pub(crate) fn with_id(pid: u32) -> Self {
        Self {
            pid,
            started: started(pid),
        }
    }

    /// The program that it runs, as the kernel cuts its name
    pub(crate) fn is_named(&self, name: &str) -> bool {
        let running = std::fs::read_to_string(format!("/proc/{}/comm", self.pid));
        running.is_ok_and(|running| running.trim_end() == name.get(..15).unwrap_or(name))
    }

    /// Asks it to end, and waits for that
    pub(crate) fn end(&self, limit: Duration) -> Result<()> {
        let pid = i32::try_from(self.pid).context("no process has this id")?;
        if !self.is_gone() {
            let _already_gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        ensure!(
            wait_until(|| self.is_gone(), limit),
            "process {pid} has not ended within {} s",
            limit.as_secs()
        );
        Ok(())
    }

    /// It ended; a zombie counts as ended
    pub(crate) fn is_gone(&self) -> bool {
        self.started.is_none() || started(self.pid) != self.started
    }
}

/// The process at the other end of a connection
pub(crate) fn served_by(stream: &UnixStream) -> Result<Process> {
    let pid = getsockopt(&stream.as_fd(), PeerCredentials)?.pid();
    Ok(Process::with_id(pid.try_into()?))
}

fn started(pid: u32) -> Option<u64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The start time of a process that lives, from text of the form of /proc/PID/stat
fn parse_stat(stat: &str) -> Option<u64> {
    // The program's name, in parentheses, may itself hold spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // Field 22 of proc_pid_stat(5); the state is field 3.
    fields.nth(18)?.parse().ok()
}

/// Asks again and again until the answer is true; false if it is not in time
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// weaved: the one beside this program, else the first in `PATH`
pub(crate) fn weaved() -> Result<PathBuf> {
    find_program("weaved")?.context("weaved is neither beside weavectl nor in PATH; is it installed?")
}

/// The program beside this one, else the first in `PATH`
pub(crate) fn find_program(name: &str) -> Result<Option<PathBuf>> {
    let own = std::env::current_exe().context("cannot tell where weavectl is")?;
    let beside = own.parent().unwrap_or_else(|| Path::new("/"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(find(name, beside, &path))
}

fn find(program: &str, beside: &Path, path: &OsStr) -> Option<PathBuf> {
    std::iter::once(beside.to_owned())
        .chain(std::env::split_paths(path))
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|file| {
            file.metadata()
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_its_ended_child_does_not() {
        assert!(!Process::with_id(std::process::id()).is_gone());

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::with_id(child.id());
        assert!(!process.is_gone());
        child.kill().unwrap();
        let gone = wait_until(|| process.is_gone(), Duration::from_secs(10));
        child.wait().unwrap();
        assert!(gone && process.is_gone());
    }

    #[test]
    fn the_start_time_is_read_behind_any_name() {
        let rest = "S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        assert_eq!(parse_stat(&format!("12 (weaved) {rest}")), Some(777));
        assert_eq!(parse_stat(&format!("12 (a) b) {rest}")), Some(777));
        assert_eq!(parse_stat(&format!("12 (weaved) Z{}", &rest[1..])), None);
        assert_eq!(parse_stat("12 (weaved"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_program_is_found_beside_before_in_the_path() {
        let found = find("sh", Path::new("/nowhere"), OsStr::new("relative:/bin:/usr/bin"));
        assert_eq!(found, Some(PathBuf::from("/bin/sh")));
        assert_eq!(
            find("sh", Path::new("/usr/bin"), OsStr::new("/bin")),
            Some(PathBuf::from("/usr/bin/sh"))
        );
        assert_eq!(find("passwd", Path::new("/etc"), OsStr::new("")), None);
    }
}
