//! Network namespaces for tests, and the programs that judge in them.

use std::any::Any;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};

/// A namespace that lives as long as this
pub(crate) struct Namespace(File);

/// A test could not be run, or failed
#[derive(Debug)]
pub(crate) enum NamespaceError {
    Unshare(Errno),
    Panicked(String),
}

impl std::fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unshare(errno) => write!(f, "no network namespace: {errno}"),
            Self::Panicked(message) => f.write_str(message),
        }
    }
}

/// Runs `test` on a fresh thread in a fresh namespace, where `lo` is up
pub(crate) fn on_own_thread<T: Send + 'static>(
    test: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NamespaceError> {
    let body = || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(NamespaceError::Unshare)?;
        sh("ip link set lo up");
        Ok(test())
    };
    thread::spawn(body)
        .join()
        .unwrap_or_else(|panic| Err(NamespaceError::Panicked(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_default()
}

impl Namespace {
    /// Moves the thread into a new namespace
    pub(crate) fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        sh("ip link set lo up");
        Self::current()
    }

    /// The namespace that the thread is in
    pub(crate) fn current() -> Self {
        Self(File::open("/proc/thread-self/ns/net").unwrap())
    }

    /// Moves the thread into this namespace
    pub(crate) fn enter(&self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// A path by which `ip link … netns` finds it
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Runs a command line in the thread's namespace; what it printed
#[track_caller]
pub(crate) fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "`{line}`: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Waits until the descriptor is readable; `false` after two seconds
pub(crate) fn wait(fd: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(2000u16)).unwrap() > 0
}

/// Looks again until the condition holds; fails after five seconds
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < deadline, "did not happen within 5 s: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
