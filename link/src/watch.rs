//! What happens to devices, addresses and routes, as it happens.
//!
//! The queue is bounded. When its reader is too slow, or the kernel's own queue overflows, events
//! are lost; the reader then gets [`LinkEvent::Overrun`] and must read the state anew.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enumerations of the kernel's messages are open: what is not asked for is passed over"
)]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use ipnetwork::IpNetwork;
use model::IfName;
use nix::errno::Errno;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{
    NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::messages::{Message, Messages};
use crate::state::{self, LinkState, RouteState};

/// Something that happened in a network namespace
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// A device appeared, or something about it changed: this is what it is like
    Link(LinkState),
    /// A device is gone
    LinkRemoved {
        /// Its index
        index: u32,
        /// Its name
        name: IfName,
    },
    /// A device is a port of a bridge, and something about that changed
    BridgePort {
        /// Its name
        name: IfName,
    },
    /// A device got an address, or something about the address changed
    Address {
        /// The device's index
        index: u32,
        /// The address
        address: IpNetwork,
    },
    /// A device lost an address
    AddressRemoved {
        /// The device's index
        index: u32,
        /// The address
        address: IpNetwork,
    },
    /// A route of the main table was added or replaced
    Route(RouteState),
    /// A route of the main table is gone
    RouteRemoved(RouteState),
    /// Events were lost: read the state anew
    Overrun,
}

/// The events of one network namespace; dropping it ends the watch
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<LinkEvent>,
    lost: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Watch {
    /// In the calling thread's namespace; needs a Tokio runtime's context
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        // A little more than one's queue, so that a burst waits here and is not lost. The kernel
        // cuts it to net.core.rmem_max.
        socket.socket_ref().set_rx_buf_sz(RECEIVE_BUFFER)?;
        let groups = GROUPS
            .iter()
            .fold(0, |mask, group| mask | 1 << (*group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        let (sender, events) = mpsc::channel(QUEUE_DEPTH);
        let lost = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(forward(socket, sender, Arc::clone(&lost))).abort_handle();
        Ok(Self { events, lost, task })
    }

    /// The next event; `None` when the socket has failed: open a new watch and read the state anew
    ///
    /// Cancel-safe: an event that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// How many events were dropped because they were not taken in time; those for which the kernel
    /// itself had no room are not among them
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Stream for Watch {
    type Item = LinkEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LinkEvent>> {
        self.get_mut().events.poll_recv(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(socket: TokioSocket, sender: mpsc::Sender<LinkEvent>, lost: Arc<AtomicU64>) {
    let mut buffer = Vec::with_capacity(DATAGRAM);
    let mut overrun = false;
    loop {
        if overrun {
            // Until the reader has caught up, further events wait in the kernel.
            if sender.send(LinkEvent::Overrun).await.is_err() {
                return;
            }
            overrun = false;
        }
        buffer.clear();
        match socket.recv_from(&mut buffer).await {
            // Only the kernel has port 0; a process could send here, too.
            Ok(from) if from.port_number() == 0 => {
                let mut events = Vec::new();
                overrun |= !decode(&buffer, &mut events);
                for event in events {
                    if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(event) {
                        lost.fetch_add(1, Ordering::Relaxed);
                        overrun = true;
                    }
                }
                if sender.is_closed() {
                    return;
                }
            }
            Ok(_stranger) => {}
            Err(error) if is(&error, Errno::ENOBUFS) => {
                if !drain(&socket, &mut buffer, &lost) {
                    return;
                }
                overrun = true;
            }
            Err(error) => {
                log::warn!("watching links ends: {error}");
                return;
            }
        }
    }
}

/// Throws away what the kernel has queued; `false` if the socket has failed
///
/// After an overflow the kernel queues nothing more, and does not say so again, until its queue is
/// empty. Who reads the state before that may miss what happens next.
fn drain(socket: &TokioSocket, buffer: &mut Vec<u8>, lost: &AtomicU64) -> bool {
    loop {
        buffer.clear();
        match socket.socket_ref().recv(buffer, 0) {
            Ok(_length) => {
                lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if is(&error, Errno::EAGAIN) => return true,
            Err(error) if is(&error, Errno::ENOBUFS) || is(&error, Errno::EINTR) => {}
            Err(error) => {
                log::warn!("watching links ends: {error}");
                return false;
            }
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Appends what one datagram tells; `false` if part of it cannot be read
fn decode(datagram: &[u8], events: &mut Vec<LinkEvent>) -> bool {
    for message in Messages::of(datagram) {
        let Ok(Message { kind, bytes }) = message else {
            return false;
        };
        if matches!(kind, NLMSG_NOOP | NLMSG_ERROR | NLMSG_DONE) {
            continue;
        }
        if kind == NLMSG_OVERRUN {
            return false;
        }
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
            Ok(message) => {
                if let NetlinkPayload::InnerMessage(inner) = message.payload {
                    events.extend(event(&inner));
                }
            }
            Err(error) => {
                log::debug!("unreadable rtnetlink event of type {kind}: {error}");
                return false;
            }
        }
    }
    true
}

fn event(message: &RouteNetlinkMessage) -> Option<LinkEvent> {
    match message {
        RouteNetlinkMessage::NewLink(link) => {
            let port = || state::bridge_port(link).map(|name| LinkEvent::BridgePort { name });
            state::link(link).map(LinkEvent::Link).or_else(port)
        }
        RouteNetlinkMessage::DelLink(link) => state::link(link).map(|link| LinkEvent::LinkRemoved {
            index: link.index,
            name: link.name,
        }),
        RouteNetlinkMessage::NewAddress(address) => {
            state::address(address).map(|(index, address)| LinkEvent::Address { index, address })
        }
        RouteNetlinkMessage::DelAddress(address) => {
            state::address(address).map(|(index, address)| LinkEvent::AddressRemoved { index, address })
        }
        RouteNetlinkMessage::NewRoute(route) => state::route(route).map(LinkEvent::Route),
        RouteNetlinkMessage::DelRoute(route) => state::route(route).map(LinkEvent::RouteRemoved),
        _ => None,
    }
}

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];
/// A host that starts a hundred containers at once makes some ten events for each
const QUEUE_DEPTH: usize = 1024;
const RECEIVE_BUFFER: usize = 2 << 20;
/// The kernel does not send larger ones (NLMSG_GOODSIZE is a page, a link with many virtual
/// functions takes 32 KiB)
const DATAGRAM: usize = 64 << 10;

#[cfg(test)]
mod tests;
