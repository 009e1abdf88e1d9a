//! `cargo xtask`: everything that this project does to itself, set-up included.
//!
//! ```text
//!  demo ─┬─► setup ─► release build ─► three hosts, shown
//!  test ─┘      └───► build ─► unit tests ─► scenarios: in a guest with Open vSwitch,
//!  lint                                       and on this machine's own kernel
//!  fuzz ───► cargo-fuzz ─► every target for a while
//!  bench ──► setup ─► release build ─► weave-bench on either kernel ─► one report of both
//! ```
#![forbid(unsafe_code)]
// A program for people: it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod build;
mod command;
mod demo;
mod docker_py;
mod fuzz;
mod guest;
mod lint;
mod newest;
mod purity;
mod report;
mod setup;
mod stage;
mod test;

/// Set up, test and show this project
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Three hosts with containers on them: by the kernel, encrypted, and without Open vSwitch
    Demo,
    /// Unit tests, then every scenario with real hosts
    Test {
        /// Only scenarios whose names contain this, and no unit tests; may be given again
        #[arg(long, value_name = "TEXT")]
        filter: Vec<String>,
        /// The slow scenarios too, and a minute of each fuzz target
        #[arg(long, conflicts_with = "filter")]
        all: bool,
    },
    /// How fast every way between two hosts is, beside what the kernel does by itself
    Bench(bench::Args),
    /// What any peer, user, container or kernel may send: decoders and state machines with random inputs
    Fuzz(fuzz::Args),
    /// Formatting, clippy, documentation, and that pure crates are pure
    Lint,
    /// Install what demo and test need and this machine lacks
    Setup,
    /// Run a command in a guest whose kernel has Open vSwitch
    Guest {
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Demo => demo::demo(),
        Task::Test { filter, all } => test::test(&filter, all),
        Task::Bench(args) => bench::bench(&args),
        Task::Fuzz(args) => fuzz::fuzz(&args),
        Task::Lint => lint::lint(),
        Task::Setup => setup::setup_for_tests(&[]),
        Task::Guest { command } => in_guest(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn in_guest(command: &[String]) -> Result<()> {
    setup::setup()?;
    let words: Vec<String> = command.iter().map(|word| command::quoted(word)).collect();
    guest::Guest::new(guest::WHOLE_RUN).run(&words.join(" "))
}
