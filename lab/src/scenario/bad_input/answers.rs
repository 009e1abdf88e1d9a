//! What answers to bad input have to be like, and what they must not change.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::command::Finished;
use crate::topology::Host;
use crate::wait::{Look, wait_for};

/// The exit code for a command line that is not understood
const USAGE: i32 = 2;

/// What the answers were like
#[derive(Debug, Default)]
pub(super) struct Answers {
    judged: usize,
    wrong: Vec<String>,
}

impl Answers {
    /// An answer must be a refusal in one line that has this word; of a command line that is not
    /// understood, the usage may follow
    pub(super) fn judge(&mut self, finished: &Finished, word: &str) {
        self.judged += 1;
        let text = finished.stderr.trim();
        let first = text.lines().next().unwrap_or_default();
        let is_right = match finished.status.code() {
            Some(USAGE) => first.contains(word),
            Some(code) => code != 0 && text == first && first.contains(word),
            None => false,
        };
        if !is_right {
            self.wrong
                .push(format!("should have {word:?} in one line: {finished}"));
        }
    }

    /// The same, and it must be this exit code
    pub(super) fn judge_code(&mut self, finished: &Finished, code: i32, word: &str) {
        self.judge(finished, word);
        if finished.status.code() != Some(code) {
            self.wrong
                .push(format!("should have ended with {code}: {finished}"));
        }
    }

    /// Something else that is wrong
    pub(super) fn fault(&mut self, text: String) {
        self.wrong.push(text);
    }

    /// Fails unless all were as they should be
    pub(super) fn finish(self) -> Result<()> {
        let Self { judged, wrong } = self;
        ensure!(
            wrong.is_empty(),
            "{} of the answers are not as they should be:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        println!("{judged} mistakes, each told in one line");
        Ok(())
    }

    pub(super) fn unchanged(&mut self, what: &str, before: &State, after: &State) {
        if before != after {
            self.wrong.push(format!("{what} changed {before:?} to {after:?}"));
        }
    }
}

/// What a question may change: devices, processes, and what weaved tells
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    devices: Vec<String>,
    processes: Vec<String>,
    containers: Option<String>,
    targets: Option<String>,
    addresses: Option<String>,
    names: Option<String>,
}

pub(super) fn state_of(host: &Host) -> Result<State> {
    let told = |line: &[&str]| {
        host.weavectl(line)
            .ok()
            .filter(|answer| answer.status.success())
            .map(|answer| answer.stdout)
    };
    Ok(State {
        devices: host.namespace().devices()?.into_iter().collect(),
        processes: lasting_processes(host)?,
        containers: told(&["ps"]),
        targets: told(&["status", "targets"]),
        addresses: told(&["status", "ipam"]),
        names: told(&["status", "dns"]),
    })
}

/// The names of the processes, once there are none that weaved runs for a moment: it looks at the
/// packet filter when something changes there, whoever asks what meanwhile
fn lasting_processes(host: &Host) -> Result<Vec<String>> {
    let look = || {
        let all = host.namespace().processes()?;
        let is_weaved = |id| {
            all.iter()
                .any(|process| process.pid == id && process.name == "weaved")
        };
        let passing = all.iter().find(|process| process.parent.is_some_and(is_weaved));
        Ok(match passing {
            Some(process) => Look::NotYet(format!("{process:?}")),
            None => Look::Done(all.into_iter().map(|process| process.name).collect()),
        })
    };
    let (names, _took) = wait_for("weaved runs no other program", Duration::from_secs(5), look)?;
    Ok(names)
}
