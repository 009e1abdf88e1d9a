//! weaved, the controller of a container network on every host.
//!
//! Config → build → spawn → drain: nothing starts before everything is bound, one token stops all,
//! and the log says how the stop went. What a restart needs (the datapath, its ports and flows, the
//! TAP, the containers' devices) stays when the process ends; `--reset` takes everything down.
//!
//! Threads: the control task and the API on the runtime; one thread that owns the switch and the
//! kernel's datapath; two that carry sleeve packets.

mod addresses;
mod app;
mod attachments;
mod build;
mod changes;
mod cipher;
mod common;
mod config;
mod connections;
mod control;
mod datapath;
mod dns;
mod expose;
mod filter;
mod hairpin;
mod identity;
mod inside;
mod metrics;
mod neighbours;
mod network;
mod nft;
mod past;
mod privileges;
mod program;
mod range;
mod reset;
mod routes;
mod secret;
mod server;
mod shutdown;
mod sleeve;
mod store;
mod switch_drops;
#[cfg(test)]
mod testing;
mod views;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Args;
use crate::shutdown::{Ending, Shutdown};

fn main() -> ExitCode {
    secret::take();
    let args = Args::parse();
    service::run(args.log_level, 1, run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    privileges::check()?;
    if args.reset {
        return reset::reset(&args.datapath, &args.state_dir, &args.socket).await;
    }
    let shutdown = Shutdown::new();
    let daemon = build::build(&args, &shutdown).await?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = daemon.spawn(&shutdown);
    tokio::select! {
        () = shutdown.token().cancelled() => {}
        _ = terminate.recv() => shutdown.ask(Ending::Signal),
        _ = interrupt.recv() => shutdown.ask(Ending::Signal),
    }
    let ending = shutdown.ending();
    service::stop(running.drain(ending)).await;
    if ending == Ending::Reset {
        reset::reset(&args.datapath, &args.state_dir, &args.socket).await?;
    }
    log::info!("stopped");
    Ok(())
}
