//! Docker's API, passed through, except for what puts containers on the network.
//!
//! ```text
//!   client --- connection --- exchange --+-- passed through ------------------ Docker
//!                  |                     +-- create: rewritten, connected ----
//!                  |                     +-- start: mended, if an old client says more
//!                  |                     +-- inspect: rewritten if asked for -
//!                  +-- splice: bytes only, once a stream took over ------------
//! ```
//! Each connection of a client has one of its own to Docker, and what goes over the one goes over the
//! other, in step. Bodies are streamed; only those of a creation, of a start and of an inspection that is
//! rewritten are held.

mod connection;
mod create;
mod exchange;
mod gone;
mod host;
mod inspect;
mod network;
mod splice;
mod start;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dockerd::Dockerd;
use crate::listen::Listener;
use crate::policy::Policies;
use crate::stream::Stream;

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
pub(crate) async fn serve(listeners: Vec<Listener>, shared: Arc<Shared>, stop: CancellationToken) {
    let open = TaskTracker::new();
    let accepting = listeners.into_iter().map(|listener| {
        let (shared, stop, open) = (Arc::clone(&shared), stop.clone(), open.clone());
        tokio::spawn(async move {
            let accepting = accept(&listener, &shared, &open, &stop);
            stop.run_until_cancelled(accepting).await;
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

async fn accept(listener: &Listener, shared: &Arc<Shared>, open: &TaskTracker, stop: &CancellationToken) {
    loop {
        let (shared, stop) = (Arc::clone(shared), stop.clone());
        match listener {
            Listener::Unix(socket) => {
                let stream = Stream::Unix(socket.accept().await);
                open.spawn(connection::serve(stream, shared, stop));
            }
            Listener::Tcp(port) => {
                let arrival = port.accept().await;
                open.spawn(async move {
                    if let Some(Some((stream, _place))) = stop.run_until_cancelled(arrival.enter()).await {
                        connection::serve(stream, shared, stop).await;
                    }
                });
            }
        }
    }
}
