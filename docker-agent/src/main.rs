//! weave-docker: puts Docker's containers on the network that weaved controls.
//!
//! ```text
//!   docker run ---> proxy ---> dockerd ---> plugin ---> weaved
//!                     |           ^
//!                     +-- connect-+   events ---> forget
//! ```
//! The proxy passes Docker's API through; a container that is created through it is connected to a Docker
//! network of the driver that the plugin is. Docker asks the driver for an interface at each start of the
//! container, and starts its process only when it has it. All work on the network is weaved's: this
//! program needs no privilege but to use the sockets, and the streams through it outlive a restart of
//! weaved.
//!
//! One task accepts on each socket, one follows Docker's events; each connection is a task. One token
//! stops all.

mod addresses;
mod args;
mod body;
mod container;
mod dockerd;
mod events;
mod listen;
mod memory;
mod network;
mod plugin;
mod policy;
mod proxy;
mod revive;
mod stream;
#[cfg(test)]
mod testing;
mod weaved;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use api::{DockerHost, Socket};
use clap::Parser as _;
use docker::create::HostnamePolicy;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::Args;
use crate::dockerd::Dockerd;
use crate::events::Follower;
use crate::listen::{Listener, Record, Tls};
use crate::memory::Memory;
use crate::plugin::Driver;
use crate::policy::{Policies, Settings};
use crate::revive::Reviver;

fn main() -> ExitCode {
    let args = Args::parse();
    service::run(args.log_level, 2, run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let docker = Dockerd::new(args.docker.clone());
    let weaved = weaved::client(&args.socket);
    let memory = Arc::new(Memory::default());
    let settings = settings(&args)?;
    let plugin_socket = Socket::bind(&args.plugin_socket).await?;
    let tls = args
        .tls
        .files(&args.proxy)?
        .map(Tls::load)
        .transpose()?
        .map(Arc::new);
    let listeners = listen(&args, tls.as_ref()).await?;
    let _record = record(&listeners);

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let network = settings.network.clone();
    let policies = Arc::new(Policies::new(settings, weaved.clone()));
    let follower = Follower {
        docker: docker.clone(),
        weaved: weaved.clone(),
        memory: Arc::clone(&memory),
        policies: Arc::clone(&policies),
        network,
    };
    tasks.spawn(stop.clone().run_until_cancelled_owned(follower.follow()));
    let reviver = Reviver {
        docker: docker.clone(),
        weaved: weaved.clone(),
        memory: Arc::clone(&memory),
    };
    tasks.spawn(stop.clone().run_until_cancelled_owned(reviver.follow()));
    let driver = Driver::new(
        weaved,
        memory,
        !args.no_multicast_route,
        !args.no_rewrite_hosts,
        tasks.clone(),
        stop.clone(),
    );
    tasks.spawn(plugin::serve(plugin_socket, Arc::new(driver), stop.clone()));
    let shared = proxy::Shared {
        docker,
        policies,
        rewrite_inspect: args.rewrite_inspect,
    };
    tasks.spawn(proxy::serve(listeners, Arc::new(shared), stop.clone()));

    service::ready();
    log::info!(
        "serving Docker's API; weaved is asked at {}",
        args.socket.display()
    );
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => read_again(tls.as_deref()),
        }
    }
    stop.cancel();
    tasks.close();
    service::stop(tasks.wait()).await;
    log::info!("stopped");
    Ok(())
}

/// All places where clients are to come in
async fn listen(args: &Args, tls: Option<&Arc<Tls>>) -> anyhow::Result<Vec<Listener>> {
    let docker = match &args.docker {
        DockerHost::Unix(path) => Some(path.as_path()),
        DockerHost::Tcp { .. } => None,
    };
    let mut listeners = Vec::new();
    for host in &args.proxy {
        listeners.push(Listener::bind(host, docker, tls).await?);
    }
    Ok(listeners)
}

/// Tells those who look for it what is served
fn record(listeners: &[Listener]) -> Option<Record> {
    let served: Vec<_> = listeners.iter().map(Listener::served).collect();
    let record = Record::write(Path::new(api::DOCKER_HOSTS), &served);
    record
        .inspect_err(|error| log::warn!("weavectl cannot be told where Docker's API is: {error}"))
        .ok()
}

fn read_again(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        None => log::info!("there are no certificates to read again"),
        Some(Ok(())) => log::info!("the certificates were read again"),
        Some(Err(error)) => log::warn!("the certificates stay as they were: {}", body::line(&error)),
    }
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    Ok(Settings {
        default_addresses: !args.no_default_ipalloc,
        hostname: HostnamePolicy::new(
            args.hostname_from_label.clone(),
            &args.hostname_match,
            &args.hostname_replacement,
        )?,
        network: network::DRIVER.to_owned(),
        dns: !args.without_dns,
        dns_server: args.dns_server,
        dns_domain: args.dns_domain.clone(),
    })
}
