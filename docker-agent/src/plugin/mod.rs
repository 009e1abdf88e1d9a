//! The driver of Docker's networks: what Docker calls when a container starts and ends.
//!
//! Docker waits for each answer, and tries again for half a minute where nobody answers. So every call is
//! answered within five seconds, if need be with an error that says what to do.

mod calls;
mod heir;
mod hosts;
mod ipam;
mod joining;
mod patience;
#[cfg(test)]
mod tests;
mod underway;

use std::sync::Arc;
use std::time::Duration;

use api::Socket;
use docker::plugin::{CONTENT_TYPE, Call, Failure, IpamFailure};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::calls::Driver;
pub(crate) use self::hosts::path as hosts_path;
use crate::body::{Body, failure, full, hold, line};

/// The largest call, in bytes: labels and published ports are told with it
const LIMIT: usize = 4 << 20;
/// What a call may take to come, its head and its body each
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);
/// What calls that are under way get to end, once the end is asked for
const GRACE: Duration = Duration::from_secs(3);

/// Answers Docker until `stop`; calls under way are finished
pub(crate) async fn serve(socket: Socket, driver: Arc<Driver>, stop: CancellationToken) {
    let open = TaskTracker::new();
    while let Some(stream) = stop.run_until_cancelled(socket.accept()).await {
        open.spawn(connection(stream, Arc::clone(&driver), stop.clone()));
    }
    open.close();
    if tokio::time::timeout(GRACE, open.wait()).await.is_err() {
        log::info!("{} calls of Docker's are cut off", open.len());
    }
}

async fn connection(stream: UnixStream, driver: Arc<Driver>, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let driver = Arc::clone(&driver);
        async move { Ok::<_, std::convert::Infallible>(answer(&driver, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(None);
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        log::debug!("a connection of Docker's: {error}");
    }
}

async fn answer(driver: &Driver, request: Request<Incoming>) -> Response<Body> {
    let call = Call::of(request.uri().path()).filter(|_| request.method() == Method::POST);
    let Some(call) = call else {
        return failure(StatusCode::NOT_FOUND, "there is no such call of a network driver");
    };
    match tokio::time::timeout(QUESTION_TIMEOUT, hold(request.into_body(), LIMIT)).await {
        Ok(Ok(body)) => driver.answer(call, &body).await,
        Ok(Err(error)) => failed(&line(&error)),
        Err(_elapsed) => failed("the call did not come whole"),
    }
}

/// An answer of JSON
fn said(value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).map(Bytes::from);
    let mut response = Response::new(full(text.unwrap_or_else(|_unwritable| Bytes::from_static(b"{}"))));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

/// The same of the driver of addresses, which has another word for it
fn no_address(message: &str) -> Response<Body> {
    said(&IpamFailure {
        error: message.to_owned(),
    })
}

/// An answer that says what went wrong
fn failed(message: &str) -> Response<Body> {
    said(&Failure {
        err: message.to_owned(),
    })
}
