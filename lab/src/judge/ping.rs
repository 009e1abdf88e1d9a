//! `ping`: who answers, how many answers are lost, how long the longest silence is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::command::{Background, Finished};
use crate::namespace::Namespace;

/// A ping to be made
#[derive(Debug, Clone)]
pub struct Ping {
    to: IpAddr,
    count: u32,
    interval: Duration,
    size: u32,
    patience: Duration,
    dont_fragment: bool,
    device: Option<String>,
}

impl Ping {
    /// Three echo requests to this address, 100 ms apart
    pub fn to(address: impl Into<IpAddr>) -> Self {
        Self {
            to: address.into(),
            count: 3,
            interval: Duration::from_millis(100),
            size: 56,
            patience: Duration::from_secs(3),
            dont_fragment: false,
            device: None,
        }
    }

    /// The same, this many
    #[must_use]
    pub fn count(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// The same, this far apart
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// The same, with this long a wait for each answer
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same with IP packets of this size and the "don't fragment" bit
    #[must_use]
    pub fn whole_packets_of(self, size: u32) -> Self {
        let headers = if self.to.is_ipv6() { 48 } else { 28 };
        Self {
            size: size.saturating_sub(headers),
            dont_fragment: true,
            ..self
        }
    }

    /// The same with this many bytes of payload, in fragments where that is needed
    #[must_use]
    pub fn payload(self, size: u32) -> Self {
        Self {
            size,
            dont_fragment: false,
            ..self
        }
    }

    /// The same out of this device: link-local addresses need one
    #[must_use]
    pub fn out_of(self, device: &str) -> Self {
        Self {
            device: Some(device.to_owned()),
            ..self
        }
    }

    /// Makes it from a namespace and waits for its end
    pub fn run(&self, from: &Namespace) -> Result<Pings> {
        let window = self.interval.saturating_mul(self.count) + self.patience;
        let finished = self
            .start_counted(from, Some(self.count))?
            .wait(window * 2 + Duration::from_secs(5))?;
        Pings::parse(&finished)
    }

    /// Makes it without end, beside the scenario
    pub fn start(&self, from: &Namespace) -> Result<Pinging> {
        Ok(Pinging(self.start_counted(from, None)?))
    }

    fn start_counted(&self, from: &Namespace, count: Option<u32>) -> Result<Background> {
        let mut words = vec![
            "-n".to_owned(),
            "-D".to_owned(),
            format!("-i{:.3}", self.interval.as_secs_f64()),
            format!("-s{}", self.size),
            format!("-W{:.1}", self.patience.as_secs_f64()),
        ];
        let fragments = if self.dont_fragment { "do" } else { "dont" };
        words.push(format!("-M{fragments}"));
        words.extend(count.map(|count| format!("-c{count}")));
        words.extend(self.device.as_ref().map(|device| format!("-I{device}")));
        words.push(self.to.to_string());
        let mut command = from.tied_command("ping");
        command.args(&words);
        Background::start(command)
    }
}

/// A ping under way
#[derive(Debug)]
pub struct Pinging(Background);

impl Pinging {
    /// How many answers have come
    pub fn answers(&self) -> usize {
        self.0.printed().matches(" bytes from ").count()
    }

    /// Ends it, and tells what came of it
    ///
    /// Echo requests under way at that moment count as lost, so it is ended at a quiet one: the
    /// scenario is expected to have let the last answers come.
    pub fn stop(self) -> Result<Pings> {
        Pings::parse(&self.0.stop(Signal::SIGINT)?)
    }
}

/// What came of a ping
#[derive(Debug, Clone, PartialEq)]
pub struct Pings {
    /// Echo requests
    pub sent: u32,
    /// Answers
    pub received: u32,
    /// Answers that came twice or more often
    pub duplicates: u32,
    /// The mean round trip
    pub round_trip: Option<Duration>,
    /// The longest time between two answers
    pub longest_silence: Duration,
    /// What it said of packets too big to be sent on
    pub too_big: Vec<String>,
    /// The MTUs that it was told of with that
    pub told_mtus: BTreeSet<u32>,
}

impl Pings {
    /// Unanswered requests
    pub fn lost(&self) -> u32 {
        self.sent.saturating_sub(self.received)
    }

    /// Fails unless every request was answered, once
    pub fn all_answered(self) -> Result<Self> {
        ensure!(
            self.sent > 0 && self.lost() == 0 && self.duplicates == 0,
            "{self:?}"
        );
        Ok(self)
    }

