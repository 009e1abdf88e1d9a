//! systemd as the first process of a host, with a disk that outlives it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{Background, DEADLINE, Finished, run};
use crate::topology::Host;
use crate::wait::{Look, wait_for};
use crate::weave::program;

/// How often a machine was booted by this process
static BOOTS: AtomicU32 = AtomicU32::new(0);

const SCRIPT: &str = include_str!("boot.sh");
const TARGET: &str = include_str!("lab.target");
const UNITS: [(&str, &str); 3] = [
    ("lab.target", TARGET),
    (
        "weaved.service",
        include_str!("../../../../packaging/weaved.service"),
    ),
    (
        "weave-docker.service",
        include_str!("../../../../packaging/weave-docker.service"),
    ),
];
const PROGRAMS: [&str; 3] = ["weaved", "weavectl", "weave-docker"];

/// A boot takes a second; a guest's only CPU may have other things to do
const PATIENCE: Duration = Duration::from_secs(60);

/// A host with an init of its own, and weaved installed; its power is cut when this is dropped
#[derive(Debug)]
pub(in crate::scenario) struct Machine {
    /// Ends systemd and all below it when it ends itself
    namespaces: Background,
    systemd: i32,
}

impl Machine {
    /// Boots it, with the disk of the boot before if there was one; sees the containers that the lab has by now
    pub(in crate::scenario) fn boot(host: &Host) -> Result<Self> {
        let directory = host.files().join("systemd");
        for name in ["bin", "units"] {
            fs::create_dir_all(directory.join(name))?;
        }
        for name in PROGRAMS {
            fs::copy(program(name)?, directory.join("bin").join(name))?;
        }
        for (name, text) in UNITS {
            fs::write(directory.join("units").join(name), text)?;
        }
        fs::write(directory.join("boot.sh"), SCRIPT)?;
        // The cgroups of an earlier boot may not have gone yet.
        let cgroup = format!(
            "{}-{}",
            host.namespace().name(),
            BOOTS.fetch_add(1, Ordering::Relaxed)
        );
        let mut command = host.namespace().tied_command("unshare");
        command
            .args(["--mount", "--uts", "--ipc", "--propagation", "private", "sh"])
            .arg(directory.join("boot.sh"))
            .args([directory.as_path(), Path::new("outside"), Path::new(&cgroup)]);
        let mut machine = Self {
            namespaces: Background::start(command)?,
            systemd: 0,
        };
        machine.wait(host)?;
        Ok(machine)
    }

    fn wait(&mut self, host: &Host) -> Result<()> {
        let (pid, _took) = wait_for("systemd runs", PATIENCE, || {
            let processes = host.namespace().processes()?;
            let found = processes.iter().find(|process| process.name == "systemd");
            Ok(found.map_or_else(|| Look::NotYet(self.complaints()), |found| Look::Done(found.pid)))
        })?;
        self.systemd = pid;
        wait_for("systemd has booted", PATIENCE, || {
            let state = self.run(&["systemctl", "is-active", "lab.target"])?;
            Ok(match state.stdout.trim() {
                "active" => Look::Done(()),
                _ => Look::NotYet(format!("{state}\n{}", self.complaints())),
            })
        })?;
        Ok(())
    }

    fn complaints(&self) -> String {
        self.namespaces.complained()
    }

    /// What a file of its disk is for others; `etc/…` and `var/lib/…` are there
    pub(in crate::scenario) fn disk(host: &Host, path: &str) -> PathBuf {
        host.files().join("systemd/disk").join(path)
    }

    /// Shuts it down in order
    pub(in crate::scenario) fn power_off(self) -> Result<()> {
        self.run(&["systemctl", "--no-block", "poweroff"])?.ok()?;
        self.namespaces.wait(PATIENCE)?;
        Ok(())
    }

    /// Runs a program on it to its end
    pub(in crate::scenario) fn run(&self, line: &[&str]) -> Result<Finished> {
        let (program, arguments) = line.split_first().context("an empty command line")?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.systemd))
            .args([
                "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--", program,
            ])
            .args(arguments)
            .env_remove("DOCKER_HOST")
            .env_remove("WEAVE_PASSWORD")
            .env_remove("WEAVE_SOCKET");
        run(command, DEADLINE)
    }
}
