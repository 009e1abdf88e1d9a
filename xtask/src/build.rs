//! Building, and where what was built is.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command::{cargo, output, run};

/// The programs that the lab runs
const PROGRAMS: [&str; 4] = ["weaved", "weavectl", "weave-docker", "weave-lab"];

/// Where this workspace and what cargo builds of it are
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The directory of the workspace
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo
    pub(crate) fn find() -> Result<Self> {
        let text = output(cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
        serde_json::from_str(&text).context("cargo metadata is not as expected")
    }

    /// Returns the path of a program as this profile builds it
    pub(crate) fn program(&self, profile: Profile, name: &str) -> PathBuf {
        self.target.join(profile.directory()).join(name)
    }

    /// A directory for files of one run
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        self.directory("xtask")
    }

    /// A directory beside what cargo builds
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.target.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }
}

/// The program that measures
pub(crate) const BENCH: &str = "weave-bench";

/// A profile of cargo
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    /// For tests: arithmetic is checked, and most of it is built for the unit tests anyway
    Dev,
    /// For measurements and the demo
    Release,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    const fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds the programs of the lab
pub(crate) fn lab(profile: Profile) -> Result<()> {
    programs(profile, &PROGRAMS)
}

/// Builds all programs and tests of the workspace, for tests
///
/// In one run of cargo: a part of them alone would have other features of shared crates, and build those again.
pub(crate) fn all() -> Result<()> {
    run(cargo().args(["build", "--workspace", "--bins", "--tests"]))
}

/// Builds these programs
pub(crate) fn programs(profile: Profile, programs: &[&str]) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--profile", profile.name()]);
    for program in programs {
        command.args(["--bin", program]);
    }
    run(&mut command)
}

/// Builds the test with this name, and returns its program
pub(crate) fn test_program(test: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let line = [
        "test",
        "--no-run",
        "--message-format=json",
        "--workspace",
        "--test",
        test,
    ];
    let text = output(cargo().args(line))?;
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages
        .filter(|message| message.target.as_ref().is_some_and(|target| target.name == test))
        .find_map(|message| message.executable)
        .with_context(|| format!("cargo built no test {test}"))
}
