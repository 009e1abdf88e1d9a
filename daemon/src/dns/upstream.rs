//! One question that others are asked, by the transport that it came by.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use dns::{Came, Forward, Transport};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::tcp;

/// The longest datagram
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// Asks the servers in their order; the answer, with the asker's id, or nothing if there was none in time
pub(super) async fn ask(mut forward: Forward, transport: Transport) -> Option<Vec<u8>> {
    let mut waiting = FuturesUnordered::new();
    let mut sockets: Vec<(SocketAddr, Arc<UdpSocket>)> = Vec::new();
    loop {
        while let Some(server) = forward.poll_ask(Instant::now()) {
            match transport {
                Transport::Tcp => waiting.push(on_connection(server, forward.query().to_vec())),
                Transport::Udp => match again(&sockets, server) {
                    Some(socket) => drop(socket.try_send(forward.query())),
                    None => match open(server, forward.query()).await {
                        Ok(socket) => {
                            sockets.push((server, Arc::clone(&socket)));
                            waiting.push(datagram(server, socket));
                        }
                        Err(error) => {
                            log::debug!("cannot ask {server}: {error}");
                            forward.failed(server, Instant::now());
                        }
                    },
                },
            }
        }
        if forward.is_over(Instant::now()) {
            return forward.into_refusal();
        }
        // Cancel-safe: whoever waits for an answer goes on waiting in the list.
        tokio::select! {
            Some((server, came)) = waiting.next() => {
                let now = Instant::now();
                match came {
                    Ok(bytes) => match (forward.came(server, &bytes, now), transport) {
                        (Came::Answer(answer), _) => return Some(answer),
                        (Came::Nothing, Transport::Udp) => {
                            let socket = again(&sockets, server).map(|socket| datagram(server, socket));
                            waiting.extend(socket);
                        }
                        (Came::Nothing, Transport::Tcp) => forward.failed(server, now),
                    },
                    Err(error) => {
                        log::debug!("asked {server}: {error}");
                        forward.failed(server, now);
                    }
                }
            }
            () = tokio::time::sleep_until(forward.poll_timeout().into()) => {}
        }
    }
}

/// A server's bytes, when they come
type Waiting = Pin<Box<dyn Future<Output = (SocketAddr, io::Result<Vec<u8>>)> + Send>>;

/// A socket of its own for each server that is asked: nobody knows its port, and it hears nobody else
async fn open(server: SocketAddr, query: &[u8]) -> io::Result<Arc<UdpSocket>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    Ok(Arc::new(socket))
}

fn again(sockets: &[(SocketAddr, Arc<UdpSocket>)], server: SocketAddr) -> Option<Arc<UdpSocket>> {
    let asked = sockets.iter().find(|(asked, _)| *asked == server);
    asked.map(|(_, socket)| Arc::clone(socket))
}

fn datagram(server: SocketAddr, socket: Arc<UdpSocket>) -> Waiting {
    let receive = async move {
        loop {
            socket.readable().await?;
            let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
            match socket.try_recv(&mut bytes) {
                Ok(length) => {
                    bytes.truncate(length);
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    Box::pin(async move { (server, receive.await) })
}

fn on_connection(server: SocketAddr, query: Vec<u8>) -> Waiting {
    let exchange = async move {
        let mut stream = TcpStream::connect(server).await?;
        tcp::write(&mut stream, &query).await?;
        tcp::read(&mut stream).await
    };
    Box::pin(async move { (server, exchange.await) })
}
