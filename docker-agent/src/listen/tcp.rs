//! A port that clients connect to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{DockerHost, DockerServed};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::tls::Tls;
use crate::stream::{Stream, tune};

/// The most clients of a port at a time: each takes three descriptors of the thousand that a process has. Who
/// comes beyond that waits
const CLIENTS: usize = 256;

/// Until somebody gives back what accepting a connection lacked, descriptors mostly
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A bound port
#[derive(Debug)]
pub(crate) struct Port {
    listener: TcpListener,
    served: DockerServed,
    tls: Option<Arc<Tls>>,
    free: Arc<Semaphore>,
}

/// A connection that nothing was asked of
#[derive(Debug)]
pub(crate) struct Arrival {
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<Tls>>,
    place: OwnedSemaphorePermit,
}

impl Port {
    /// Listens at a port of an address, or of a name's first address that is of this host
    pub(crate) async fn bind(name: &str, port: u16, tls: Option<Arc<Tls>>) -> Result<Self, TcpError> {
        let host = |port| DockerHost::Tcp {
            host: name.to_owned(),
            port,
        };
        let failed = |source: io::Error| TcpError::new(host(port), source);
        let found: Vec<SocketAddr> = tokio::net::lookup_host((name, port))
            .await
            .map_err(|source| TcpError::NoAddress {
                name: name.to_owned(),
                source,
            })?
            .collect();
        let listener = TcpListener::bind(found.as_slice()).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let served = DockerServed {
            host: host(port),
            tls: tls.is_some(),
        };
        if !served.tls {
            log::warn!(
                "whoever reaches {} can do everything on this host: it is neither secured nor asks who it \
                 is; --tlsverify does",
                served.host
            );
        }
        Ok(Self {
            listener,
            served,
            tls,
            free: Arc::new(Semaphore::new(CLIENTS)),
        })
    }

    /// Where it is, and how it is spoken to
    pub(crate) fn served(&self) -> DockerServed {
        self.served.clone()
    }

    /// The next who connects; when all places are taken, after somebody left
    ///
    /// Cancel-safe: nobody is lost who was not returned.
    pub(crate) async fn accept(&self) -> Arrival {
        loop {
            match self.try_accept().await {
                Ok(arrival) => return arrival,
                Err(error) => {
                    log::warn!("cannot accept at {}: {error}", self.served.host);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<Arrival> {
        let free = Arc::clone(&self.free);
        let place = free.acquire_owned().await.map_err(io::Error::other)?;
        let (stream, from) = self.listener.accept().await?;
        Ok(Arrival {
            stream,
            from,
            tls: self.tls.clone(),
            place,
        })
    }
}

impl Arrival {
    /// The client's stream, and the place it has as long as it stays; none if it does not speak as it has to
    pub(crate) async fn enter(self) -> Option<(Stream, OwnedSemaphorePermit)> {
        let Self {
            stream,
            from,
            tls,
            place,
        } = self;
        if let Err(error) = tune(&stream) {
            log::debug!("a connection from {from}: {error}");
            return None;
        }
        match tls {
            None => Some((Stream::Tcp(stream), place)),
            Some(tls) => match tls.greet(stream).await {
                Ok(stream) => Some((stream, place)),
                Err(error) => {
                    log::debug!("a connection from {from} is turned away: {error}");
                    None
                }
            },
        }
    }
}

/// A port cannot be listened at; nothing was changed
#[derive(Debug, thiserror::Error)]
pub(crate) enum TcpError {
    /// A name that stands for no address
    #[error("no address of {name} is known; give --proxy an address of this host")]
    NoAddress {
        /// The name
        name: String,
        /// What the resolver said
        #[source]
        source: io::Error,
    },
    /// Another listens there
    #[error("another program listens at {0}; stop it, or give --proxy another port")]
    InUse(DockerHost),
    /// It is another host's address
    #[error("{0} is no address of this host; give --proxy one that is, or 0.0.0.0 for all")]
    NotOurs(DockerHost),
    /// Only some programs may
    #[error("may not listen at {0}; give --proxy a port from 1024 on")]
    Denied(DockerHost),
    /// The kernel refused
    #[error("cannot listen at {host}")]
    Refused {
        /// Where
        host: DockerHost,
        /// What the kernel said
        #[source]
        source: io::Error,
    },
}

impl TcpError {
    fn new(host: DockerHost, source: io::Error) -> Self {
        let kind = source.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::InUse(host)
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::NotOurs(host)
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::Denied(host)
        } else {
            Self::Refused { host, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_cannot_be_had_is_told_with_what_to_do() {
        let first = Port::bind("127.0.0.1", 0, None).await.unwrap();
        let DockerHost::Tcp { port, .. } = first.served().host else {
            panic!("{first:?} is a port");
        };
        assert_ne!(port, 0);
        let error = Port::bind("127.0.0.1", port, None).await.unwrap_err().to_string();
        assert!(
            error.starts_with("another program listens at tcp://127.0.0.1:"),
            "{error}"
        );
        let error = Port::bind("192.0.2.1", port, None).await.unwrap_err().to_string();
        assert!(error.contains("no address of this host"), "{error}");
        let error = Port::bind("no..host", port, None).await.unwrap_err().to_string();
        assert!(error.contains("no..host"), "{error}");
    }
}
