//! Coverage-guided fuzzing: cargo-fuzz runs each target for a while, one after the other.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::build::Workspace;
use crate::command::{cargo, is_installed, output, run};
use crate::setup::{Needed, setup_only};
use crate::stage::Stages;

/// Which targets, and for how long
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only these targets; all of them if none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Minutes for each target
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    minutes: u64,
    /// Lists the targets instead
    #[arg(long, conflicts_with_all = ["targets", "minutes"])]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz --list                          what there is
  cargo xtask fuzz                                 a minute of each target
  cargo xtask fuzz --minutes 60 gossip_mesh        an hour of one

What finds new code is kept in fuzz/corpus, and a later run goes on from it. A target that fails leaves its
input in fuzz/artifacts; docs/fuzzing.md says how to make a test of that.";

/// Runs targets; fails if one of them does
pub(crate) fn fuzz(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    let all = targets(&workspace.root)?;
    if args.list {
        for Target { name, about } in &all {
            println!("{name:<20} {about}");
        }
        return Ok(());
    }
    let wanted = chosen(&all, &args.targets)?;
    let mut stages = Stages::default();
    stages.run("set-up", setup)?;
    stages.run("build of the fuzz targets", || build(&workspace.root, &wanted))?;
    stages.run("fuzzing", || each(&workspace, &wanted, args.minutes))?;
    stages.summary();
    Ok(())
}

/// Runs every target for a minute
pub(crate) fn a_minute_of_each() -> Result<()> {
    let workspace = Workspace::find()?;
    let all = targets(&workspace.root)?;
    let names = chosen(&all, &[])?;
    setup()?;
    build(&workspace.root, &names)?;
    each(&workspace, &names, 1)
}

/// A fuzz target, by the name of its file and the first line in it
#[derive(Debug, PartialEq, Eq)]
struct Target {
    name: String,
    about: String,
}

fn targets(root: &Path) -> Result<Vec<Target>> {
    let directory = root.join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    let files = directory.read_dir();
    for file in files.with_context(|| format!("cannot list {}", directory.display()))? {
        let path = file.context("cannot list the fuzz targets")?.path();
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let about = text.lines().next().unwrap_or_default();
        let about = about.trim_start_matches("//! ").to_owned();
        targets.push(Target { name, about });
    }
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(targets)
}

/// The names of those that are wanted; all, if none is
fn chosen(all: &[Target], wanted: &[String]) -> Result<Vec<String>> {
    for name in wanted {
        ensure!(
            all.iter().any(|target| target.name == *name),
            "there is no fuzz target {name}; those that there are: cargo xtask fuzz --list"
        );
    }
    if wanted.is_empty() {
        return Ok(all.iter().map(|target| target.name.clone()).collect());
    }
    Ok(wanted.to_vec())
}

const NEEDED: &[Needed] = &[("c++", "g++", "builds libFuzzer")];
const CARGO_FUZZ: &str = "0.13.2";

fn setup() -> Result<()> {
    setup_only(NEEDED)?;
    ensure!(
        is_installed("rustup"),
        "fuzzing takes nightly Rust; install rustup, or by other means a `cargo` that knows `+nightly`"
    );
    let toolchains = output(Command::new("rustup").args(["toolchain", "list"]))?;
    if !toolchains.lines().any(|name| name.starts_with("nightly")) {
        println!("this machine lacks nightly Rust, and gets it now");
        run(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile=minimal"]))?;
    }
    if !is_installed("cargo-fuzz") {
        println!("this machine lacks cargo-fuzz, and gets it now");
        run(cargo().args([
            "install",
            "--quiet",
            "--locked",
            "cargo-fuzz",
            "--version",
            CARGO_FUZZ,
        ]))?;
    }
    Ok(())
}

/// `cargo fuzz` of nightly Rust
fn cargo_fuzz(root: &Path, act: &str) -> Command {
    // Rustup's own: CARGO is that of the toolchain that runs this.
    let mut command = Command::new("cargo");
    command.env_remove("CARGO").current_dir(root);
    command.args(["+nightly", "fuzz", act, "--fuzz-dir=fuzz"]);
    command
}

fn build(root: &Path, names: &[String]) -> Result<()> {
    // The first builds what all need.
    for name in names {
        run(cargo_fuzz(root, "build").arg(name))?;
    }
    Ok(())
}

fn each(workspace: &Workspace, names: &[String], minutes: u64) -> Result<()> {
    let mut done = Vec::new();
    for (number, name) in (1..).zip(names) {
        println!("{name} ({number} of {}), {minutes} min", names.len());
        done.push((name.as_str(), one(workspace, name, minutes)?));
    }
    println!("\n{}", table(&done));
    let failed: Vec<String> = done
        .iter()
        .filter_map(|(name, outcome)| Some(failure(name, outcome.failed.as_ref()?)))
        .collect();
    if !failed.is_empty() {
        bail!(
            "{} of {} targets failed\n{}",
            failed.len(),
            done.len(),
            failed.join("\n")
        );
    }
    Ok(())
}

/// What a target came to
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    per_second: u64,
    /// Edges of the code that were seen
    coverage: u64,
    failed: Option<Failed>,
}

#[derive(Debug, PartialEq, Eq)]
struct Failed {
    /// The input, if there is one
    input: Option<String>,
    log: PathBuf,
}

