//! Every test: of units, of the kernel's interfaces, and of whole hosts.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::build::{self, Profile, Workspace};
use crate::command::{cargo, is_installed, quoted, run, run_labelled};
use crate::fuzz;
use crate::guest::{Guest, WHOLE_RUN};
use crate::report::Reports;
use crate::setup::setup_for_tests;
use crate::stage::Stages;

/// Everything, with the slow scenarios and fuzzing or without, or only the scenarios with these names
pub(crate) fn test(filters: &[String], all: bool) -> Result<()> {
    let workspace = Workspace::find()?;
    let mut stages = Stages::default();
    stages.run("set-up", || setup_for_tests(filters))?;
    stages.run("build", || match filters {
        [] => build::all(),
        [_, ..] => build::lab(Profile::Dev),
    })?;
    if filters.is_empty() {
        stages.run("unit tests", unit_tests)?;
        stages.run("documentation tests", || {
            run(cargo().args(["test", "--workspace", "--doc", "--quiet"]))
        })?;
        let kernel_tests = stages.run("build of the datapath's kernel tests", || {
            build::test_program("kernel")
        })?;
        stages.run("the datapath against a kernel with Open vSwitch", || {
            Guest::new(WHOLE_RUN).run(&quoted(&kernel_tests.to_string_lossy()))
        })?;
    }
    scenarios(&mut stages, &workspace, filters, all)?;
    if all {
        stages.run("a minute of each fuzz target", fuzz::a_minute_of_each)?;
    }
    stages.summary();
    Ok(())
}

fn scenarios(stages: &mut Stages, workspace: &Workspace, filters: &[String], all: bool) -> Result<()> {
    let lab = workspace.program(Profile::Dev, "weave-lab");
    let reports = Reports::create(workspace)?;
    let words = |kernel: &str| {
        // Named ones run wherever they can.
        let kernel = if filters.is_empty() { kernel } else { "here" };
        let report = format!("--report={}", reports.file().display());
        let mut words = vec!["run".to_owned(), format!("--kernel={kernel}"), report];
        words.extend(all.then(|| "--all".to_owned()));
        words.extend(filters.iter().map(|filter| format!("--filter={filter}")));
        words
    };
    // Both kernels are asked before either's failure counts.
    let with = stages.run("hosts with Open vSwitch", || {
        if has_open_vswitch() {
            return Ok(run(Command::new(&lab).args(words("here"))));
        }
        let line = || {
            let words = words("openvswitch");
            let words = words.iter().map(|word| quoted(word));
            let line: Vec<String> = [quoted(&lab.to_string_lossy())]
                .into_iter()
                .chain(words)
                .collect();
            line.join(" ")
        };
        // The named are few: a second guest would only boot.
        if filters.is_empty() {
            // A guest has one CPU.
            Ok(in_two_parts(|part, label| {
                let guest = Guest::new(WHOLE_RUN).labelled(label);
                guest.run(&format!("{} {part}", line()))
            }))
        } else {
            Ok(Guest::new(WHOLE_RUN).run(&line()))
        }
    })?;
    let without = stages.run("hosts without Open vSwitch", || {
        if has_open_vswitch() {
            println!("this kernel has Open vSwitch: what suits any kernel ran");
            return Ok(Ok(()));
        }
        // Most scenarios wait for most of their time.
        if filters.is_empty() {
            return Ok(in_two_parts(|part, label| {
                run_labelled(Command::new(&lab).args(words("plain")).arg(part), label)
            }));
        }
        Ok(run(Command::new(&lab).args(words("plain"))))
    })?;
    reports.print()?;
    with.and(without)
}

/// Two at once, each with every other scenario, take little more than half the time
fn in_two_parts(part: impl Fn(&str, &str) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| part("--part=2/2", "2| "));
        let one = part("--part=1/2", "1| ");
        let other = other
            .join()
            .unwrap_or_else(|_panicked| bail!("the thread of a part panicked"));
        one.and(other)
    })
}

/// Whether this machine's own kernel has it, loaded by somebody who wanted it
pub(crate) fn has_open_vswitch() -> bool {
    Path::new("/sys/module/openvswitch").exists()
}

fn unit_tests() -> Result<()> {
    if is_installed("cargo-nextest") {
        return run(cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]));
    }
    println!("cargo-nextest is not installed: cargo test does it");
    run(cargo().args([
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--no-fail-fast",
        "--quiet",
    ]))
}
