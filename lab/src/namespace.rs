//! Network namespaces with names of this process, and the end of everything in them.
//!
//! Whatever the lab makes lives in one of these: hosts, containers, switches. So tearing down is
//! always the same steps: end the processes in them, delete them, delete the cgroups with such names
//! and the directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup;
use crate::command::{Background, DEADLINE, Finished, run, run_here};
use crate::wait::wait_until;

const NAMED: &str = "/run/netns";
const PREFIX: &str = "wl";

/// Where the labs of all processes keep their files
const FILES: &str = "/run/weave-lab";

/// A named network namespace
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it, with its loopback device up
    pub(crate) fn create(scope: &Scope, name: &str) -> Result<Self> {
        let namespace = Self {
            name: format!("{}{name}", scope.prefix()),
        };
        run_here(&["ip", "netns", "add", &namespace.name])?.ok()?;
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Removes it; what is in it goes with the last process that uses it
    pub(crate) fn delete(&self) -> Result<()> {
        run_here(&["ip", "netns", "del", &self.name])?.ok().map(drop)
    }

    /// Its name, as `ip netns` shows it
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it
    pub fn path(&self) -> PathBuf {
        Path::new(NAMED).join(&self.name)
    }

    /// A command that will run in it
    ///
    /// `nsenter` and not `ip netns exec`: that would remount /sys.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command
    }

    /// A command that will run in it and ends with this process, however that ends
    pub fn tied_command(&self, program: &str) -> Command {
        let mut command = self.command("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        command
    }

    /// Runs a program in it to its end
    pub fn run(&self, line: &[&str]) -> Result<Finished> {
        let (program, arguments) = line.split_first().context("an empty command line")?;
        let mut command = self.command(program);
        command.args(arguments);
        run(command, DEADLINE)
    }

    /// Starts a program in it that runs beside the scenario
    pub fn start(&self, line: &[&str]) -> Result<Background> {
        let (program, arguments) = line.split_first().context("an empty command line")?;
        let mut command = self.tied_command(program);
        command.args(arguments);
        Background::start(command)
    }

    /// `ip …` in it
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        let mut line = vec!["ip", "-n", &self.name];
        line.extend(arguments);
        run_here(&line)?.ok()
    }

    /// `ip -j …` in it
    pub fn ip_json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let mut line = vec!["-j", "-d"];
        line.extend(arguments);
        let text = self.ip(&line)?;
        // ip prints nothing at all for an empty list of some kinds.
        serde_json::from_str(if text.trim().is_empty() { "[]" } else { &text }).context("ip -j is not JSON")
    }

    /// The names of the devices in it
    pub fn devices(&self) -> Result<BTreeSet<String>> {
        let links = self.ip_json(&["link", "show"])?;
        let links = links.as_array().context("ip -j link is no list")?;
        Ok(links
            .iter()
            .filter_map(|link| Some(link["ifname"].as_str()?.to_owned()))
            .collect())
    }

    /// Sets `/proc/sys/net/NAME` of it
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(name);
        self.enter(|| fs::write(&path, value).with_context(|| format!("cannot write {}", path.display())))
    }

    /// Does something in it, on a thread of its own; sockets opened there stay in it
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(self.path()).with_context(|| format!("cannot open {}", self.name))?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&file, CloneFlags::CLONE_NEWNET).context("cannot enter a namespace")?;
                act()
            });
            inside
                .join()
                .map_err(|_panic| anyhow::anyhow!("the thread in {} panicked", self.name))?
        })
    }

    /// The processes in it
    pub fn processes(&self) -> Result<Vec<Process>> {
        processes_in(&[self.path()])
    }
}

/// A process seen in a namespace
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id
    pub pid: i32,
    /// The id of the one that started it
    pub parent: Option<i32>,
    /// Its name
    pub name: String,
}

/// The namespaces of one lab of one process
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) process: u32,
    pub(crate) lab: u32,
}

impl Scope {
    fn prefix(self) -> String {
        format!("{PREFIX}{}n{}-", self.process, self.lab)
    }

    /// Where this lab keeps its files
    pub(crate) fn files(self) -> PathBuf {
        Path::new(FILES).join(format!("{}n{}", self.process, self.lab))
    }

