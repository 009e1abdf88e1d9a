//! A container's creation: rewritten on its way to Docker, and its container connected to the network
//! before the client hears of it.

use std::sync::Arc;

use docker::create::{Connect, Rewrite};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue, TRAILER, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;

use super::Shared;
use super::exchange::Exchange;
use crate::addresses::specs;
use crate::body::{Body, HoldError, failure, full, hold, line};
use crate::container::Container;
use crate::dockerd::DockerError;

/// The largest creation that is looked into, in bytes
const LIMIT: usize = 16 << 20;
/// The largest answer to one, in bytes: an id and warnings
const ANSWER_LIMIT: usize = 1 << 20;

/// Asks Docker for the container as it is to be on the network
pub(super) async fn answer(
    shared: &Arc<Shared>,
    exchange: &Exchange,
    request: Request<Incoming>,
    name: Option<&str>,
) -> Result<Response<Body>, DockerError> {
    let (mut head, body) = request.into_parts();
    let body = match hold(body, LIMIT).await {
        Ok(body) => body,
        Err(error) => return Ok(unreadable(&error)),
    };
    let rewrite = match shared.policies.rewrite(&body, name).await {
        Ok(rewrite) => rewrite,
        Err(refusal) => return Ok(failure(refusal.status(), &line(&refusal))),
    };
    let (body, connect) = match rewrite {
        Rewrite::Unchanged => (body, None),
        Rewrite::Joined { body, connect } => {
            if let Err(error) = specs(&connect.addresses) {
                let message = format!("WEAVE_CIDR={}: {error}", connect.addresses);
                return Ok(failure(StatusCode::BAD_REQUEST, &message));
            }
            (Bytes::from(body), Some(connect))
        }
    };
    measured(&mut head.headers, body.len());
    let response = exchange.pass(Request::from_parts(head, full(body))).await?;
    let Some(connect) = connect.filter(|_| response.status() == StatusCode::CREATED) else {
        return Ok(exchange.streamed(response));
    };
    let (mut head, body) = response.into_parts();
    let shared = Arc::clone(shared);
    // A task of its own, so that a client that goes away leaves no container half-made.
    let finished = tokio::spawn(async move {
        let body = hold(body, ANSWER_LIMIT)
            .await
            .map_err(|source| DockerError::Answer {
                docker: shared.docker.host().clone(),
                source,
            })?;
        let container = finish(&shared, &body, connect).await?;
        Ok((body, container))
    });
    match finished.await {
        Ok(Ok((body, Ok(())))) => {
            measured(&mut head.headers, body.len());
            Ok(Response::from_parts(head, full(body)))
        }
        Ok(Ok((_body, Err(message)))) => Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, &message)),
        Ok(Err(error)) => Err(error),
        Err(_stopping) => Ok(failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "weave-docker is stopping",
        )),
    }
}

/// The part of an answer to a creation that is needed here
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

/// Connects what Docker made; where that fails it is removed, and the message says why
async fn finish(shared: &Shared, answer: &[u8], connect: Connect) -> Result<Result<(), String>, DockerError> {
    let Created { id } = serde_json::from_slice(answer).map_err(|source| DockerError::Malformed {
        path: "/containers/create".to_owned(),
        source,
    })?;
    let Err(error) = connected(shared, &id, connect).await else {
        return Ok(Ok(()));
    };
    let mut message = format!("the container cannot be put on the network: {}", line(&error));
    log::warn!("{id}: {message}");
    let path = format!("/containers/{id}?force=1&v=1");
    if let Err(error) = shared.docker.ask(Method::DELETE, &path, None).await
        && !error.is_not_found()
    {
        message.push_str(&format!("; and it could not be removed: {}", line(&error)));
    }
    Ok(Err(message))
}

async fn connected(shared: &Shared, id: &str, mut connect: Connect) -> Result<(), DockerError> {
    if connect.name.is_none()
        && let Some(domain) = shared.policies.names_domain().await
    {
        // Docker has named it.
        let container = Container::inspect(&shared.docker, id).await?;
        connect.name = container.name_in(&domain);
    }
    let (docker, network) = (&shared.docker, &connect.network);
    if let Some(first) = connect.first(id) {
        let path = format!("/networks/{network}/disconnect");
        docker.ask(Method::POST, &path, Some(first)).await?;
    }
    let path = format!("/networks/{network}/connect");
    match docker.ask(Method::POST, &path, Some(connect.body(id))).await {
        Err(error) if error.is_not_found() => {
            // The network was removed, by somebody or with Docker's data.
            crate::network::ensure(docker, network).await?;
            docker.ask(Method::POST, &path, Some(connect.body(id))).await?;
        }
        other => {
            other?;
        }
    }
    Ok(())
}

/// Its length is known, and it comes in one piece
pub(super) fn measured(headers: &mut HeaderMap, length: usize) {
    for gone in [TRANSFER_ENCODING, TRAILER, EXPECT] {
        headers.remove(gone);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

fn unreadable(error: &HoldError) -> Response<Body> {
    let status = match error {
        HoldError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        HoldError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    failure(status, &line(error))
}
