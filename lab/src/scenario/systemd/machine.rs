//! systemd as the first process of a host.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{Background, DEADLINE, Finished, run};
use crate::topology::Host;
use crate::wait::{Look, wait_for};
use crate::weave::program;

const SCRIPT: &str = include_str!("boot.sh");
const TARGET: &str = include_str!("lab.target");
const UNIT: &str = include_str!("../../../../packaging/weaved.service");

/// A boot takes a second; a guest's only CPU may have other things to do
const PATIENCE: Duration = Duration::from_secs(60);

/// A host with an init of its own, and weaved installed; ends when this is dropped
#[derive(Debug)]
pub(super) struct Machine {
    /// Ends systemd and all below it when it ends itself
    namespaces: Background,
    systemd: i32,
}

impl Machine {
    /// Boots it; sees the containers that the lab has by now
    pub(super) fn boot(host: &Host) -> Result<Self> {
        let directory = host.files().join("systemd");
        fs::create_dir_all(&directory)?;
        for name in ["weaved", "weavectl"] {
            fs::copy(program(name)?, directory.join(name))?;
        }
        for (name, text) in [
            ("boot.sh", SCRIPT),
            ("lab.target", TARGET),
            ("weaved.service", UNIT),
        ] {
            fs::write(directory.join(name), text)?;
        }
        let cgroup = host.namespace().name();
        let mut command = host.namespace().tied_command("unshare");
        command
            .args(["--mount", "--uts", "--ipc", "--propagation", "private", "sh"])
            .arg(directory.join("boot.sh"))
            .args([directory.as_path(), Path::new("outside"), Path::new(cgroup)]);
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

    /// Runs a program on it to its end
    pub(super) fn run(&self, line: &[&str]) -> Result<Finished> {
        let (program, arguments) = line.split_first().context("an empty command line")?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.systemd))
            .args([
                "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--", program,
            ])
            .args(arguments)
            .env_remove("WEAVE_PASSWORD")
            .env_remove("WEAVE_SOCKET");
        run(command, DEADLINE)
    }
}
