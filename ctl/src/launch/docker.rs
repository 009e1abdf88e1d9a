//! weave-docker, beside weaved where Docker is.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use api::{DOCKER_PORT, DOCKER_PROXY_PORT, DockerHost};
use clap::{ArgGroup, Args};

use super::settings::{Settings, checked, path};
use super::{start, systemd};
use crate::docker::{SOCKET, connect, served};
use crate::process::{self, wait_until};

const PROGRAM: &str = "weave-docker";
/// Where it is the driver of Docker's networks unless told otherwise
const PLUGIN: &str = "/run/docker/plugins/weave.sock";
const LOG_FILE: &str = "/var/log/weave-docker.log";
/// How long it may take to serve
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Docker")]
#[command(group = ArgGroup::new("secured").args(["tls", "tlsverify"]).multiple(true))]
pub(crate) struct DockerArgs {
    /// Leave Docker alone, also where it is
    #[arg(long)]
    no_docker: bool,
    /// Where Docker itself listens: a unix socket, or tcp://HOST:PORT without TLS
    /// [default: /var/run/docker.sock, where there is one]
    #[arg(long, value_name = "WHERE", conflicts_with = "no_docker")]
    docker: Option<String>,
    /// Where to serve Docker's API: a unix socket, or tcp://HOST:PORT, where everybody who reaches it is root
    /// unless there is TLS; may be given again [default: /run/weave/docker.sock]
    #[arg(short = 'H', long, value_name = "WHERE")]
    docker_proxy: Vec<String>,
    /// Speak TLS with Docker's clients by TCP, whoever they are
    #[arg(long, requires_all = ["tlscert", "tlskey"])]
    tls: bool,
    /// Speak TLS with Docker's clients by TCP that have a certificate of --tlscacert
    #[arg(long, requires_all = ["tlscacert", "tlscert", "tlskey"])]
    tlsverify: bool,
    /// Who vouches for Docker's clients: certificates, as PEM
    #[arg(long, value_name = "FILE", requires = "secured")]
    tlscacert: Option<String>,
    /// The certificate to show to Docker's clients, as PEM
    #[arg(long, value_name = "FILE", requires = "secured")]
    tlscert: Option<String>,
    /// Its key, as PEM
    #[arg(long, value_name = "FILE", requires = "secured")]
    tlskey: Option<String>,
    /// Where to be the driver of Docker's networks; the file's name is the driver's
    /// [default: /run/docker/plugins/weave.sock]
    #[arg(long, value_name = "PATH")]
    docker_plugin: Option<String>,
    /// Only containers that say WEAVE_CIDR get on the network
    #[arg(long)]
    no_default_ipalloc: bool,
    /// Docker's containers get no names, and resolve names as Docker has them do
    #[arg(long)]
    without_dns: bool,
    /// `docker inspect` by the proxy shows the address on this network as the container's own
    #[arg(long)]
    rewrite_inspect: bool,
    /// A container's own name stands for what Docker has it stand for: one of its addresses, and not surely that
    /// on this network
    #[arg(long)]
    no_rewrite_hosts: bool,
    /// A label of containers whose value is the host name, instead of their name
    #[arg(long, value_name = "LABEL")]
    hostname_from_label: Option<String>,
    /// What of the name or label is replaced: a regular expression
    #[arg(long, value_name = "REGEX")]
    hostname_match: Option<String>,
    /// What it is replaced by; $1 is what the first parentheses matched
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    hostname_replacement: Option<String>,
    /// Docker's containers get no route for multicast
    #[arg(long)]
    no_multicast_route: bool,
}

/// What weave-docker is started with; every value is good
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Docker {
    flags: Vec<String>,
    /// Where it serves Docker's API; never empty
    proxies: Vec<DockerHost>,
    /// It was asked for: there has to be one
    is_needed: bool,
}

