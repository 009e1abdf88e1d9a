//! The result, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use lab::docker::Release;
use serde::{Deserialize, Serialize};

use crate::containers::{self, Starts};
use crate::figure::Figure;
use crate::load::flood::Flood;
use crate::load::setups::Setups;
use crate::machine::Machine;
use crate::names::{self, Names};
use crate::path::Way;
use crate::rest::Rest;
use crate::series::Series;
use crate::table::Table;

/// All that one run measured
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// On what
    pub machine: Machine,
    /// Its kernel has Open vSwitch
    pub has_open_vswitch: bool,
    /// How many rounds
    pub rounds: u16,
    /// One row for each way
    pub ways: Vec<Row>,
    /// First pings of containers that were just attached, in ms, if they were measured
    pub newcomers: Series,
    /// A stream beside floods, one sample a round, if it was measured
    pub floods: Vec<Flood>,
    /// Flow set-ups, one sample a round, if they were measured
    pub setups: Vec<Setups>,
    /// A weaved at rest, if it was measured
    pub rest: Option<Rest>,
    /// Answers of a name server, one sample a round, if they were measured
    #[serde(default)]
    pub names: Vec<Names>,
    /// Starts of Docker's containers, one sample a round, if they were measured
    #[serde(default)]
    pub containers: Vec<Starts>,
}

/// One way
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which
    pub way: Way,
    /// What was measured of it, one sample for each round
    pub figures: BTreeMap<Figure, Series>,
    /// Why there are no samples, or fewer than rounds
    pub missing: Option<String>,
}

/// The tables of the ways: what is shown side by side
const TABLES: [(&str, &[Figure]); 3] = [
    (
        "throughput",
        &[Figure::OneStream, Figure::EightStreams, Figure::SmallPackets],
    ),
    (
        "latency",
        &[
            Figure::RoundTrip,
            Figure::SlowRoundTrip,
            Figure::FirstPacket,
            Figure::FirstPing,
        ],
    ),
    ("cost of one stream", &[Figure::DaemonCpu, Figure::MachineCpu]),
];

impl Report {
    /// What was measured of a way
    pub fn series(&self, way: Way, figure: Figure) -> Option<&Series> {
        let row = self.ways.iter().find(|row| row.way == way)?;
        row.figures.get(&figure)
    }

    /// How a way compares with the kernel's VXLAN device on a bridge, round by round
    pub fn ratio(&self, row: &Row, figure: Figure) -> Option<f64> {
        let yardstick = self.series(Way::KernelVxlan, figure)?;
        row.figures.get(&figure)?.ratio_to(yardstick)
    }

