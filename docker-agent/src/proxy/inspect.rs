//! An inspection that shows the address on the network as the container's own.

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};

use super::Shared;
use super::exchange::Exchange;
use crate::body::{Body, full, hold, stream};
use crate::dockerd::DockerError;

/// The largest inspection that is rewritten, in bytes
const LIMIT: usize = 16 << 20;

/// Asks Docker, and puts the network's address in its answer's place for one
pub(super) async fn answer(
    shared: &Shared,
    exchange: &Exchange,
    request: Request<Incoming>,
) -> Result<Response<Body>, DockerError> {
    let response = exchange.pass(request.map(stream)).await?;
    if response.status() != StatusCode::OK {
        return Ok(exchange.streamed(response));
    }
    let (mut head, body) = response.into_parts();
    let body = hold(body, LIMIT).await.map_err(|source| DockerError::Answer {
        docker: shared.docker.host().clone(),
        source,
    })?;
    let body = match docker::inspect::rewrite(&body, shared.policies.network()) {
        Some(rewritten) => rewritten.into(),
        None => body,
    };
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Ok(Response::from_parts(head, full(body)))
}
