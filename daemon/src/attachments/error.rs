//! Failures, in the words of the API.

use api::{ApiError, ErrorKind};
use link::{AttachError, DetachError, NetnsError, WaitingError};

use crate::store::StoreError;

/// An error with all its causes, on one line
fn line(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

pub(super) fn store_error(error: StoreError) -> ApiError {
    ApiError::new(ErrorKind::Internal, line(error))
}

/// Something was done, and is not on disk
pub(super) fn done_but(what: &str, after_a_restart: &str, error: StoreError) -> ApiError {
    let text = format!(
        "{what}, but that is not on disk, and {after_a_restart} if weaved is restarted before it is: {}",
        line(error)
    );
    ApiError::new(ErrorKind::Internal, text)
}

pub(super) fn netns_error(error: &NetnsError) -> ApiError {
    let kind = match error {
        NetnsError::NoProcess(_) | NetnsError::Gone(_) => ErrorKind::NotFound,
        NetnsError::NotANetworkNamespace(_) | NetnsError::Host(_) | NetnsError::BadName(_) => {
            ErrorKind::BadInput
        }
        NetnsError::Open { .. } => ErrorKind::Internal,
    };
    ApiError::new(kind, error.to_string())
}

pub(super) fn attach_error(error: AttachError) -> ApiError {
    let kind = match &error {
        AttachError::Netns(error) => return netns_error(error),
        AttachError::NotAnAddress(_) => ErrorKind::BadInput,
        AttachError::OtherNetns(_)
        | AttachError::OtherInterface { .. }
        | AttachError::OtherHostInterface { .. }
        | AttachError::OtherMac { .. }
        | AttachError::Overlap { .. } => ErrorKind::Conflict,
        AttachError::Open(_) | AttachError::Read(_) | AttachError::Step { .. } => ErrorKind::Internal,
    };
    ApiError::new(kind, line(error))
}

pub(super) fn detach_error(error: DetachError) -> ApiError {
    let kind = match &error {
        DetachError::Netns(error) => return netns_error(error),
        DetachError::OtherInterface { .. } => ErrorKind::Conflict,
        DetachError::Open(_) | DetachError::Read(_) | DetachError::Step { .. } => ErrorKind::Internal,
    };
    ApiError::new(kind, line(error))
}

pub(super) fn waiting_error(error: WaitingError) -> ApiError {
    ApiError::new(ErrorKind::Internal, line(error))
}
