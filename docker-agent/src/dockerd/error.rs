//! What Docker's not answering looks like.

use std::io;
use std::time::Duration;

use api::DockerHost;
use hyper::StatusCode;
use serde::Deserialize;

use crate::body::HoldError;

/// Docker did not do what it was asked
///
/// Unless it says otherwise, Docker may or may not have done it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    /// Nobody answers there; nothing was asked
    #[error(
        "cannot reach Docker at {docker}: is it running? If it listens elsewhere, tell weave-docker by --docker"
    )]
    Unreachable {
        /// Where it should be
        docker: DockerHost,
        /// What the kernel says
        #[source]
        source: io::Error,
    },
    /// No whole answer in time
    #[error("Docker at {docker} did not answer within {after:?}")]
    Timeout {
        /// Where it listens
        docker: DockerHost,
        /// The limit
        after: Duration,
    },
    /// The connection ended early, or whoever answers does not speak HTTP
    #[error("Docker at {docker} ended the connection before it answered")]
    Exchange {
        /// Where it listens
        docker: DockerHost,
        /// What happened
        #[source]
        source: hyper::Error,
    },
    /// The question has no HTTP form; nothing was asked
    #[error("a question to Docker cannot be written as HTTP")]
    Question(#[source] hyper::http::Error),
    /// The answer is too large or broke off
    #[error("no whole answer from Docker at {docker}")]
    Answer {
        /// Where it listens
        docker: DockerHost,
        /// What is wrong with it
        #[source]
        source: HoldError,
    },
    /// The answer is not what belongs to the question
    #[error("Docker's answer at {path} is not understood")]
    Malformed {
        /// What was asked
        path: String,
        /// What is wrong with it
        #[source]
        source: serde_json::Error,
    },
    /// Docker says no; nothing was changed
    #[error("{message}")]
    Refused {
        /// The HTTP status
        status: StatusCode,
        /// Docker's words
        message: String,
    },
}

impl DockerError {
    /// What Docker said no with
    pub(super) fn refused(status: StatusCode, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Message {
            message: String,
        }
        let message = match serde_json::from_slice(body) {
            Ok(Message { message }) => message,
            Err(_not_dockers) => {
                let body = String::from_utf8_lossy(body);
                let begin: String = body.trim().chars().take(200).collect();
                format!("Docker answers {status}: {begin}")
            }
        };
        Self::Refused { status, message }
    }

    /// The connection failed
    pub(crate) fn exchange(docker: &DockerHost, source: hyper::Error) -> Self {
        Self::Exchange {
            docker: docker.clone(),
            source,
        }
    }

    /// What was asked for does not exist
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Docker has too much to do, or is at something that the question has to wait for
    pub(crate) fn is_late(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// It exists already, or somebody else is at it
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::CONFLICT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_says_is_what_is_told() {
        for (body, told) in [
            (r#"{"message":"No such network: x"}"#, "No such network: x"),
            ("page not found\n", "Docker answers 404 Not Found: page not found"),
            ("", "Docker answers 404 Not Found: "),
        ] {
            let error = DockerError::refused(StatusCode::NOT_FOUND, body.as_bytes());
            assert_eq!(error.to_string(), told);
            assert!(error.is_not_found());
        }
    }
}
