//! Where Docker's API is served, as Docker's clients write it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// The port of a proxy to Docker's API that is told without one
pub const DOCKER_PROXY_PORT: u16 = 12375;

/// The port of Docker's own API where it is told without one
pub const DOCKER_PORT: u16 = 2375;

/// Where those who serve Docker's API write what they listen at, a [`DockerServed`] on each line
pub const DOCKER_HOSTS: &str = "/run/weave/docker.hosts";

/// Where Docker's API is served; prints as `unix:///run/docker.sock` or `tcp://[::1]:2375`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerHost {
    /// A unix socket
    Unix(PathBuf),
    /// A port
    Tcp {
        /// An address or a name, without brackets
        host: String,
        /// The port
        port: u16,
    },
}

impl DockerHost {
    /// Reads `unix:///PATH`, `/PATH`, `tcp://HOST:PORT` or `HOST:PORT`
    ///
    /// The port of `tcp://HOST` is the one given here; without a host, as in `:PORT`, it is any address of
    /// this host.
    pub fn parse(text: &str, port: u16) -> Result<Self, DockerHostError> {
        let error = || DockerHostError(text.to_owned());
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None if text.contains('/') => ("unix", text),
            None if text.contains(':') => ("tcp", text),
            None => return Err(error()),
        };
        match scheme {
            "unix" if !rest.is_empty() && !rest.contains(char::is_control) => Ok(Self::Unix(rest.into())),
            "tcp" => {
                let rest = rest.strip_suffix('/').unwrap_or(rest);
                let (host, port) = host_and_port(rest, port).ok_or_else(error)?;
                Ok(Self::Tcp { host, port })
            }
            _unknown => Err(error()),
        }
    }

    /// Where clients of the same host find it: not at an address that stands for all
    #[must_use]
    pub fn for_clients(&self) -> Self {
        let near = |host: &str| match host {
            "0.0.0.0" => Ipv4Addr::LOCALHOST.to_string(),
            "::" => Ipv6Addr::LOCALHOST.to_string(),
            other => other.to_owned(),
        };
        match self {
            Self::Unix(path) => Self::Unix(path.clone()),
            Self::Tcp { host, port } => Self::Tcp {
                host: near(host),
                port: *port,
            },
        }
    }
}

impl fmt::Display for DockerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

fn host_and_port(text: &str, port: u16) -> Option<(String, u16)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text.split_once(']')?;
            let (address, _interface) = host.split_once('%').unwrap_or((host, ""));
            let _checked: Ipv6Addr = address.parse().ok()?;
            (host, rest)
        }
        None => {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            let of_a_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            (host.chars().all(of_a_name)).then_some((host, rest))?
        }
    };
    let port = match rest {
        "" => port,
        rest => rest.strip_prefix(':')?.parse().ok()?,
    };
    match host {
        "" if rest.is_empty() => None,
        "" => Some((Ipv4Addr::UNSPECIFIED.to_string(), port)),
        host => Some((host.to_owned(), port)),
    }
}

/// A text that says no place where Docker's API could be served
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a unix socket, as /PATH or unix:///PATH, nor tcp://HOST:PORT, as tcp://127.0.0.1:2375 or tcp://[::1]:2375"
)]
pub struct DockerHostError(String);

/// Where Docker's API is served, and how; prints as `tcp://0.0.0.0:12376 tls`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerServed {
    /// Where
    pub host: DockerHost,
    /// Clients have to speak TLS
    pub tls: bool,
}

impl fmt::Display for DockerServed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, if self.tls { TLS } else { "" })
    }
}

impl FromStr for DockerServed {
    type Err = DockerHostError;

    fn from_str(line: &str) -> Result<Self, DockerHostError> {
        let (host, tls) = match line.strip_suffix(TLS) {
            Some(host) => (host, true),
            None => (line, false),
        };
        Ok(Self {
            host: DockerHost::parse(host, DOCKER_PROXY_PORT)?,
            tls,
        })
    }
}

/// What comes after a host where TLS is spoken
const TLS: &str = " tls";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_however_it_is_written() {
        for (text, host) in [
            ("/run/d.sock", "unix:///run/d.sock"),
            ("unix:///run/d.sock", "unix:///run/d.sock"),
            ("./d.sock", "unix://./d.sock"),
            ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375"),
            ("127.0.0.1:2375", "tcp://127.0.0.1:2375"),
            ("tcp://127.0.0.1", "tcp://127.0.0.1:12375"),
            ("tcp://host-1.example:1/", "tcp://host-1.example:1"),
            ("[::1]:2375", "tcp://[::1]:2375"),
            ("tcp://[fe80::1%eth0]", "tcp://[fe80::1%eth0]:12375"),
            (":2375", "tcp://0.0.0.0:2375"),
            ("tcp://:2375", "tcp://0.0.0.0:2375"),
        ] {
            let read = DockerHost::parse(text, DOCKER_PROXY_PORT).unwrap();
            assert_eq!(read.to_string(), host);
            assert_eq!(DockerHost::parse(host, 1), Ok(read));
        }
    }

    #[test]
    fn what_is_no_place_is_told_with_what_is_one() {
        for text in [
            "",
            "docker",
            "unix://",
            "tcp://",
            "tcp://h:",
            "tcp://h:65536",
            "tcp://h:x",
            "tcp://::1:2375",
            "tcp://[::1",
            "tcp://[h]:1",
            "tcp://[::1]2375",
            "tcp://h/base",
            "tcp://a b:1",
            "http://h:1",
            "fd://",
            "/run/a\nb",
        ] {
            let error = DockerHost::parse(text, 1).unwrap_err().to_string();
            assert!(error.contains("tcp://HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn clients_are_not_sent_to_all_addresses() {
        for (listens, found) in [
            ("tcp://0.0.0.0:1", "tcp://127.0.0.1:1"),
            ("tcp://[::]:1", "tcp://[::1]:1"),
            ("tcp://10.0.0.1:1", "tcp://10.0.0.1:1"),
            ("unix:///p", "unix:///p"),
        ] {
            let host = DockerHost::parse(listens, 1).unwrap();
            assert_eq!(host.for_clients().to_string(), found);
        }
    }

    #[test]
    fn what_is_served_goes_into_a_line_and_comes_out_of_it() {
        for line in ["unix:///run/a b.sock", "tcp://[::]:12376 tls", "tcp://h:1"] {
            let served: DockerServed = line.parse().unwrap();
            assert_eq!(served.to_string(), line);
            assert_eq!(served.tls, line.ends_with("tls"));
        }
        assert!("nonsense".parse::<DockerServed>().is_err());
    }
}
