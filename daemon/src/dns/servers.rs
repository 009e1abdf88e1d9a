//! Who is asked about names of elsewhere.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often, at most, it is looked whether the file changed
const CHECK: Duration = Duration::from_secs(1);

/// Where it is said who is asked
#[derive(Debug, Clone)]
pub(crate) enum Upstreams {
    /// On the command line
    Given(Vec<SocketAddr>),
    /// In a file in the form of `resolv.conf`, which may change
    File(PathBuf),
}

/// Who is asked, as it was said last
#[derive(Debug)]
pub(super) struct Servers {
    upstreams: Upstreams,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    at: Option<Instant>,
    of: Option<Version>,
    servers: Vec<SocketAddr>,
}

/// Tells one content of a file from another: time, size and inode
type Version = (i64, i64, u64, u64);

impl Servers {
    pub(super) const fn new(upstreams: Upstreams) -> Self {
        let read = Read {
            at: None,
            of: None,
            servers: Vec::new(),
        };
        Self {
            upstreams,
            read: Mutex::new(read),
        }
    }

    /// Whom to ask, in this order: none of those on which we listen ourselves
    pub(super) fn current(&self, own: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
        let servers = match &self.upstreams {
            Upstreams::Given(servers) => servers.clone(),
            Upstreams::File(path) => {
                // Nobody panics who holds it; what is there is whole in any case.
                let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                if read.at.is_none_or(|at| now >= at + CHECK) {
                    read.at = Some(now);
                    read.refresh(path);
                }
                read.servers.clone()
            }
        };
        servers
            .into_iter()
            .filter(|server| !is_own(*server, own))
            .collect()
    }
}

impl Read {
    fn refresh(&mut self, path: &Path) {
        let version = fs::metadata(path)
            .ok()
            .map(|file| (file.mtime(), file.mtime_nsec(), file.size(), file.ino()));
        if version.is_some() && version == self.of {
            return;
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                let servers = dns::servers(&text, |_| false, interface);
                if servers != self.servers {
                    log::info!("other names are asked for at {}", list(&servers));
                }
                self.servers = servers;
                self.of = version;
            }
            // Whom we knew is asked on: a file that is being replaced is there again soon.
            Err(error) => log::debug!("cannot read {}: {error}", path.display()),
        }
    }
}

/// Whether we listen there ourselves, be it on any address of this host
fn is_own(server: SocketAddr, own: &[SocketAddr]) -> bool {
    own.iter().any(|own| {
        own.port() == server.port()
            && (own.ip() == server.ip() || own.ip().is_unspecified() && is_of_this_host(server.ip()))
    })
}

/// Only an address that is here can be bound.
fn is_of_this_host(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn interface(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

fn list(servers: &[SocketAddr]) -> String {
    match servers {
        [] => "nobody: no server is known".to_owned(),
        servers => servers
            .iter()
            .map(SocketAddr::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_changed_file_is_read_again_after_a_second() {
        let dir = TempDir::new("resolv-conf");
        let path = dir.path().join("resolv.conf");
        let servers = Servers::new(Upstreams::File(path.clone()));
        let start = Instant::now();
        assert!(servers.current(&[], start).is_empty());
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        assert!(servers.current(&[], start + CHECK / 2).is_empty());
        assert_eq!(servers.current(&[], start + CHECK), [at("192.0.2.1:53")]);
        fs::write(&path, "nameserver 192.0.2.22\n").unwrap();
        assert_eq!(servers.current(&[], start + CHECK * 2), [at("192.0.2.22:53")]);
        fs::remove_file(&path).unwrap();
        assert_eq!(servers.current(&[], start + CHECK * 3), [at("192.0.2.22:53")]);
    }

    #[test]
    fn we_do_not_ask_ourselves() {
        let given = vec![at("127.0.0.1:53"), at("127.0.0.1:5353"), at("192.0.2.1:53")];
        let servers = Servers::new(Upstreams::Given(given));
        let ask = |own: &str| servers.current(&[at(own)], Instant::now());
        assert_eq!(ask("127.0.0.1:53"), [at("127.0.0.1:5353"), at("192.0.2.1:53")]);
        assert_eq!(ask("0.0.0.0:53"), [at("127.0.0.1:5353"), at("192.0.2.1:53")]);
        assert_eq!(ask("10.32.0.1:53").len(), 3);
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }
}
