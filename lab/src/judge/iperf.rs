//! `iperf3`: how many bits a second one TCP stream carries, also from moment to moment.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::command::Background;
use crate::namespace::Namespace;
use crate::wait::wait_until;

static PORTS: AtomicU16 = AtomicU16::new(5201);

/// A stream under way
#[derive(Debug)]
pub struct Stream {
    client: Background,
    server: Background,
    patience: Duration,
}

/// Starts one TCP stream that lasts this long, towards `address` in the namespace `to`
pub fn start(from: &Namespace, to: &Namespace, address: Ipv4Addr, lasts: Duration) -> Result<Stream> {
    start_many(from, to, address, 1, lasts)
}

/// Starts so many TCP streams at once; what they carry counts together
pub fn start_many(
    from: &Namespace,
    to: &Namespace,
    address: Ipv4Addr,
    streams: u8,
    lasts: Duration,
) -> Result<Stream> {
    let port = PORTS.fetch_add(1, Ordering::Relaxed).to_string();
    let address = address.to_string();
    let server = to.start(&["iperf3", "-s", "-1", "-B", &address, "-p", &port])?;
    wait_until("iperf3 listens", Duration::from_secs(5), || listens(to, &port))?;
    let seconds = lasts.as_secs().max(1);
    // A client whose connection is refused or silent must end, too.
    let client = from.start(&[
        "iperf3",
        "-J",
        "-c",
        &address,
        "-p",
        &port,
        "-P",
        &streams.to_string(),
        "-t",
        &seconds.to_string(),
        "-i",
        "0.2",
        "--connect-timeout",
        "5000",
    ])?;
    Ok(Stream {
        client,
        server,
        patience: Duration::from_secs(seconds + 15),
    })
}

/// One TCP stream from its start to its end
pub fn measure(from: &Namespace, to: &Namespace, address: Ipv4Addr, lasts: Duration) -> Result<Rate> {
    start(from, to, address, lasts)?.finish()
}

impl Stream {
    /// It has not ended
    pub fn is_running(&mut self) -> Result<bool> {
        self.client.is_running()
    }

    /// Waits for its end
    pub fn finish(self) -> Result<Rate> {
        let finished = self.client.wait(self.patience)?;
        drop(self.server);
        let answer: Answer = serde_json::from_str(&finished.stdout)
            .with_context(|| format!("not what iperf3 prints: {finished}"))?;
        if let Some(error) = answer.error {
            anyhow::bail!("iperf3: {error}");
        }
        let received = answer
            .end
            .and_then(|end| end.sum_received)
            .context("iperf3 has no sum")?;
        let intervals = answer.intervals.into_iter();
        let rate = Rate {
            bits_per_second: received.bits_per_second,
            moments: intervals
                .map(|each| (each.sum.start, each.sum.bits_per_second))
                .collect(),
        };
        ensure!(rate.bits_per_second > 0.0, "iperf3 carried nothing");
        Ok(rate)
    }
}

/// What a stream carried
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// As received, over the whole time
    pub bits_per_second: f64,
    /// Seconds since the start, and bits a second as sent in the 0.2 s from there on
    pub moments: Vec<(f64, f64)>,
}

impl Rate {
    /// In Gbit/s
    pub fn gigabits(&self) -> f64 {
        self.bits_per_second / 1e9
    }

    /// The mean of the moments that began in this span of seconds
    pub fn mean_between(&self, from: f64, to: f64) -> Option<f64> {
        let within = self
            .moments
            .iter()
            .filter(|(start, _rate)| (from..to).contains(start));
        let rates: Vec<f64> = within.map(|(_start, rate)| *rate).collect();
        let count = u32::try_from(rates.len()).ok().filter(|count| *count > 0)?;
        Some(rates.iter().sum::<f64>() / f64::from(count))
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    error: Option<String>,
    #[serde(default)]
    intervals: Vec<Interval>,
    end: Option<End>,
}

#[derive(Debug, Deserialize)]
struct Interval {
    sum: Sum,
}

#[derive(Debug, Deserialize)]
struct End {
    sum_received: Option<Sum>,
}

#[derive(Debug, Deserialize)]
struct Sum {
    start: f64,
    bits_per_second: f64,
}

/// A TCP socket listens on this port
fn listens(namespace: &Namespace, port: &str) -> Result<bool> {
    let port: u16 = port.parse()?;
    namespace.enter(|| {
        // Of the thread, not of the process: only the thread is in the namespace.
        let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
        let text: String = tables
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .collect();
        let listening = format!(":{port:04X}");
        Ok(text.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.nth(1).is_some_and(|local| local.ends_with(&listening)) && words.nth(1) == Some("0A")
        }))
    })
}
