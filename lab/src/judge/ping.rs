//! `ping`: who answers, how many answers are lost, how long the longest silence is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::command::{Background, Finished};
use crate::namespace::Namespace;
use crate::wait::wait_until;

/// How long an answer is waited for after a later request has been answered
const LINGER: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(2);

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
    ///
    /// Of `ping -c`, an answer to the last request counts for no longer than an interval as soon as there was
    /// any answer, which is too short on a busy machine. So it is one without end that is ended, and of which
    /// only the first requests count.
    pub fn run(&self, from: &Namespace) -> Result<Pings> {
        let mut ping = self.start(from)?.0;
        let end = Instant::now() + self.interval * self.count * 2 + self.patience;
        let mut overtaken = None;
        while ping.is_running()? {
            let seen = Seen::of(&ping.printed(), &ping.complained(), self.count);
            if seen.answered + seen.refused >= self.count || Instant::now() >= end {
                break;
            }
            // What was sent before it is lost, or on its way by a slower one.
            if seen.is_passed
                && overtaken.get_or_insert_with(Instant::now).elapsed() >= LINGER.min(self.patience)
            {
                break;
            }
            std::thread::sleep(POLL);
        }
        let finished = match ping.is_running()? {
            true => ping.stop(Signal::SIGINT)?,
            false => ping.wait(Duration::ZERO)?,
        };
        Pings::of_first(self.count, &finished)
    }

    /// Makes it without end, beside the scenario
    pub fn start(&self, from: &Namespace) -> Result<Pinging> {
        let mut words = vec![
            "-n".to_owned(),
            "-D".to_owned(),
            format!("-i{:.3}", self.interval.as_secs_f64()),
            format!("-s{}", self.size),
        ];
        let fragments = if self.dont_fragment { "do" } else { "dont" };
        words.push(format!("-M{fragments}"));
        words.extend(self.device.as_ref().map(|device| format!("-I{device}")));
        words.push(self.to.to_string());
        let mut command = from.tied_command("ping");
        command.args(&words);
        Ok(Pinging(Background::start(command)?))
    }
}

/// What a ping under way has printed of its first requests
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    answered: u32,
    /// Those of which somebody told that they do not get there
    refused: u32,
    /// The last of them, or a later one, was answered
    is_passed: bool,
}

impl Seen {
    fn of(printed: &str, complained: &str, count: u32) -> Self {
        let all: BTreeSet<u32> = answers(printed).map(|answer| answer.request).collect();
        let lines = printed.lines().chain(complained.lines());
        let refused = lines.filter(|line| is_refusal(line)).count();
        Self {
            answered: number(all.range(..=count).count()),
            refused: number(refused),
            is_passed: all.range(count..).next().is_some(),
        }
    }
}

/// An answer to an echo request
#[derive(Debug, Clone, Copy, PartialEq)]
struct Answer {
    /// The number of the request, from 1
    request: u32,
    /// When it came, in seconds
    came: f64,
    is_duplicate: bool,
}

fn answers(printed: &str) -> impl Iterator<Item = Answer> {
    printed.lines().filter(|line| is_answer(line)).filter_map(|line| {
        let (_before, after) = line.split_once("icmp_seq=")?;
        Some(Answer {
            request: after.split(' ').next()?.parse().ok()?,
            came: stamp(line)?,
            is_duplicate: line.ends_with("(DUP!)"),
        })
    })
}

fn is_answer(line: &str) -> bool {
    line.contains(" bytes from ")
}

