//! What the measurements were taken on.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use lab::command::run_here;
use serde::{Deserialize, Serialize};

/// The machine, its kernel, and the programs that take part
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release
    pub kernel: String,
    /// The kernel is a guest's, not the machine's own
    pub is_guest: bool,
    /// The CPU's name
    pub cpu: String,
    /// How many CPUs this program may use
    pub cpus: usize,
    /// Processes that were running on average in the last minute; a guest sees its own alone
    pub load: String,
    /// When it was looked at, in seconds of Unix
    pub time: u64,
    /// What the programs that take part say of their versions
    pub versions: BTreeMap<String, String>,
}

impl Machine {
    /// This one, at this moment; what cannot be read is empty
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            is_guest: std::env::var_os("WEAVE_LAB_GUEST").is_some(),
            cpu: field(&cpuinfo, "model name").unwrap_or_default().to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            load: first_word(&read("/proc/loadavg")).to_owned(),
            time: time.map_or(0, |since| since.as_secs()),
            versions: PROGRAMS
                .iter()
                .filter_map(|program| Some(((*program).to_owned(), version(program)?)))
                .collect(),
        }
    }

    /// Its kernel, in a word
    pub const fn place(&self) -> &'static str {
        if self.is_guest { "guest" } else { "native" }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernel,
            cpu,
            cpus,
            load,
            ..
        } = self;
        let place = self.place();
        write!(
            f,
            "{place}, Linux {kernel}, {cpus} × {cpu}, load {load} at the start"
        )
    }
}

/// Whose versions are kept
const PROGRAMS: [&str; 4] = ["iperf3", "wireguard-go", "ovs-dpctl", "rustc"];

/// The first line of what a program says
fn version(program: &str) -> Option<String> {
    let said = run_here(&[program, "--version"]).ok()?.ok().ok()?;
    Some(said.lines().next()?.trim().to_owned())
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
pub(crate) mod tests {
    use super::*;

    /// A machine for tests of what is said of one
    pub(crate) fn some_machine(is_guest: bool) -> Machine {
        Machine {
            kernel: "6.1.0".to_owned(),
            is_guest,
            cpu: "CPU".to_owned(),
            cpus: 2,
            load: "0.10".to_owned(),
            time: 0,
            versions: BTreeMap::new(),
        }
    }

    #[test]
    fn fields_of_proc_files_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n\nmodel name\t: other\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(field(text, "model"), None);
    }
}
