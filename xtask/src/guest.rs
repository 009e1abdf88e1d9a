//! A guest: User Mode Linux, a kernel that runs as a program, with this machine's files as its own.
//!
//! The guest's root file system is this machine's, writable. So that a run leaves nothing behind,
//! the guest mounts memory over every directory that a run writes to. What it prints is passed on
//! line by line; its last line tells how the commands ended.
//!
//! The guest is ended in every case: by itself, at its time limit, or with this program, also where that is killed.

mod registers;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::build::Workspace;

/// The kernel that runs as a program
pub(crate) const KERNEL: &str = "linux.uml";

/// How long all scenarios together may take
pub(crate) const WHOLE_RUN: Duration = Duration::from_secs(20 * 60);

const MODULES: &str = "/usr/lib/uml/modules";
const MEMORY: &str = "1G";
const MEMORY_BYTES: u64 = 1 << 30;

/// Where a run writes; the guest has memory there, unless the workspace is there
const WRITTEN: [&str; 3] = ["/run", "/var/log", "/var/lib"];

/// Runs the kernel and ends with it. Where this program ends first, however, the guest's processes are ended:
/// the kernel leads a group of them, and leaves them running where it alone is asked to end
const SUPERVISE: &str = r#""$@" & guest=$!
trap 'kill -KILL -- "-$guest" "$guest" 2>/dev/null' EXIT
trap exit TERM INT HUP
wait "$guest""#;

const BEGIN: &str = "@@guest-begins@@";
const END: &str = "@@guest-ends@@";

/// How long the guest may take from its start to its first line
const BOOT: Duration = Duration::from_secs(60);

/// A guest to be run
#[derive(Debug)]
pub(crate) struct Guest {
    limit: Duration,
    label: String,
}

impl Guest {
    /// One that may take this long
    pub(crate) fn new(limit: Duration) -> Self {
        let label = String::new();
        Self { limit, label }
    }

    /// What each of its lines begins with, where several run at once
    pub(crate) fn labelled(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// Boots, runs a shell script, passes on what that prints, and powers off; fails unless the
    /// script succeeded
    pub(crate) fn run(&self, script: &str) -> Result<()> {
        // Where the guest's modules go: a mount point on this machine's file system.
        fs::create_dir_all("/lib/modules").context("cannot make /lib/modules")?;
        ensure!(
            Path::new(MODULES).is_dir(),
            "{MODULES} is missing; is user-mode-linux installed?"
        );
        let files = Files::create(script)?;
        let mut guest = Running::boot(&files)?;
        let code = guest.follow(self.limit, &self.label)?;
        ensure!(code == 0, "the guest's commands ended with {code}");
        Ok(())
    }
}

/// What the guest runs first: mounts, then the script
///
/// ipv6 must be loaded before any VXLAN port is made: the kernel would load it under the lock that
/// its initialisation wants. The last line ends a guest whose image has no `halt`.
fn init(script: &str, visible: &Path) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let memory = WRITTEN.iter().filter(|directory| !visible.starts_with(directory));
    let memory: Vec<&str> = memory.copied().collect();
    let memory = memory.join(" ");
    format!(
        "#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{path}
export HOME=/root TMPDIR=/run/tmp WEAVE_LAB_GUEST=1
mount -t proc proc /proc
mount -t sysfs sys /sys
for directory in {memory}; do mount -t tmpfs -o mode=755 memory $directory; done
[ -c /dev/null ] || mount -t devtmpfs dev /dev
mount --bind {MODULES} /lib/modules
mkdir -p /run/tmp /run/netns /run/openvswitch /var/lib/weave
modprobe ipv6
modprobe tun
modprobe openvswitch
echo 3 >/proc/sys/kernel/printk
ip link set lo up
echo {BEGIN}
(
{script}
)
echo {END} $?
halt -f 2>/dev/null || poweroff -f 2>/dev/null
echo o >/proc/sysrq-trigger
sleep 60
"
    )
}

/// The files of one guest; removed when this is dropped
#[derive(Debug)]
struct Files {
    directory: PathBuf,
}

