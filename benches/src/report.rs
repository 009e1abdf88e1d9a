//! The result, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::machine::Machine;
use crate::path::Way;
use crate::rest::Rest;
use crate::series::Series;

/// All that one run measured
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// On what
    pub machine: Machine,
    /// One row for each way
    pub paths: Vec<Row>,
    /// A weaved at rest, if it was measured
    pub rest: Option<Rest>,
}

/// One way
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which
    pub way: Way,
    /// One TCP stream in Gbit/s, one sample for each round
    pub gigabits: Series,
    /// Why there are no samples
    pub missing: Option<String>,
}

impl Report {
    /// How a way compares with the kernel's VXLAN device on a bridge, round by round
    pub fn ratio(&self, row: &Row) -> Option<f64> {
        let yardstick = self.paths.iter().find(|row| row.way == Way::KernelVxlan)?;
        row.gigabits.ratio_to(&yardstick.gigabits)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            kernel,
            cpu,
            cpus,
            load,
        } = &self.machine;
        writeln!(f, "Linux {kernel}, {cpus} x {cpu}, load {load} at the start\n")?;
        writeln!(
            f,
            "| one TCP stream | Gbit/s, median | lowest–highest | of kernel VXLAN + bridge |"
        )?;
        writeln!(f, "|---|---|---|---|")?;
        for row in &self.paths {
            let label = row.way.label();
            match (&row.missing, row.gigabits.median()) {
                (None, Some(median)) => {
                    let (low, high) = (row.gigabits.low(), row.gigabits.high());
                    let (low, high) = (low.unwrap_or(median), high.unwrap_or(median));
                    let ratio = self
                        .ratio(row)
                        .map_or_else(|| String::from("–"), |ratio| format!("{ratio:.2}"));
                    writeln!(f, "| {label} | {median:.2} | {low:.2}–{high:.2} | {ratio} |")?;
                }
                (missing, _) => {
                    let why = missing.as_deref().unwrap_or("not measured");
                    writeln!(f, "| {label} | – | – | {why} |")?;
                }
            }
        }
        let Some(Rest {
            resident_mb: [none, one, two],
            start_ms,
        }) = &self.rest
        else {
            return Ok(());
        };
        writeln!(f, "\n| weaved at rest | |\n|---|---|")?;
        writeln!(f, "| resident, no peer | {none:.1} MB |")?;
        writeln!(f, "| resident, one peer | {one:.1} MB |")?;
        writeln!(f, "| resident, two peers | {two:.1} MB |")?;
        if let (Some(median), Some(low), Some(high)) = (start_ms.median(), start_ms.low(), start_ms.high()) {
            writeln!(f, "| start to ready | {median:.0} ms ({low:.0}–{high:.0}) |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_measured_and_what_was_not() {
        let row = |way, samples: &[f64], missing: Option<&str>| Row {
            way,
            gigabits: samples.iter().copied().collect(),
            missing: missing.map(str::to_owned),
        };
        let report = Report {
            machine: Machine {
                kernel: "6.1.0".to_owned(),
                cpu: "CPU".to_owned(),
                cpus: 2,
                load: "0.10".to_owned(),
            },
            paths: vec![
                row(Way::KernelVxlan, &[4.0, 5.0, 3.0], None),
                row(Way::Fastdp, &[], Some("no Open vSwitch")),
                row(Way::SleeveClear, &[2.0, 2.5, 1.5], None),
            ],
            rest: None,
        };
        let expected = "\
Linux 6.1.0, 2 x CPU, load 0.10 at the start

| one TCP stream | Gbit/s, median | lowest–highest | of kernel VXLAN + bridge |
|---|---|---|---|
| kernel VXLAN + bridge | 4.00 | 3.00–5.00 | 1.00 |
| fastdp | – | – | no Open vSwitch |
| sleeve, clear | 2.00 | 1.50–2.50 | 0.50 |
";
        assert_eq!(report.to_string(), expected);
    }
}
