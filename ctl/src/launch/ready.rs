//! Waiting until weaved does its work.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use api::routes;

use super::Started;
use crate::daemon::Daemon;

/// How long weaved may take: adopting a large datapath is the longest part
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// One answer may not use up the whole time.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The process id of the weaved that is ready, or why none is
pub(super) fn wait(daemon: &Daemon, started: &mut Started) -> Result<u32> {
    let daemon = daemon.patient(ANSWER_LIMIT)?;
    let begun = Instant::now();
    let mut progress = Progress::new();
    loop {
        // Asked before the socket is, so that the answer of one that has just ended does not count.
        let failure = started.failure();
        let why = match daemon.ask(&routes::HEALTH) {
            Ok(health) if health.ready && failure.is_none() => return Ok(health.pid),
            Ok(health) => health.why.unwrap_or_else(|| "it is not ready".to_owned()),
            Err(error) if error.is_not_running() => "it does not answer yet".to_owned(),
            Err(error) => error.to_string(),
        };
        if let Some(status) = failure {
            bail!("it ended ({status})");
        }
        if begun.elapsed() >= LIMIT {
            bail!("not ready within {} s: {why}", LIMIT.as_secs());
        }
        progress.show(begun.elapsed(), &why);
        std::thread::sleep(PAUSE);
    }
}

/// One line on a terminal that tells what is waited for, gone at the end
struct Progress {
    is_terminal: bool,
    shown: Option<u64>,
}

impl Progress {
    fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            shown: None,
        }
    }

    fn show(&mut self, elapsed: Duration, why: &str) {
        let seconds = elapsed.as_secs();
        if self.is_terminal && seconds >= 1 && self.shown != Some(seconds) {
            self.shown = Some(seconds);
            write(&format!(
                "\r\x1b[Kwaiting for weaved, {seconds} s: {}",
                crate::exit::clean(why)
            ));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            write("\r\x1b[K");
        }
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr();
    let _cosmetic = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
