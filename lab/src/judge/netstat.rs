//! What a namespace's kernel counted of TCP and UDP: `/proc/net/snmp` and `/proc/net/netstat`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

use crate::namespace::Namespace;

/// All counters of a namespace at some moment
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netstat {
    values: BTreeMap<String, i64>,
}

impl Netstat {
    /// At this moment
    pub fn of(namespace: &Namespace) -> Result<Self> {
        namespace.enter(|| {
            // Of the thread, not of the process: only the thread is in the namespace.
            let tables = ["/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"];
            let texts =
                tables.map(|path| fs::read_to_string(path).with_context(|| format!("cannot read {path}")));
            let mut all = String::new();
            for text in texts {
                all.push_str(&text?);
            }
            Ok(Self::parse(&all))
        })
    }

    /// A counter, by its group and name as `nstat -a` joins them: `TcpRetransSegs`
    pub fn count(&self, name: &str) -> Result<i64> {
        let found = self.values.get(name).copied();
        found.with_context(|| format!("this kernel does not count {name}"))
    }

    /// Lines in pairs: a group's names, and its values
    fn parse(text: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let (pairs, _rest) = lines.as_chunks::<2>();
        let mut values = BTreeMap::new();
        for [names, numbers] in pairs {
            let mut names = names.split_whitespace();
            let group = names.next().unwrap_or_default().trim_end_matches(':');
            for (name, number) in names.zip(numbers.split_whitespace().skip(1)) {
                if let Ok(number) = number.parse() {
                    values.insert(format!("{group}{name}"), number);
                }
            }
        }
        Self { values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_group_and_name() {
        let text = "Tcp: RtoMin MaxConn RetransSegs\nTcp: 200 -1 12\nTcpExt: TCPSACKReorder\nTcpExt: 3\n";
        let netstat = Netstat::parse(text);
        assert_eq!(netstat.count("TcpMaxConn").unwrap(), -1);
        assert_eq!(netstat.count("TcpRetransSegs").unwrap(), 12);
        assert_eq!(netstat.count("TcpExtTCPSACKReorder").unwrap(), 3);
        assert!(netstat.count("TcpOther").is_err());
    }
}
