//! One run: every way up at once, and rounds that measure each once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::scenario::Kernel;
use lab::topology::Lab;

use crate::figure::Measure;
use crate::load::setups::{self, Setups};
use crate::machine::Machine;
use crate::path::{Path, Way};
use crate::report::{Report, Row};
use crate::rest::{self, Patience};
use crate::taking::{Lengths, take};

/// What is to be measured, and how thoroughly
#[derive(Debug, Clone)]
pub struct Plan {
    rounds: u16,
    /// How often flow set-ups are measured
    setups: u16,
    ways: Vec<Way>,
    measures: Vec<Measure>,
    lengths: Lengths,
    patience: Patience,
    boringtun: Option<PathBuf>,
}

impl Plan {
    /// Everything, for numbers to decide by
    pub fn full() -> Self {
        Self {
            rounds: 5,
            setups: 5,
            ways: Way::ALL
                .into_iter()
                .filter(|way| *way != Way::Boringtun)
                .collect(),
            measures: Measure::ALL.to_vec(),
            lengths: Lengths::FULL,
            patience: Patience::FULL,
            boringtun: None,
        }
    }

    /// Everything, for a first look
    pub fn quick() -> Self {
        Self {
            rounds: 2,
            setups: 1,
            measures: Measure::ALL
                .into_iter()
                .filter(|measure| *measure != Measure::Streams)
                .collect(),
            lengths: Lengths::QUICK,
            patience: Patience::QUICK,
            ..Self::full()
        }
    }

    /// With another number of rounds, if one is told
    #[must_use]
    pub fn rounds(self, rounds: Option<u16>) -> Self {
        Self {
            rounds: rounds.unwrap_or(self.rounds),
            setups: rounds.unwrap_or(self.setups),
            ..self
        }
    }

    /// With boringtun, if its program is told
    #[must_use]
    pub fn boringtun(mut self, program: Option<PathBuf>) -> Self {
        if program.is_some() {
            self.ways.push(Way::Boringtun);
        }
        self.boringtun = program;
        self
    }

    /// These ways alone and the yardstick, if any are told
    #[must_use]
    pub fn only(mut self, ways: &[Way]) -> Self {
        if !ways.is_empty() {
            self.ways
                .retain(|way| *way == Way::KernelVxlan || ways.contains(way));
        }
        self
    }

    /// These measurements alone, if any are told
    #[must_use]
    pub fn measuring(mut self, measures: &[Measure]) -> Self {
        if !measures.is_empty() {
            self.measures = measures.to_vec();
            self.measures.sort_unstable();
        }
        self
    }

    fn wants(&self, measure: Measure) -> bool {
        self.measures.contains(&measure)
    }

    /// About how long one round of one way takes
    fn round(&self) -> Duration {
        let measures = self.measures.iter().map(|measure| self.lengths.of(*measure));
        measures.sum()
    }

    /// About how long what follows the ways takes
    fn tail(&self, has_open_vswitch: bool) -> Duration {
        let setups = match self.wants(Measure::Setups) && has_open_vswitch {
            true => SETUPS * u32::from(self.setups),
            false => Duration::ZERO,
        };
        let rest = match self.wants(Measure::Rest) {
            true => self.patience.expected(),
            false => Duration::ZERO,
        };
        setups + rest
    }
}

/// About how long one measurement of flow set-ups takes
const SETUPS: Duration = Duration::from_secs(7);

