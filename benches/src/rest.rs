//! What a weaved costs while nothing happens: memory, CPU, and the time to start.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::judge::cpu;
use lab::topology::{ETHERNET, Lab};
use lab::weave::{Launch, MEETING, usual_path};
use serde::{Deserialize, Serialize};

use crate::machine::field;
use crate::series::Series;
use crate::table::Table;

/// What was measured
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rest {
    /// Resident memory with no, one, two and three peers, in MB
    pub resident_mb: [f64; 4],
    /// CPU time with three peers, in percent of one CPU
    pub cpu_percent: f64,
    /// From `weavectl launch` to its return, in ms; the first start makes keys and state
    pub start_ms: Series,
}

/// How long things take
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Starts of a weaved
    pub starts: u16,
    /// From a new peer until memory is looked at
    pub settle: Duration,
    /// From the last peer until CPU time is counted: the mesh still talks of it
    pub calm: Duration,
    /// How long CPU time is counted
    pub watch: Duration,
}

impl Patience {
    /// For numbers to decide by
    pub const FULL: Self = Self {
        starts: 5,
        settle: Duration::from_secs(5),
        calm: Duration::from_secs(10),
        watch: Duration::from_secs(20),
    };
    /// For a first look
    pub const QUICK: Self = Self {
        starts: 2,
        settle: Duration::from_millis(500),
        calm: Duration::from_millis(1500),
        watch: Duration::from_secs(2),
    };
}

impl Patience {
    /// About how long all of it takes
    pub fn expected(&self) -> Duration {
        Duration::from_millis(800) * u32::from(self.starts + 4) + self.settle * 4 + self.calm + self.watch
    }
}

/// Starts and stops a weaved several times, then gives it three peers and leaves it alone
pub fn measure(lab: &mut Lab, patience: &Patience) -> Result<Rest> {
    let [own, first, second, third] = lab.hosts(["r1", "r2", "r3", "r4"])?;
    lab.segment(&[&own, &first, &second, &third], ETHERNET)?;
    let mut start_ms = Series::default();
    for start in 0..patience.starts {
        if start > 0 {
            own.stop()?;
        }
        let begun = Instant::now();
        own.launch(&Launch::plain())?;
        start_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let mut resident_mb = [0.0; 4];
    let by = usual_path();
    let peers = [None, Some(&first), Some(&second), Some(&third)];
    for (peer, resident) in peers.into_iter().zip(&mut resident_mb) {
        if let Some(peer) = peer {
            peer.launch(&Launch::plain().peer(own.address()?))?;
            own.wait_path(peer, by, MEETING)?;
        }
        std::thread::sleep(patience.settle);
        *resident = resident_memory(own.weaved_pid()?)?;
    }
    std::thread::sleep(patience.calm);
    let pid = own.weaved_pid()?;
    let (begun, before) = (Instant::now(), run_time(pid)?);
    std::thread::sleep(patience.watch);
    let ran = run_time(pid)?.saturating_sub(before);
    Ok(Rest {
        resident_mb,
        cpu_percent: 100.0 * ran.as_secs_f64() / begun.elapsed().as_secs_f64(),
        start_ms,
    })
}

impl Rest {
    /// For people
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(["weaved at rest", ""]);
        let mut row = |label: &str, value: String| table.row([label.to_owned(), value]);
        let peers = ["no peer", "one peer", "two peers", "three peers"];
        for (peers, resident) in peers.iter().zip(&self.resident_mb) {
            row(&format!("resident, {peers}"), format!("{resident:.1} MB"));
        }
        row("CPU, three peers", format!("{:.2} %", self.cpu_percent));
        row("`weavectl launch` until ready", format!("{} ms", self.start_ms));
        table
    }
}

/// `VmRSS` of a process, in MB
pub(crate) fn resident_memory(pid: i32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kilobytes: f64 = field(&status, "VmRSS")
        .and_then(|value| value.strip_suffix("kB"))
        .context("no VmRSS")?
        .trim()
        .parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// How long a process has run, to the nanosecond where the kernel tells that of each thread
pub(crate) fn run_time(pid: i32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(schedstat) = fs::read_to_string(thread?.path().join("schedstat")) else {
            return cpu::time_of(pid);
        };
        let first = schedstat.split_whitespace().next().unwrap_or_default();
        nanoseconds += first.parse::<u64>().context("schedstat is not as expected")?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
