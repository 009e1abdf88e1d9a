//! A client's connection, from its first request to its end.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::exchange::Exchange;
use super::splice;
use super::target::Spelled;
use crate::dockerd::HEAD_LIMIT;
use crate::stream::Stream;

/// How long a client may take for a request's head, and be silent before it: as long as Docker lets it
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Answers a client until either side ends the connection; after `stop`, only what was begun
pub(super) async fn serve(stream: Stream, shared: Arc<Shared>, stop: CancellationToken) {
    // One is all there can be: with it the connection is no longer one of requests.
    let (take_over, mut taken_over) = mpsc::channel(1);
    let (upgrade, mut upgraded) = mpsc::channel(1);
    let exchange = match Exchange::new(shared, &stream, take_over, upgrade) {
        Ok(exchange) => Arc::new(exchange),
        Err(error) => return log::warn!("a client's connection cannot be watched: {error}"),
    };
    let service = service_fn(move |request| {
        let exchange = Arc::clone(&exchange);
        async move { exchange.answer(request).await }
    });
    let mut connection = http1::Builder::new()
        .half_close(true)
        .preserve_header_case(true)
        .auto_date_header(false)
        .max_buf_size(HEAD_LIMIT)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(Spelled::new(stream)), service)
        .with_upgrades();
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            Some(takeover) = taken_over.recv() => {
                if let Some(parts) = connection.into_parts() {
                    splice::taken_over(parts.io.into_inner(), parts.read_buf, takeover).await;
                }
                return;
            }
            ended = &mut connection => {
                if let Err(error) = ended {
                    log::debug!("a client's connection: {error}");
                }
                break;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
    drop(connection);
    if let Ok((upstream, client)) = upgraded.try_recv() {
        splice::upgraded(upstream, client).await;
    }
}
