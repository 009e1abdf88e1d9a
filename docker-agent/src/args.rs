//! The command line, parsed into values that are valid.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::ensure;
use api::{DOCKER_PORT, DOCKER_PROXY_PORT, DockerHost, DockerHostError};
use clap::{ArgAction, ArgGroup, Parser};
use service::LogLevel;

use crate::listen::Files;

/// weave-docker: puts Docker's containers on the network that weaved controls, as a proxy to Docker's API
/// and as the driver `weave` of Docker's networks
#[derive(Debug, Parser)]
#[command(name = "weave-docker", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where Docker itself listens: a unix socket, or tcp://HOST:PORT without TLS
    #[arg(long, value_name = "WHERE", default_value = "/var/run/docker.sock", value_parser = docker)]
    pub(crate) docker: DockerHost,
    /// Where to serve Docker's API to clients: a unix socket, or tcp://HOST:PORT; may be given again
    #[arg(short = 'H', long, value_name = "WHERE", default_value = api::DEFAULT_DOCKER_SOCKET, value_parser = proxy)]
    pub(crate) proxy: Vec<DockerHost>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Where to answer Docker as the driver of its networks; the name of the file is that of the driver
    #[arg(long, value_name = "PATH", default_value = "/run/docker/plugins/weave.sock", value_parser = socket)]
    pub(crate) plugin_socket: PathBuf,
    /// Socket of weaved's control API
    #[arg(long, value_name = "PATH", default_value = api::DEFAULT_SOCKET, env = "WEAVE_SOCKET")]
    pub(crate) socket: PathBuf,
    /// Only containers that say WEAVE_CIDR get on the network
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) no_default_ipalloc: bool,
    /// Containers get no names, and resolve names as Docker has them do
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) without_dns: bool,
    /// The domain of containers' names, instead of the one that weaved says
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) dns_domain: Option<String>,
    /// Where containers ask for names, instead of where weaved says that it listens
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns_server: Option<Ipv4Addr>,
    /// `docker inspect` shows the network's address as the container's own
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) rewrite_inspect: bool,
    /// A container's own name stands for what Docker has it stand for, one of its addresses
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) no_rewrite_hosts: bool,
    /// A label of containers whose value is the hostname, instead of their name
    #[arg(long, value_name = "LABEL")]
    pub(crate) hostname_from_label: Option<String>,
    /// What of the name or of the label's value is replaced: a regular expression
    #[arg(long, value_name = "REGEX", default_value = "(.*)", hide_default_value = true)]
    pub(crate) hostname_match: String,
    /// What it is replaced by; $1 is what the first parentheses matched
    #[arg(long, value_name = "TEXT", default_value = "$1", hide_default_value = true)]
    pub(crate) hostname_replacement: String,
    /// Containers get no route for multicast
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) no_multicast_route: bool,
    /// How much to log
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,
}

/// How clients by TCP are served
#[derive(Debug, Parser)]
#[command(group = ArgGroup::new("secured").args(["tls", "tlsverify"]).multiple(true))]
pub(crate) struct TlsArgs {
    /// Speak TLS with clients by TCP, whoever they are
    #[arg(long, action = ArgAction::SetTrue, requires_all = ["tlscert", "tlskey"])]
    tls: bool,
    /// Speak TLS with clients by TCP that have a certificate of --tlscacert
    #[arg(long, action = ArgAction::SetTrue, requires_all = ["tlscacert", "tlscert", "tlskey"])]
    tlsverify: bool,
    /// Who vouches for clients: certificates, as PEM
    #[arg(long, value_name = "FILE", requires = "secured")]
    tlscacert: Option<PathBuf>,
    /// The certificate to show to clients, with those between it and the one they know, as PEM
    #[arg(long, value_name = "FILE", requires = "secured")]
    tlscert: Option<PathBuf>,
    /// Its key, as PEM; SIGHUP has all three files read again
    #[arg(long, value_name = "FILE", requires = "secured")]
    tlskey: Option<PathBuf>,
}

