//! The protocol by which Docker asks the drivers of networks and of addresses.
//!
//! Each call is a `POST` of JSON to a path that names it ([`Call`]); the answer is JSON, with status 200
//! even where it says an error. What a request has beyond what is known here is ignored, and what it
//! lacks, or has null, is empty.

mod call;
mod decide;
mod ipam;
mod network;
mod pool;

pub use call::Call;
pub use decide::Wanted;
pub use ipam::{
    AddressAnswer, AddressReleased, AddressRequest, AddressSpaces, IpamCapabilities, IpamFailure, PoolAnswer,
    PoolReleased, PoolRequest,
};
pub use network::{
    Activated, Capabilities, CreateEndpoint, CreateNetwork, DeleteNetwork, Done, EndpointCreated,
    EndpointInfo, EndpointRef, Failure, Interface, InterfaceName, Join, Joined, MULTICAST, Route,
};

pub use pool::{Pool, PoolError};

use serde::de::DeserializeOwned;

/// What the answers are to be sent as
pub const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.1+json";

/// The request that a body is; an empty one has nothing
///
/// # Errors
///
/// If it is no JSON, or not of that request.
pub fn request<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(Malformed)
}

/// What came is no request of Docker's to a driver; nothing was changed
#[derive(Debug, thiserror::Error)]
#[error("this is no request to a network driver that is known here")]
pub struct Malformed(#[source] serde_json::Error);
