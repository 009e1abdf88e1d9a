//! One rtnetlink socket: requests that know when they were answered.
//!
//! `rtnetlink`'s own request objects take the end of the reply stream for success, also when the
//! stream ends because the connection died, and they hide `NLM_F_DUMP_INTR`. So the messages are
//! built with its builders and sent from here, where an acknowledgement is waited for by name.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enumerations of the kernel's messages are open: what is not asked for is passed over"
)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use model::IfName;
use nix::errno::Errno;
use rtnetlink::Handle;
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};
use tokio::sync::Mutex;

use crate::error::NetlinkError;

type Message = NetlinkMessage<RouteNetlinkMessage>;

/// A cloneable handle on one socket
#[derive(Debug, Clone)]
pub(crate) struct Rtnl {
    handle: Handle,
    /// The kernel serves one dump per socket at a time and answers a second one with EBUSY
    dumping: Arc<Mutex<()>>,
}

impl Rtnl {
    /// A socket in the calling thread's network namespace, served by a task of the current runtime
    pub(crate) fn open() -> io::Result<Self> {
        let (mut connection, handle, _unsolicited) = rtnetlink::new_connection()?;
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        tokio::spawn(connection);
        Ok(Self {
            handle,
            dumping: Arc::default(),
        })
    }

    /// A request that changes something; returns when the kernel has acknowledged it
    pub(crate) async fn change(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), NetlinkError> {
        let mut replies = self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        in_time(async {
            loop {
                match replies.next().await.ok_or(NetlinkError::Closed)?.payload {
                    NetlinkPayload::Error(error) => return refusal(&error).map_or(Ok(()), Err),
                    NetlinkPayload::Done(_) => return Ok(()),
                    _ => {}
                }
            }
        })
        .await
    }

    /// The one object that the message asks for
    pub(crate) async fn fetch(
        &self,
        message: RouteNetlinkMessage,
    ) -> Result<RouteNetlinkMessage, NetlinkError> {
        let mut replies = self.send(message, NLM_F_REQUEST)?;
        in_time(async {
            loop {
                match replies.next().await.ok_or(NetlinkError::Closed)?.payload {
                    NetlinkPayload::InnerMessage(inner) => return Ok(inner),
                    NetlinkPayload::Error(error) => {
                        return Err(refusal(&error).unwrap_or(NetlinkError::Unreadable));
                    }
                    _ => {}
                }
            }
        })
        .await
    }

    /// A whole table, read without a change in between
    pub(crate) async fn dump(
        &self,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let _one_at_a_time = self.dumping.lock().await;
        for _attempt in 0..DUMP_ATTEMPTS {
            if let Some(table) = in_time(self.dump_once(message.clone())).await? {
                return Ok(table);
            }
        }
        Err(NetlinkError::Unsettled)
    }

    /// `None` if the table changed meanwhile
    async fn dump_once(
        &self,
        message: RouteNetlinkMessage,
    ) -> Result<Option<Vec<RouteNetlinkMessage>>, NetlinkError> {
        let mut replies = self.send(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut table = Vec::new();
        let mut torn = false;
        loop {
            let reply = replies.next().await.ok_or(NetlinkError::Closed)?;
            torn |= reply.header.flags & NLM_F_DUMP_INTR != 0;
            match reply.payload {
                NetlinkPayload::InnerMessage(inner) => table.push(inner),
                NetlinkPayload::Done(done) if done.code == 0 => {
                    return Ok((!torn).then_some(table));
                }
                NetlinkPayload::Done(done) => {
                    return Err(NetlinkError::Kernel(Errno::from_raw(done.code.saturating_neg())));
                }
                NetlinkPayload::Error(error) => {
                    return Err(refusal(&error).unwrap_or(NetlinkError::Unreadable));
                }
                NetlinkPayload::Overrun(_) => torn = true,
                _ => {}
            }
        }
    }

    fn send(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<impl Stream<Item = Message> + Unpin + use<>, NetlinkError> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        self.handle
            .clone()
            .request(message)
            .map_err(|_closed| NetlinkError::Closed)
    }
}

/// One device of the calling thread's namespace, asked for without a runtime
pub(crate) fn link_now(name: &IfName) -> Result<Option<LinkMessage>, NetlinkError> {
    let failed = |error: io::Error| NetlinkError::Kernel(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    let socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
    let mut question = LinkMessage::default();
    question.attributes.push(LinkAttribute::IfName(name.to_string()));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(question));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket
        .send_to(&bytes, &SocketAddr::new(0, 0), 0)
        .map_err(failed)?;
    let (answer, _from) = socket.recv_from_full().map_err(failed)?;
    let answer = Message::deserialize(&answer).map_err(|_unreadable| NetlinkError::Unreadable)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(Some(link)),
        NetlinkPayload::Error(error) => match refusal(&error) {
            Some(error) if !error.is_absent() => Err(error),
            Some(_) | None => Ok(None),
        },
        _ => Err(NetlinkError::Unreadable),
    }
}

/// `None` is the acknowledgement
fn refusal(error: &ErrorMessage) -> Option<NetlinkError> {
    let code = error.code?.get();
    Some(NetlinkError::Kernel(Errno::from_raw(code.saturating_neg())))
}

async fn in_time<T>(answer: impl Future<Output = Result<T, NetlinkError>>) -> Result<T, NetlinkError> {
    tokio::time::timeout(PATIENCE, answer)
        .await
        .map_err(|_elapsed| NetlinkError::TimedOut)?
}

/// RTNL can be held for seconds while the kernel takes namespaces apart; an answer that was lost
/// never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each attempt loses to a change of the table in the microseconds that it takes
const DUMP_ATTEMPTS: usize = 10;
