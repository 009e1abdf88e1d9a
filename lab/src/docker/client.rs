//! The command line of Docker, as people use it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::command::{Background, Finished, run};
use crate::topology::{Container, Host};

/// Starting many containers takes its time
const DEADLINE: Duration = Duration::from_secs(60);

/// The versions of `docker` that this machine has; they speak differently
pub fn clients() -> Vec<PathBuf> {
    let places = ["/usr/local/bin/docker", "/usr/bin/docker"];
    let there = places.iter().map(PathBuf::from).filter(|path| path.exists());
    there.collect()
}

/// `docker`, on a host, at one of its sockets
#[derive(Debug, Clone)]
pub struct Client {
    host: Host,
    program: PathBuf,
    socket: &'static str,
}

impl Client {
    pub(super) fn of(host: &Host, socket: &'static str) -> Self {
        Self {
            host: host.clone(),
            program: PathBuf::from("docker"),
            socket,
        }
    }

    /// The same with another version of the program
    #[must_use]
    pub fn version(&self, program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            ..self.clone()
        }
    }

    /// The command, for programs that are more than one word
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(&self.program);
        command.args(arguments);
        self.environment(&mut command);
        command
    }

    /// Another program that asks Docker at the same socket
    pub fn another(&self, program: &str) -> Command {
        let mut command = self.host.command(program);
        command
            .env("DOCKER_HOST", self.socket)
            .env_remove("DOCKER_CONFIG")
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_TLS_VERIFY");
        command
    }

    /// Runs a shell script to its end, in which `$docker` is this program
    pub fn script(&self, script: &str) -> Result<Finished> {
        let mut command = self.host.command("sh");
        command
            .args(["-e", "-x", "-c", script])
            .env("docker", &self.program);
        self.environment(&mut command);
        run(command, DEADLINE)
    }

    fn environment(&self, command: &mut Command) {
        command
            .env("DOCKER_HOST", self.socket)
            .env("DOCKER_CONFIG", self.host.files().join("docker/config"))
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_TLS_VERIFY");
    }

    /// Runs it to its end
    pub fn run(&self, arguments: &[&str]) -> Result<Finished> {
        run(self.command(arguments), DEADLINE)
    }

    /// Starts it beside the scenario
    pub fn start(&self, arguments: &[&str]) -> Result<Background> {
        Background::start(self.command(arguments))
    }

    /// Starts a container that sleeps, with these options
    pub fn sleeper(&self, name: &str, options: &[&str]) -> Result<()> {
        let line = [
            &["run", "-d", "--name", name],
            options,
            &[super::IMAGE, "sleep", "1000000"],
        ];
        self.run(&line.concat())?.ok().map(drop)
    }

    /// Makes a network of our driver
    pub fn network(&self, name: &str, subnet: &str) -> Result<()> {
        let line = ["network", "create", "-d", "weave", "--subnet", subnet, name];
        self.run(&line)?.ok().map(drop)
    }

    /// Removes containers
    pub fn remove(&self, names: &[&str]) -> Result<()> {
        self.run(&[&["rm", "-f"], names].concat())?.ok().map(drop)
    }

    /// Runs a program in a container; what that prints
    pub fn exec(&self, container: &str, line: &[&str]) -> Result<String> {
        self.run(&[&["exec", container], line].concat())?.ok()
    }

    /// What `docker inspect` says
    pub fn inspect(&self, container: &str) -> Result<Value> {
        let text = self.run(&["inspect", container])?.ok()?;
        let list: Value = serde_json::from_str(&text).context("docker inspect is not JSON")?;
        let found = list.get(0).cloned();
        found.with_context(|| format!("docker inspect {container} printed {text}"))
    }

    /// The process of a container, as its host counts them
    pub fn pid(&self, container: &str) -> Result<u64> {
        let state = self.inspect(container)?;
        let pid = state["State"]["Pid"].as_u64();
        let pid = pid.filter(|pid| *pid > 0);
        pid.with_context(|| format!("{container} has no process: {}", state["State"]))
    }

    /// Kills the process of a container; which that was
    pub fn kill_process(&self, container: &str) -> Result<u64> {
        let pid = self.pid(container)?;
        let mut command = self.host.command("kill");
        command.args(["-9", &pid.to_string()]);
        run(command, DEADLINE)?.ok()?;
        Ok(pid)
    }

    /// `ip -j address` in a container, of all interfaces
    pub fn links(&self, container: &str) -> Result<Vec<Value>> {
        let mut command = self.host.command("nsenter");
        command
            .arg(format!("--target={}", self.pid(container)?))
            .args(["--net", "--", "ip", "-j", "address"]);
        let text = run(command, DEADLINE)?.ok()?;
        serde_json::from_str(&text).context("ip -j is not JSON")
    }

    /// The addresses of a container's interface on the network, as the kernel tells in the container;
    /// fails if there is no such interface
    pub fn addresses(&self, container: &str) -> Result<Vec<(Ipv4Addr, u8)>> {
        let all = self.links(container)?;
        let ours = |link: &&Value| {
            let name = link["ifname"].as_str().unwrap_or_default();
            name.starts_with(Container::INTERFACE)
        };
        let link = all.iter().find(ours);
        let link = link.with_context(|| format!("{container} is not on the network: {all:?}"))?;
        let infos = link["addr_info"].as_array().context("no addresses")?;
        let of_version_4 = infos.iter().filter(|info| info["family"] == "inet");
        of_version_4
            .map(|info| {
                let address = info["local"].as_str().context("no address")?.parse()?;
                let length = info["prefixlen"].as_u64().context("no length")?;
                Ok((address, u8::try_from(length)?))
            })
            .collect()
    }

    /// The only address of a container on the network
    pub fn address(&self, container: &str) -> Result<Ipv4Addr> {
        let all = self.addresses(container)?;
        ensure!(all.len() == 1, "{container} has {all:?}");
        let first = all.first().map(|(address, _length)| *address);
        first.with_context(|| format!("{container} has no address"))
    }

    /// The interfaces in a container, `lo` left out
    pub fn interfaces(&self, container: &str) -> Result<Vec<String>> {
        let listed = self.exec(container, &["ls", "/sys/class/net"])?;
        let all = listed.split_whitespace().filter(|name| *name != "lo");
        Ok(all.map(str::to_owned).collect())
    }

    /// Pings from a container; fails unless all is answered
    pub fn ping(&self, container: &str, target: &str) -> Result<()> {
        let line = ["ping", "-c1", "-W3", target];
        let printed = self.exec(container, &line)?;
        ensure!(printed.contains(" 0% packet loss"), "{printed}");
        Ok(())
    }
}
