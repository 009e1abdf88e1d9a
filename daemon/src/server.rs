//! The control API: HTTP and JSON on a unix socket, mode 0660.
//!
//! A question is heard out for some seconds, then its connection is closed: whoever says nothing, or
//! half of it, holds nothing for long.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{ApiError, ErrorKind, REQUEST_LIMIT, Route, routes};
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
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// A daemon that answers this slowly is not one to wait for.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// What a question may take to come, its head and its body each
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Until somebody gives back what accepting a connection lacked, descriptors mostly
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The bound control socket; the file goes away with it
#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    _file: SocketFile,
}

impl Server {
    /// Binds the control socket, taking the place of one that nobody answers on
    pub(crate) async fn bind(path: &Path) -> Result<Self, BindError> {
        let error = |source| BindError::Socket {
            path: path.to_owned(),
            source,
        };
        if let Some(dir) = path
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(dir)
                .map_err(error)?;
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => {
                if let Ok(Ok(_stream)) = tokio::time::timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await
                {
                    return Err(BindError::InUse {
                        path: path.to_owned(),
                    });
                }
                fs::remove_file(path).map_err(error)?;
            }
            Ok(_other) => {
                return Err(BindError::NotASocket {
                    path: path.to_owned(),
                });
            }
            Err(_absent) => {}
        }
        let listener = UnixListener::bind(path).map_err(error)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(error)?;
        Ok(Self {
            listener,
            _file: file,
        })
    }

    /// Serves until `stop`; answers under way are finished
    pub(crate) async fn serve(self, app: App, stop: CancellationToken) {
        let router = TowerToHyperService::new(router(app));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(QUESTION_TIMEOUT);
        let open = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _unnamed)) => {
                    let connection = http.serve_connection(TokioIo::new(stream), router.clone());
                    let connection = open.watch(connection);
                    tokio::spawn(async move {
                        if let Err(error) = connection.await {
                            log::debug!("a connection to the control socket: {error}");
                        }
                    });
                }
                Err(error) => {
                    log::warn!("cannot accept on the control socket: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        open.shutdown().await;
    }
}

/// A socket's file, which goes with this
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

/// The control socket could not be bound
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Another daemon answers there
    #[error("another weaved answers on {}; give this one its own --socket", path.display())]
    InUse {
        /// The socket
        path: PathBuf,
    },
    /// Something that is not a socket is in the way
    #[error("{} is in the way of the control socket; move it or give another --socket", path.display())]
    NotASocket {
        /// The file
        path: PathBuf,
    },
    /// The kernel refused
    #[error("cannot make the control socket {}", path.display())]
    Socket {
        /// The socket
        path: PathBuf,
        /// What the kernel said
        #[source]
        source: io::Error,
    },
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