/// Runs a plan; what it is doing goes to `tell`
pub fn run(plan: &Plan, mut tell: impl FnMut(&str)) -> Result<Report> {
    let machine = Machine::here();
    let mut report = Report {
        machine,
        has_open_vswitch: Kernel::OpenVswitch.lacks().is_none(),
        rounds: plan.rounds,
        ways: Vec::new(),
        setups: Vec::new(),
        rest: None,
    };
    if plan.measures.iter().any(|measure| measure.is_of_ways()) {
        report.ways = ways(plan, plan.tail(report.has_open_vswitch), &mut tell)?;
    }
    if plan.wants(Measure::Setups) && report.has_open_vswitch {
        for round in 1..=plan.setups {
            tell(&format!("round {round} of {}, flow set-ups", plan.setups));
            let sample: Setups = setups::measure(&mut Lab::new()?)?;
            tell(&format!("  {:.0} flows a second", sample.per_second()));
            report.setups.push(sample);
        }
    }
    if plan.wants(Measure::Rest) {
        tell("a weaved at rest");
        report.rest = Some(rest::measure(&mut Lab::new()?, &plan.patience)?);
    }
    Ok(report)
}

/// A way, and what of it still works
struct Open {
    row: Row,
    path: Option<Path>,
    failed: BTreeSet<Measure>,
}

fn ways(plan: &Plan, tail: Duration, tell: &mut impl FnMut(&str)) -> Result<Vec<Row>> {
    let mut lab = Lab::new()?;
    let mut ways: Vec<Open> = Vec::new();
    for way in &plan.ways {
        tell(&format!("{}: setting up", way.label()));
        ways.push(open(*way, &mut lab, plan.boringtun.as_ref(), tell));
    }
    let up = ways.iter().filter(|way| way.path.is_some()).count();
    let mut progress = Progress {
        begun: Instant::now(),
        done: 0,
        all: u32::from(plan.rounds) * u32::try_from(up)?,
        guess: plan.round(),
        tail,
    };
    for round in 1..=plan.rounds {
        for way in &mut ways {
            let Some(path) = &way.path else { continue };
            let label = way.row.way.label();
            tell(&format!(
                "round {round} of {}, {label} (about {} left)",
                plan.rounds,
                progress.left()
            ));
            for measure in plan.measures.iter().filter(|measure| measure.is_of_ways()) {
                if way.failed.contains(measure) {
                    continue;
                }
                match take(*measure, path, &plan.lengths) {
                    Ok(figures) => {
                        let line: Vec<String> = figures
                            .iter()
                            .map(|(figure, value)| format!("{}: {value:.3}", figure.label()))
                            .collect();
                        tell(&format!("  {}", line.join("; ")));
                        for (figure, value) in figures {
                            way.row.figures.entry(figure).or_default().push(value);
                        }
                    }
                    Err(error) => {
                        let why = format!("{measure:?} failed in round {round}: {error:#}");
                        tell(&format!("  {why}"));
                        way.failed.insert(*measure);
                        way.row.missing.get_or_insert(why);
                    }
                }
            }
            progress.done += 1;
        }
    }
    Ok(ways.into_iter().map(|way| way.row).collect())
}

/// A way that is up, or a row that says why it is not
fn open(way: Way, lab: &mut Lab, boringtun: Option<&PathBuf>, tell: &mut impl FnMut(&str)) -> Open {
    let (path, missing) = match way.open(lab, boringtun) {
        Ok(path) => (Some(path), None),
        Err(error) => {
            let why = format!("not measured: {error:#}");
            tell(&format!("  {why}"));
            (None, Some(why))
        }
    };
    Open {
        row: Row {
            way,
            figures: BTreeMap::new(),
            missing,
        },
        path,
        failed: BTreeSet::new(),
    }
}

/// How far the rounds are
struct Progress {
    begun: Instant,
    done: u32,
    all: u32,
    /// What one step takes, until one was taken
    guess: Duration,
    /// What comes after the rounds
    tail: Duration,
}

impl Progress {
    fn left(&self) -> String {
        let each = match self.done {
            0 => self.guess,
            done => self.begun.elapsed() / done,
        };
        let seconds = (each * (self.all - self.done) + self.tail).as_secs();
        match seconds {
            0..90 => format!("{seconds} s"),
            _ => format!("{} min", seconds.div_ceil(60)),
        }
    }
}