impl Docker {
    /// None where Docker is not, or is to be left alone
    pub(super) fn new(args: DockerArgs, weaved: &Path, log_level: Option<&str>) -> Result<Option<Self>> {
        let is_needed = args.docker.is_some();
        let docker = checked("docker", args.docker, docker)?.unwrap_or_else(|| SOCKET.to_owned());
        let mut flags = vec![format!("--docker={docker}")];
        let mut push = |flag: &str, value: Option<&str>| {
            flags.extend(value.map(|value| format!("--{flag}={value}")));
        };
        let mut proxies = Vec::new();
        for proxy in args.docker_proxy {
            proxies.extend(checked("docker-proxy", Some(proxy), proxy_of)?);
        }
        for proxy in &proxies {
            push("proxy", Some(proxy));
        }
        let by_tcp = proxies.iter().any(|proxy| proxy.starts_with("tcp:"));
        ensure!(
            by_tcp || !(args.tls || args.tlsverify),
            "TLS is for clients by TCP: say where, as in --docker-proxy tcp://0.0.0.0:12376"
        );
        for (flag, file) in [
            ("tlscacert", args.tlscacert),
            ("tlscert", args.tlscert),
            ("tlskey", args.tlskey),
        ] {
            push(flag, checked(flag, file, path)?.as_deref());
        }
        let plugin = checked("docker-plugin", args.docker_plugin, path)?;
        push("plugin-socket", plugin.as_deref());
        push("hostname-from-label", args.hostname_from_label.as_deref());
        push("hostname-match", args.hostname_match.as_deref());
        push("hostname-replacement", args.hostname_replacement.as_deref());
        push("log-level", log_level);
        if weaved != Path::new(api::DEFAULT_SOCKET) {
            push("socket", weaved.to_str());
        }
        for (flag, is_set) in [
            ("--tls", args.tls),
            ("--tlsverify", args.tlsverify),
            ("--no-default-ipalloc", args.no_default_ipalloc),
            ("--without-dns", args.without_dns),
            ("--rewrite-inspect", args.rewrite_inspect),
            ("--no-rewrite-hosts", args.no_rewrite_hosts),
            ("--no-multicast-route", args.no_multicast_route),
        ] {
            flags.extend(is_set.then(|| flag.to_owned()));
        }
        if args.no_docker || !(is_needed || is_socket(Path::new(&docker))) {
            return Ok(None);
        }
        if proxies.is_empty() {
            proxies.push(api::DEFAULT_DOCKER_SOCKET.to_owned());
        }
        let proxies: Result<_, _> = proxies
            .iter()
            .map(|proxy| DockerHost::parse(proxy, DOCKER_PROXY_PORT))
            .collect();
        Ok(Some(Self {
            flags,
            proxies: proxies?,
            is_needed,
        }))
    }

    /// Starts it, unless it runs already; what there is to be told
    pub(super) fn start(&self, by_systemd: bool, settings: &Settings) -> Result<Option<String>> {
        let use_it = "eval $(weavectl env)";
        if self.serves() {
            return Ok(Some(format!("weave-docker runs already: {use_it}")));
        }
        if by_systemd && systemd::has_docker() {
            systemd::start_docker(&self.flags, settings.restart)?;
            return Ok(Some(format!("weave-docker is running: {use_it}")));
        }
        let Some(program) = process::find_program(PROGRAM)? else {
            ensure!(
                !self.is_needed,
                "{PROGRAM} is not installed beside weavectl, nor in PATH"
            );
            return Ok(None);
        };
        let beside = |log: &Path| log.with_file_name("weave-docker.log");
        let log = settings
            .log_file
            .as_deref()
            .map_or_else(|| LOG_FILE.into(), beside);
        let mut child = start::detached(&program, &self.flags, &log, None)?;
        self.wait(&mut child, &log)?;
        Ok(Some(format!(
            "weave-docker is running (pid {}): {use_it}",
            child.id()
        )))
    }

    fn wait(&self, child: &mut Child, log: &Path) -> Result<()> {
        let mut ended = None;
        let serves = wait_until(
            || {
                ended = child.try_wait().ok().flatten();
                ended.is_some() || self.serves()
            },
            LIMIT,
        );
        if let Some(status) = ended {
            bail!("weave-docker ended ({status}); its log is {}", log.display());
        }
        ensure!(
            serves,
            "weave-docker does not serve Docker's API within {} s; its log is {}",
            LIMIT.as_secs(),
            log.display()
        );
        Ok(())
    }

