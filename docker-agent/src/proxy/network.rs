//! A network's creation, which gets the driver of addresses that belongs to our driver of networks.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::create::measured;
use super::exchange::Exchange;
use crate::body::{Body, failure, full, hold, line};
use crate::dockerd::DockerError;
use crate::network::DRIVER;

/// The largest creation of a network, in bytes
const LIMIT: usize = 1 << 20;

/// Asks Docker for the network
pub(super) async fn answer(
    exchange: &Exchange,
    request: Request<Incoming>,
) -> Result<Response<Body>, DockerError> {
    let (mut head, body) = request.into_parts();
    let body = match hold(body, LIMIT).await {
        Ok(body) => body,
        Err(error) => return Ok(failure(StatusCode::BAD_REQUEST, &line(&error))),
    };
    let body = docker::network::rewrite(&body, DRIVER).map_or(body, Into::into);
    measured(&mut head.headers, body.len());
    let response = exchange.pass(Request::from_parts(head, full(body))).await?;
    Ok(exchange.streamed(response))
}
