//! `stop` and `reset`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use api::{ClientError, Route, Stopping, routes};
use model::IfName;

use crate::cli::ResetArgs;
use crate::daemon::Daemon;
use crate::launch;
use crate::process::{self, Process, wait_until};

/// How long weaved may take to end after it said that it would
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long the kernel may take to close the socket of a weaved that was killed, and how often is asked again
const ENDING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(20));
/// A reset also removes every interface, and tells every peer.
const RESET_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn stop(daemon: &Daemon) -> Result<()> {
    match ask(daemon, &routes::STOP) {
        Ok(Stopping { pid }) => wait_for_end(pid, STOP_LIMIT, daemon),
        Err(error) if error.is_not_running() => bail!("weaved is not running"),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn reset(args: &ResetArgs, daemon: &Daemon) -> Result<()> {
    let datapath: Option<IfName> = args.datapath.as_deref().map(str::parse).transpose()?;
    // While weaved still answers for the interfaces of its containers.
    if daemon.socket() == Path::new(api::DEFAULT_SOCKET) {
        launch::end_docker()?;
    }
    match ask(&daemon.patient(RESET_LIMIT)?, &routes::RESET) {
        Ok(Stopping { pid }) => wait_for_end(pid, RESET_LIMIT, daemon),
        Err(error) if error.is_not_running() && args.force => clean_up(args, datapath, daemon),
        Err(error) if error.is_not_running() => {
            bail!(
                "weaved is not running; to clean up this host without telling its peers: weavectl reset --force"
            )
        }
        Err(error) => Err(error.into()),
    }?;
    launch::forget(daemon.socket())
}

/// Asks weaved to end; one that ends while it is asked is asked again, until its socket tells that it has ended
fn ask(daemon: &Daemon, route: &Route<(), Stopping>) -> Result<Stopping, ClientError> {
    let (limit, pause) = ENDING;
    let begun = Instant::now();
    loop {
        match daemon.ask(route) {
            Err(error) if error.is_cut_off() && begun.elapsed() < limit => std::thread::sleep(pause),
            answered => return answered,
        }
    }
}

fn wait_for_end(pid: u32, limit: Duration, daemon: &Daemon) -> Result<()> {
    let process = Process::with_id(pid);
    // In a container /proc may not show weaved, so that its socket has to be silent too.
    let is_gone = || {
        process.is_gone()
            && daemon
                .ask(&routes::HEALTH)
                .map_or(true, |health| health.pid != pid)
    };
    ensure!(
        wait_until(is_gone, limit),
        "weaved (pid {pid}) has not ended within {} s",
        limit.as_secs()
    );
    Ok(())
}

/// Lets weaved's own program remove what a weaved that is gone left behind
fn clean_up(args: &ResetArgs, datapath: Option<IfName>, daemon: &Daemon) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "cleaning up changes the network of this host; run it as root"
    );
    let mut command = Command::new(process::weaved()?);
    command.arg("--reset").arg("--socket").arg(daemon.socket());
    if let Some(dir) = &args.state_dir {
        command.arg("--state-dir").arg(dir);
    }
    if let Some(name) = datapath {
        command.args(["--datapath", name.as_str()]);
    }
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "weaved --reset failed ({status})");
    Ok(())
}
