//! TCP streams, and the CPU time that they take.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::judge::{cpu, iperf};
use nix::unistd::{SysconfVar, sysconf};

use crate::path::Path;

/// What streams carried, and at what cost
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Streams {
    /// As received, in Gbit/s
    pub gigabits: f64,
    /// CPU seconds of the daemons for each GB carried
    pub daemons: f64,
    /// CPU seconds of the whole machine for each GB carried: the streams' own ends included
    pub machine: f64,
}

/// So many TCP streams at once, for so long
pub fn measure(path: &Path, streams: u8, lasts: Duration) -> Result<Streams> {
    let before = Time::now(path)?;
    let begun = Instant::now();
    let rate = iperf::start_many(&path.from, &path.to, path.address, streams, lasts)?.finish()?;
    let took = begun.elapsed().as_secs_f64();
    let after = Time::now(path)?;
    // iperf3's own start and end are short beside the stream; what it says of the rate leaves them out.
    let gigabytes = rate.gigabits() / 8.0 * lasts.as_secs_f64().max(1.0).min(took);
    let cost = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / gigabytes;
    Ok(Streams {
        gigabits: rate.gigabits(),
        daemons: cost(before.daemons, after.daemons),
        machine: cost(before.machine, after.machine),
    })
}

/// CPU time so far
struct Time {
    daemons: Duration,
    machine: Duration,
}

impl Time {
    fn now(path: &Path) -> Result<Self> {
        let daemons = path.daemons.iter().map(|pid| cpu::time_of(*pid));
        Ok(Self {
            daemons: daemons.sum::<Result<_>>()?,
            machine: machine()?,
        })
    }
}

/// How long this machine's CPUs have worked so far (`/proc/stat`): for programs, the kernel, interrupts
fn machine() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let ticks = ticks(&stat).context("/proc/stat is not as proc(5) has it")?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel has no tick")?;
    Ok(Duration::from_secs(ticks) / u32::try_from(per_second)?)
}

fn ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = fields.as_slice() else {
        return None;
    };
    Some(user + nice + system + irq + softirq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_working() {
        assert_eq!(ticks("cpu  1 2 4 1000 1000 8 16 1000 0 0\ncpu0 1 2\n"), Some(31));
        assert_eq!(ticks("intr 1\n"), None);
    }
}
