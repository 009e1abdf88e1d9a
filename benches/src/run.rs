//! One run: every way up at once, and rounds that measure each once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::docker::Release;
use lab::scenario::Kernel;
use lab::topology::Lab;

use crate::containers;
use crate::figure::{Figure, Measure};
use crate::load::setups;
use crate::load::{flood, newcomers};
use crate::machine::Machine;
use crate::names;
use crate::path::{Path, Way};
use crate::plan::Plan;
use crate::report::{Report, Row};
use crate::rest;
use crate::series::Series;
use crate::taking::{Lengths, take};

/// Runs a plan; what it is doing goes to `tell`
pub fn run(plan: &Plan, mut tell: impl FnMut(&str)) -> Result<Report> {
    let machine = Machine::here();
    let mut report = Report {
        machine,
        has_open_vswitch: Kernel::OpenVswitch.lacks().is_none(),
        rounds: plan.rounds,
        ways: Vec::new(),
        newcomers: Series::default(),
        floods: Vec::new(),
        setups: Vec::new(),
        rest: None,
        names: Vec::new(),
        containers: Vec::new(),
    };
    if plan.measures.iter().any(|measure| measure.is_of_ways()) {
        report.ways = ways(plan, plan.tail(report.has_open_vswitch), &mut tell)?;
    }
    if plan.wants(Measure::Newcomers) {
        tell("first pings of containers just attached");
        report.newcomers = newcomers::measure(&mut Lab::new()?, plan.newcomers())?;
    }
    if plan.wants(Measure::Flood) && report.has_open_vswitch {
        tell("a stream beside a flood of strangers");
        report.floods = flood::measure(&mut Lab::new()?, plan.setups)?;
    }
    if plan.wants(Measure::Setups) && report.has_open_vswitch {
        for round in 1..=plan.setups {
            tell(&format!("round {round} of {}, flow set-ups", plan.setups));
            // What was measured before is worth more than a failure here.
            match setups::measure(&mut Lab::new()?) {
                Ok(sample) => {
                    tell(&format!("  {:.0} flows a second", sample.per_second()));
                    report.setups.push(sample);
                }
                Err(error) => tell(&format!("  failed: {error:#}")),
            }
        }
    }
    if plan.wants(Measure::Rest) {
        tell("a weaved at rest");
        report.rest = Some(rest::measure(&mut Lab::new()?, &plan.patience)?);
    }
    if plan.wants(Measure::Names) {
        tell("answers of a name server");
        match names::measure(&mut Lab::new()?, plan.setups, plan.names, &mut tell) {
            Ok(samples) => report.names = samples,
            Err(error) => tell(&format!("  failed: {error:#}")),
        }
    }
    // What Docker's own programs take in the guest says nothing of the network.
    if plan.wants(Measure::Containers) && !report.has_open_vswitch {
        tell("starts of Docker's containers");
        for docker in Release::ALL {
            match containers::measure(docker, plan.rounds, &mut tell) {
                Ok(samples) => report.containers.extend(samples),
                Err(error) => tell(&format!("  {docker}: failed: {error:#}")),
            }
        }
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
    let measures: Vec<Measure> = plan
        .measures
        .iter()
        .copied()
        .filter(|measure| measure.is_of_ways())
        .collect();
    let mut progress = Progress::new(plan, &ways, tail);
    for round in 1..=plan.rounds {
        // What is compared is measured one right after the other, and in turned order every other time.
        for measure in &measures {
            tell(&format!(
                "round {round} of {}, {} (about {} left)",
                plan.rounds,
                measure.label(),
                progress.left()
            ));
            let mut turn: Vec<&mut Open> = ways.iter_mut().collect();
            if round % 2 == 0 {
                turn.reverse();
            }
            for way in turn {
                way.measure(*measure, round, &plan.lengths, tell);
            }
            progress.done += plan.lengths.of(*measure);
        }
    }
    Ok(ways.into_iter().map(|way| way.row).collect())
}

impl Open {
    fn measure(&mut self, measure: Measure, round: u16, lengths: &Lengths, tell: &mut impl FnMut(&str)) {
        let Some(path) = self.path.as_ref().filter(|_path| !self.failed.contains(&measure)) else {
            return;
        };
        let label = self.row.way.label();
        match take(measure, path, lengths) {
            Ok(figures) => {
                let said = |(figure, value): &(Figure, f64)| format!("{} {value:.3}", figure.label());
                let line: Vec<String> = figures.iter().map(said).collect();
                tell(&format!("  {label:<22} {}", line.join("; ")));
                for (figure, value) in figures {
                    self.row.figures.entry(figure).or_default().push(value);
                }
            }
            Err(error) => {
                let why = format!("{} failed in round {round}: {error:#}", measure.label());
                tell(&format!("  {label:<22} {why}"));
                self.failed.insert(measure);
                self.row.missing.get_or_insert(why);
            }
        }
    }
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
    /// What was to take so long
    done: Duration,
    all: Duration,
    /// How many ways take that long each
    ways: u32,
    /// What comes after the rounds
    tail: Duration,
}

impl Progress {
    fn new(plan: &Plan, ways: &[Open], tail: Duration) -> Self {
        let up = ways.iter().filter(|way| way.path.is_some()).count();
        Self {
            begun: Instant::now(),
            done: Duration::ZERO,
            all: plan.round() * u32::from(plan.rounds),
            ways: u32::try_from(up).unwrap_or(u32::MAX),
            tail,
        }
    }

    /// What is to be done takes as much longer than it was thought to as what was done did
    fn left(&self) -> String {
        let left = self.all.saturating_sub(self.done).as_secs_f64();
        let pace = match self.done {
            Duration::ZERO => f64::from(self.ways),
            done => self.begun.elapsed().as_secs_f64() / done.as_secs_f64(),
        };
        let seconds = (left * pace + self.tail.as_secs_f64()).round();
        if seconds < 90.0 {
            format!("{seconds:.0} s")
        } else {
            format!("{:.0} min", (seconds / 60.0).ceil())
        }
    }
}
