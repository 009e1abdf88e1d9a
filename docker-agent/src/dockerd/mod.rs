//! Asking Docker.

mod client;
mod error;
mod events;

pub(crate) use self::client::{Connected, Dockerd, HEAD_LIMIT};
pub(crate) use self::error::DockerError;
#[cfg(test)]
pub(crate) use self::events::Actor;
pub(crate) use self::events::{Event, Events, encoded};
