//! What the measurements were taken on.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

/// The machine and its kernel
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release
    pub kernel: String,
    /// The CPU's name
    pub cpu: String,
    /// How many CPUs this program may use
    pub cpus: usize,
    /// Processes that were running on average in the last minute
    pub load: String,
}

impl Machine {
    /// This one, at this moment; what cannot be read is empty
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: field(&cpuinfo, "model name").unwrap_or_default().to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            load: first_word(&read("/proc/loadavg")).to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernel,
            cpu,
            cpus,
            load,
        } = self;
        write!(f, "Linux {kernel}, {cpus} x {cpu}, load {load} at the start")
    }
}

/// The value of the first line `name : value`
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(key, _value)| key.trim() == name);
    found.map(|(_key, value)| value.trim())
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_files_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n\nmodel name\t: other\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(field(text, "model"), None);
    }
}
