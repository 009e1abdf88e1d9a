//! A real Docker for each host, and `weave-docker` beside it.
//!
//! Each has its own mounts, processes and cgroups, so that all is where it is on a host of one's own:
//! `/run/docker.sock`, the plugins in `/run/docker/plugins`, weave-docker's sockets. Nothing outlives
//! the lab: the first process ends all others, and what they wrote was in memory of these mounts.
//! weaved and weavectl of such a host run there, too, from [`Docker::boot`] on.

mod client;
mod release;
mod service;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

pub use self::client::{Client, clients};
pub use self::release::Release;
use self::service::Service;
use crate::command::{Background, Finished, run, run_here};
use crate::inside::Inside;
use crate::topology::Host;
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::program;

const SCRIPT: &str = include_str!("boot.sh");

/// What containers run: busybox, and links to it
pub const IMAGE: &str = "busybox";

/// Where Docker listens
const DOCKERD: &str = "unix:///run/docker.sock";

/// Where weave-docker listens for clients of Docker
pub(crate) const PROXY: &str = "unix:///run/weave/docker.sock";

/// How long one of the programs may take to be there; a guest's only CPU may have other things to do
const PATIENCE: Duration = Duration::from_secs(60);

/// How long dockerd may take to end all containers and itself, or a shell with several commands
const ENDING: Duration = Duration::from_secs(60);

/// The Docker of a host
#[derive(Debug)]
pub struct Docker {
    host: Host,
    dockerd: Option<Service>,
    agent: Option<Service>,
}

impl Docker {
    /// Gives hosts mounts and processes of their own, and starts Docker there, with one image; before
    /// their weaveds are launched
    pub fn boot<const N: usize>(hosts: [&Host; N]) -> Result<[Self; N]> {
        // All by this thread: its end would be theirs.
        let mut all = hosts.into_iter().map(Self::begin).collect::<Result<Vec<_>>>()?;
        for docker in &mut all {
            docker.spawn_dockerd()?;
        }
        for docker in &mut all {
            docker.wait_dockerd()?;
            docker.import()?;
        }
        all.try_into().map_err(|_all| anyhow::anyhow!("as many as hosts"))
    }

    /// Gives dockerd the one image; it has it unless it lost its state
    pub fn import(&self) -> Result<()> {
        let image = self.host.files().join("docker/image.tar");
        let image = image.to_str().context("a path that is not UTF-8")?;
        self.direct().run(&["import", image, IMAGE])?.ok().map(drop)
    }

    fn begin(host: &Host) -> Result<Self> {
        host.docker().expect()?;
        let directory = host.files().join("docker");
        fs::create_dir_all(&directory)?;
        make_image(&directory)?;
        let script = directory.join("boot.sh");
        fs::write(&script, SCRIPT)?;
        let mut command = host.namespace().tied_command("unshare");
        command
            .args(["--mount", "--propagation", "slave", "sh"])
            .args([&script, &directory])
            .arg(host.namespace().name());
        let mut namespaces = Background::start(command)?;
        wait_for("a host with mounts of its own", PATIENCE, || {
            ensure!(namespaces.is_running()?, "{}", namespaces.complained());
            Ok(match directory.join("booted").exists() {
                true => Look::Done(()),
                false => Look::NotYet(namespaces.complained()),
            })
        })?;
        let (first, _took) = wait_for("its first process waits", PATIENCE, || {
            let processes = host.namespace().processes()?;
            let found = processes.iter().find(|process| process.name == "sleep");
            Ok(match found {
                Some(found) => Look::Done(parent_of(found.pid)?),
                None => Look::NotYet(format!("{processes:?}")),
            })
        })?;
        host.set_inside(Some(Inside::new(namespaces, first)));
        Ok(Self {
            host: host.clone(),
            dockerd: None,
            agent: None,
        })
    }

    /// The host
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// `docker`, at dockerd itself
    pub fn direct(&self) -> Client {
        Client::of(&self.host, DOCKERD)
    }