impl Files {
    fn create(script: &str) -> Result<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("guest-{}-{count}", std::process::id());
        let scratch = Workspace::find()?.scratch()?;
        sweep(&scratch);
        let files = Self {
            directory: scratch.join(name),
        };
        ensure!(
            !files.directory.starts_with("/run"),
            "the guest could not see {}; build elsewhere (CARGO_TARGET_DIR)",
            files.directory.display()
        );
        fs::create_dir_all(&files.directory)?;
        fs::write(files.init(), init(script, &files.directory))?;
        fs::set_permissions(files.init(), fs::Permissions::from_mode(0o755))?;
        Ok(files)
    }

    fn init(&self) -> PathBuf {
        self.directory.join("init")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// Removes the files of guests whose programs were killed
fn sweep(scratch: &Path) {
    for entry in fs::read_dir(scratch).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let owner = name
            .strip_prefix("guest-")
            .and_then(|rest| rest.split('-').next());
        if let Some(owner) = owner
            && !Path::new("/proc").join(owner).exists()
        {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// A guest that was started
#[derive(Debug)]
struct Running {
    supervisor: Child,
    lines: Receiver<String>,
}

impl Running {
    fn boot(files: &Files) -> Result<Self> {
        let library = registers::library(&files.directory)?;
        // setpriv: the supervisor is told when this program ends, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--", "sh", "-c", SUPERVISE, "sh"]);
        command.args(["env", &format!("LD_PRELOAD={}", library.display()), KERNEL]);
        command.args([
            format!("mem={MEMORY}"),
            format!("uml_dir={}", files.directory.display()),
        ]);
        command.args([
            "rootfstype=hostfs",
            "rw",
            "quiet",
            "con=null",
            "con0=null,fd:1",
            "con1=null,fd:1",
        ]);
        command.arg(format!("init={}", files.init().display()));
        if shared_memory_is_small() {
            // The guest's memory is a file there otherwise.
            command.env("TMPDIR", &files.directory);
        }
        let mut supervisor = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {KERNEL}"))?;
        let console = supervisor.stdout.take().context("no console")?;
        let (to_follower, lines) = channel();
        std::thread::spawn(move || {
            let mut console = BufReader::new(console);
            let mut line = Vec::new();
            while console
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if to_follower.send(text).is_err() {
                    break;
                }
            }
        });
        Ok(Self { supervisor, lines })
    }

    /// Passes on what it prints, up to the end of the script; tells the script's exit code
    fn follow(&mut self, limit: Duration, label: &str) -> Result<i32> {
        let mut until = Instant::now() + BOOT;
        let mut boot = Vec::new();
        let mut has_begun = false;
        loop {
            let line = match self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) if has_begun => bail!("the guest took longer than {limit:?}"),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) if !has_begun => {
                    bail!("the guest did not come up; it printed:\n{}", boot.join("\n"))
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    bail!("the guest ended before its commands did")
                }
            };
            if let Some(code) = line.strip_prefix(END) {
                return code
                    .trim()
                    .parse()
                    .context("the guest's last line has no exit code");
            }
            if has_begun {
                println!("{label}{line}");
            } else if line == BEGIN {
                has_begun = true;
                until = Instant::now() + limit;
            } else {
                boot.push(line);
            }
        }
    }

    fn has_ended_within(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if !matches!(self.supervisor.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_ended_within(Duration::from_secs(2)) {
            return;
        }
        let Ok(raw) = i32::try_from(self.supervisor.id()) else {
            return;
        };
        kill(Pid::from_raw(raw), Signal::SIGTERM).ok();
        self.supervisor.wait().ok();
    }
}

fn shared_memory_is_small() -> bool {
    let Ok(shared) = nix::sys::statvfs::statvfs("/dev/shm") else {
        return true;
    };
    shared.blocks_available() * shared.fragment_size() < MEMORY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_stands_between_the_marks() {
        let text = init("echo one\necho two", Path::new("/var/lib/ci/target"));
        let (before, after) = text.split_once("echo one\necho two\n").unwrap();
        assert!(before.ends_with(&format!("echo {BEGIN}\n(\n")));
        assert!(before.contains("for directory in /run /var/log; do"));
        assert!(after.starts_with(&format!(")\necho {END} $?\n")));
    }
}
