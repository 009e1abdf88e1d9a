//! The result, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::load::setups::Setups;
use crate::machine::Machine;
use crate::path::Way;
use crate::rest::Rest;
use crate::series::Series;
use crate::table::Table;

/// All that one run measured
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// On what
    pub machine: Machine,
    /// How many rounds
    pub rounds: u16,
    /// One row for each way
    pub ways: Vec<Row>,
    /// Flow set-ups, one sample a round, if they were measured
    pub setups: Vec<Setups>,
    /// A weaved at rest, if it was measured
    pub rest: Option<Rest>,
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
    /// How a way compares with the kernel's VXLAN device on a bridge, round by round
    pub fn ratio(&self, row: &Row, figure: Figure) -> Option<f64> {
        let yardstick = self.ways.iter().find(|row| row.way == Way::KernelVxlan)?;
        row.figures
            .get(&figure)?
            .ratio_to(yardstick.figures.get(&figure)?)
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
            if !self
                .ways
                .iter()
                .any(|row| figures.iter().any(|figure| row.figures.contains_key(figure)))
            {
                continue;
            }
            let labels = figures.iter().map(|figure| figure.label());
            let mut table = Table::new(std::iter::once(name).chain(labels));
            for row in self.ways.iter().filter(|row| !row.figures.is_empty()) {
                let cells = figures.iter().map(|figure| self.cell(row, *figure));
                table.row(std::iter::once(row.way.label().to_owned()).chain(cells));
            }
            writeln!(f, "{table}")?;
        }
        for row in &self.ways {
            if let Some(why) = &row.missing {
                writeln!(f, "{}: {why}", row.way.label())?;
            }
        }
        if !self.setups.is_empty() {
            writeln!(f, "{}", setups_table(&self.setups))?;
        }
        if let Some(rest) = &self.rest {
            write!(f, "{}", rest.table())?;
        }
        Ok(())
    }
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
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_measured_and_what_was_not() {
        let row = |way, samples: &[f64], missing: Option<&str>| Row {
            way,
            figures: match samples {
                [] => BTreeMap::new(),
                _ => BTreeMap::from([(Figure::OneStream, samples.iter().copied().collect())]),
            },
            missing: missing.map(str::to_owned),
        };
        let report = Report {
            machine: Machine {
                kernel: "6.1.0".to_owned(),
                cpu: "CPU".to_owned(),
                cpus: 2,
                load: "0.10".to_owned(),
            },
            rounds: 3,
            ways: vec![
                row(Way::KernelVxlan, &[4.0, 5.0, 3.0], None),
                row(Way::Fastdp, &[], Some("no Open vSwitch")),
                row(Way::SleeveClear, &[2.0, 2.5, 1.5], None),
            ],
            setups: vec![],
            rest: None,
        };
        let expected = "\
Linux 6.1.0, 2 x CPU, load 0.10 at the start, 3 rounds

| throughput            | 1 TCP stream, Gbit/s       | 8 TCP streams, Gbit/s | 64 B UDP, 1000/s |
|-----------------------|----------------------------|-----------------------|------------------|
| kernel VXLAN + bridge | 4.00 (3.00–5.00)           | –                     | –                |
| sleeve, clear         | 2.00 (1.50–2.50) **0.50×** | –                     | –                |

fastdp: no Open vSwitch
";
        assert_eq!(report.to_string(), expected);
    }
}
