//! Docker's API, passed through, except for what puts containers on the network.
//!
//! ```text
//!   client --- connection --- exchange --+-- passed through ------------------ Docker
//!                  |                     +-- create: rewritten, connected ----
//!                  |                     +-- inspect: rewritten if asked for -
//!                  +-- splice: bytes only, once a stream took over ------------
//! ```
//! Each connection of a client has one of its own to Docker, and what goes over the one goes over the
//! other, in step. Bodies are streamed; only those of a creation and of an inspection that is rewritten
//! are held.

mod connection;
mod create;
mod exchange;
mod gone;
mod host;
mod inspect;
mod network;
mod splice;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api::Socket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dockerd::Dockerd;
use crate::policy::Policies;

/// What open streams get to end by themselves, once the end is asked for
const GRACE: Duration = Duration::from_secs(3);

/// What every connection needs
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where everything goes
    pub(crate) docker: Dockerd,
    /// What is made of containers
    pub(crate) policies: Arc<Policies>,
    /// Whether inspections show the network's addresses
    pub(crate) rewrite_inspect: bool,
}

/// Serves clients until `stop`; streams that are open get a short grace
pub(crate) async fn serve(sockets: Vec<Socket>, shared: Arc<Shared>, stop: CancellationToken) {
    let open = TaskTracker::new();
    let accepting = sockets.into_iter().map(|socket| {
        let (shared, stop, open) = (Arc::clone(&shared), stop.clone(), open.clone());
        tokio::spawn(async move {
            while let Some(stream) = stop.run_until_cancelled(socket.accept()).await {
                open.spawn(connection::serve(stream, Arc::clone(&shared), stop.clone()));
            }
        })
    });
    for accepting in accepting.collect::<Vec<_>>() {
        let _ended = accepting.await;
    }
    open.close();
    if tokio::time::timeout(GRACE, open.wait()).await.is_err() {
        log::info!("{} streams of clients are cut off", open.len());
    }
}