    /// It says that it serves all of these, and does
    fn serves(&self) -> bool {
        let served = served();
        let is_served =
            |host: &DockerHost| served.iter().any(|one| one.host == *host) && connect(host).is_ok();
        self.proxies.iter().all(is_served)
    }
}

fn docker(text: &str) -> Result<String> {
    host(DockerHost::parse(text, DOCKER_PORT)?)
}

fn proxy_of(text: &str) -> Result<String> {
    host(DockerHost::parse(text, DOCKER_PROXY_PORT)?)
}

/// As weave-docker takes it, which runs in another directory
fn host(host: DockerHost) -> Result<String> {
    match host {
        DockerHost::Unix(file) => path(&file.to_string_lossy()),
        DockerHost::Tcp { .. } => Ok(host.to_string()),
    }
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Ends the weave-docker of this host, and removes the network that it made; what stays is told
pub(crate) fn end() -> Result<()> {
    let sockets = served().into_iter().filter_map(|one| match one.host {
        DockerHost::Unix(path) => Some(path),
        DockerHost::Tcp { .. } => None,
    });
    let usual = [api::DEFAULT_DOCKER_SOCKET, PLUGIN].map(Into::into);
    for socket in sockets.chain(usual) {
        let Ok(stream) = UnixStream::connect(socket) else {
            continue;
        };
        let served_by = process::served_by(&stream).ok();
        let Some(weave_docker) = served_by.filter(|one| one.is_named(PROGRAM)) else {
            continue;
        };
        crate::docker::remove_network();
        if systemd::stop_docker()? {
            return Ok(());
        }
        return weave_docker.end(LIMIT);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(args: DockerArgs) -> Result<Option<Docker>> {
        Docker::new(args, Path::new("/run/w.sock"), Some("debug"))
    }

    #[test]
    fn what_is_asked_for_is_passed_on() {
        let asked = DockerArgs {
            docker: Some("/run/d.sock".to_owned()),
            docker_proxy: vec!["/run/p.sock".to_owned(), ":12376".to_owned()],
            tlsverify: true,
            tlscacert: Some("/ca.pem".to_owned()),
            tlscert: Some("/cert.pem".to_owned()),
            tlskey: Some("/key.pem".to_owned()),
            hostname_match: Some("^aws-(.*)$".to_owned()),
            rewrite_inspect: true,
            ..DockerArgs::default()
        };
        let docker = docker(asked).unwrap().unwrap();
        assert_eq!(
            docker.flags,
            [
                "--docker=/run/d.sock",
                "--proxy=/run/p.sock",
                "--proxy=tcp://0.0.0.0:12376",
                "--tlscacert=/ca.pem",
                "--tlscert=/cert.pem",
                "--tlskey=/key.pem",
                "--hostname-match=^aws-(.*)$",
                "--log-level=debug",
                "--socket=/run/w.sock",
                "--tlsverify",
                "--rewrite-inspect",
            ]
        );
        let proxies: Vec<String> = docker.proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["unix:///run/p.sock", "tcp://0.0.0.0:12376"]);
    }

    #[test]
    fn tls_without_a_port_is_a_mistake() {
        let asked = DockerArgs {
            docker: Some("tcp://127.0.0.1".to_owned()),
            tls: true,
            ..DockerArgs::default()
        };
        let error = docker(asked).unwrap_err().to_string();
        assert!(error.contains("--docker-proxy tcp://"), "{error}");
    }

    #[test]
    fn where_docker_is_not_nothing_is_started() {
        let none = DockerArgs {
            no_docker: true,
            ..DockerArgs::default()
        };
        assert_eq!(docker(none).unwrap(), None);
        let wrong = DockerArgs {
            docker: Some(String::new()),
            ..DockerArgs::default()
        };
        assert!(docker(wrong).unwrap_err().to_string().contains("--docker"));
    }
}
