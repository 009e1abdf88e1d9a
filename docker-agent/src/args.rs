//! The command line, parsed into values that are valid.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

/// weave-docker: puts Docker's containers on the network that weaved controls, as a proxy to Docker's API
/// and as the driver `weave` of Docker's networks
#[derive(Debug, Parser)]
#[command(name = "weave-docker", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Docker's own socket
    #[arg(long, value_name = "PATH", default_value = "/var/run/docker.sock", value_parser = socket)]
    pub(crate) docker: PathBuf,
    /// Where to serve Docker's API to clients; may be given again
    #[arg(long, value_name = "PATH", default_value = "/run/weave/docker.sock", value_parser = socket)]
    pub(crate) proxy: Vec<PathBuf>,
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
    /// A container's own name stands for its address on Docker's bridge
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

const EXAMPLES: &str = "\
Examples:
  weave-docker                                        the usual sockets
  docker -H unix:///run/weave/docker.sock run -it --name a1 IMAGE
                                                      a container on the network
  docker run --net=weave -it IMAGE                    the same without the proxy
  weave-docker --no-default-ipalloc                   only containers with an own WEAVE_CIDR
  docker -H unix:///run/weave/docker.sock run -e WEAVE_CIDR=10.2.1.1/24 -it IMAGE
  weave-docker --hostname-match '^aws-[0-9]+-(.*)$' --hostname-replacement 'my-app-$1'

Exit status: 0 after a stop that was asked for, 1 when it could not start, 2 for a wrong command line.";

/// `--log-level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Every request
    Debug,
    /// What changes
    Info,
    /// What needs a look
    Warning,
    /// What ends the program
    Error,
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warning => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
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
    use std::path::Path;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_socket_is_a_path_however_it_is_written() {
        let args = Args::parse_from([
            "weave-docker",
            "--docker=unix:///run/d.sock",
            "--proxy=/a",
            "--proxy=/b",
        ]);
        assert_eq!(args.docker, Path::new("/run/d.sock"));
        assert_eq!(args.proxy, [Path::new("/a"), Path::new("/b")]);
        for wrong in ["tcp://0.0.0.0:2375", "unix://", ""] {
            assert!(
                Args::try_parse_from(["weave-docker", "--docker", wrong]).is_err(),
                "{wrong}"
            );
        }
    }
}
