//! The weaved of a host, driven only by `weavectl`, as people drive it.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::{Attachment, Connection, ConnectionState, Flow, IpamStatus, NameEntry, Peer, StatusReport};
use model::{PathKind, ShortId};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;

use crate::command::{Background, DEADLINE, Finished, run};
use crate::judge::ovs;
use crate::namespace::status_field;
use crate::topology::{Container, Host};
use crate::wait::{Look, wait_for, wait_until};

/// UDP and TCP port of the mesh and of the sleeve, unless a scenario takes another
pub const PORT: u16 = 6783;

/// UDP port of VXLAN
pub const VXLAN_PORT: u16 = PORT + 1;

/// How long a mesh of a few hosts may take to come together
pub const MEETING: Duration = Duration::from_secs(15);

/// The path that hosts without a password take on this kernel
pub fn usual_path() -> PathKind {
    if ovs::is_here() {
        PathKind::Fastdp
    } else {
        PathKind::Sleeve
    }
}

/// How a weaved is started
#[derive(Debug, Clone, Default)]
pub struct Launch {
    flags: Vec<String>,
    peers: Vec<String>,
    password: Option<String>,
    path: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// With what `weavectl launch` does by itself
    pub fn plain() -> Self {
        Self::default()
    }

    /// The same with one more flag
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// The same with a peer to connect to
    #[must_use]
    pub fn peer(mut self, address: Ipv4Addr) -> Self {
        self.peers.push(address.to_string());
        self
    }

    /// The same, with programs looked for in this directory alone
    #[must_use]
    pub fn path(mut self, directory: &Path) -> Self {
        self.path = Some(directory.to_owned());
        self
    }

    /// The same with a variable in its environment
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a password
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }
}

/// Where weaved and weavectl are: beside this program, else `WEAVE_BIN_DIR`
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let beside = std::env::current_exe()?.parent().map(Path::to_owned);
    let directories = std::env::var_os("WEAVE_BIN_DIR")
        .map(PathBuf::from)
        .into_iter()
        .chain(beside);
    let found = directories
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} is not beside this program; build it, or set WEAVE_BIN_DIR"))
}

impl Host {
    /// The socket of its weaved
    pub fn socket(&self) -> PathBuf {
        self.files().join("weaved.sock")
    }

    /// The state directory of its weaved
    pub fn state_dir(&self) -> PathBuf {
        self.files().join("state")
    }

    /// The log of its weaved
    pub fn log_file(&self) -> PathBuf {
        self.files().join("weaved.log")
    }

    /// `weavectl` on this host, with these arguments
    pub fn weavectl(&self, arguments: &[&str]) -> Result<Finished> {
        run(self.weavectl_command(arguments)?, DEADLINE)
    }

    /// `weavectl` on this host that takes its time, beside the scenario
    pub fn weavectl_beside(&self, arguments: &[&str]) -> Result<Background> {
        Background::start(self.weavectl_command(arguments)?)
    }

    /// `weavectl` on this host, not told of the socket of its weaved
    pub fn weavectl_elsewhere(&self, arguments: &[&str]) -> Result<Finished> {
        let mut command = self.command(program("weavectl")?);
        command
            .args(arguments)
            .env_remove("WEAVE_PASSWORD")
            .env_remove("WEAVE_SOCKET");
        run(command, DEADLINE)
    }

