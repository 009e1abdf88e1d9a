//! weave-lab: scenarios on hosts that are network namespaces of this machine.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use lab::run::Part;
use lab::scenario::Kernel;

/// Real weaveds on hosts that are network namespaces, and what happens to them
#[derive(Debug, Parser)]
#[command(name = "weave-lab", version, after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print which scenarios there are
    List,
    /// Run scenarios, each in a process of its own
    Run {
        /// Only those whose names contain this; may be given again
        #[arg(long, value_name = "TEXT")]
        filter: Vec<String>,
        /// The slow ones too
        #[arg(long, conflicts_with = "filter")]
        all: bool,
        /// Only those for such a kernel
        #[arg(long, value_enum, default_value_t = Choice::Here)]
        kernel: Choice,
        /// Of these, every other one, or every third …: `1/2` and `2/2` together are all
        #[arg(long, value_name = "N/M", default_value = "1/1")]
        part: Part,
    },
    /// Three hosts, shown to people
    Demo,
    /// Run one scenario and, if it fails, keep its hosts until this is interrupted
    Hold {
        /// Which
        name: String,
    },
    /// One scenario, in this process
    #[command(hide = true)]
    Act {
        /// Which
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// All; those that cannot run here are skipped and say why
    Here,
    /// Those for a kernel with Open vSwitch
    Openvswitch,
    /// Those for a kernel without
    Plain,
}

const EXAMPLES: &str = "\
Examples:
  weave-lab list
  weave-lab run --filter three-hosts

`cargo xtask test` brings a kernel with Open vSwitch along. Root only.";

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::List => {
            lab::run::list();
            Ok(ExitCode::SUCCESS)
        }
        Command::Run {
            filter,
            all,
            kernel,
            part,
        } => lab::run::run_all(
            &filter,
            all,
            match kernel {
                Choice::Here => None,
                Choice::Openvswitch => Some(Kernel::OpenVswitch),
                Choice::Plain => Some(Kernel::Plain),
            },
            part,
        ),
        Command::Demo => lab::demo::run(),
        Command::Hold { name } => lab::run::act(&name, true),
        Command::Act { name } => lab::run::act(&name, false),
    };
    done.unwrap_or_else(|error| {
        eprintln!("weave-lab: {error:#}");
        ExitCode::FAILURE
    })
}
