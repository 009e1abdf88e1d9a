//! What weaved answers when it does not do what was asked.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

/// A question that was not answered; its JSON is the body of the HTTP answer
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// One line for people
    pub message: String,
    /// Whose fault it is, and with that the HTTP status
    pub kind: ErrorKind,
}

impl ApiError {
    /// An error of this kind
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            kind,
        }
    }

    /// The HTTP status that goes with it
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }
}

/// Whose fault an error is
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The question is malformed or asks for what cannot be; nothing was changed (400)
    BadInput,
    /// What it names does not exist; nothing was changed (404)
    NotFound,
    /// It contradicts the present state; nothing was changed (409)
    Conflict,
    /// weaved is starting, stopping, or lacks what this needs; ask again later (503)
    NotReady,
    /// weaved or the kernel failed; what was begun has been undone as far as possible (500)
    Internal,
}

impl ErrorKind {
    /// The HTTP status of this kind
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadInput => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status() {
        for (kind, status, word) in [
            (ErrorKind::BadInput, 400, "bad_input"),
            (ErrorKind::NotFound, 404, "not_found"),
            (ErrorKind::Conflict, 409, "conflict"),
            (ErrorKind::NotReady, 503, "not_ready"),
            (ErrorKind::Internal, 500, "internal"),
        ] {
            let error = ApiError::new(kind, "no");
            assert_eq!(error.status().as_u16(), status);
            assert_eq!(serde_json::to_value(&error).unwrap()["kind"], word);
        }
    }
}
