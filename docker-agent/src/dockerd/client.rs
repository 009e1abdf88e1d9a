//! One question to Docker, one connection.

use std::sync::Arc;
use std::time::Duration;

use api::DockerHost;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use super::DockerError;
use crate::body::{Body, empty, full, hold};
use crate::stream::{Stream, tune};

/// What a question may take
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a connection may take to come about
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is held, in bytes: an inspected container is some ten thousand
const ANSWER_LIMIT: usize = 16 << 20;

/// A connection that questions can be sent on
pub(crate) type Connected = SendRequest<Body>;

/// Where Docker is asked
#[derive(Debug, Clone)]
pub(crate) struct Dockerd {
    host: Arc<DockerHost>,
}

impl Dockerd {
    /// The Docker that listens here
    pub(crate) fn new(host: DockerHost) -> Self {
        Self { host: host.into() }
    }

    /// Where it listens
    pub(crate) fn host(&self) -> &DockerHost {
        &self.host
    }

    /// A stream of bytes to it
    pub(crate) async fn stream(&self) -> Result<Stream, DockerError> {
        let connecting = async {
            match &*self.host {
                DockerHost::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
                DockerHost::Tcp { host, port } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    tune(&stream)?;
                    Ok(Stream::Tcp(stream))
                }
            }
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|source| DockerError::Unreachable {
                docker: self.host().clone(),
                source,
            }),
            Err(_elapsed) => Err(self.late(CONNECT_TIMEOUT)),
        }
    }

    fn late(&self, after: Duration) -> DockerError {
        DockerError::Timeout {
            docker: self.host().clone(),
            after,
        }
    }

    /// A connection to it, that lives as long as what is returned and the answers that came of it
    pub(crate) async fn connect(&self) -> Result<Connected, DockerError> {
        let stream = self.stream().await?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(HEAD_LIMIT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| DockerError::exchange(&self.host, source))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                log::debug!("a connection to Docker: {error}");
            }
        });
        Ok(sender)
    }

    /// Asks, and leaves the answer's body to be read
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, DockerError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, "docker");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(empty, full);
        let request = request.body(body).map_err(DockerError::Question)?;
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await;
        response.map_err(|source| DockerError::exchange(&self.host, source))
    }

    /// Asks, and holds the answer's body
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Bytes, DockerError> {
        let asked = async {
            let response = self.open(method, path, body).await?;
            let status = response.status();
            let body =
                hold(response.into_body(), ANSWER_LIMIT)
                    .await
                    .map_err(|source| DockerError::Answer {
                        docker: self.host().clone(),
                        source,
                    })?;
            if status.is_success() {
                Ok(body)
            } else {
                Err(DockerError::refused(status, &body))
            }
        };
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(self.late(TIMEOUT)),
        }
    }

    /// What is at a path
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DockerError> {
        let body = self.ask(Method::GET, path, None).await?;
        serde_json::from_slice(&body).map_err(|source| DockerError::Malformed {
            path: path.to_owned(),
            source,
        })
    }
}

/// The longest head of an answer in bytes, as Docker itself takes
pub(crate) const HEAD_LIMIT: usize = 1 << 20;
