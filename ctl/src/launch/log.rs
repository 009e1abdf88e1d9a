//! What weaved said before it failed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exit::clean;

/// How much of the end of a log is read
const TAIL: u64 = 64 * 1024;

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
    /// The last error that weaved told, without time and level
    pub(super) fn last_error(&self) -> Option<String> {
        let text = match self {
            Self::File { path, from } => read_end(path, *from).unwrap_or_default(),
            Self::Journal { unit, since } => journal(unit, *since).unwrap_or_default(),
        };
        let line = text.lines().rfind(|line| is_error(line))?;
        Some(clean(message(line)).to_string())
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

/// What a line says, without `[time LEVEL module]` before it
fn message(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    rest.map_or(line, |(_time_and_level, message)| message)
        .trim_start_matches("error: ")
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
    fn an_error_is_told_without_time_and_level() {
        let log = "[2026-01-01T00:00:00Z ERROR weaved] cannot listen: [::]:6783 is taken";
        assert!(is_error(log));
        assert_eq!(message(log), "cannot listen: [::]:6783 is taken");
        assert_eq!(message("error: no such flag"), "no such flag");
        assert!(!is_error("[2026-01-01T00:00:00Z INFO  weaved] starting"));
    }
}
