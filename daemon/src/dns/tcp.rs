//! Questions that come on connections: each after two bytes of its length (RFC 1035, 4.2.2).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dns::Transport;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::answering::{Answering, Counters, Outcome, Task};
use super::clients::account;
use super::shares::{Own, Share, Shares};
use super::upstream;

/// The most connections to one address at once
const MAX_CONNECTIONS: usize = 128;

/// The most connections of clients that are not answered, until they have heard so
const MAX_STRANGERS: usize = 16;

/// How long a connection may wait for a question, and its end for an answer (RFC 7766, 6.2.3)
const IDLE: Duration = Duration::from_secs(10);

/// Until somebody gives back what accepting a connection lacked, descriptors mostly
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Answers until the socket is to be closed
pub(super) async fn serve(mut task: Task, listener: TcpListener) {
    let connections = Shares::new(MAX_CONNECTIONS, Own::EndOldest);
    let strangers = Shares::new(MAX_STRANGERS, Own::EndOldest);
    loop {
        let accepted = tokio::select! {
            () = task.closed.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let from = from.ip();
                // Strangers are told so, and take nobody's place.
                let shares = if task.answering.serves(from) {
                    &connections
                } else {
                    &strangers
                };
                let Some(share) = shares.take(account(from), Instant::now()) else {
                    Counters::count(&task.answering.counters.unheard);
                    continue;
                };
                let (answering, closed) = (Arc::clone(&task.answering), task.closed.clone());
                let rng = StdRng::from_rng(&mut task.rng);
                task.tasks.spawn(async move {
                    let ended = tokio::select! {
                        () = closed.cancelled() => return,
                        () = share.ended() => return Counters::count(&answering.counters.unheard),
                        ended = converse(&answering, stream, (from, &share), rng) => ended,
                    };
                    if let Err(error) = ended {
                        log::debug!("{from} on a connection for names: {error}");
                    }
                });
            }
            Err(error) => {
                log::warn!("cannot accept a connection for names: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one question after another
async fn converse(
    answering: &Answering,
    mut stream: TcpStream,
    (from, connection): (IpAddr, &Share),
    mut rng: StdRng,
) -> io::Result<()> {
    loop {
        let query = tokio::time::timeout(IDLE, read(&mut stream)).await??;
        connection.used();
        let reply = match answering.answer(&query, from, Transport::Tcp, &mut rng) {
            Outcome::Reply(reply) => Some(reply),
            Outcome::Ask(forward, share) => {
                let answer = tokio::select! {
                    () = share.ended() => None,
                    answer = upstream::ask(*forward, Transport::Tcp) => answer,
                };
                drop(share);
                answer.or_else(|| answering.failure(&query))
            }
            Outcome::Drop => None,
        };
        let Some(reply) = reply else {
            return Ok(());
        };
        tokio::time::timeout(IDLE, write(&mut stream, &reply)).await??;
        if !answering.serves(from) {
            return Ok(());
        }
        connection.used();
    }
}

/// Reads one message
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one message
pub(super) async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), message].concat();
    stream.write_all(&framed).await
}
