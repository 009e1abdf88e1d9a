//! A container's start by an old client, which says once more how Docker is to treat the container.

use docker::start::{mend, says};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};

use super::Shared;
use super::create::measured;
use super::exchange::Exchange;
use crate::body::{Body, failure, full, hold, line, stream};
use crate::dockerd::{DockerError, encoded};

/// The largest body of a start, in bytes
const LIMIT: usize = 16 << 20;

/// Asks Docker for the start, so that the container stays on the network
pub(super) async fn answer(
    shared: &Shared,
    exchange: &Exchange,
    request: Request<Incoming>,
    container: &str,
) -> Result<Response<Body>, DockerError> {
    if request.body().is_end_stream() {
        let response = exchange.pass(request.map(stream)).await?;
        return Ok(exchange.streamed(response));
    }
    let (mut head, body) = request.into_parts();
    let body = match hold(body, LIMIT).await {
        Ok(body) => body,
        Err(error) => return Ok(failure(StatusCode::BAD_REQUEST, &line(&error))),
    };
    let body = match says(&body) {
        true => mended(shared, body, container).await?,
        false => body,
    };
    measured(&mut head.headers, body.len());
    let response = exchange.pass(Request::from_parts(head, full(body))).await?;
    Ok(exchange.streamed(response))
}

/// The body for a container as it is; of one that Docker does not know it says so itself
async fn mended(shared: &Shared, body: Bytes, container: &str) -> Result<Bytes, DockerError> {
    let docker = &shared.docker;
    let path = format!("/containers/{}/json", encoded(container));
    let inspection = match docker.ask(Method::GET, &path, None).await {
        Ok(inspection) => inspection,
        Err(error) if error.is_not_found() => return Ok(body),
        Err(error) => return Err(error),
    };
    let Some(mended) = mend(&body, &inspection, shared.policies.network()) else {
        return Ok(body);
    };
    for network in &mended.leaves {
        let path = format!("/networks/{}/disconnect", encoded(network));
        let question = serde_json::json!({ "Container": mended.container, "Force": true });
        let question = question.to_string().into_bytes();
        docker.ask(Method::POST, &path, Some(question)).await?;
    }
    Ok(mended.body.into())
}
