//! Where the proxy to Docker's API is.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::{DOCKER_HOSTS, DockerHost, DockerServed};

/// What a connection may take to come about
const PATIENCE: Duration = Duration::from_secs(3);

/// What makes Docker's clients speak TLS
pub(super) const TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";

/// The proxy, as clients of this host find it
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proxy(DockerServed);

impl Proxy {
    /// Where it was told to be, else where weave-docker says that it is, else where it usually is; fails where
    /// nobody listens
    pub(crate) fn find(told: Option<&DockerHost>) -> Result<Self> {
        let proxy = Self::choose(told, &served());
        connect(&proxy.0.host).with_context(|| {
            format!(
                "the proxy does not run: nobody listens at {}; weavectl launch starts it where Docker is",
                proxy.0.host
            )
        })?;
        Ok(proxy)
    }

    /// Of several that which needs no network
    fn choose(told: Option<&DockerHost>, served: &[DockerServed]) -> Self {
        let is_told = |one: &&DockerServed| told.is_none_or(|told| one.host == *told);
        let is_unix = |one: &&DockerServed| matches!(one.host, DockerHost::Unix(_));
        let known = || served.iter().filter(is_told);
        let chosen = known().find(is_unix).or_else(|| known().next()).cloned();
        let usual = || DockerHost::Unix(api::DEFAULT_DOCKER_SOCKET.into());
        let chosen = chosen.unwrap_or_else(|| DockerServed {
            host: told.cloned().unwrap_or_else(usual),
            tls: false,
        });
        Self(DockerServed {
            host: chosen.host.for_clients(),
            tls: chosen.tls,
        })
    }

    /// As `DOCKER_HOST` has it
    pub(crate) fn endpoint(&self) -> String {
        self.0.host.to_string()
    }

    /// Whether its clients speak TLS
    pub(super) fn speaks_tls(&self) -> bool {
        self.0.tls
    }

    /// What its clients have to be told beside where it is
    pub(super) fn hint(&self, verify: Option<&str>) -> Option<&'static str> {
        let verifies = verify.is_some_and(|value| !value.is_empty());
        match (self.0.tls, verifies) {
            (true, false) => Some(
                "the proxy speaks TLS: export DOCKER_TLS_VERIFY=1, with ca.pem, cert.pem and key.pem in \
                 DOCKER_CERT_PATH",
            ),
            (false, true) => Some("the proxy does not speak TLS there: unset DOCKER_TLS_VERIFY"),
            (true, true) | (false, false) => None,
        }
    }
}

/// What weave-docker says that it serves; nothing where none runs
pub(crate) fn served() -> Vec<DockerServed> {
    served_by(Path::new(DOCKER_HOSTS))
}

fn served_by(record: &Path) -> Vec<DockerServed> {
    let text = fs::read_to_string(record).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Tries whether somebody listens there
pub(crate) fn connect(host: &DockerHost) -> std::io::Result<()> {
    match host.for_clients() {
        DockerHost::Unix(path) => UnixStream::connect(path).map(drop),
        DockerHost::Tcp { host, port } => {
            let mut failed = None;
            for address in (host.as_str(), port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, PATIENCE) {
                    Ok(_listens) => return Ok(()),
                    Err(error) => failed = Some(error),
                }
            }
            Err(failed.unwrap_or_else(|| std::io::ErrorKind::NotFound.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_a_socket_is_chosen_else_the_first() {
        let host = |text: &str| DockerHost::parse(text, 1).unwrap();
        for (told, served, chosen, tls) in [
            (None, &[][..], "unix:///run/weave/docker.sock", false),
            (None, &["tcp://0.0.0.0:1", "unix:///p"], "unix:///p", false),
            (
                None,
                &["tcp://0.0.0.0:1 tls", "tcp://h:2"],
                "tcp://127.0.0.1:1",
                true,
            ),
            (
                Some("tcp://h:2"),
                &["unix:///p", "tcp://h:2 tls"],
                "tcp://h:2",
                true,
            ),
            (Some("tcp://[::]:2"), &["unix:///p"], "tcp://[::1]:2", false),
            (Some("/q"), &["unix:///p"], "unix:///q", false),
        ] {
            let served: Vec<DockerServed> = served.iter().map(|line| line.parse().unwrap()).collect();
            let proxy = Proxy::choose(told.map(host).as_ref(), &served);
            assert_eq!((proxy.endpoint().as_str(), proxy.0.tls), (chosen, tls));
        }
    }

    #[test]
    fn clients_are_told_how_to_speak() {
        for (served, verify, hint) in [
            ("tcp://h:1 tls", None, Some("export")),
            ("tcp://h:1 tls", Some(""), Some("export")),
            ("tcp://h:1 tls", Some("1"), None),
            ("unix:///p", Some("1"), Some("unset")),
            ("unix:///p", None, None),
        ] {
            let told = Proxy(served.parse().unwrap()).hint(verify);
            assert_eq!(told.is_some(), hint.is_some());
            assert!(told.unwrap_or_default().contains(hint.unwrap_or_default()));
        }
    }

    #[test]
    fn a_proxy_that_does_not_run_is_told() {
        let nowhere = DockerHost::Unix("/nowhere/docker.sock".into());
        let error = Proxy::find(Some(&nowhere)).unwrap_err();
        assert!(error.to_string().contains("weavectl launch"), "{error}");
        assert!(served_by(Path::new("/nowhere/docker.hosts")).is_empty());
    }
}
