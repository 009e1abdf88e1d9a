//! Programs: run to their end within a deadline, or kept in the background until they are stopped.

use std::fmt;
use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a command may take unless the caller says otherwise
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a program whose outputs are still open is looked at
const POLL: Duration = Duration::from_millis(10);

/// How long a program's output may stay open after it has ended: a daemon it left behind may hold it
const DRAIN: Duration = Duration::from_millis(300);

/// A program that has ended
#[derive(Debug, Clone)]
pub struct Finished {
    /// The program and its arguments
    pub line: String,
    /// How it ended
    pub status: ExitStatus,
    /// What it printed
    pub stdout: String,
    /// What it complained about
    pub stderr: String,
}

impl Finished {
    /// What it printed, if it succeeded
    pub fn ok(self) -> Result<String> {
        if !self.status.success() {
            bail!("{self}");
        }
        Ok(self.stdout)
    }

    /// What it complained about, if it failed with an exit code (not by a signal)
    pub fn refused(self) -> Result<String> {
        match self.status.code() {
            Some(code) if code != 0 => Ok(self.stderr),
            Some(_) | None => bail!("should have been refused: {self}"),
        }
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.line)?;
        match (self.status.code(), self.status.signal()) {
            (Some(0), _) => write!(f, " succeeded")?,
            (Some(code), _) => write!(f, " ended with {code}")?,
            (None, Some(signal)) => write!(f, " was ended by signal {signal}")?,
            (None, None) => write!(f, " ended")?,
        }
        for text in [&self.stderr, &self.stdout] {
            let text = text.trim();
            if !text.is_empty() {
                write!(f, "\n  {}", text.replace('\n', "\n  "))?;
            }
        }
        Ok(())
    }
}

/// Runs a program to its end; kills it at the deadline
pub fn run(command: Command, deadline: Duration) -> Result<Finished> {
    Background::start(command)?.wait(deadline)
}

/// Runs a program of this machine, outside every namespace of the lab
pub fn run_here(line: &[&str]) -> Result<Finished> {
    let (program, arguments) = line.split_first().context("an empty command line")?;
    let mut command = Command::new(program);
    command.args(arguments);
    run(command, DEADLINE)
}

/// A program that runs beside the scenario; killed when this is dropped
#[derive(Debug)]
pub struct Background {
    line: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
    /// Disconnected once both outputs are closed
    outputs: Mutex<Receiver<()>>,
    ended: Option<ExitStatus>,
}

impl Background {
    /// Starts it with nothing to read and its output kept
    pub fn start(mut command: Command) -> Result<Self> {
        let line = line_of(&command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let (open, outputs) = channel();
        let stdout = Stream::follow(child.stdout.take(), open.clone());
        let stderr = Stream::follow(child.stderr.take(), open);
        Ok(Self {
            line,
            child,
            stdout,
            stderr,
            outputs: Mutex::new(outputs),
            ended: None,
        })
    }

    /// Its process id
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far
    pub fn printed(&self) -> String {
        self.stdout.text()
    }

    /// What it has complained about so far
    pub fn complained(&self) -> String {
        self.stderr.text()
    }

    /// It has not ended
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.poll()?.is_none())
    }

    /// Waits for its end; kills it at the deadline, which is an error
    pub fn wait(mut self, deadline: Duration) -> Result<Finished> {
        let until = Instant::now() + deadline;
        loop {
            if let Some(status) = self.poll()? {
                return Ok(self.finished(status));
            }
            if Instant::now() >= until {
                self.child.kill().ok();
                let status = self.child.wait()?;
                self.ended = Some(status);
                let finished = self.finished(status);
                bail!("took longer than {deadline:?}: {finished}");
            }
            // Closed outputs are the first sign of an end: no wait is longer than needed.
            if self.outputs_closed_within(POLL) {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Asks it to end with a signal, and waits for that
    pub fn stop(self, signal: Signal) -> Result<Finished> {
        kill(self.as_pid()?, signal).with_context(|| format!("cannot signal `{}`", self.line))?;
        self.wait(Duration::from_secs(5))
    }

    fn as_pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    fn poll(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    fn outputs_closed_within(&self, patience: Duration) -> bool {
        // Nothing is ever sent.
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        self.outputs_closed_within(DRAIN);
        Finished {
            line: self.line.clone(),
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// One output of a program, read as it comes
#[derive(Debug)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Stream {
    /// Reads until the end; holds `open` until then
    fn follow(source: Option<impl Read + Send + 'static>, open: Sender<()>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let _open = open;
            let Some(mut source) = source else { return };
            let mut buffer = [0; 16 << 10];
            while let Ok(length @ 1..) = source.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(buffer.get(..length).unwrap_or_default());
            }
        });
        Self { bytes }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_and_the_code_are_kept() {
        let finished = run(sh("echo out; echo err >&2; exit 3"), DEADLINE).unwrap();
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert_eq!(finished.refused().unwrap(), "err\n");
    }

    #[test]
    fn a_deadline_ends_the_program() {
        let error = run(sh("echo begun; sleep 60"), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("begun"), "{error}");
    }

    #[test]
    fn an_output_held_open_by_a_grandchild_does_not_hold_the_caller() {
        let begun = Instant::now();
        assert_eq!(
            run(sh("sleep 3 & echo done"), DEADLINE).unwrap().ok().unwrap(),
            "done\n"
        );
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_background_program_is_ended_by_the_signal() {
        let mut sleeper = Background::start(sh("exec sleep 60")).unwrap();
        assert!(sleeper.is_running().unwrap());
        let finished = sleeper.stop(Signal::SIGTERM).unwrap();
        assert_eq!(finished.status.signal(), Some(Signal::SIGTERM as i32));
    }
}
