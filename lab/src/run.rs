//! Running scenarios, each in a process of its own, so that none can harm the next.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use crate::diagnose::diagnosis;
use crate::judge::ovs;
use crate::namespace::{sweep_dead, sweep_process};
use crate::scenario::{self, Kernel, Run, Skip};
use crate::topology::Lab;

/// The exit code of a scenario that cannot run here
const SKIPPED: u8 = 77;

/// What became of a scenario
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// Every so many of the scenarios
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: usize,
    parts: usize,
}

impl Part {
    fn of<T>(self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        all.skip(self.number - 1).step_by(self.parts)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(number, parts)| Some((number.parse().ok()?, parts.parse().ok()?)));
        match parsed {
            Some((number, parts)) if (1..=parts).contains(&number) => Ok(Self { number, parts }),
            Some(_) | None => Err("a part is N/M, with N from 1 to M".to_owned()),
        }
    }
}

/// Runs the scenarios whose names contain one of the filters, or the slow ones too, and prints the outcome of each
pub fn run_all(filters: &[String], all: bool, kernel: Option<Kernel>, part: Part) -> Result<ExitCode> {
    sweep_dead()?;
    let wanted = |run: &Run| {
        let is_asked_for = run.when.is_met(&run.to_string(), filters, all);
        is_asked_for && kernel.is_none_or(|kernel| run.kernel().suits(kernel))
    };
    let current = Arc::new(Mutex::new(None));
    pass_signals_on(Arc::clone(&current))?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for run in part.of(scenario::runs().filter(wanted)) {
        match run_apart(run, &current)? {
            Outcome::Passed => passed += 1,
            Outcome::Failed => failed += 1,
            Outcome::Skipped => skipped += 1,
        }
    }
    if filters.is_empty() {
        let named = scenario::runs().filter(|run| !run.when.is_met("", filters, all));
        println!("{} more run where they are named: weave-lab list", named.count());
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn run_apart(run: Run, current: &Mutex<Option<u32>>) -> Result<Outcome> {
    if let Some(why) = run.kernel().lacks() {
        println!("test {run} ... skipped: {why}");
        return Ok(Outcome::Skipped);
    }
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["act", &run.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the scenario's process")?;
    let pid = child.id();
    *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
    let notes = collect(child.stdout.take());
    let complaints = collect(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begun.elapsed() > run.limit() {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM).ok();
            std::thread::sleep(Duration::from_secs(2));
            child.kill().ok();
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    *current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    sweep_process(pid)?;
    let took = begun.elapsed().as_secs_f32();
    let joined = |lines: Reader| lines.join().unwrap_or_default();
    let (notes, complaints) = (joined(notes), joined(complaints));
    let code = status.and_then(|status| status.code());
    let outcome = match code {
        Some(0) => Outcome::Passed,
        Some(code) if code == i32::from(SKIPPED) => Outcome::Skipped,
        Some(_) | None => Outcome::Failed,
    };
    match outcome {
        Outcome::Passed => println!("test {run} ... ok ({took:.1} s)"),
        Outcome::Skipped => println!("test {run} ... skipped: {}", complaints.join(" ")),
        Outcome::Failed => println!("test {run} ... FAILED ({took:.1} s)"),
    }
    for note in notes {
        println!("    {note}");
    }
    if outcome == Outcome::Failed {
        if status.is_none() {
            println!("    ended after its limit of {:?}", run.limit());
        }
        for line in complaints {
            println!("    {line}");
        }
    }
    Ok(outcome)
}

type Reader = std::thread::JoinHandle<Vec<String>>;

fn collect(source: Option<impl std::io::Read + Send + 'static>) -> Reader {
    std::thread::spawn(move || {
        let lines = source
            .into_iter()
            .flat_map(|source| BufReader::new(source).lines());
        lines.map_while(Result::ok).collect()
    })
}

/// The life of one scenario, in the process of its own; what failed may be held for people to look at
pub fn act(name: &str, hold: bool) -> Result<ExitCode> {
    let run = scenario::runs()
        .find(|run| run.to_string() == name)
        .with_context(|| format!("there is no scenario {name}; see weave-lab list"))?;
    clean_up_on_signals()?;
    let mut lab = Lab::with_docker(run.docker)?;
    let Err(error) = (run.scenario.act)(&mut lab) else {
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(Skip(why)) = error.downcast_ref() {
        eprintln!("{why}");
        return Ok(ExitCode::from(SKIPPED));
    }
    eprintln!("{error:#}");
    if hold {
        let names = lab.all_hosts().iter().map(|host| host.namespace().name());
        let containers = lab
            .all_containers()
            .iter()
            .map(|container| container.namespace().name());
        let names: Vec<&str> = names.chain(containers).collect();
        eprintln!(
            "held until interrupted: {}; files in {}",
            names.join(" "),
            lab.files().display()
        );
        loop {
            std::thread::park();
        }
    }
    eprintln!("{}", diagnosis(&lab));
    Ok(ExitCode::FAILURE)
}

/// Prints which scenarios there are
pub fn list() {
    let here = if ovs::is_here() { "has" } else { "has no" };
    println!("this kernel {here} Open vSwitch");
    for run in scenario::runs() {
        println!(
            "{run:<28} {:<12} {}",
            run.kernel().to_string(),
            run.scenario.about
        );
    }
}

/// From here on, an INT, TERM or HUP removes everything that this process made, and ends it
pub fn clean_up_on_signals() -> Result<()> {
    on_signals(|signal| {
        if let Err(error) = sweep_process(std::process::id()) {
            eprintln!("cannot clean up: {error:#}");
        }
        std::process::exit(128 + signal.as_raw_value());
    })
}

/// From here on, an INT, TERM or HUP goes to the scenario that runs; what that leaves is removed
fn pass_signals_on(current: Arc<Mutex<Option<u32>>>) -> Result<()> {
    on_signals(move |signal| {
        let pid = *current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid {
            let raw = i32::try_from(pid).unwrap_or(i32::MAX);
            kill(Pid::from_raw(raw), Signal::SIGTERM).ok();
            std::thread::sleep(Duration::from_secs(2));
            sweep_process(pid).ok();
        }
        std::process::exit(128 + signal.as_raw_value());
    })
}

/// Waits for signals with handlers: blocked ones would be blocked in every child, too
fn on_signals(act: impl Fn(SignalKind) + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let guard = runtime.enter();
    let mut streams = Vec::new();
    for kind in kinds {
        streams.push((kind, signal(kind)?));
    }
    drop(guard);
    std::thread::spawn(move || {
        let came = runtime.block_on(std::future::poll_fn(|context| {
            let mut ready = streams
                .iter_mut()
                .filter_map(|(kind, stream)| stream.poll_recv(context).is_ready().then_some(*kind));
            ready.next().map_or(Poll::Pending, Poll::Ready)
        }));
        act(came);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_all_and_none_twice() {
        let parts = ["1/3", "2/3", "3/3"].map(|part| part.parse::<Part>().unwrap());
        let mut all: Vec<u8> = parts.iter().flat_map(|part| part.of(0..10)).collect();
        all.sort_unstable();
        assert_eq!(all, Vec::from_iter(0..10));
        for wrong in ["", "1", "0/2", "3/2", "1/0", "a/b"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
