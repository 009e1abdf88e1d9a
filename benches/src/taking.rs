//! Taking one round's measurements of one way.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::figure::{Figure, Measure};
use crate::load::{first, packets, round_trips, streams};
use crate::path::Path;

/// How long each measurement lasts
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// A TCP stream, in whole seconds
    pub stream: Duration,
    /// Small datagrams
    pub packets: Duration,
    /// Round trips
    pub round_trips: Duration,
    /// Pairs of stations that talk for the first time
    pub pairs: u32,
    /// The same where ARP is part of it
    pub pings: u32,
}

impl Lengths {
    /// For numbers to decide by
    pub const FULL: Self = Self {
        stream: Duration::from_secs(1),
        packets: Duration::from_secs(1),
        round_trips: Duration::from_millis(700),
        pairs: 15,
        pings: 3,
    };
    /// For a first look
    pub const QUICK: Self = Self {
        stream: Duration::from_millis(800),
        packets: Duration::from_millis(250),
        round_trips: Duration::from_millis(250),
        pairs: 5,
        pings: 1,
    };

    /// About how long one measurement takes, its beginning and end included
    pub fn of(&self, measure: Measure) -> Duration {
        match measure {
            Measure::Stream | Measure::Streams => self.stream + Duration::from_millis(600),
            Measure::Packets => self.packets + Duration::from_millis(500),
            Measure::RoundTrips => self.round_trips + Duration::from_millis(200),
            Measure::First => {
                Duration::from_millis(50) * self.pairs + Duration::from_millis(300) * self.pings
            }
            Measure::Newcomers
            | Measure::Flood
            | Measure::Setups
            | Measure::Rest
            | Measure::Names
            | Measure::Containers => Duration::ZERO,
        }
    }
}

/// Takes one measurement
pub fn take(measure: Measure, path: &Path, lengths: &Lengths) -> Result<Vec<(Figure, f64)>> {
    let figures = match measure {
        Measure::Stream => {
            let one = streams::measure(path, 1, lengths.stream)?;
            let mut figures = vec![
                (Figure::OneStream, one.gigabits),
                (Figure::MachineCpu, one.machine),
            ];
            if !path.daemons.is_empty() {
                figures.push((Figure::DaemonCpu, one.daemons));
            }
            figures
        }
        Measure::Streams => vec![(
            Figure::EightStreams,
            streams::measure(path, 8, lengths.stream)?.gigabits,
        )],
        Measure::Packets => vec![(
            Figure::SmallPackets,
            packets::per_second(path, lengths.packets)? / 1e3,
        )],
        Measure::RoundTrips => {
            let times = round_trips::measure(path, lengths.round_trips)?;
            let percentile = |percent| times.percentile(percent).context("no round trip was timed");
            vec![
                (Figure::RoundTrip, percentile(50)?),
                (Figure::SlowRoundTrip, percentile(99)?),
            ]
        }
        Measure::First => {
            let mut figures = Vec::new();
            if path.is_ethernet {
                let packets = first::packets(path, lengths.pairs)?.median();
                figures.push((Figure::FirstPacket, packets.context("no pair")?));
            }
            let pings = first::pings(path, lengths.pings)?.median();
            figures.push((Figure::FirstPing, pings.context("no pair")?));
            figures
        }
        // Taken elsewhere: they are not of a way.
        Measure::Newcomers
        | Measure::Flood
        | Measure::Setups
        | Measure::Rest
        | Measure::Names
        | Measure::Containers => Vec::new(),
    };
    Ok(figures)
}
