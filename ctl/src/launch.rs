//! `launch`: check the flags, start weaved, wait until it is ready.
//!
//! ```text
//!  flags ──► Settings ──► systemd unit ─┐
//!                    └──► own process ──┴──► ready::wait ──► ready, or why not
//! ```

use std::path::Path;

use anyhow::{Result, bail, ensure};
use api::routes;

use self::log::Log;
use self::settings::Settings;
use self::start::Started;
use crate::daemon::Daemon;
use crate::print;

mod log;
mod ready;
mod settings;
mod start;
mod systemd;

pub(crate) use self::settings::LaunchArgs;
pub(crate) use self::start::become_detached;

pub(crate) fn launch(args: LaunchArgs, daemon: &Daemon) -> Result<()> {
    let by_systemd = !args.no_systemd && systemd::is_usable();
    let settings = Settings::new(args, daemon.socket())?;
    ensure!(
        nix::unistd::geteuid().is_root(),
        "weaved changes the network of this host; run weavectl launch as root"
    );
    match daemon.ask(&routes::HEALTH) {
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
        Ok(pid) => print::text(&format_args!("weaved is running (pid {pid})\n")),
        Err(why) => {
            started.stop();
            match log.last_error() {
                Some(error) => bail!("weaved did not start: {error} (its log is {log})"),
                None => Err(why.context(format!("weaved did not start; its log is {log}"))),
            }
        }
    }
}

/// Removes what launches of the weaved behind this socket wrote
pub(crate) fn forget(socket: &Path) -> Result<()> {
    systemd::forget(socket)
}
