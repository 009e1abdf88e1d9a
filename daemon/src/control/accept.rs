//! The control port.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Input;
use crate::inside::Door;

/// How long the control port may go without accepting after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts control connections for as long as the process runs
///
/// Those of containers are closed before a byte is read or sent.
pub(crate) async fn accept(
    listener: TcpListener,
    door: Door,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                let Ok(local) = stream.local_addr() else { continue };
                if !door.lets_in(local, remote, Instant::now()) {
                    continue;
                }
                if inputs.send(Input::Accepted { stream }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                log::warn!("cannot accept control connections: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