    fn parse(finished: &Finished) -> Result<Self> {
        let text = &finished.stdout;
        // "3 packets transmitted, 3 received, +1 duplicates, 0% packet loss, time 202ms"
        let summary = text
            .lines()
            .find(|line| line.contains(" packets transmitted"))
            .with_context(|| format!("no summary: {finished}"))?;
        let number_before = |word: &str| {
            let (before, _after) = summary.split_once(word)?;
            before.rsplit([' ', '+']).next()?.parse::<u32>().ok()
        };
        let times: Vec<f64> = text
            .lines()
            .filter(|line| line.contains(" bytes from "))
            .filter_map(stamp)
            .collect();
        let silence = times
            .windows(2)
            .filter_map(|pair| Some(pair.get(1)? - pair.first()?))
            .fold(0.0, f64::max);
        // "rtt min/avg/max/mdev = 0.031/0.040/0.050/0.007 ms"
        let mean = text
            .split_once("mdev = ")
            .and_then(|(_, tail)| tail.split('/').nth(1)?.parse::<f64>().ok());
        let too_big = text.lines().chain(finished.stderr.lines());
        let too_big = too_big.filter(|line| {
            let line = line.to_lowercase();
            ["frag needed", "message too long", "packet too big", "too large"]
                .iter()
                .any(|word| line.contains(word))
        });
        let too_big: Vec<String> = too_big.map(str::to_owned).collect();
        Ok(Self {
            sent: number_before(" packets transmitted").context("no count of requests")?,
            received: number_before(" received").context("no count of answers")?,
            duplicates: number_before(" duplicates").unwrap_or(0),
            round_trip: mean.map(|ms| Duration::from_secs_f64(ms / 1000.0)),
            longest_silence: Duration::from_secs_f64(silence),
            told_mtus: too_big.iter().filter_map(|line| mtu(line)).collect(),
            too_big,
        })
    }
}

/// The time in "[1795239154.646856] 64 bytes from …"
fn stamp(line: &str) -> Option<f64> {
    line.strip_prefix('[')?.split_once(']')?.0.parse().ok()
}

/// The number in "… (mtu = 1400)" and "… message too long, mtu: 1400"
fn mtu(line: &str) -> Option<u32> {
    let (_before, tail) = line.split_once("mtu")?;
    let digits = tail.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn printed(stdout: &str) -> Finished {
        Finished {
            line: "ping".to_owned(),
            status: ExitStatus::from_raw(0),
            stdout: stdout.to_owned(),
            stderr: String::new(),
        }
    }

    #[test]
    fn answers_silence_and_round_trip_are_read() {
        let pings = Pings::parse(&printed(
            "PING 10.0.1.2 (10.0.1.2) 56(84) bytes of data.\n\
             [1795239154.100000] 64 bytes from 10.0.1.2: icmp_seq=1 ttl=64 time=0.1 ms\n\
             [1795239154.200000] 64 bytes from 10.0.1.2: icmp_seq=2 ttl=64 time=0.1 ms\n\
             [1795239155.000000] 64 bytes from 10.0.1.2: icmp_seq=5 ttl=64 time=0.1 ms\n\n\
             --- 10.0.1.2 ping statistics ---\n\
             5 packets transmitted, 3 received, 40% packet loss, time 900ms\n\
             rtt min/avg/max/mdev = 0.031/0.250/0.050/0.007 ms\n",
        ))
        .unwrap();
        assert_eq!(
            (pings.sent, pings.received, pings.lost(), pings.duplicates),
            (5, 3, 2, 0)
        );
        assert_eq!(pings.round_trip, Some(Duration::from_micros(250)));
        assert!((pings.longest_silence.as_secs_f64() - 0.8).abs() < 1e-3);
        assert!(pings.all_answered().is_err());
    }

    #[test]
    fn duplicates_and_packets_too_big_are_seen() {
        let pings = Pings::parse(&printed(
            "From 10.0.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)\n\
             ping: local error: message too long, mtu: 1350\n\
             1 packets transmitted, 1 received, +2 duplicates, 0% packet loss, time 0ms\n",
        ))
        .unwrap();
        assert_eq!(pings.duplicates, 2);
        assert_eq!(pings.too_big.len(), 2);
        assert_eq!(pings.told_mtus, BTreeSet::from([1350, 1400]));
    }
}