    /// Ends and removes all of this lab
    pub(crate) fn sweep(self) -> Result<()> {
        sweep(&self.prefix())?;
        remove_files(&self.files())
    }
}

/// Ends and removes what the labs of this process left; does nothing where nothing is left
pub fn sweep_process(process: u32) -> Result<()> {
    sweep(&format!("{PREFIX}{process}n"))?;
    let prefix = format!("{process}n");
    for (name, path) in entries(Path::new(FILES))? {
        if name.starts_with(&prefix) {
            remove_files(&path)?;
        }
    }
    // Fails while another process has a lab: that one removes it.
    fs::remove_dir(FILES).ok();
    Ok(())
}

/// Ends and removes what processes left that were killed
pub fn sweep_dead() -> Result<()> {
    let mut owners = BTreeSet::new();
    for (name, _path) in entries(Path::new(NAMED))? {
        owners.extend(name.strip_prefix(PREFIX).and_then(owner_of));
    }
    for (name, _path) in entries(Path::new(FILES))? {
        owners.extend(owner_of(&name));
    }
    for owner in owners {
        if !Path::new("/proc").join(owner.to_string()).exists() {
            sweep_process(owner)?;
        }
    }
    Ok(())
}

/// The process id in `<pid>n<lab>…`
fn owner_of(name: &str) -> Option<u32> {
    name.split_once('n')?.0.parse().ok()
}

fn sweep(prefix: &str) -> Result<()> {
    let mut doomed = entries(Path::new(NAMED))?;
    doomed.retain(|(name, _path)| name.starts_with(prefix));
    if doomed.is_empty() {
        return Ok(());
    }
    let paths: Vec<PathBuf> = doomed.iter().map(|(_name, path)| path.clone()).collect();
    let empty = wait_until("the lab's processes have ended", Duration::from_secs(5), || {
        let left = processes_in(&paths)?;
        for process in &left {
            kill(Pid::from_raw(process.pid), Signal::SIGKILL).ok();
        }
        Ok(left.is_empty())
    });
    for (name, _path) in doomed {
        run_here(&["ip", "netns", "del", &name])?.ok()?;
    }
    empty?;
    cgroup::remove(prefix, Path::new(NAMED))
}

/// The processes whose network namespace is one of these
fn processes_in(namespaces: &[PathBuf]) -> Result<Vec<Process>> {
    let wanted: BTreeSet<(u64, u64)> = namespaces
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|file| (file.dev(), file.ino()))
        .collect();
    let mut found = Vec::new();
    for (name, path) in entries(Path::new("/proc"))? {
        let Ok(pid) = name.parse::<i32>() else { continue };
        // A process that is gone by now has neither file.
        let Ok(namespace) = fs::metadata(path.join("ns/net")) else {
            continue;
        };
        if wanted.contains(&(namespace.dev(), namespace.ino())) && pid != nix::unistd::getpid().as_raw() {
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            found.push(Process {
                pid,
                parent: status_field(&status, "PPid:").and_then(|id| id.parse().ok()),
                name: status_field(&status, "Name:").unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(found)
}

/// What a line of /proc/PID/status says
pub(crate) fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let listing = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot list {}", directory.display()))?,
    };
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    found.sort();
    Ok(found)
}

fn remove_files(path: &Path) -> Result<()> {
    // What a scenario mounted there, which was killed before it unmounted that.
    for mounted in mounts_below(path)? {
        run_here(&["umount", "-l", &mounted])?.ok()?;
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Where file systems are mounted below a directory, the last one first
fn mounts_below(path: &Path) -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let below = places.filter(|place| Path::new(place).starts_with(path));
    Ok(below.map(str::to_owned).rev().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_process() {
        let scope = Scope { process: 41, lab: 2 };
        assert_eq!(scope.prefix(), "wl41n2-");
        assert_eq!(owner_of("41n2-a"), Some(41));
        assert_eq!(owner_of("eth0"), None);
    }

    #[test]
    fn a_process_says_who_started_it() {
        let status = "Name:\tip6tables\nUmask:\t0022\nPid:\t12\nPPid:\t7\n";
        assert_eq!(status_field(status, "PPid:"), Some("7"));
        assert_eq!(status_field(status, "Name:"), Some("ip6tables"));
        assert_eq!(status_field("", "Name:"), None);
    }
}
