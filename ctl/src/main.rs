//! weavectl, how people talk to weaved.
//!
//! A command line ([`cli`]) becomes one question to the daemon's socket ([`daemon`]) and its answer
//! text ([`text`]) or JSON. [`launch`] and [`stop`] start and end the daemon. All values are
//! checked here first, so that a mistake costs one clear line and changes nothing.
//!
//! Not here: anything that decides or touches the network; that is weaved's.
//!
//! Everything that goes to standard output goes through [`mod@print`]. A command that fails prints one
//! line, `weavectl: …`, on standard error; [`exit`] says with which status it ends.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use api::routes;
use clap::{CommandFactory as _, Parser as _};

use crate::cli::{Cli, Command, FlowsCommand, Format, IpamCommand, StatusPart};
use crate::daemon::Daemon;

mod cli;
mod containers;
mod daemon;
mod docker;
mod exit;
mod host;
mod ipam;
mod launch;
mod names;
mod password;
mod print;
mod process;
mod stop;
mod targets;
mod text;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            let _nobody = writeln!(std::io::stderr(), "weavectl: {}", exit::one_line(&error));
            exit::code(&error)
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let daemon = || Daemon::new(&cli.socket);
    match cli.command {
        Command::Launch(args) => launch::launch(*args, &daemon()?),
        Command::Stop => stop::stop(&daemon()?),
        Command::Reset(args) => stop::reset(&args, &daemon()?),
        Command::Connect(args) => targets::connect(&args, &daemon()?),
        Command::Forget(args) => targets::forget(&args, &daemon()?),
        Command::Status(args) => status(args.part, args.format, &daemon()?),
        Command::Flows {
            command: FlowsCommand::Dump { format },
        } => print::answer(&daemon()?.ask(&routes::FLOWS)?, format, |flows| {
            text::Flows(flows)
        }),
        Command::Attach(args) => containers::attach(&args, &daemon()?),
        Command::Detach(args) => containers::detach(&args, &daemon()?),
        Command::Expose(args) => host::expose(&args, &daemon()?),
        Command::Hide(args) => host::hide(&args, &daemon()?),
        Command::Ipam {
            command: IpamCommand::Prime,
        } => ipam::prime(&daemon()?),
        Command::Rmpeer(args) => ipam::rmpeer(&args, &daemon()?),
        Command::Genkey => password::genkey(),
        Command::Password { command } => password::password(&command, &daemon()?),
        Command::DnsAdd(args) => names::add(&args, &daemon()?),
        Command::DnsRemove(args) => names::remove(&args, &daemon()?),
        Command::DnsLookup(args) => names::lookup(&args, &daemon()?),
        Command::Run(args) => docker::run(&args),
        Command::Env(args) => docker::env(&args),
        Command::Config(args) => docker::config(&args),
        Command::DnsArgs => docker::dns_args(&daemon()?),
        Command::Ps(args) => containers::ps(&args, &daemon()?),
        Command::Report { format } => print::answer(&daemon()?.ask(&routes::REPORT)?, format, text::Report),
        Command::Version => version(&daemon()?),
        Command::Completion { shell } => completion(shell),
        Command::Detached { program, args } => launch::become_detached(&program, &args),
    }
}

fn status(part: Option<StatusPart>, format: Format, daemon: &Daemon) -> Result<()> {
    match part {
        None => print::answer(&daemon.ask(&routes::STATUS)?, format, text::Status),
        Some(StatusPart::Connections) => {
            let mut connections = daemon.ask(&routes::CONNECTIONS)?;
            connections.sort_by(|a, b| (a.state, &a.address).cmp(&(b.state, &b.address)));
            print::answer(&connections, format, |connections| text::Connections(connections))
        }
        Some(StatusPart::Peers) => {
            print::answer(&daemon.ask(&routes::PEERS)?, format, |peers| text::Peers(peers))
        }
        Some(StatusPart::Ipam) => print::answer(&daemon.ask(&routes::IPAM)?, format, text::Ipam),
        Some(StatusPart::Dns) => {
            print::answer(&daemon.ask(&routes::NAMES)?, format, |names| text::Names(names))
        }
        Some(StatusPart::Targets) => print::answer(&daemon.ask(&routes::TARGETS)?, format, |targets| {
            text::Targets(targets)
        }),
    }
}

fn version(daemon: &Daemon) -> Result<()> {
    let ours = env!("CARGO_PKG_VERSION");
    let theirs = match daemon.ask(&routes::HEALTH) {
        Ok(health) => health.version,
        Err(error) if error.is_not_running() => "is not running".to_owned(),
        Err(error) => return Err(error.into()),
    };
    print::text(&format_args!("weavectl {ours}\nweaved {theirs}\n"))
}

fn completion(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "weavectl", &mut script);
    print::text(&String::from_utf8_lossy(&script))
}