fn one(workspace: &Workspace, name: &str, minutes: u64) -> Result<Outcome> {
    let fuzz = workspace.root.join("fuzz");
    let corpus = fuzz.join("corpus").join(name);
    std::fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let seeds = fuzz.join("seeds").join(name);
    let log = workspace.directory("fuzz")?.join(format!("{name}.log"));
    let mut file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let seconds = minutes.saturating_mul(60);
    let mut command = cargo_fuzz(&workspace.root, "run");
    command.arg(name).arg(&corpus);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command.arg("--").arg(format!("-max_total_time={seconds}"));
    command.args([
        "-rss_limit_mb=512",
        "-timeout=5",
        "-print_final_stats=1",
        "-print_funcs=0",
    ]);
    // Of freed memory a few megabytes are kept from reuse: more would count toward the limit.
    command.env("ASAN_OPTIONS", "quarantine_size_mb=16");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo fuzz")?;
    let errors = child.stderr.take().context("cargo fuzz has no error output")?;
    let mut outcome = Outcome::default();
    let mut input = None;
    let mut told = Instant::now();
    for line in BufReader::new(errors).split(b'\n') {
        let line = line.context("cannot read what cargo fuzz says")?;
        let line = String::from_utf8_lossy(&line);
        writeln!(file, "{line}").with_context(|| format!("cannot write {}", log.display()))?;
        outcome.take(&line);
        if let Some((_before, path)) = line.split_once("Test unit written to ") {
            input = Some(path.to_owned());
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            println!(
                "  {} executions, coverage {}",
                outcome.executions, outcome.coverage
            );
        }
    }
    let status = child.wait().context("cargo fuzz is lost")?;
    if !status.success() {
        outcome.failed = Some(Failed { input, log });
    }
    Ok(outcome)
}

/// How often a target that finds new code tells how far it is
const PROGRESS: Duration = Duration::from_secs(15);

impl Outcome {
    /// Takes over the numbers of a line that libFuzzer printed
    fn take(&mut self, line: &str) {
        let number = |text: &str| text.trim().parse().ok();
        if let Some((name, value)) = line.strip_prefix("stat::").and_then(|stat| stat.split_once(':')) {
            match (name, number(value)) {
                ("number_of_executed_units", Some(executions)) => self.executions = executions,
                ("average_exec_per_sec", Some(per_second)) => self.per_second = per_second,
                _ => {}
            }
            return;
        }
        let Some((executions, rest)) = line.strip_prefix('#').and_then(|line| line.split_once('\t')) else {
            return;
        };
        self.executions = number(executions).unwrap_or(self.executions);
        let mut words = rest.split_whitespace().skip_while(|word| *word != "cov:");
        let coverage = words.nth(1).and_then(number);
        self.coverage = coverage.unwrap_or(self.coverage);
    }
}

/// All outcomes and their sum
fn table(done: &[(&str, Outcome)]) -> String {
    let mut lines = vec![format!(
        "{:<20} {:>12} {:>9} {:>9}  result",
        "target", "executions", "a second", "coverage"
    )];
    for (name, outcome) in done {
        let result = if outcome.failed.is_none() { "ok" } else { "FAILED" };
        lines.push(format!(
            "{name:<20} {:>12} {:>9} {:>9}  {result}",
            outcome.executions, outcome.per_second, outcome.coverage
        ));
    }
    let executions: u64 = done.iter().map(|(_name, outcome)| outcome.executions).sum();
    lines.push(format!("{:<20} {executions:>12}", "in all"));
    lines.join("\n")
}

/// What to say of a target that failed
fn failure(name: &str, Failed { input, log }: &Failed) -> String {
    match input {
        Some(input) => format!(
            "  {name}: {input}\n    again: cargo +nightly fuzz run --fuzz-dir fuzz {name} {input}\n    log: {}",
            log.display()
        ),
        None => format!(
            "  {name}: ended without an input to blame\n    log: {}",
            log.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_that_libfuzzer_prints() {
        let mut outcome = Outcome::default();
        for line in [
            "INFO: Seed: 1234",
            "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 40Mb",
            "#524288\tpulse  cov: 345 ft: 678 corp: 90/12Kb lim: 4096 exec/s: 26214 rss: 80Mb",
            "#600000\tDONE   cov: 346 ft: 679 corp: 91/12Kb lim: 4096 exec/s: 26200 rss: 80Mb",
        ] {
            outcome.take(line);
        }
        assert_eq!((outcome.executions, outcome.coverage), (600_000, 346));
        outcome.take("stat::number_of_executed_units: 600001");
        outcome.take("stat::average_exec_per_sec:     26100");
        outcome.take("stat::peak_rss_mb:              81");
        assert_eq!((outcome.executions, outcome.per_second), (600_001, 26_100));
    }

    #[test]
    fn a_target_that_fails_is_told_with_its_input() {
        let outcome = |failed| Outcome {
            executions: 10,
            failed,
            ..Outcome::default()
        };
        let failed = Failed {
            input: Some("fuzz/artifacts/b/crash-1".into()),
            log: "b.log".into(),
        };
        assert!(failure("b", &failed).contains("fuzz run --fuzz-dir fuzz b fuzz/artifacts/b/crash-1"));
        let table = table(&[("a", outcome(None)), ("b", outcome(Some(failed)))]);
        let ends: Vec<&str> = table
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert_eq!(ends, ["result", "ok", "FAILED", "20"]);
    }

    #[test]
    fn only_targets_that_there_are_can_be_chosen() {
        let all = targets(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        assert!(all.iter().all(|target| target.about.ends_with('.')), "{all:?}");
        assert_eq!(chosen(&all, &[]).unwrap().len(), all.len());
        assert_eq!(chosen(&all, &["dns_query".into()]).unwrap(), ["dns_query"]);
        assert!(chosen(&all, &["dns".into()]).is_err());
    }
}
