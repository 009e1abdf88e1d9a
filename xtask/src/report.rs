//! Outcomes of scenarios, collected from all parts of a run and printed at its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::build::Workspace;

/// How many of the slowest scenarios are named
const SLOWEST: usize = 8;

/// How many lines of a failure are repeated at the end: the whole stands where the scenario ran
const REASON: usize = 12;

/// The files to which the parts of a run write; removed when this is dropped
#[derive(Debug)]
pub(crate) struct Reports {
    directory: PathBuf,
    count: AtomicU32,
}

/// The outcome of a scenario, as `weave-lab run --report` writes it
#[derive(Debug, Deserialize)]
struct Report {
    scenario: String,
    outcome: Outcome,
    seconds: f32,
    reason: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

impl Reports {
    /// Makes an empty directory for them
    pub(crate) fn create(workspace: &Workspace) -> Result<Self> {
        let directory = workspace
            .scratch()?
            .join(format!("reports-{}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Self {
            directory,
            count: AtomicU32::new(0),
        })
    }

    /// Returns the path of a file that nobody writes to
    pub(crate) fn file(&self) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.directory.join(number.to_string())
    }

    /// Prints the slowest, the skipped and, last, the failed with their reasons
    pub(crate) fn print(&self) -> Result<()> {
        let mut reports = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            reports.extend(read(&entry?.path())?);
        }
        print!("{}", summary(reports));
        Ok(())
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

fn read(path: &Path) -> Result<Vec<Report>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    // A run that was killed leaves half a line.
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let parsed = lines.map(|line| serde_json::from_str(line).context("a report is no JSON of the lab"));
    parsed.collect()
}

fn summary(mut reports: Vec<Report>) -> String {
    reports.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let count = |outcome| reports.iter().filter(|report| report.outcome == outcome).count();
    let mut lines = vec![
        String::new(),
        "=== scenarios".to_owned(),
        format!(
            "{} passed, {} failed, {} skipped",
            count(Outcome::Passed),
            count(Outcome::Failed),
            count(Outcome::Skipped)
        ),
    ];
    for report in reports.iter().take(SLOWEST) {
        lines.push(format!("{:>7.1} s  {}", report.seconds, report.scenario));
    }
    let of = |outcome| reports.iter().filter(move |report| report.outcome == outcome);
    for report in of(Outcome::Skipped) {
        lines.push(format!(
            "skipped {}: {}",
            report.scenario,
            report.reason.join(" ")
        ));
    }
    for report in of(Outcome::Failed) {
        lines.push(format!("FAILED {} ({:.1} s)", report.scenario, report.seconds));
        let reason = report.reason.iter().take(REASON);
        lines.extend(reason.map(|line| format!("    {line}")));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_last_with_their_reason() {
        let lines = r#"{"scenario":"line","outcome":"failed","seconds":3.25,"reason":["lost 3","seen: 4"]}
{"scenario":"cut","outcome":"passed","seconds":9.0,"reason":[]}
{"scenario":"expose","outcome":"skipped","seconds":0.0,"reason":["no","nft"]}
"#;
        let reports = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        let expected = "
=== scenarios
1 passed, 1 failed, 1 skipped
    9.0 s  cut
    3.2 s  line
    0.0 s  expose
skipped expose: no nft
FAILED line (3.2 s)
    lost 3
    seen: 4
";
        assert_eq!(summary(reports.collect()), expected);
    }
}
