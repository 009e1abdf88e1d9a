//! TLS with clients, as Docker's own API has it: `--tls` secures, `--tlsverify` also asks clients who they are.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::stream::Stream;

/// What a client may take to speak TLS, or to hear that it does not
const GREETING: Duration = Duration::from_secs(5);

/// How much more is read, in bytes, of who is turned away: a connection that is closed on words that nobody
/// read takes back the answer
const REST: u64 = 64 << 10;

/// The answer to a client without TLS
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    this port speaks TLS: use docker --tlsverify\n";

/// Where the keys are
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// Who vouches for clients; none: everybody is one
    pub(crate) clients: Option<PathBuf>,
    /// The certificates that are shown to clients, the own one first
    pub(crate) certificates: PathBuf,
    /// The key of the first
    pub(crate) key: PathBuf,
}

/// What there is to secure connections with
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files
    pub(crate) fn load(files: Files) -> Result<Self, TlsError> {
        let config = RwLock::new(read(&files)?);
        Ok(Self { files, config })
    }

    /// Reads the files again, for the connections to come; an error leaves all as it was
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let config = read(&self.files)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// A secured stream of a client that has a right to one
    pub(super) async fn greet(&self, stream: TcpStream) -> Result<Stream, TurnedAway> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        tokio::time::timeout(GREETING, greet(config, stream))
            .await
            .unwrap_or(Err(TurnedAway::Late))
    }
}

async fn greet(config: Arc<ServerConfig>, mut stream: TcpStream) -> Result<Stream, TurnedAway> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // The first of a request's letters, and not of a message of TLS.
    if first[0].is_ascii_uppercase() {
        stream.write_all(PLAIN).await?;
        leave(stream).await?;
        return Err(TurnedAway::Plain);
    }
    match TlsAcceptor::from(config).accept(stream).into_fallible().await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err((error, stream)) => {
            // Its client was told by TLS why.
            leave(stream).await?;
            Err(error.into())
        }
    }
}

async fn leave(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(REST), &mut tokio::io::sink()).await?;
    Ok(())
}

/// A client that does not get in
#[derive(Debug, thiserror::Error)]
pub(super) enum TurnedAway {
    /// It says nothing, or too slowly
    #[error("not within {GREETING:?}")]
    Late,
    /// It speaks HTTP without TLS
    #[error("it speaks no TLS")]
    Plain,
    /// It is not known, or what it says is not understood
    #[error(transparent)]
    Failed(#[from] io::Error),
}

fn read(files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|source| TlsError::Authority {
                    path: path.clone(),
                    source,
                })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(TlsError::Verifier)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let shown = certificates(&files.certificates)?;
    let config = builder
        .with_single_cert(shown, key(&files.key)?)
        .map_err(|source| TlsError::Pair {
            certificates: files.certificates.clone(),
            key: files.key.clone(),
            source,
        })?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file(path)?).collect();
    let read = match read {
        Ok(read) if read.is_empty() => Err(pem::Error::NoItemsFound),
        other => other,
    };
    read.map_err(|source| TlsError::NoCertificate {
        path: path.to_owned(),
        source,
    })
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = file(path)?;
    let open = std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o007 != 0);
    if open {
        let path = path.display();
        log::warn!("everybody on this host can read the key {path}: chmod o= {path}");
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::NoKey {
        path: path.to_owned(),
        source,
    })
}

fn file(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// The files are not what they have to be; nothing was changed
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// It cannot be read
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file
        path: PathBuf,
        /// What the kernel said
        #[source]
        source: io::Error,
    },
    /// A file without certificates that can be read
    #[error("{} holds no certificates in the form PEM", path.display())]
    NoCertificate {
        /// The file
        path: PathBuf,
        /// What is wrong with it
        #[source]
        source: pem::Error,
    },
    /// A file without such a key
    #[error("{} holds no private key in the form PEM, without a password", path.display())]
    NoKey {
        /// The file
        path: PathBuf,
        /// What is wrong with it
        #[source]
        source: pem::Error,
    },
    /// Certificates that vouch for nobody
    #[error("{} cannot vouch for clients", path.display())]
    Authority {
        /// The file
        path: PathBuf,
        /// What is wrong with it
        #[source]
        source: rustls::Error,
    },
    /// They do not belong together
    #[error("the certificate {} and the key {} cannot be used together", certificates.display(), key.display())]
    Pair {
        /// The file of certificates
        certificates: PathBuf,
        /// The file of the key
        key: PathBuf,
        /// Why not
        #[source]
        source: rustls::Error,
    },
    /// Nobody vouches for clients
    #[error("clients cannot be told apart")]
    Verifier(#[source] VerifierBuilderError),
    /// There is no TLS that both sides may speak
    #[error("there is no version of TLS to speak")]
    Versions(#[source] rustls::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::line;
    use crate::testing::Directory;

    #[test]
    fn files_that_are_none_of_ours_are_named() {
        let directory = Directory::new();
        let path = |name: &str| directory.path(name);
        std::fs::write(path("empty"), "").unwrap();
        std::fs::write(path("cut"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
        std::fs::write(
            path("nonsense"),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        for (clients, certificates, key, told) in [
            (None, "absent", "absent", "cannot read"),
            (Some("absent"), "empty", "empty", "cannot read"),
            (None, "empty", "empty", "no certificates"),
            (None, "cut", "empty", "no certificates"),
            (None, "nonsense", "empty", "no private key"),
            (Some("nonsense"), "nonsense", "empty", "cannot vouch"),
        ] {
            let files = Files {
                clients: clients.map(path),
                certificates: path(certificates),
                key: path(key),
            };
            let error = line(&Tls::load(files).unwrap_err());
            assert!(error.contains(told), "{certificates} {key}: {error}");
            let named = [clients.unwrap_or(certificates), certificates, key];
            assert!(
                named.iter().any(|name| error.contains(*name)) && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
