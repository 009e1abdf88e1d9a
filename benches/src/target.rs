//! What the numbers are held against.

mod list;

use self::list::TARGETS;
use crate::report::Report;
use crate::series::Series;
use crate::table::Table;

/// Where a target is to be met
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// With Open vSwitch
    OpenVswitch,
    /// On the machine's own kernel
    Native,
    /// Wherever it was measured: the worst counts
    Everywhere,
}

/// A bound
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

struct Target {
    what: &'static str,
    place: Place,
    /// One number for each round
    measured: fn(&Report) -> Option<Series>,
    bound: Bound,
    aim: Option<f64>,
    unit: &'static str,
}

/// Each target that something was measured for, and whether it is met
///
/// The median counts. Where the bound is among the middle half of the rounds, another run may well say
/// otherwise; the verdict tells that.
pub fn table(reports: &[Report]) -> Table {
    let mut table = Table::new([
        "target",
        "kernel",
        "bound",
        "aim",
        "median",
        "middle half of the rounds",
        "",
    ]);
    for target in &TARGETS {
        let Some((place, measured)) = target.find(reports) else {
            continue;
        };
        let unit = target.unit;
        let (sign, bound) = match target.bound {
            Bound::AtLeast(bound) => ("≥", bound),
            Bound::AtMost(bound) => ("≤", bound),
        };
        let aim = target
            .aim
            .map_or_else(|| "–".to_owned(), |aim| format!("{aim}{unit}"));
        let decimals = if measured.median < 1000.0 { 2 } else { 0 };
        let number = |value: f64| format!("{value:.decimals$}");
        let (low, high) = measured.middle_half;
        let spread = match low < high {
            true => format!("{}–{}", number(low), number(high)),
            false => "–".to_owned(),
        };
        table.row([
            target.what.to_owned(),
            place.to_owned(),
            format!("{sign} {bound}{unit}"),
            aim,
            format!("{}{unit}", number(measured.median)),
            spread,
            target.verdict(&measured),
        ]);
    }
    table
}

/// What counts of the rounds
#[derive(Debug, Clone, Copy)]
struct Measured {
    median: f64,
    middle_half: (f64, f64),
}

impl Target {
    /// What counts, and where it was measured
    fn find(&self, reports: &[Report]) -> Option<(&'static str, Measured)> {
        let measured = reports.iter().filter(|report| self.is_about(report));
        let numbers = measured.filter_map(|report| {
            let rounds = (self.measured)(report)?;
            let measured = Measured {
                median: rounds.median()?,
                middle_half: rounds.middle_half()?,
            };
            Some((report.machine.place(), measured))
        });
        match self.bound {
            Bound::AtLeast(_) => numbers.min_by(|one, other| one.1.median.total_cmp(&other.1.median)),
            Bound::AtMost(_) => numbers.max_by(|one, other| one.1.median.total_cmp(&other.1.median)),
        }
    }

    fn is_about(&self, report: &Report) -> bool {
        match self.place {
            Place::OpenVswitch => report.has_open_vswitch,
            Place::Native => !report.machine.is_guest,
            Place::Everywhere => true,
        }
    }

    fn verdict(&self, measured: &Measured) -> String {
        let (low, high) = measured.middle_half;
        let (bound, holds, worse) = match self.bound {
            Bound::AtLeast(bound) => (bound, measured.median >= bound, low),
            Bound::AtMost(bound) => (bound, measured.median <= bound, high),
        };
        // Of the aim, more is asked than that the median reaches it.
        let reaches_aim = self.aim.is_some_and(|aim| match self.bound {
            Bound::AtLeast(_) => worse >= aim,
            Bound::AtMost(_) => worse <= aim,
        });
        let verdict = match (holds, reaches_aim) {
            (false, _) => "**not met**",
            (true, true) => "met, aim too",
            (true, false) => "met",
        };
        let is_unclear = low < bound && bound < high;
        format!("{verdict}{}", if is_unclear { ", within the noise" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::tests::sample;
    use crate::path::Way;
    use crate::report::tests::report;

    #[test]
    fn only_what_was_measured_is_judged_and_where_it_counts() {
        let ways = [
            (Way::KernelVxlan, [10.0, 10.0, 10.0]),
            (Way::SleeveClear, [3.0, 4.0, 3.9]),
            (Way::SleeveEncrypted, [1.0, 1.0, 5.0]),
        ];
        let text = table(&[report(&ways)]).to_string();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 2, "{text}");
        let has = |line: usize, cells: [&str; 3]| {
            let found: Vec<&str> = lines[line].split('|').map(str::trim).collect();
            assert_eq!(found[5..8], cells, "{text}");
        };
        has(0, ["0.39×", "0.30–0.40", "met, within the noise"]);
        has(1, ["0.10×", "0.10–0.50", "**not met**, within the noise"]);
    }

    #[test]
    fn names_are_held_against_time_and_rate() {
        let mut report = report(&[]);
        report.names = [0.2, 0.4, 0.3].map(|p95| sample(p95, 30_000)).to_vec();
        let text = table(&[report]).to_string();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 2, "{text}");
        let has = |line: usize, cells: [&str; 2]| {
            let found: Vec<&str> = lines[line].split('|').map(str::trim).collect();
            assert_eq!([found[5], found[7]], cells, "{text}");
        };
        has(0, ["0.30 ms", "met"]);
        has(1, ["15000/s", "**not met**"]);
    }

    #[test]
    fn an_aim_is_reached_when_most_rounds_reach_it() {
        let ways = |samples| [(Way::KernelVxlan, [10.0; 3]), (Way::SleeveClear, samples)];
        let verdict = |samples| table(&[report(&ways(samples))]).to_string();
        assert!(verdict([5.0, 6.0, 7.0]).contains("met, aim too"));
        assert!(!verdict([4.0, 6.0, 7.0]).contains("aim too"));
    }
}
