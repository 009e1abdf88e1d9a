//! One core for the server, the others for whoever asks.

use std::fs;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Who runs where
pub(super) struct Cores {
    all: CpuSet,
    server: CpuSet,
    /// The server's, too, where there is no other
    asker: CpuSet,
}

impl Cores {
    /// Of those that this program may use
    pub(super) fn here() -> Result<Self> {
        Self::divided(sched_getaffinity(THIS_THREAD)?)
    }

    fn divided(all: CpuSet) -> Result<Self> {
        let mut cores = (0..CpuSet::count()).filter(|core| matches!(all.is_set(*core), Ok(true)));
        let first = cores.next().context("there is no core")?;
        let (mut server, mut asker) = (CpuSet::new(), all);
        server.set(first)?;
        if cores.next().is_some() {
            asker.unset(first)?;
        }
        Ok(Self { all, server, asker })
    }

    /// Does something while a process has one core, and this the others
    pub(super) fn apart<T: Send>(&self, pid: i32, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        confine(pid, &self.server)?;
        let done = std::thread::scope(|scope| {
            let apart = scope.spawn(|| {
                sched_setaffinity(THIS_THREAD, &self.asker)?;
                act()
            });
            apart
                .join()
                .map_err(|_panic| anyhow::anyhow!("the thread that asks panicked"))?
        });
        confine(pid, &self.all)?;
        done
    }
}

/// Has all threads of a process run on these cores; those that they start do, too
fn confine(pid: i32, cores: &CpuSet) -> Result<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.file_name();
        let thread = thread.to_str().and_then(|name| name.parse().ok());
        let thread = Pid::from_raw(thread.context("a thread without a number")?);
        sched_setaffinity(thread, cores).context("cannot choose a core")?;
    }
    Ok(())
}

const THIS_THREAD: Pid = Pid::from_raw(0);

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cores: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        for core in cores {
            set.set(*core).unwrap();
        }
        set
    }

    #[test]
    fn one_core_is_shared_and_more_are_not() {
        for (all, server, asker) in [(&[2][..], [2], &[2][..]), (&[1, 3, 4], [1], &[3, 4])] {
            let cores = Cores::divided(set(all)).unwrap();
            assert_eq!(cores.server, set(&server));
            assert_eq!(cores.asker, set(asker));
        }
        assert!(Cores::divided(set(&[])).is_err());
    }
}
