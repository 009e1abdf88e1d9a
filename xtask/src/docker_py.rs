//! docker-py's own tests: what a program that uses Docker's API asks of it, written by others.
//!
//! pip fetches docker-py and what its tests need, each file by its hash, into a directory of their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::build::Workspace;
use crate::command::run;

/// The directory beside what cargo builds, where the lab looks for it
const DIRECTORY: &str = "docker-py";

/// Fetches what is missing; says why, where it cannot be had
pub(crate) fn suite() -> Result<()> {
    let workspace = Workspace::find()?;
    let directory = workspace.directory(DIRECTORY)?;
    if directory.join("root").is_dir() {
        return Ok(());
    }
    println!("docker-py's tests come to {}", directory.display());
    if let Err(error) = fetch(&workspace.root.join("lab/docker-py"), &directory) {
        println!("  they cannot be had, and will be skipped: {error:#}");
    }
    Ok(())
}

fn fetch(lists: &Path, directory: &Path) -> Result<()> {
    // A name that is only there when all is.
    let scratch = directory.join("scratch");
    fs::remove_dir_all(&scratch).ok();
    let (packages, suite) = (scratch.join("packages"), scratch.join("suite"));
    fs::create_dir_all(&suite).context("cannot make a directory for docker-py")?;
    println!("  … pip install");
    run(pip("install")
        .args(["--only-binary=:all:", "--target"])
        .arg(&packages)
        .arg("--requirement")
        .arg(lists.join("requirements.txt")))?;
    println!("  … pip download docker");
    run(pip("download")
        .args(["--no-binary=docker", "--no-build-isolation", "--requirement"])
        .arg(lists.join("suite.txt"))
        .env("PYTHONPATH", &packages)
        .current_dir(&suite))?;
    run(Command::new("sh")
        .args([
            "-c",
            "tar --strip-components=1 -x -f docker-*.tar.gz && rm docker-*.tar.gz",
        ])
        .current_dir(&suite))?;
    fs::rename(scratch, directory.join("root")).context("cannot rename what was fetched")
}

/// pip, which takes only what is listed
fn pip(verb: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", verb, "--quiet", "--disable-pip-version-check"]);
    command.args(["--no-deps", "--require-hashes"]);
    // As root, into a directory that is named: pip has nothing to warn of.
    command.env("PIP_ROOT_USER_ACTION", "ignore");
    command
}
