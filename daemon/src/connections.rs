//! The TCP connections under the mesh: a reader and a writer task each.
//!
//! The reader waits when the control task is behind, so TCP itself slows the peer down. The writer's
//! queue is bounded; a peer that does not read while it fills loses its connection, which the mesh
//! treats as any other loss.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gossip::{ConnId, Disconnect};
use model::Target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::control::Input;

/// Sends that may wait for one peer: a full table of a large mesh is a few hundred messages.
const WRITE_QUEUE: usize = 1024;
/// Bytes of these: twice the largest table that peers exchange. A peer that does not read costs no more.
const WRITE_QUEUE_BYTES: usize = 32 << 20;
/// A dial that takes longer has met a host that drops our packets.
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a closing connection may take to send what it still has.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue to the task that writes to one peer
#[derive(Debug)]
struct Writer {
    sender: mpsc::Sender<Vec<u8>>,
    /// Bytes in the queue
    queued: Arc<AtomicUsize>,
}

impl Writer {
    /// Queues bytes; false where they are more than may wait
    fn send(&self, bytes: Vec<u8>) -> bool {
        let len = bytes.len();
        let before = self.queued.fetch_add(len, Ordering::Relaxed);
        if before.saturating_add(len) > WRITE_QUEUE_BYTES {
            return false;
        }
        self.sender.try_send(bytes).is_ok()
    }
}

/// The open connections, and the way back to the control task
#[derive(Debug)]
pub(crate) struct Connections {
    writers: BTreeMap<ConnId, Writer>,
    inputs: mpsc::Sender<Input>,
    tasks: TaskTracker,
}

impl Connections {
    /// No connections yet; what happens on them goes to `inputs`
    pub(crate) fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self {
            writers: BTreeMap::new(),
            inputs,
            tasks: TaskTracker::new(),
        }
    }

    /// Takes over a stream that the mesh knows as `conn`
    pub(crate) fn adopt(&mut self, conn: ConnId, stream: TcpStream) {
        let _best_effort = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let (sender, queue) = mpsc::channel(WRITE_QUEUE);
        let queued = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&queued);
        self.writers.insert(conn, Writer { sender, queued });
        let reader = tokio::spawn(read(conn, reader, self.inputs.clone()));
        self.tasks.spawn(async move {
            // After a failed write the reader sees the same end, and reports it.
            if write(writer, queue, &written).await == Written::All {
                reader.abort();
            }
        });
    }

    /// Queues bytes; false where the connection is gone or its peer does not read
    pub(crate) fn send(&mut self, conn: ConnId, bytes: Vec<u8>) -> bool {
        self.writers.get(&conn).is_some_and(|writer| writer.send(bytes))
    }

    /// Sends what is queued, then closes
    pub(crate) fn close(&mut self, conn: ConnId) {
        self.writers.remove(&conn);
    }

    /// Sends what is queued on every connection, then closes all
    pub(crate) async fn close_all(mut self) {
        self.writers.clear();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Connects to `target`; the error is text for people
pub(crate) async fn dial(target: Target, default_port: u16, from: IpAddr) -> Result<TcpStream, String> {
    let address = resolve(&target, default_port).await?;
    let connect = async {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        if !from.is_unspecified() && from.is_ipv4() == address.is_ipv4() {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        socket.connect(address).await
    };
    match tokio::time::timeout(DIAL_TIMEOUT, connect).await {
        Ok(result) => result.map_err(|error: io::Error| format!("cannot connect to {address}: {error}")),
        Err(_elapsed) => Err(format!(
            "cannot connect to {address}: no answer within {DIAL_TIMEOUT:?}"
        )),
    }
}

async fn resolve(target: &Target, default_port: u16) -> Result<SocketAddr, String> {
    if let Some(address) = target.address(default_port) {
        return Ok(address);
    }
    let port = target.port.unwrap_or(default_port);
    let found = tokio::net::lookup_host((target.host.as_str(), port))
        .await
        .map_err(|error| format!("cannot resolve {}: {error}", target.host))?;
    // The kernel datapath tunnels over IPv4, so an IPv4 address is the better of two.
    found
        .min_by_key(SocketAddr::is_ipv6)
        .ok_or_else(|| format!("{} has no address", target.host))
}

async fn read(conn: ConnId, mut reader: OwnedReadHalf, inputs: mpsc::Sender<Input>) {
    let mut buffer = vec![0; 16 * 1024];
    let why = loop {
        match reader.read(&mut buffer).await {
            Ok(0) => break Disconnect::Eof,
            Ok(len) => {
                if inputs
                    .send(Input::Bytes {
                        conn,
                        bytes: buffer[..len].to_vec(),
                    })
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(_reset) => break Disconnect::Reset,
        }
    };
    let _stopping = inputs.send(Input::Disconnected { conn, why }).await;
}

#[derive(Debug, PartialEq, Eq)]
enum Written {
    All,
    Failed,
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Vec<u8>>,
    queued: &AtomicUsize,
) -> Written {
    while let Some(bytes) = queue.recv().await {
        queued.fetch_sub(bytes.len(), Ordering::Relaxed);
        let closing = queue.is_closed();
        let result = if closing {
            tokio::time::timeout(FLUSH_TIMEOUT, writer.write_all(&bytes))
                .await
                .unwrap_or(Ok(()))
        } else {
            writer.write_all(&bytes).await
        };
        if result.is_err() {
            return Written::Failed;
        }
    }
    let _gone = tokio::time::timeout(FLUSH_TIMEOUT, writer.shutdown()).await;
    Written::All
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_costs_a_bounded_number_of_bytes() {
        let (sender, mut queue) = mpsc::channel(WRITE_QUEUE);
        let queued = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            sender,
            queued: Arc::clone(&queued),
        };
        let piece = || vec![0; 1 << 20];
        let taken = (0..WRITE_QUEUE).take_while(|_| writer.send(piece())).count();
        assert_eq!(taken, WRITE_QUEUE_BYTES >> 20);
        // What is written makes room.
        drop(queue.recv().await);
        queued.store(0, Ordering::Relaxed);
        assert!(writer.send(piece()));
        let taken = (0..2 * WRITE_QUEUE).take_while(|_| writer.send(vec![0])).count();
        assert!(taken < WRITE_QUEUE, "their number is bounded, too: {taken}");
    }
}
