//! `launch`: check the flags, start weaved, wait until it is ready.
//!
//! ```text
//!  flags ──► Settings ──► systemd unit ─┐
//!                    └──► own process ──┴──► ready::wait ──► ready, or why not
//! ```

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use api::{ClientError, Health, routes};

use self::log::Log;
use self::settings::Settings;
use self::start::Started;
use crate::daemon::Daemon;
use crate::process::wait_until;
use crate::{print, text};

mod docker;
mod lasting;
mod log;
mod ready;
mod settings;
mod start;
mod systemd;

pub(crate) use self::docker::end as end_docker;
pub(crate) use self::settings::LaunchArgs;
pub(crate) use self::start::become_detached;

/// How long a weaved that was killed may take to be gone
const END_LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn launch(args: LaunchArgs, daemon: &Daemon) -> Result<()> {
    let by_systemd = !args.no_systemd && systemd::is_usable();
    let settings = Settings::new(args, daemon.socket())?;
    ensure!(
        nix::unistd::geteuid().is_root(),
        "weaved changes the network of this host; run weavectl launch as root"
    );
    match health(daemon) {
        Ok(health) => bail!("weaved is already running (pid {})", health.pid),
        Err(error) if error.is_not_running() => {}
        Err(error) => return Err(error.into()),
    }
    let (mut started, log) = if by_systemd {
        systemd::start(&settings)?
    } else {
        start::start(&settings)?
    };
    match ready::wait(daemon, &mut started) {
        Ok(pid) => {
            if by_systemd {
                systemd::keep(settings.restart);
            }
            print::text(&format_args!("weaved is running (pid {pid})\n"))?;
            tell_security(daemon)?;
            start_docker(&settings, by_systemd)
        }
        Err(why) => {
            started.stop();
            match log.last_error() {
                Some(error) => bail!("weaved did not start: {error} (its log is {log})"),
                None => Err(why.context(format!("weaved did not start; its log is {log}"))),
            }
        }
    }
}

/// Tells in one line how open the network is, where that may be a surprise
fn tell_security(daemon: &Daemon) -> Result<()> {
    let Ok(status) = daemon.ask(&routes::STATUS) else {
        return Ok(());
    };
    match text::openness(&status.security) {
        Some(line) => print::text(&format_args!("{line}\n")),
        None => Ok(()),
    }
}

/// Starts weave-docker where Docker is
fn start_docker(settings: &Settings, by_systemd: bool) -> Result<()> {
    let Some(docker) = &settings.docker else {
        return Ok(());
    };
    match docker.start(by_systemd, settings)? {
        Some(told) => print::text(&format_args!("{told}\n")),
        None => Ok(()),
    }
}

/// What the weaved that runs says of itself; one that just ends may still take the question, and drop it
fn health(daemon: &Daemon) -> Result<Health, ClientError> {
    let mut answer = daemon.ask(&routes::HEALTH);
    wait_until(
        || {
            if matches!(answer, Err(ClientError::Exchange(_))) {
                answer = daemon.ask(&routes::HEALTH);
            }
            !matches!(answer, Err(ClientError::Exchange(_)))
        },
        END_LIMIT,
    );
    answer
}

/// Removes what launches of the weaved behind this socket wrote
pub(crate) fn forget(socket: &Path) -> Result<()> {
    systemd::forget(socket)
}
