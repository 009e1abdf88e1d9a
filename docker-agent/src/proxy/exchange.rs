//! A request of a client and the answer to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use docker::request::{Request as Meaning, classify};
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::upgrade::{OnUpgrade, on};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{Mutex, mpsc};

use super::Shared;
use super::create;
use super::gone::{Gone, UntilGone};
use super::host;
use super::inspect;
use super::network;
use super::splice::{Takeover, takes_over};
use super::start;
use crate::body::{Body, empty, failure, hold, line, stream};
use crate::dockerd::{Connected, DockerError};
use crate::stream::Stream;

/// What a question gets to reach Docker whose asker does not wait for the answer
const DELIVERY: Duration = Duration::from_millis(500);

/// The largest body of a request that takes its connection over, in bytes: some options
const TAKEOVER_LIMIT: usize = 1 << 20;

/// Nobody is there to answer to
#[derive(Debug, thiserror::Error)]
#[error("the client went away")]
pub(super) struct ClientGone;

/// A client's connection, and Docker's end of it
#[derive(Debug)]
pub(super) struct Exchange {
    shared: Arc<Shared>,
    gone: Arc<Gone>,
    /// As long as both sides keep it
    upstream: Mutex<Option<Connected>>,
    take_over: mpsc::Sender<Takeover>,
    upgrade: mpsc::Sender<(OnUpgrade, OnUpgrade)>,
}

impl Exchange {
    /// Of the client at the other end of this stream
    pub(super) fn new(
        shared: Arc<Shared>,
        client: &Stream,
        take_over: mpsc::Sender<Takeover>,
        upgrade: mpsc::Sender<(OnUpgrade, OnUpgrade)>,
    ) -> io::Result<Self> {
        Ok(Self {
            shared,
            gone: Arc::new(Gone::watch(client)?),
            upstream: Mutex::new(None),
            take_over,
            upgrade,
        })
    }

    /// The answer to a request; an error ends the connection
    pub(super) async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Body>, ClientGone> {
        host::mend(request.headers_mut());
        log::debug!("{} {}", request.method(), request.uri());
        let upgrades = request.headers().contains_key(UPGRADE);
        let answered = if !upgrades && request.method() == "POST" && takes_over(request.uri().path()) {
            self.hand_over(request).await
        } else {
            tokio::select! {
                biased;
                answered = self.meaning(request) => answered,
                () = self.given_up() => return Err(ClientGone),
            }
        };
        Ok(answered.unwrap_or_else(|error| failure(StatusCode::BAD_GATEWAY, &line(&error))))
    }

    /// Returns when nobody waits for the answer, and what was asked has reached Docker all the same
    async fn given_up(&self) {
        self.gone.wait().await;
        tokio::time::sleep(DELIVERY).await;
    }

    async fn meaning(&self, mut request: Request<Incoming>) -> Result<Response<Body>, DockerError> {
        let upgrade = request.headers().contains_key(UPGRADE).then(|| on(&mut request));
        let target = request
            .uri()
            .path_and_query()
            .map_or("", |target| target.as_str());
        match classify(request.method().as_str(), target) {
            Meaning::Create { name } => create::answer(&self.shared, self, request, name.as_deref()).await,
            Meaning::Start { container } => start::answer(&self.shared, self, request, &container).await,
            Meaning::CreateNetwork => network::answer(self, request).await,
            Meaning::Inspect { .. } if self.shared.rewrite_inspect => {
                inspect::answer(&self.shared, self, request).await
            }
            Meaning::Inspect { .. } | Meaning::Other => {
                let response = self.pass(request.map(stream)).await?;
                self.answer_with(response, upgrade)
            }
        }
    }

    /// Sends a request to Docker; the answer's body is to be read
    pub(super) async fn pass(&self, request: Request<Body>) -> Result<Response<Incoming>, DockerError> {
        let docker = &self.shared.docker;
        let mut upstream = self.upstream.lock().await;
        let kept = match upstream.take() {
            Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let mut connected = match kept {
            Some(kept) => kept,
            None => docker.connect().await?,
        };
        let response = connected
            .send_request(request)
            .await
            .map_err(|source| DockerError::exchange(docker.host(), source))?;
        *upstream = Some(connected);
        Ok(response)
    }

    /// The answer of Docker's, to be streamed to the client as long as it is there
    pub(super) fn streamed(&self, response: Response<Incoming>) -> Response<Body> {
        let gone = Arc::clone(&self.gone);
        response.map(|body| stream(UntilGone::new(body, async move { gone.wait().await })))
    }

    /// The same, or the begin of a stream of another protocol
    fn answer_with(
        &self,
        mut response: Response<Incoming>,
        client: Option<OnUpgrade>,
    ) -> Result<Response<Body>, DockerError> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.streamed(response));
        }
        let upstream = on(&mut response);
        if let Some(client) = client {
            let _one_at_most = self.upgrade.try_send((upstream, client));
        }
        Ok(response.map(|_none| empty()))
    }

    /// Leaves the connection to whoever splices it
    async fn hand_over(&self, request: Request<Incoming>) -> Result<Response<Body>, DockerError> {
        let (head, body) = request.into_parts();
        let body = match hold(body, TAKEOVER_LIMIT).await {
            Ok(body) => body,
            Err(error) => return Ok(failure(StatusCode::BAD_REQUEST, &line(&error))),
        };
        let upstream = self.shared.docker.stream().await?;
        let takeover = Takeover { head, body, upstream };
        let _one_at_most = self.take_over.try_send(takeover);
        // The connection ends here, as far as it is one of requests.
        std::future::pending().await
    }
}
