//! What a name server of 10,000 names answers: how soon to one who asks, and how much of one core's time
//! an answer takes when as many ask as it can answer.

mod adding;
mod asking;
mod cores;

mod question;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::topology::Lab;
use lab::weave::Launch;
use serde::{Deserialize, Serialize};

use self::asking::Asker;
use self::cores::Cores;
use self::question::NAMES;
use crate::rest::{resident_memory, run_time};
use crate::series::Series;
use crate::table::Table;

/// What was seen in one round
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Names {
    /// The time that half of the single questions were answered in, in ms
    pub median_ms: f64,
    /// The same of 95 in a hundred
    pub p95_ms: f64,
    /// The same of 99 in a hundred
    pub p99_ms: f64,
    /// Right answers when there was always another question
    pub answers: u64,
    /// In so many seconds
    pub seconds: f64,
    /// In which weaved had its core for so many
    pub cpu_seconds: f64,
    /// Questions that had no answer
    pub lost: u64,
    /// Resident memory of weaved with these names, in MB
    pub resident_mb: f64,
}

impl Names {
    /// Answers a second
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.seconds
    }

    /// Answers for each second that weaved ran
    pub fn per_cpu_second(&self) -> f64 {
        self.answers as f64 / self.cpu_seconds
    }

    /// How much of its core weaved had, in percent
    pub fn busy_percent(&self) -> f64 {
        100.0 * self.cpu_seconds / self.seconds
    }
}

/// About how long so many rounds take, of which each of the two parts lasts this long
pub fn expected(rounds: u16, lasts: Duration) -> Duration {
    SET_UP + lasts * 2 * u32::from(rounds)
}

/// Gives one weaved its names, then asks it so often, in each of the two ways for this long; what it is
/// doing goes to `tell`
pub fn measure(
    lab: &mut Lab,
    rounds: u16,
    lasts: Duration,
    tell: &mut impl FnMut(&str),
) -> Result<Vec<Names>> {
    let [host] = lab.hosts(["d1"])?;
    host.launch(&Launch::plain())?;
    tell(&format!("{NAMES} names"));
    let begun = Instant::now();
    adding::add(&host.socket())?;
    tell(&format!("  added in {:.1} s", begun.elapsed().as_secs_f64()));
    let status = host.status()?.dns.context("weaved answers no names")?;
    let server = status.listening.first().context("weaved listens nowhere")?;
    let server = server.parse().context("no address to ask at")?;
    let pid = host.weaved_pid()?;
    let cores = Cores::here()?;
    let mut asker = host.namespace().enter(|| Asker::connect(server))?;
    (1..=rounds)
        .map(|round| {
            tell(&format!("round {round} of {rounds}, names"));
            let times = asker.one_by_one(lasts)?;
            let percentile =
                |percent| Ok::<_, anyhow::Error>(times.percentile(percent).context("none")? / 1e3);
            let before = run_time(pid)?;
            let answered = cores.apart(pid, || asker.always_another(lasts))?;
            let ran = run_time(pid)?.saturating_sub(before);
            let sample = Names {
                median_ms: percentile(50)?,
                p95_ms: percentile(95)?,
                p99_ms: percentile(99)?,
                answers: answered.answers,
                seconds: answered.took.as_secs_f64(),
                cpu_seconds: ran.as_secs_f64(),
                lost: answered.lost,
                resident_mb: resident_memory(pid)?,
            };
            tell(&format!(
                "  p95 {:.3} ms; {:.0} answers a second, {:.0} a CPU second",
                sample.p95_ms,
                sample.per_second(),
                sample.per_cpu_second()
            ));
            Ok(sample)
        })
        .collect()
}

/// For people
pub(crate) fn table(samples: &[Names]) -> Table {
    let mut table = Table::new(["10,000 names", "median (lowest–highest)"]);
    let mut line = |label: &str, of: fn(&Names) -> f64| {
        let series: Series = samples.iter().map(of).collect();
        table.row([label.to_owned(), series.to_string()]);
    };
    line("one question at a time, p50, ms", |sample| sample.median_ms);
    line("p95, ms", |sample| sample.p95_ms);
    line("p99, ms", |sample| sample.p99_ms);
    line("always another question, answers a second", Names::per_second);
    line("answers a second of weaved's CPU time", Names::per_cpu_second);
    line("weaved's share of its one core, %", Names::busy_percent);
    line("questions without an answer", |sample| sample.lost as f64);
    line("resident then, MB", |sample| sample.resident_mb);
    table
}

/// About how long it takes until the names are there
const SET_UP: Duration = Duration::from_secs(4);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A round in which weaved had its core for half of the time
    pub(crate) fn sample(p95_ms: f64, answers: u64) -> Names {
        Names {
            median_ms: 0.05,
            p95_ms,
            p99_ms: 2.0 * p95_ms,
            answers,
            seconds: 2.0,
            cpu_seconds: 1.0,
            lost: 0,
            resident_mb: 20.0,
        }
    }

    #[test]
    fn answers_are_told_for_time_and_for_cpu_time() {
        let text = table(&[sample(0.1, 50_000), sample(0.3, 70_000)]).to_string();
        let has = |label: &str, value: &str| {
            let line = text.lines().find(|line| line.contains(label)).unwrap();
            assert!(line.contains(value), "{line}");
        };
        has("p95", "0.200 (0.100–0.300)");
        has("always another question", "30000 (25000–35000)");
        has("weaved's CPU time", "60000 (50000–70000)");
        has("one core", "50.0");
    }
}