    fn weavectl_command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.command(program("weavectl")?);
        command
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .env_remove("WEAVE_PASSWORD");
        Ok(command)
    }

    /// Starts its weaved, and waits until that is ready
    pub fn launch(&self, launch: &Launch) -> Result<()> {
        self.try_launch(launch)?.ok().map(drop)
    }

    /// Starts its weaved, which may fail
    pub fn try_launch(&self, launch: &Launch) -> Result<Finished> {
        let mut command = self.weavectl_command(&["launch", "--no-systemd", "--no-docker"])?;
        command
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--log-file")
            .arg(self.log_file());
        command
            .args(["--nickname", self.name()])
            .args(&launch.flags)
            .args(&launch.peers);
        command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
        if let Some(password) = &launch.password {
            command.env("WEAVE_PASSWORD", password);
        }
        if let Some(path) = &launch.path {
            command.env("PATH", path);
        }
        run(command, DEADLINE)
    }

    /// Stops its weaved as an operator does
    pub fn stop(&self) -> Result<()> {
        self.weavectl(&["stop"])?.ok().map(drop)
    }

    /// The process id of its weaved, as the kernel tells at the socket
    pub fn weaved_pid(&self) -> Result<i32> {
        let stream = UnixStream::connect(self.socket()).context("weaved does not listen")?;
        Ok(getsockopt(&stream.as_fd(), PeerCredentials)?.pid())
    }

    /// The memory that its weaved occupies, in kB
    pub fn weaved_kilobytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.weaved_pid()?))?;
        let size = status_field(&status, "VmRSS:").context("no VmRSS")?;
        let number = size.trim_end_matches(" kB");
        number.parse().context("VmRSS is no number")
    }

    /// Kills its weaved, and waits until that is gone
    pub fn kill_weaved(&self) -> Result<()> {
        let pid = self.weaved_pid()?;
        ensure!(
            self.namespace()
                .processes()?
                .iter()
                .any(|process| process.pid == pid),
            "weaved {pid} is not in the namespace of {self}"
        );
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        wait_until("weaved is gone", Duration::from_secs(5), || {
            Ok(!self
                .namespace()
                .processes()?
                .iter()
                .any(|process| process.pid == pid))
        })?;
        Ok(())
    }

    /// Attaches a container with these addresses
    pub fn attach(&self, container: &Container, addresses: &[&str]) -> Result<()> {
        let line = [&["attach"], addresses, &[container.namespace().name()]].concat();
        self.weavectl(&line)?.ok().map(drop)
    }

    /// Attaches a container with addresses that weaved chooses, of these kinds; which they are, as it prints
    /// them
    pub fn attach_any(&self, container: &Container, kinds: &[&str]) -> Result<Vec<Ipv4Addr>> {
        let line = [&["attach"], kinds, &[container.namespace().name()]].concat();
        let printed = self.weavectl(&line)?.ok()?;
        let addresses = printed.split_whitespace().map(str::parse);
        addresses
            .collect::<Result<_, _>>()
            .with_context(|| format!("{line:?} printed {printed:?}"))
    }

    /// `weavectl ps`
    pub fn attachments(&self) -> Result<Vec<Attachment>> {
        self.ask(&["ps", "--format", "json"])
    }

    /// Its own addresses on the network
    pub fn exposed(&self) -> Result<Vec<IpAddr>> {
        let own = self
            .attachments()?
            .into_iter()
            .filter(|one| one.container.as_str() == "weave:expose");
        Ok(own
            .flat_map(|one| one.addresses)
            .map(|address| address.ip())
            .collect())
    }

    /// `weavectl status ipam`
    pub fn ipam(&self) -> Result<IpamStatus> {
        self.ask(&["status", "ipam", "--format", "json"])
    }

    /// `weavectl status dns`
    pub fn names(&self) -> Result<Vec<NameEntry>> {
        self.ask(&["status", "dns", "--format", "json"])
    }

    /// `weavectl status`
    pub fn status(&self) -> Result<StatusReport> {
        self.ask(&["status", "--format", "json"])
    }

    /// `weavectl status connections`
    pub fn connections(&self) -> Result<Vec<Connection>> {
        self.ask(&["status", "connections", "--format", "json"])
    }

    /// `weavectl status peers`
    pub fn peers(&self) -> Result<Vec<Peer>> {
        self.ask(&["status", "peers", "--format", "json"])
    }

    /// `weavectl flows dump`
    pub fn flows(&self) -> Result<Vec<Flow>> {
        self.ask(&["flows", "dump", "--format", "json"])
    }

    fn ask<Answer: DeserializeOwned>(&self, line: &[&str]) -> Result<Answer> {
        let text = self.weavectl(line)?.ok()?;
        serde_json::from_str(&text).with_context(|| format!("{line:?} answered {text:?}"))
    }

    /// The short id of its weaved
    pub fn short_id(&self) -> Result<ShortId> {
        self.status()?
            .router
            .short_id
            .with_context(|| format!("{self} has no short id"))
    }

    /// Its connection to another host: an established one, if there is any
    pub fn connection_to(&self, other: &Self) -> Result<Option<Connection>> {
        let mut found = self.connections()?;
        found.retain(|connection| {
            connection
                .peer
                .as_ref()
                .is_some_and(|peer| peer.nickname.as_str() == other.name())
        });
        found.sort_by_key(|connection| connection.state);
        Ok(found.into_iter().next())
    }

    /// Waits until the connection to another host is as wanted
    pub fn wait_connection(
        &self,
        other: &Self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Result<(Connection, Duration)> {
        wait_for(&format!("{self} to {other}: {what}"), deadline, || {
            Ok(match self.connection_to(other)? {
                Some(connection) if wanted(&connection) => Look::Done(connection),
                other => Look::NotYet(describe(other.as_ref())),
            })
        })
    }

    /// Waits until frames for another host take this path
    pub fn wait_path(
        &self,
        other: &Self,
        path: PathKind,
        deadline: Duration,
    ) -> Result<(Connection, Duration)> {
        self.wait_connection(other, &format!("established by {path}"), deadline, |connection| {
            connection.state == ConnectionState::Established && connection.path == Some(path)
        })
    }

    /// Waits until there is no established connection to another host, and tells what there is
    pub fn wait_lost(&self, other: &Self, deadline: Duration) -> Result<(String, Duration)> {
        wait_for(&format!("{self} has lost {other}"), deadline, || {
            let found = self.connection_to(other)?;
            let line = describe(found.as_ref());
            Ok(match found {
                Some(connection) if connection.state == ConnectionState::Established => Look::NotYet(line),
                Some(_) | None => Look::Done(line),
            })
        })
    }

    /// Waits until this many peers are known, this one included, and this many ends of connections
    /// among them are established
    pub fn wait_peers(&self, peers: usize, ends: usize, deadline: Duration) -> Result<Duration> {
        let what = format!("{self} sees {peers} peers and {ends} ends of connections");
        let seen = wait_for(&what, deadline, || {
            let counts = self.status()?.router.peers;
            Ok(if counts.total == peers && counts.established == ends {
                Look::Done(())
            } else {
                Look::NotYet(format!("{counts:?}"))
            })
        })?;
        Ok(seen.1)
    }
}

