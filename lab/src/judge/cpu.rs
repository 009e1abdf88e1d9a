//! The kernel's account of a process: how long it ran.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

/// How long a process has run so far, in user space and in the kernel (`/proc/PID/stat`, fields 14 and 15)
///
/// Exact to the kernel's tick, usually 10 ms.
pub fn time_of(pid: i32) -> Result<Duration> {
    time_in(&format!("/proc/{pid}/stat"))
}

/// The same of a process's first thread alone; that of weaved does what the control plane does
pub fn time_of_first_thread(pid: i32) -> Result<Duration> {
    time_in(&format!("/proc/{pid}/task/{pid}/stat"))
}

fn time_in(path: &str) -> Result<Duration> {
    let stat = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let ticks = ticks(&stat).with_context(|| format!("{path} is not as proc(5) has it"))?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel has no tick")?;
    Ok(Duration::from_secs(ticks) / u32::try_from(per_second)?)
}

fn ticks(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything.
    let (_name, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let stat = "7 (a) 1 (b) S 1 7 7 0 -1 4194560 900 0 3 0 25 17 0 0 20 0 4 0 100 1 2 3";

        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (weaved) S 1"), None);
    }
}