fn is_refusal(line: &str) -> bool {
    let told = line.contains("icmp_seq=") && !is_answer(line);
    // There are warnings as well.
    told || line.starts_with("ping: local error") || line.starts_with("ping: sendmsg")
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A ping under way
#[derive(Debug)]
pub struct Pinging(Background);

impl Pinging {
    /// How many answers have come
    pub fn answers(&self) -> usize {
        answers(&self.0.printed()).count()
    }

    /// Waits for this many more answers
    pub fn wait_answers(&self, more: usize, deadline: Duration) -> Result<()> {
        let so_far = self.answers();
        wait_until("the ping goes on", deadline, || {
            Ok(self.answers() >= so_far + more)
        })
        .map(drop)
    }

    /// Ends it after some more answers, and tells what came of the requests before those: later ones may be under way
    ///
    /// Fails if no more answers come.
    pub fn finish(self) -> Result<Pings> {
        self.wait_answers(3, Duration::from_secs(10))?;
        let last = answers(&self.0.printed()).map(|answer| answer.request).max();
        // Those before the last one that are on their way by a slower one.
        std::thread::sleep(LINGER);
        Pings::of_first(last.unwrap_or_default(), &self.0.stop(Signal::SIGINT)?)
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

    /// What came of all of them
    fn parse(finished: &Finished) -> Result<Self> {
        Self::of_first(u32::MAX, finished)
    }

    /// What came of the first so many
    fn of_first(count: u32, finished: &Finished) -> Result<Self> {
        let text = &finished.stdout;
        // "3 packets transmitted, 3 received, +1 duplicates, 0% packet loss, time 202ms"
        let summary = text
            .lines()
            .find_map(|line| line.split_once(" packets transmitted"));
        let (sent, _rest) = summary.with_context(|| format!("no summary: {finished}"))?;
        let sent: u32 = sent.parse().context("no count of requests")?;
        let answers = answers(text).filter(|answer| answer.request <= count);
        let (again, first): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.is_duplicate);
        let silence = first
            .windows(2)
            .filter_map(|pair| Some(pair.get(1)?.came - pair.first()?.came))
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
            sent: sent.min(count),
            received: number(first.len()),
            duplicates: number(again.len()),
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
    fn only_the_first_requests_count() {
        let text = "PING 10.0.1.2 (10.0.1.2) 56(84) bytes of data.\n\
             [1795239154.100000] 64 bytes from 10.0.1.2: icmp_seq=1 ttl=64 time=0.1 ms\n\
             [1795239155.300000] 64 bytes from 10.0.1.2: icmp_seq=4 ttl=64 time=0.1 ms\n\
             [1795239154.200000] 64 bytes from 10.0.1.2: icmp_seq=2 ttl=64 time=0.1 ms\n\
             [1795239155.400000] 64 bytes from 10.0.1.2: icmp_seq=2 ttl=64 time=0.1 ms (DUP!)\n";
        let of = |count| {
            let complained = "ping: Warning: source address might be selected on device other than: eth0.\n\
                 ping: local error: message too long, mtu: 1350\n";
            let seen = Seen::of(text, complained, count);
            (seen.answered, seen.refused, seen.is_passed)
        };
        assert_eq!(
            [2, 3, 4, 5].map(of),
            [(2, 1, true), (2, 1, true), (3, 1, true), (3, 1, false)]
        );
        let summary = "\n--- 10.0.1.2 ping statistics ---\n\
             4 packets transmitted, 3 received, +1 duplicates, 25% packet loss, time 300ms\n";
        let finished = printed(&format!("{text}{summary}"));
        let of = |count| {
            let pings = Pings::of_first(count, &finished).unwrap();
            (pings.sent, pings.received, pings.duplicates)
        };
        assert_eq!([1, 2, 3, 9].map(of), [(1, 1, 0), (2, 2, 1), (3, 2, 1), (4, 3, 1)]);
    }

    #[test]
    fn refused_ones_and_packets_too_big_are_seen() {
        let text = "From 10.0.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)\n\
             ping: local error: message too long, mtu: 1350\n\
             1 packets transmitted, 0 received, +1 errors, 100% packet loss, time 0ms\n";
        assert_eq!(Seen::of(text, "", 2).refused, 2);
        let pings = Pings::parse(&printed(text)).unwrap();
        assert_eq!(pings.too_big.len(), 2);
        assert_eq!(pings.told_mtus, BTreeSet::from([1350, 1400]));
    }
}
