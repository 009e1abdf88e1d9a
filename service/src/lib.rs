//! What weaved and weave-docker are as services: how much they log, the runtime that they run on, what
//! systemd hears of them, and how long a stop may take.
//!
//! Not here: command lines (but for the values of `--log-level`), signals, sockets, and whatever they serve.
#![forbid(unsafe_code)]

mod panics;
mod watchdog;

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use sd_notify::NotifyState;

pub use self::panics::PANICKED;
pub use self::watchdog::Watchdog;

/// What a stop may take, before the process ends with the work undone
const GRACE: Duration = Duration::from_millis(4500);
/// What a call that blocks may take after that, such as one that writes a file
const REST: Duration = Duration::from_millis(400);

/// `--log-level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Every request, and every packet that leaves the usual way
    Debug,
    /// What changes
    Info,
    /// What needs a look
    Warning,
    /// What ends the program
    Error,
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warning => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

/// Runs a program to its end, with a log and this many threads; its error is the last line of the log, and
/// makes the exit code 1, as a panic in any thread or task makes it [`PANICKED`]
pub fn run(
    log_level: LogLevel,
    threads: usize,
    program: impl Future<Output = anyhow::Result<()>>,
) -> ExitCode {
    env_logger::Builder::new().filter_level(log_level.into()).init();
    panics::end_the_process();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(program);
            runtime.shutdown_timeout(REST);
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says that it serves
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Says that it stops, and does what is to be done for that; after 4.5 s it is left undone
pub async fn stop(work: impl Future<Output = ()>) {
    log::info!("stopping");
    tell(NotifyState::Stopping);
    if tokio::time::timeout(GRACE, work).await.is_err() {
        log::warn!("not everything stopped within {GRACE:?}; ending all the same");
    }
}

pub(crate) fn tell(state: NotifyState<'_>) {
    let _not_under_systemd = sd_notify::notify(&[state]);
}

#[cfg(test)]
mod tests;