/// One line about a connection
pub fn describe(connection: Option<&Connection>) -> String {
    let Some(connection) = connection else {
        return "no connection".to_owned();
    };
    let mut line = format!("{} {}", connection.address, connection.state);
    if let Some(path) = connection.path {
        line.push_str(&format!(", {path}"));
    }
    for text in [&connection.reason, &connection.error].into_iter().flatten() {
        line.push_str(&format!(", {text}"));
    }
    if let Some(mtu) = connection.mtu {
        line.push_str(&format!(", mtu {mtu}"));
    }
    line
}

/// Starts weaved on every host, each told of all hosts before it, and waits for the full mesh of
/// paths of this kind
pub fn launch_mesh(hosts: &[&Host], launch: &Launch, path: PathKind) -> Result<()> {
    for (index, host) in hosts.iter().enumerate() {
        let mut launch = launch.clone();
        for earlier in hosts.iter().take(index) {
            launch = launch.peer(earlier.address_for(host)?);
        }
        host.launch(&launch)?;
    }
    for host in hosts {
        host.wait_peers(hosts.len(), hosts.len() * (hosts.len() - 1), MEETING)?;
        for other in hosts.iter().filter(|other| other.name() != host.name()) {
            host.wait_path(other, path, MEETING)?;
        }
    }
    Ok(())
}
