//! `dig`: what a server of names answers.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

use crate::namespace::Namespace;

/// An answer, as `dig` shows it
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `NOERROR`, `NXDOMAIN`, …
    pub status: String,
    /// `qr`, `aa`, `tc`, …
    pub flags: BTreeSet<String>,
    /// Lines of the answer: name, TTL, class, type, data
    pub records: Vec<Vec<String>>,
    /// The same of the authority
    pub authority: Vec<Vec<String>>,
    text: String,
}

/// Asks a server from within a namespace; `options` as on `dig`'s command line: `+tcp`, `-x`, a name, a type
pub fn ask(from: &Namespace, server: SocketAddr, options: &[&str]) -> Result<Answer> {
    let (ip, port) = (format!("@{}", server.ip()), server.port().to_string());
    let line = [&["dig", &ip, "-p", &port, "+time=5", "+tries=1"], options].concat();
    let text = from.run(&line)?.ok()?;
    Answer::parse(&text).with_context(|| format!("{line:?} printed {text}"))
}

impl Answer {
    fn parse(text: &str) -> Result<Self> {
        let head = text
            .lines()
            .find(|line| line.contains("->>HEADER<<-"))
            .context("no header")?;
        let (_, status) = head.split_once("status: ").context("no status")?;
        let status = status.split(',').next().unwrap_or_default().to_owned();
        let flags = text
            .lines()
            .find_map(|line| line.strip_prefix(";; flags:"))
            .context("no flags")?;
        let flags = flags.split(';').next().unwrap_or_default();
        Ok(Self {
            status,
            flags: flags.split_whitespace().map(str::to_owned).collect(),
            records: section(text, "ANSWER"),
            authority: section(text, "AUTHORITY"),
            text: text.to_owned(),
        })
    }

    /// The addresses, in the order in which they came
    pub fn addresses(&self) -> Result<Vec<Ipv4Addr>> {
        let records = self
            .records
            .iter()
            .filter(|record| record.get(3).is_some_and(|kind| kind == "A"));
        let data = records.map(|record| record.last().map(String::as_str).unwrap_or_default());
        data.map(|text| text.parse().with_context(|| format!("{text:?} is no address")))
            .collect()
    }

    /// The same without an order
    pub fn set(&self) -> Result<BTreeSet<Ipv4Addr>> {
        Ok(self.addresses()?.into_iter().collect())
    }

    /// Fails unless this is the status
    pub fn expect(self, status: &str) -> Result<Self> {
        ensure!(self.status == status, "expected {status}: {}", self.text);
        Ok(self)
    }
}

/// The lines below a section's title
fn section(text: &str, name: &str) -> Vec<Vec<String>> {
    let title = format!(";; {name} SECTION:");
    let lines = text.lines().skip_while(|line| *line != title).skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    lines
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_parts() {
        let text = "
; <<>> DiG 9.18.44 <<>> @127.0.0.1 c1.weave.local
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 25330
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 1

;; QUESTION SECTION:
;c1.weave.local.\t\tIN\tA

;; ANSWER SECTION:
c1.weave.local.\t\t1\tIN\tA\t10.32.0.2
c1.weave.local.\t\t1\tIN\tA\t10.32.0.1

;; Query time: 0 msec
";
        let answer = Answer::parse(text).unwrap().expect("NOERROR").unwrap();
        assert!(answer.flags.contains("aa"));
        assert_eq!(
            answer.addresses().unwrap(),
            [[10, 32, 0, 2], [10, 32, 0, 1]].map(Ipv4Addr::from)
        );
        assert!(answer.authority.is_empty());
        assert!(answer.expect("NXDOMAIN").is_err());
    }
}
