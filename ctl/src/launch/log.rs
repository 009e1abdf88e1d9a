//! What weaved said before it failed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exit::clean;

/// How much of the end of a log is read
const TAIL: u64 = 64 * 1024;
/// How many lines of it are shown
const LINES: usize = 5;

/// Where weaved logs
#[derive(Debug)]
pub(super) enum Log {
    /// A file, from this offset on
    File { path: PathBuf, from: u64 },
    /// The journal, from this Unix time on
    Journal { unit: &'static str, since: u64 },
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Journal { unit, .. } => write!(f, "in journalctl -u {unit}"),
        }
    }
}

impl Log {
    /// Shows the last errors, or where there is none the last lines, on standard error
    pub(super) fn show_end(&self) {
        let text = match self {
            Self::File { path, from } => read_end(path, *from).unwrap_or_default(),
            Self::Journal { unit, since } => journal(unit, *since).unwrap_or_default(),
        };
        for line in last_errors(&text) {
            let _nobody_reads = writeln!(io::stderr(), "{}", clean(line));
        }
    }
}

fn read_end(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(len.saturating_sub(TAIL)).min(len)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn journal(unit: &str, since: u64) -> io::Result<String> {
    let output = Command::new("journalctl")
        .args(["--unit", unit, "--since", &format!("@{since}")])
        .args(["--output=cat", "--no-pager", "--lines=200"])
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last lines that tell of errors; where none does, the last lines
fn last_errors(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let errors: Vec<&str> = lines.iter().copied().filter(|line| is_error(line)).collect();
    let chosen = if errors.is_empty() { lines } else { errors };
    let skipped = chosen.len().saturating_sub(LINES);
    chosen.into_iter().skip(skipped).collect()
}

/// A line of the log at level ERROR, or the complaint of a program that has no log yet
fn is_error(line: &str) -> bool {
    line.contains(" ERROR ")
        || line.to_ascii_lowercase().starts_with("error")
        || line.starts_with("weavectl: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shown_before_anything_else() {
        let log = "[2026-01-01T00:00:00Z INFO weaved] starting\n\
                   [2026-01-01T00:00:00Z ERROR weaved] cannot listen\n\
                   [2026-01-01T00:00:01Z INFO weaved] bye\n";
        assert_eq!(
            last_errors(log),
            ["[2026-01-01T00:00:00Z ERROR weaved] cannot listen"]
        );
        assert_eq!(
            last_errors("hello\nError: no such file\n"),
            ["Error: no such file"]
        );
    }

    #[test]
    fn without_errors_the_last_lines_are_shown() {
        let log = (1..=9).map(|n| format!("line {n}\n\n")).collect::<String>();
        assert_eq!(
            last_errors(&log),
            ["line 5", "line 6", "line 7", "line 8", "line 9"]
        );
        assert!(last_errors("").is_empty());
    }
}
