//! weave-bench: whole paths between two hosts, beside what the kernel does by itself.
//!
//! Every way is up from the beginning and each round measures each once, so that whatever else the
//! machine does meanwhile hits all alike.
#![forbid(unsafe_code)]
// A program for people: it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use benches::figure::Measure;
use benches::path::Way;
use benches::plan::Plan;
use benches::report::Report;
use benches::{plot, run, target};
use clap::{Parser, Subcommand};

/// What containers' frames get by each way between two hosts, and what a weaved costs
#[derive(Debug, Parser)]
#[command(name = "weave-bench", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// How often everything is measured
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Two rounds of short measurements
    #[arg(long)]
    quick: bool,
    /// Only this way, and the kernel's VXLAN to compare it with; may be given again
    #[arg(long, value_name = "WAY")]
    only: Vec<Way>,
    /// Only this; may be given again
    #[arg(long, value_name = "WHAT")]
    measure: Vec<Measure>,
    /// Measures boringtun, too, whose program this is
    #[arg(long, value_name = "PROGRAM")]
    boringtun: Option<PathBuf>,
    /// Writes every sample to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows what runs measured, and what it is held against
    Report {
        /// What runs wrote
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// Writes all of them into this file
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Writes a picture of throughput to this file
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "\
Examples:
  weave-bench --quick
  weave-bench --only fastdp --measure packets --measure round-trips
  weave-bench --measure setups
  weave-bench --measure names --quick
  weave-bench --json native.json
  weave-bench report native.json guest.json --svg throughput.svg
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
    if let Some(Command::Report { runs, json, svg }) = &args.command {
        return show(runs, json.as_deref(), svg.as_deref());
    }
    lab::namespace::sweep_dead()?;
    lab::run::clean_up_on_signals()?;
    let plan = if args.quick { Plan::quick() } else { Plan::full() };
    let plan = plan
        .rounds(args.rounds)
        .boringtun(args.boringtun.clone())
        .only(&args.only)
        .measuring(&args.measure);
    let report = run::run(&plan, |line| eprintln!("{line}"))?;
    if let Some(path) = &args.json {
        write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    print!("{report}\n{}", target::table(std::slice::from_ref(&report)));
    Ok(())
}

fn show(runs: &[PathBuf], json: Option<&Path>, svg: Option<&Path>) -> Result<()> {
    let mut reports = Vec::new();
    for path in runs {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let report: Report = serde_json::from_reader(file)
            .with_context(|| format!("{} is not what a run wrote", path.display()))?;
        println!("{report}");
        reports.push(report);
    }
    print!("{}", target::table(&reports));
    if let Some(path) = json {
        write(path, &serde_json::to_string_pretty(&reports)?)?;
    }
    if let Some(path) = svg {
        write(path, &plot::throughput(&reports))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
