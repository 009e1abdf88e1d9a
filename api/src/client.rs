//! Asking weaved.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::group::group_of;
use crate::{ApiError, Route};

/// Asks weaved, one connection for each question
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
    answer_limit: usize,
}

impl Client {
    /// How long a question may take, unless changed
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// The largest answer in bytes, unless changed: some 100,000 flows
    pub const ANSWER_LIMIT: usize = 64 << 20;

    /// A client of the weaved behind this socket
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            timeout: Self::TIMEOUT,
            answer_limit: Self::ANSWER_LIMIT,
        }
    }

    /// The same with another limit to how long a question may take, from connecting to the last byte
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same with another limit to the size of answers, in bytes
    #[must_use]
    pub fn with_answer_limit(self, answer_limit: usize) -> Self {
        Self { answer_limit, ..self }
    }

    /// The socket it asks at
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks a question without a body
    pub async fn ask<Answer: DeserializeOwned>(
        &self,
        route: &Route<(), Answer>,
    ) -> Result<Answer, ClientError> {
        self.exchange(route, Bytes::new()).await
    }

    /// Sends a question with a body
    pub async fn send<Question, Answer>(
        &self,
        route: &Route<Question, Answer>,
        question: &Question,
    ) -> Result<Answer, ClientError>
    where
        Question: Serialize,
        Answer: DeserializeOwned,
    {
        let body = serde_json::to_vec(question).map_err(ClientError::Question)?;
        self.exchange(route, body.into()).await
    }

    async fn exchange<Question, Answer: DeserializeOwned>(
        &self,
        route: &Route<Question, Answer>,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder()
            .method(&route.method)
            .uri(route.path)
            .header(HOST, "weaved");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(ClientError::Request)?;
        let (status, bytes) = tokio::time::timeout(self.timeout, self.carry(request))
            .await
            .map_err(|_elapsed| ClientError::Timeout {
                socket: self.socket.clone(),
                after: self.timeout,
            })??;
        understand(route.path, status, &bytes)
    }

    async fn carry(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| ClientError::unconnected(&self.socket, error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::Exchange)?;
        let mut answer = pin!(async {
            let response = sender
                .send_request(request)
                .await
                .map_err(ClientError::Exchange)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), self.answer_limit);
            match body.collect().await {
                Ok(body) => Ok((status, body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => Err(ClientError::TooLarge {
                    limit: self.answer_limit,
                }),
                Err(error) => Err(match error.downcast::<hyper::Error>() {
                    Ok(error) => ClientError::Exchange(*error),
                    Err(error) => ClientError::Body(error),
                }),
            }
        });
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            // What became of the connection reaches the answer's side too, which says it better.
            _ended = &mut connection => {}
        }
        answer.await
    }
}

/// Reads an answer to a question at `path`
fn understand<Answer: DeserializeOwned>(
    path: &'static str,
    status: StatusCode,
    bytes: &[u8],
) -> Result<Answer, ClientError> {
    if status.is_success() {
        return serde_json::from_slice(bytes).map_err(|source| ClientError::Malformed { path, source });
    }
    match serde_json::from_slice::<ApiError>(bytes) {
        Ok(error) => Err(ClientError::Refused(error)),
        Err(_not_ours) => Err(ClientError::Status {
            path,
            status,
            body: String::from_utf8_lossy(bytes).trim().chars().take(200).collect(),
        }),
    }
}

/// No answer, or not the one that was asked for
///
/// Unless it says otherwise, weaved may or may not have done what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no such socket; nothing was asked
    #[error("weaved is not running (no socket at {}); start it with: weavectl launch", .socket.display())]
    NotRunning {
        /// Where it should be
        socket: PathBuf,
    },
    /// A socket was left behind and nobody listens; nothing was asked
    #[error("weaved is not running (nobody answers at {}); start it with: weavectl launch", .socket.display())]
    NotListening {
        /// Where somebody should listen
        socket: PathBuf,
    },
    /// This user may not use the socket; nothing was asked
    #[error("permission denied at {}; run as root{}", .socket.display(), join(.group.as_deref()))]
    Denied {
        /// The socket
        socket: PathBuf,
        /// The group that may use it
        group: Option<String>,
    },
    /// The socket cannot be used for another reason; nothing was asked
    #[error("cannot connect to {}", .socket.display())]
    Connect {
        /// The socket
        socket: PathBuf,
        /// What the kernel says
        source: io::Error,
    },
    /// No whole answer in time
    #[error("weaved at {} did not answer within {after:?}", .socket.display())]
    Timeout {
        /// The socket
        socket: PathBuf,
        /// The limit
        after: Duration,
    },
    /// The question has no JSON form; nothing was asked
    #[error("the question cannot be written as JSON")]
    Question(#[source] serde_json::Error),
    /// The question has no HTTP form; nothing was asked
    #[error("the question cannot be written as HTTP")]
    Request(#[source] hyper::http::Error),
    /// The connection ended early, or whoever answers does not speak HTTP
    #[error("no proper answer from weaved")]
    Exchange(#[source] hyper::Error),
    /// The body broke off
    #[error("no whole answer from weaved")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is larger than the client reads
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes
        limit: usize,
    },
    /// The answer is not of the type that belongs to the path: another version of weaved, perhaps
    #[error("weaved's answer at {path} is not understood; are weavectl and weaved of one version?")]
    Malformed {
        /// What was asked
        path: &'static str,
        /// What is wrong with it
        source: serde_json::Error,
    },
    /// weaved says no; nothing was changed unless the kind is
    /// [`Internal`](crate::ErrorKind::Internal)
    #[error(transparent)]
    Refused(ApiError),
    /// An error without the form of weaved's errors: another version of weaved, perhaps
    #[error("weaved answers {status} at {path}: {body}")]
    Status {
        /// What was asked
        path: &'static str,
        /// The HTTP status
        status: StatusCode,
        /// The beginning of the body
        body: String,
    },
}

impl ClientError {
    /// Nobody listens at the socket
    pub fn is_not_running(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::NotListening { .. })
    }

    /// The connection ended without a whole answer, as it does where weaved ends at that moment
    pub fn is_cut_off(&self) -> bool {
        matches!(self, Self::Exchange(error) if !error.is_parse()) || matches!(self, Self::Body(_))
    }

    fn unconnected(socket: &Path, error: io::Error) -> Self {
        let socket = socket.to_owned();
        if error.kind() == io::ErrorKind::NotFound {
            Self::NotRunning { socket }
        } else if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::NotListening { socket }
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            let group = group_of(&socket);
            Self::Denied { socket, group }
        } else {
            Self::Connect {
                socket,
                source: error,
            }
        }
    }
}

fn join(group: Option<&str>) -> String {
    group.map_or_else(String::new, |group| format!(" or join group {group}"))
}

#[cfg(test)]
mod tests;
