//! The control API: HTTP and JSON on a unix socket, mode 0660.
//!
//! A question is heard out for some seconds, then its connection is closed: whoever says nothing, or
//! half of it, holds nothing for long.

use std::path::Path;
use std::time::Duration;

use api::{ApiError, BindError, ErrorKind, REQUEST_LIMIT, Route, Socket, routes};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// What a question may take to come, its head and its body each
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The bound control socket
#[derive(Debug)]
pub(crate) struct Server {
    socket: Socket,
}

impl Server {
    /// Binds the control socket, taking the place of one that nobody answers on
    pub(crate) async fn bind(path: &Path) -> Result<Self, BindError> {
        let socket = Socket::bind(path).await?;
        Ok(Self { socket })
    }

    /// Serves until `stop`; answers under way are finished
    pub(crate) async fn serve(self, app: App, stop: CancellationToken) {
        let router = TowerToHyperService::new(router(app));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(QUESTION_TIMEOUT);
        let open = GracefulShutdown::new();
        while let Some(stream) = stop.run_until_cancelled(self.socket.accept()).await {
            let connection = http.serve_connection(TokioIo::new(stream), router.clone());
            let connection = open.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    log::debug!("a connection to the control socket: {error}");
                }
            });
        }
        open.shutdown().await;
    }
}

fn router(app: App) -> Router {
    let router = Router::new();
    let router = route(router, &routes::HEALTH, |app, ()| async move { Ok(app.health()) });
    let router = route(
        router,
        &routes::STATUS,
        |app, ()| async move { app.status().await },
    );
    let router = route(router, &routes::CONNECTIONS, |app, ()| async move {
        app.connections().await
    });
    let router = route(router, &routes::PEERS, |app, ()| async move { app.peers().await });
    let router = route(
        router,
        &routes::TARGETS,
        |app, ()| async move { app.targets().await },
    );
    let router = route(router, &routes::CONNECT, |app, request| async move {
        app.connect(request).await
    });
    let router = route(router, &routes::FORGET, |app, request| async move {
        app.forget(request).await
    });
    let router = route(router, &routes::FLOWS, |app, ()| async move { app.flows().await });
    let router = route(router, &routes::CONTAINERS, |app, ()| async move {
        app.containers().await
    });
    let router = route(router, &routes::ATTACH, |app, request| async move {
        app.attach(request).await
    });
    let router = route(router, &routes::DETACH, |app, request| async move {
        app.detach(request).await
    });
    let router = route(router, &routes::FORGET_CONTAINER, |app, request| async move {
        app.forget_container(request).await
    });
    let router = route(router, &routes::CREATE_ENDPOINT, |app, request| async move {
        app.create_endpoint(request).await
    });
    let router = route(router, &routes::JOIN_ENDPOINT, |app, request| async move {
        app.join_endpoint(request).await
    });
    let router = route(router, &routes::ABANDON_ENDPOINT, |app, request| async move {
        app.abandon_endpoint(request).await
    });
    let router = route(router, &routes::DELETE_ENDPOINT, |app, request| async move {
        app.delete_endpoint(request).await
    });
    let router = route(router, &routes::EXPOSE, |app, request| async move {
        app.expose(request).await
    });
    let router = route(router, &routes::HIDE, |app, request| async move {
        app.hide(request).await
    });
    let router = route(router, &routes::IPAM, |app, ()| async move { app.ipam().await });
    let router = route(router, &routes::RESERVE_ADDRESS, |app, request| async move {
        app.reserve_address(request).await
    });
    let router = route(router, &routes::RELEASE_ADDRESS, |app, request| async move {
        app.release_address(request).await
    });
    let router = route(router, &routes::PRIME, |app, ()| async move { app.prime().await });
    let router = route(router, &routes::REMOVE_PEERS, |app, request| async move {
        app.remove_peers(request).await
    });
    let router = route(router, &routes::BAN, |app, request| async move {
        app.ban(request).await
    });
    let router = route(router, &routes::PASSWORD, |app, request| async move {
        app.password(request).await
    });
    let router = route(router, &routes::NAMES, |app, ()| async move { app.names().await });
    let router = route(router, &routes::ADD_NAMES, |app, request| async move {
        app.add_names(request).await
    });
    let router = route(router, &routes::REMOVE_NAMES, |app, request| async move {
        app.remove_names(request).await
    });
    let router = route(router, &routes::LOOKUP, |app, request| async move {
        app.lookup(request).await
    });
    let router = route(
        router,
        &routes::REPORT,
        |app, ()| async move { app.report().await },
    );
    let router = route(router, &routes::STOP, |app, ()| async move { Ok(app.stop()) });
    let router = route(router, &routes::RESET, |app, ()| async move { Ok(app.reset()) });
    router
        .route(
            "/metrics",
            on(MethodFilter::GET, |State(app): State<App>| async move {
                app.metrics().await
            }),
        )
        .fallback(|| async {
            failure(&ApiError::new(
                ErrorKind::NotFound,
                "there is no such path in this API",
            ))
        })
        .with_state(app)
}

/// Adds one of the API's routes, with the types that it was declared with
fn route<Question, Answer, Handler, Answering>(
    router: Router<App>,
    route: &'static Route<Question, Answer>,
    handler: Handler,
) -> Router<App>
where
    Question: DeserializeOwned + Send + 'static,
    Answer: Serialize + Send + 'static,
    Handler: Fn(App, Question) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Result<Answer, ApiError>> + Send + 'static,
{
    let Ok(method) = MethodFilter::try_from(route.method.clone()) else {
        return router;
    };
    let handle = move |State(app): State<App>, body: Body| async move {
        let question = match question(body).await {
            Ok(question) => question,
            Err(error) => return failure(&error),
        };
        // On its own: what was begun is finished, also for somebody who hangs up meanwhile.
        match tokio::spawn(handler(app, question)).await {
            Ok(Ok(answer)) => json(StatusCode::OK, &answer),
            Ok(Err(error)) => failure(&error),
            Err(error) => failure(&ApiError::new(ErrorKind::Internal, error.to_string())),
        }
    };
    router.route(route.path, on(method, handle))
}

async fn question<Question: DeserializeOwned>(body: Body) -> Result<Question, ApiError> {
    let bad = |text: String| ApiError::new(ErrorKind::BadInput, text);
    let bytes = tokio::time::timeout(QUESTION_TIMEOUT, to_bytes(body, REQUEST_LIMIT))
        .await
        .map_err(|_elapsed| {
            let limit = QUESTION_TIMEOUT.as_secs();
            bad(format!("the request did not come within {limit} s"))
        })?
        .map_err(|error| bad(format!("the request cannot be read or is too large: {error}")))?;
    let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(bytes).map_err(|error| bad(format!("the request is wrong: {error}")))
}

fn failure(error: &ApiError) -> Response {
    json(error.status(), error)
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(_unwritable) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
