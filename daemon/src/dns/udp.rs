//! Questions that come as datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dns::Transport;
use tokio::net::UdpSocket;

use super::answering::{Answering, Counters, Outcome, Task};
use super::upstream;

/// The longest question: what is longer has no room in what we say that we can take
const MAX_QUESTION_BYTES: usize = 4096;

/// Questions that are answered before others on this runtime have their turn
const BUDGET: usize = 64;

/// Until whatever makes a socket fail may have passed
const PAUSE: Duration = Duration::from_millis(100);

/// Answers until the socket is to be closed
pub(super) async fn serve(mut task: Task, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = [0; MAX_QUESTION_BYTES];
    loop {
        // Both are cancel-safe: no datagram is taken before it is answered.
        let readable = tokio::select! {
            () = task.closed.cancelled() => return,
            readable = socket.readable() => readable,
        };
        let turn = readable.and_then(|()| answer_some(&mut task, &socket, &mut buffer));
        if let Err(error) = turn {
            log::debug!("a socket for names: {error}");
            tokio::time::sleep(PAUSE).await;
        }
        tokio::task::yield_now().await;
    }
}

fn answer_some(task: &mut Task, socket: &Arc<UdpSocket>, buffer: &mut [u8]) -> io::Result<()> {
    for _ in 0..BUDGET {
        let (length, from) = match socket.try_recv_from(buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let query = &buffer[..length];
        match task
            .answering
            .answer(query, from.ip(), Transport::Udp, &mut task.rng)
        {
            Outcome::Reply(reply) => send(&task.answering, socket, &reply, from),
            Outcome::Ask(forward, share) => {
                let (answering, closed) = (Arc::clone(&task.answering), task.closed.clone());
                let (socket, query) = (Arc::clone(socket), query.to_vec());
                task.tasks.spawn(async move {
                    let answer = tokio::select! {
                        () = closed.cancelled() => return,
                        () = share.ended() => None,
                        answer = upstream::ask(*forward, Transport::Udp) => answer,
                    };
                    if let Some(reply) = answer.or_else(|| answering.failure(&query)) {
                        send(&answering, &socket, &reply, from);
                    }
                    drop(share);
                });
            }
            Outcome::Drop => {}
        }
    }
    Ok(())
}

/// Sends at once or not at all: whoever asked will ask again
fn send(answering: &Answering, socket: &UdpSocket, reply: &[u8], to: SocketAddr) {
    if let Err(error) = socket.try_send_to(reply, to) {
        Counters::count(&answering.counters.dropped);
        log::debug!("an answer to {to}: {error}");
    }
}