    /// Runs what people type on the host: our programs are in the PATH, and nothing is told by others
    pub fn shell(&self, script: &str) -> Result<Finished> {
        let ours = program("weavectl")?;
        let ours = ours.parent().context("a program without a directory")?;
        let mut command = self.host.command("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(["-e", "-c", script])
            .env("PATH", format!("{}:{path}", ours.display()))
            .env("DOCKER_CONFIG", self.host.files().join("docker/config"));
        for name in [
            "DOCKER_HOST",
            "ORIG_DOCKER_HOST",
            "WEAVE_SOCKET",
            "WEAVE_PASSWORD",
            "WEAVE_DOCKER_SOCKET",
        ] {
            command.env_remove(name);
        }
        run(command, ENDING)
    }

    /// `docker`, by weave-docker's socket
    pub fn proxied(&self) -> Client {
        Client::of(&self.host, PROXY)
    }

    /// Starts dockerd, and waits until it answers
    pub fn start_dockerd(&mut self) -> Result<()> {
        self.spawn_dockerd()?;
        self.wait_dockerd()
    }

    fn spawn_dockerd(&mut self) -> Result<()> {
        ensure!(self.dockerd.is_none(), "dockerd of {} runs", self.host);
        // Without systemd, and whatever this machine's own Docker is told.
        let config = self.host.files().join("docker/daemon.json");
        fs::write(&config, "{}")?;
        let service = Service::start(
            &self.host,
            "dockerd",
            Path::new("dockerd"),
            &[
                &format!("--config-file={}", config.display()),
                "--host",
                DOCKERD,
                "--data-root=/run/docker-data",
                "--log-level=warn",
                "--storage-driver=vfs",
                "--exec-opt=native.cgroupdriver=cgroupfs",
            ],
        )?;
        self.dockerd = Some(service);
        Ok(())
    }

    fn wait_dockerd(&mut self) -> Result<()> {
        let client = self.direct();
        let service = self.dockerd.as_mut().context("dockerd was not started")?;
        wait_until("dockerd answers", PATIENCE, || {
            service.expect_running()?;
            Ok(client.run(&["version"])?.status.success())
        })?;
        Ok(())
    }

    /// Ends dockerd by a signal, and waits for that
    pub fn end_dockerd(&mut self, signal: Signal) -> Result<()> {
        let service = self.dockerd.take().context("dockerd does not run")?;
        service.end(signal, ENDING)
    }

    /// Starts weave-docker, and waits until Docker answers through it
    pub fn start_agent(&mut self, flags: &[&str]) -> Result<()> {
        ensure!(self.agent.is_none(), "weave-docker of {} runs", self.host);
        let socket = self.host.socket();
        let socket = socket.to_str().context("a path that is not UTF-8")?;
        let line = [&["--socket", socket], flags].concat();
        let mut service = Service::start(&self.host, "weave-docker", &program("weave-docker")?, &line)?;
        let client = self.proxied();
        wait_for("weave-docker answers", PATIENCE, || {
            service.expect_running()?;
            let answer = client.run(&["version"])?;
            Ok(match answer.status.success() {
                true => Look::Done(()),
                false => Look::NotYet(answer.to_string()),
            })
        })?;
        self.agent = Some(service);
        Ok(())
    }

    /// Ends weave-docker by a signal, and waits for that
    pub fn end_agent(&mut self, signal: Signal) -> Result<()> {
        let service = self.agent.take().context("weave-docker does not run")?;
        service.end(signal, ENDING)
    }
}

fn parent_of(process: i32) -> Result<i32> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.context("no PPid")?
        .trim()
        .parse()
        .context("PPid is no number")
}

/// An image without a registry
pub(crate) fn make_image(directory: &Path) -> Result<()> {
    let script = "mkdir -p \"$0/image/bin\" && cd \"$0/image\" \
                  && cp \"$(command -v busybox)\" bin/busybox \
                  && chroot . /bin/busybox --install -s /bin \
                  && tar -c -f ../image.tar . && cd .. && rm -r image";
    let directory = directory.to_str().context("a path that is not UTF-8")?;
    let made = run_here(&["sh", "-c", script, directory])?.ok();
    made.context("cannot make an image of busybox; is busybox-static installed?")?;
    Ok(())
}
