//! docker-py's own tests, at Docker itself and by weave-docker, on two hosts at once: what passes at the one
//! has to pass by the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::two_hosts;
use crate::command::Background;
use crate::docker::{Client, Docker};
use crate::scenario::Skip;
use crate::topology::Lab;
use crate::weave::Launch;

/// Where `cargo xtask setup` puts the tests, from the directory of what is built
const SUITE: &str = "docker-py/root";

const PLUGIN: &str = include_str!("../../../docker-py/plugin.py");
const NOT_RUN: &str = include_str!("../../../docker-py/not-run.txt");

/// How long one test may take, and all of them
const ONE: &str = "--timeout=60";
const ALL: Duration = Duration::from_secs(800);

/// The images that the tests want, and what runs in them by itself
const IMAGES: [(&str, &str); 4] = [
    ("alpine:3.10", "CMD [\"/bin/sh\"]"),
    ("alpine:latest", "CMD [\"/bin/sh\"]"),
    ("busybox:latest", "CMD [\"sh\"]"),
    ("hello-world:latest", "CMD [\"true\"]"),
];

/// What passes streams
const STREAMS: [&str; 3] = [
    "api_exec_test.py",
    "api_container_test.py::AttachContainerTest",
    "api_build_test.py",
];

pub(in crate::scenario) fn all(lab: &mut Lab) -> Result<()> {
    compare(lab, &["."])
}

pub(in crate::scenario) fn streams(lab: &mut Lab) -> Result<()> {
    compare(lab, &STREAMS)
}

fn compare(lab: &mut Lab, tests: &[&str]) -> Result<()> {
    let suite = Suite::find()?;
    let [one, two] = two_hosts(lab, &Launch::plain())?;
    for docker in [&one, &two] {
        suite.prepare(docker)?;
    }
    let [direct, proxied] = suite.both([(&one, one.direct()), (&two, two.proxied())], tests)?;
    let count = |wanted: &str| direct.values().filter(|test| test.outcome == wanted).count();
    println!(
        "{} tests at Docker itself: {} passed, {} failed, {} skipped",
        direct.len(),
        count("passed"),
        count("failed"),
        count("skipped")
    );
    let suspects = worse(&direct, &proxied);
    // A machine that is busy may have one fail that says nothing: each has another chance, at both.
    let mut again = Vec::new();
    if !suspects.is_empty() {
        println!("run again: {suspects:?}");
        let [direct, proxied] = suite.both([(&one, one.direct()), (&two, two.proxied())], &suspects)?;
        for name in worse(&direct, &proxied) {
            let why = proxied
                .get(name)
                .map_or("it was not run", |test| test.why.as_str());
            again.push(format!("{name}: {why}"));
        }
    }
    ensure!(
        again.is_empty(),
        "{} tests pass at Docker itself and fail by weave-docker:\n{}",
        again.len(),
        again.join("\n")
    );
    Ok(())
}

/// What became of each test
type Outcomes = BTreeMap<String, Outcome>;

/// What became of a test
#[derive(Debug, Deserialize)]
struct Outcome {
    outcome: String,
    why: String,
}

/// The tests that pass at Docker itself, and do not by weave-docker
fn worse<'a>(direct: &'a Outcomes, proxied: &Outcomes) -> Vec<&'a str> {
    let passes = |outcomes: &Outcomes, name: &str| {
        let found = outcomes.get(name);
        found.is_some_and(|test| test.outcome == "passed")
    };
    let names = direct.keys().map(String::as_str);
    names
        .filter(|name| passes(direct, name) && !passes(proxied, name))
        .collect()
}

/// Where docker-py and its tests are
#[derive(Debug)]
struct Suite {
    directory: PathBuf,
}

impl Suite {
    fn find() -> Result<Self> {
        let told = std::env::var_os("WEAVE_DOCKER_PY").map(PathBuf::from);
        let program = std::env::current_exe()?;
        let built = program.parent().and_then(|directory| directory.parent());
        let directory = told.or_else(|| built.map(|built| built.join(SUITE)));
        let directory = directory.context("a program in the root directory")?;
        ensure!(
            directory.join("suite").is_dir(),
            Skip(format!(
                "docker-py is not in {}; cargo xtask setup fetches it",
                directory.display()
            ))
        );
        Ok(Self { directory })
    }

    /// The images, and a copy of the tests, which write beside themselves
    fn prepare(&self, docker: &Docker) -> Result<()> {
        let files = docker.host().files();
        let image = files.join("docker/image.tar");
        let image = image.to_str().context("a path that is not UTF-8")?;
        for (name, change) in IMAGES {
            let line = ["import", "--change", change, image, name];
            docker.direct().run(&line)?.ok()?;
        }
        let plugin = files.join("plugin");
        fs::create_dir_all(&plugin)?;
        fs::write(plugin.join("weave_plugin.py"), PLUGIN)?;
        fs::write(files.join("not-run.txt"), NOT_RUN)?;
        Ok(())
    }

    /// Runs these tests by two clients at once
    fn both(&self, clients: [(&Docker, Client); 2], tests: &[&str]) -> Result<[Outcomes; 2]> {
        let mut under_way = Vec::new();
        for (docker, client) in clients {
            under_way.push((docker, self.start(docker, &client, tests)?));
        }
        let mut all = Vec::new();
        for (docker, tests) in under_way {
            let finished = tests.wait(ALL)?;
            let outcomes = fs::read_to_string(docker.host().files().join("outcomes.json"));
            let outcomes = outcomes.with_context(|| format!("pytest tells nothing: {finished}"))?;
            all.push(serde_json::from_str(&outcomes).context("the outcomes are not as expected")?);
        }
        all.try_into()
            .map_err(|_all| anyhow::anyhow!("as many as clients"))
    }

    fn start(&self, docker: &Docker, client: &Client, tests: &[&str]) -> Result<Background> {
        let files = docker.host().files();
        let (suite, packages) = (self.directory.join("suite"), self.directory.join("packages"));
        let path = std::env::join_paths([packages, suite.clone(), files.join("plugin")])?;
        let mut command = client.another("python3");
        command
            .args(["-B", "-s", "-m", "pytest", "-q", "-p", "weave_plugin", ONE])
            .args(["-p", "no:cacheprovider", "-p", "no:warnings", "--rootdir"])
            .arg(&suite)
            .args(
                tests
                    .iter()
                    .map(|test| suite.join("tests/integration").join(test)),
            )
            .env("PYTHONPATH", path)
            .env("HOME", files)
            .env("TMPDIR", "/run/tmp")
            .env("WEAVE_NOT_RUN", files.join("not-run.txt"))
            .env("WEAVE_OUTCOMES", files.join("outcomes.json"))
            .current_dir(&suite);
        Background::start(command)
    }
}
