//! weave-bench: whole paths between two hosts, beside what the kernel does by itself.
//!
//! Every way is up from the beginning and each round measures each once, so that whatever else the
//! machine does meanwhile hits all alike.
#![forbid(unsafe_code)]
// A program for people: it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use benches::machine::Machine;
use benches::path::{Path, Way};
use benches::report::{Report, Row};
use benches::rest;
use benches::series::Series;
use clap::Parser;
use lab::topology::Lab;

/// How much one TCP stream carries by each way, and what a weaved costs at rest
#[derive(Debug, Parser)]
#[command(name = "weave-bench", version, after_help = EXAMPLES)]
struct Args {
    /// How often each way is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..))]
    rounds: u16,
    /// Three rounds of one second, and short waits
    #[arg(long)]
    quick: bool,
    /// Writes every sample to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  weave-bench --quick
  weave-bench --json result.json
  cargo xtask guest \"$PWD/target/release/weave-bench\"    on a kernel with Open vSwitch

Root only; weaved and weavectl are taken from beside this program.";

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weave-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    lab::namespace::sweep_dead()?;
    lab::run::clean_up_on_signals()?;
    let (rounds, stream, settle) = if args.quick {
        (3, Duration::from_secs(1), Duration::from_secs(1))
    } else {
        (args.rounds, Duration::from_secs(2), Duration::from_secs(5))
    };
    let machine = Machine::here();
    let mut lab = Lab::new()?;
    let mut ways: Vec<(Row, Option<Path>)> = Vec::new();
    for way in Way::ALL {
        eprintln!("{}: setting up", way.label());
        ways.push(opened(way, &mut lab));
    }
    for round in 1..=rounds {
        for (row, path) in &mut ways {
            let Some(open) = path else { continue };
            match open.stream(stream) {
                Ok(gigabits) => {
                    eprintln!(
                        "round {round} of {rounds}, {}: {gigabits:.2} Gbit/s",
                        row.way.label()
                    );
                    row.gigabits.push(gigabits);
                }
                Err(error) => {
                    eprintln!("round {round} of {rounds}, {}: {error:#}", row.way.label());
                    row.missing = Some(format!("failed in round {round}"));
                    *path = None;
                }
            }
        }
    }
    drop(lab);
    eprintln!("a weaved at rest");
    let rest = rest::measure(&mut Lab::new()?, usize::from(rounds), settle)?;
    let report = Report {
        machine,
        paths: ways.into_iter().map(|(row, _path)| row).collect(),
        rest: Some(rest),
    };
    if let Some(path) = &args.json {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &report)?;
    }
    print!("{report}");
    Ok(())
}

/// A way that is up, or a row that says why it is not
fn opened(way: Way, lab: &mut Lab) -> (Row, Option<Path>) {
    let row = |missing| Row {
        way,
        gigabits: Series::default(),
        missing,
    };
    if let Some(why) = way.missing() {
        return (row(Some(why.to_owned())), None);
    }
    match way.open(lab) {
        Ok(path) => (row(None), Some(path)),
        Err(error) => {
            eprintln!("{}: {error:#}", way.label());
            (row(Some("could not be set up".to_owned())), None)
        }
    }
}
