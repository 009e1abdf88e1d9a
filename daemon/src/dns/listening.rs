//! The addresses that are listened on, by UDP and TCP each.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

/// Connections that wait to be accepted
const BACKLOG: i32 = 64;

/// Questions that wait to be read, some thousand; the kernel may give less
const RECEIVE_BUFFER: usize = 1 << 20;

/// What is bound, by the address that was wanted
#[derive(Debug, Default)]
pub(super) struct Listening(BTreeMap<SocketAddr, Listener>);

#[derive(Debug)]
struct Listener {
    bound: SocketAddr,
    /// Until they are served
    sockets: Option<(UdpSocket, TcpListener)>,
    closed: CancellationToken,
}

/// Two sockets that are to be served, until the token says that the address is not wanted any more
pub(super) type Start = (SocketAddr, UdpSocket, TcpListener, CancellationToken);

impl Listening {
    /// Closes what is not wanted, and binds what is; says what could not be bound
    pub(super) fn bind(&mut self, wanted: &[SocketAddr]) -> Vec<BindError> {
        self.0.retain(|address, listener| {
            let stays = wanted.contains(address);
            if !stays {
                listener.closed.cancel();
            }
            stays
        });
        let mut errors = Vec::new();
        for address in wanted {
            if self.0.contains_key(address) {
                continue;
            }
            match sockets(*address) {
                Ok((bound, udp, tcp)) => {
                    let listener = Listener {
                        bound,
                        sockets: Some((udp, tcp)),
                        closed: CancellationToken::new(),
                    };
                    self.0.insert(*address, listener);
                }
                Err(source) => errors.push(BindError {
                    address: *address,
                    source,
                }),
            }
        }
        errors
    }

    /// What has been bound and is not served yet
    pub(super) fn start(&mut self, stop: &CancellationToken) -> Vec<Start> {
        let start = |listener: &mut Listener| {
            let (udp, tcp) = listener.sockets.take()?;
            listener.closed = stop.child_token();
            Some((listener.bound, udp, tcp, listener.closed.clone()))
        };
        self.0.values_mut().filter_map(start).collect()
    }

    /// Where questions may come
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.values().map(|listener| listener.bound).collect()
    }
}

/// An address cannot be listened on; nothing was changed
#[derive(Debug, thiserror::Error)]
#[error("cannot answer names on {address}; give a free one with --dns-listen-address, or --no-dns")]
pub(crate) struct BindError {
    /// The address
    pub(crate) address: SocketAddr,
    /// What the kernel said
    #[source]
    pub(crate) source: io::Error,
}

fn sockets(address: SocketAddr) -> io::Result<(SocketAddr, UdpSocket, TcpListener)> {
    let udp = socket(address, Type::DGRAM, Protocol::UDP)?;
    let udp = UdpSocket::from_std(udp.into())?;
    // The same port, if the kernel chose it
    let bound = udp.local_addr()?;
    let tcp = socket(bound, Type::STREAM, Protocol::TCP)?;
    tcp.listen(BACKLOG)?;
    Ok((bound, udp, TcpListener::from_std(tcp.into())?))
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))?;
    // An address may come with the bridge, or with a host that is exposed, after this.
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    if kind == Type::STREAM {
        // Connections of a run before this one may linger on the port.
        socket.set_reuse_address(true)?;
    } else {
        let _best_effort = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
