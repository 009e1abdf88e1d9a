//! Where clients of Docker come in: unix sockets, and ports with and without TLS.

mod record;
mod tcp;
mod tls;

use std::path::Path;
use std::sync::Arc;

use api::{BindError, DockerHost, DockerServed, Socket};

pub(crate) use self::record::Record;
pub(crate) use self::tcp::{Port, TcpError};
pub(crate) use self::tls::{Files, Tls};

/// One place where clients come in
#[derive(Debug)]
pub(crate) enum Listener {
    /// A unix socket
    Unix(Socket),
    /// A port
    Tcp(Port),
}

impl Listener {
    /// Listens; a unix socket gets the owner and the group of Docker's own, a port speaks TLS where there is
    /// any
    pub(crate) async fn bind(
        host: &DockerHost,
        docker: Option<&Path>,
        tls: Option<&Arc<Tls>>,
    ) -> Result<Self, ListenError> {
        match host {
            DockerHost::Unix(path) => {
                let socket = Socket::bind(path).await?;
                Ok(Self::Unix(match docker {
                    Some(docker) => socket.owned_like(docker),
                    None => socket,
                }))
            }
            DockerHost::Tcp { host, port } => {
                let port = Port::bind(host, *port, tls.map(Arc::clone)).await?;
                Ok(Self::Tcp(port))
            }
        }
    }

    /// Where it listens, and how
    pub(crate) fn served(&self) -> DockerServed {
        match self {
            Self::Unix(socket) => DockerServed {
                host: DockerHost::Unix(std::path::absolute(socket.path()).unwrap_or_default()),
                tls: false,
            },
            Self::Tcp(port) => port.served(),
        }
    }
}

/// A place cannot be listened at; nothing was changed
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// A unix socket
    #[error(transparent)]
    Unix(#[from] BindError),
    /// A port
    #[error(transparent)]
    Tcp(#[from] TcpError),
}