    fn cell(&self, row: &Row, figure: Figure) -> String {
        let Some(series) = row.figures.get(&figure) else {
            return "–".to_owned();
        };
        let ratio = self
            .ratio(row, figure)
            .filter(|_ratio| row.way != Way::KernelVxlan);
        match ratio {
            Some(ratio) => format!("{series} **{ratio:.2}×**"),
            None => series.to_string(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} rounds\n", self.machine, self.rounds)?;
        for (name, figures) in TABLES {
            let is_measured =
                |figure: &&Figure| self.ways.iter().any(|row| row.figures.contains_key(*figure));
            let figures: Vec<&Figure> = figures.iter().filter(is_measured).collect();
            if figures.is_empty() {
                continue;
            }
            let labels = figures.iter().map(|figure| figure.label());
            let mut table = Table::new(std::iter::once(name).chain(labels));
            for row in self.ways.iter().filter(|row| !row.figures.is_empty()) {
                let cells = figures.iter().map(|figure| self.cell(row, **figure));
                table.row(std::iter::once(row.way.label().to_owned()).chain(cells));
            }
            writeln!(f, "{table}")?;
        }
        for row in &self.ways {
            if let Some(why) = &row.missing {
                writeln!(f, "{}: {why}", row.way.label())?;
            }
        }
        if self.newcomers.median().is_some() {
            let mut table = Table::new(["containers just attached", ""]);
            table.row(["first ping of a pair, ms".to_owned(), self.newcomers.to_string()]);
            writeln!(f, "{table}")?;
        }
        if !self.floods.is_empty() {
            writeln!(f, "{}", floods_table(&self.floods))?;
        }
        if !self.setups.is_empty() {
            writeln!(f, "{}", setups_table(&self.setups))?;
        }
        if !self.names.is_empty() {
            writeln!(f, "{}", names::table(&self.names))?;
        }
        for docker in Release::ALL {
            if let Some(table) = containers::table(docker, &self.containers) {
                writeln!(f, "{table}")?;
            }
        }
        if let Some(rest) = &self.rest {
            write!(f, "{}", rest.table())?;
        }
        Ok(())
    }
}

fn floods_table(samples: &[Flood]) -> Table {
    let mut table = Table::new(["a stream beside 2,000 frames a second", "median (lowest–highest)"]);
    let mut line = |label: &str, of: fn(&Flood) -> f64| {
        let series: Series = samples.iter().map(of).collect();
        table.row([label.to_owned(), series.to_string()]);
    };
    line("alone, Gbit/s", |sample| sample.alone);
    line("frames that the kernel drops by a flow, Gbit/s", |sample| {
        sample.dropped
    });
    line("frames between strangers, Gbit/s", |sample| sample.strangers);
    line("kept of the stream alone", Flood::kept);
    line("kept of the stream beside dropped frames", Flood::kept_of_sending);
    table
}

fn setups_table(samples: &[Setups]) -> Table {
    let mut table = Table::new(["flow set-ups", "median (lowest–highest)"]);
    let mut line = |label: &str, of: fn(&Setups) -> f64| {
        let series: Series = samples.iter().map(of).collect();
        table.row([label.to_owned(), series.to_string()]);
    };
    line("pairs of stations", |sample| sample.pairs as f64);
    line("s until the first packet of every pair had arrived", |sample| {
        sample.seconds
    });
    line("flows a second, both hosts", Setups::per_second);
    line("flows that came to be, sending host", |sample| {
        sample.flows[0] as f64
    });
    line("flows that came to be, receiving host", |sample| {
        sample.flows[1] as f64
    });
    line("misses, both hosts", |sample| {
        sample.misses.iter().sum::<u64>() as f64
    });
    line("misses that the kernel lost, both hosts", |sample| {
        sample.lost.iter().sum::<u64>() as f64
    });
    line("frames sent again", |sample| sample.again as f64);
    line("resident then, MB", |sample| sample.resident_mb);
    table
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machine::tests::some_machine;

    /// What three rounds of one stream on the machine's own kernel gave
    pub(crate) fn report(ways: &[(Way, [f64; 3])]) -> Report {
        let row = |(way, samples): &(Way, [f64; 3])| Row {
            way: *way,
            figures: BTreeMap::from([(Figure::OneStream, samples.iter().copied().collect())]),
            missing: None,
        };
        Report {
            machine: some_machine(false),
            has_open_vswitch: false,
            rounds: 3,
            ways: ways.iter().map(row).collect(),
            newcomers: Series::default(),
            floods: vec![],
            setups: vec![],
            rest: None,
            names: vec![],
            containers: vec![],
        }
    }

    #[test]
    fn a_report_says_what_was_measured_and_what_was_not() {
        let mut report = report(&[
            (Way::KernelVxlan, [4.0, 5.0, 3.0]),
            (Way::SleeveClear, [2.0, 2.5, 1.5]),
        ]);
        report.ways.push(Row {
            way: Way::Fastdp,
            figures: BTreeMap::new(),
            missing: Some("no Open vSwitch".to_owned()),
        });
        let expected = "\
native, Linux 6.1.0, 2 × CPU, load 0.10 at the start, 3 rounds

| throughput            | 1 TCP stream, Gbit/s       |
|-----------------------|----------------------------|
| kernel VXLAN + bridge | 4.00 (3.00–5.00)           |
| sleeve, clear         | 2.00 (1.50–2.50) **0.50×** |

fastdp: no Open vSwitch
";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = report(&[(Way::KernelVxlan, [4.0, 5.0, 3.0])]);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        // One of a run that knew nothing of names is read, too.
        let without = text.replace(r#","names":[],"containers":[]"#, "");
        assert_ne!(without, text);
        assert_eq!(serde_json::from_str::<Report>(&without).unwrap(), report);
    }
}