impl TlsArgs {
    /// The files, where TLS is asked for
    pub(crate) fn files(&self, proxy: &[DockerHost]) -> anyhow::Result<Option<Files>> {
        let (Some(certificates), Some(key)) = (&self.tlscert, &self.tlskey) else {
            return Ok(None);
        };
        let by_tcp = |host: &DockerHost| matches!(host, DockerHost::Tcp { .. });
        ensure!(
            proxy.iter().any(by_tcp),
            "TLS is for clients by TCP: say where, as in --proxy tcp://0.0.0.0:12376"
        );
        Ok(Some(Files {
            clients: self.tlscacert.clone().filter(|_| self.tlsverify),
            certificates: certificates.clone(),
            key: key.clone(),
        }))
    }
}

const EXAMPLES: &str = "\
Examples:
  weave-docker                                        the usual sockets
  docker -H unix:///run/weave/docker.sock run -it --name a1 IMAGE
                                                      a container on the network
  docker run --net=weave -it IMAGE                    the same without the proxy
  weave-docker -H /run/weave/docker.sock -H tcp://0.0.0.0:12376 \\
      --tlsverify --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem
                                                      also by TCP, for those with a certificate
  weave-docker --no-default-ipalloc                   only containers with an own WEAVE_CIDR
  docker -H unix:///run/weave/docker.sock run -e WEAVE_CIDR=10.2.1.1/24 -it IMAGE
  weave-docker --hostname-match '^aws-[0-9]+-(.*)$' --hostname-replacement 'my-app-$1'

Exit status: 0 after a stop that was asked for, 1 when it could not start, 2 for a wrong command line.";

fn docker(text: &str) -> Result<DockerHost, DockerHostError> {
    DockerHost::parse(text, DOCKER_PORT)
}

fn proxy(text: &str) -> Result<DockerHost, DockerHostError> {
    DockerHost::parse(text, DOCKER_PROXY_PORT)
}

/// A path, also as Docker's clients write it: `unix:///run/docker.sock`
fn socket(text: &str) -> Result<PathBuf, String> {
    let path = match text.split_once("://") {
        Some(("unix", path)) => path,
        Some((scheme, _)) => {
            return Err(format!(
                "{scheme} is not known here: give the path of a unix socket"
            ));
        }
        None => text,
    };
    if path.is_empty() {
        return Err("give the path of a unix socket".to_owned());
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn places_are_told_as_to_dockers_clients() {
        let args = Args::parse_from([
            "weave-docker",
            "--docker=unix:///run/d.sock",
            "--proxy=/a",
            "-Htcp://[::]",
            "-H",
            "127.0.0.1:1",
        ]);
        let told: Vec<String> = args.proxy.iter().map(ToString::to_string).collect();
        assert_eq!(args.docker.to_string(), "unix:///run/d.sock");
        assert_eq!(told, ["unix:///a", "tcp://[::]:12375", "tcp://127.0.0.1:1"]);
        let args = Args::parse_from(["weave-docker", "--docker=tcp://h"]);
        assert_eq!(args.docker.to_string(), "tcp://h:2375");
        for wrong in [
            &["--docker", "fd://"][..],
            &["--proxy", "docker"],
            &["--plugin-socket", "tcp://h:1"],
        ] {
            assert!(
                Args::try_parse_from(["weave-docker"].iter().chain(wrong)).is_err(),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn tls_is_all_there_or_not_at_all() {
        let files = ["--tlscacert=a", "--tlscert=c", "--tlskey=k"];
        let parsed = |flags: &[&str]| {
            let args = Args::try_parse_from(["weave-docker"].iter().chain(flags))?;
            args.tls.files(&args.proxy)
        };
        let all = |first| [&["-H", "h:1", first][..], &files].concat();
        let verified = parsed(&all("--tlsverify")).unwrap().unwrap();
        assert!(verified.clients.is_some());
        let open = parsed(&all("--tls")).unwrap().unwrap();
        assert!(
            open.clients.is_none(),
            "only --tlsverify asks clients who they are"
        );
        assert!(parsed(&["-H", "h:1"]).unwrap().is_none());
        for wrong in [
            &["-H", "h:1", "--tlsverify"][..],
            &["-H", "h:1", "--tlsverify", "--tlscert=c", "--tlskey=k"],
            &["-H", "h:1", "--tls", "--tlscert=c"],
            &["-H", "h:1", "--tlscert=c", "--tlskey=k"],
            &["--tls", "--tlscert=c", "--tlskey=k"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
