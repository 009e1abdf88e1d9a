//! Requests to the kernel and their answers, many per system call.
//!
//! The kernel works through a datagram of requests before `send` returns, so the answers wait in the
//! socket by then. A refusal is always answered; success only where `NLM_F_ACK` asks for it, so in a
//! batch only the last request does: when its answer is there, silence on the others is success.

mod answers;
#[cfg(fuzzing)]
pub(crate) mod fuzz;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use openvswitch_sys::netlink::{Family, Generic, Messages, Payload, Request};
use openvswitch_sys::uapi::*;
use openvswitch_sys::{AttrWriter, DecodeError, TooLong};

use self::answers::{Exchange, Listing};
use crate::error::RequestError;
use crate::raw;

/// One socket with its sequence numbers; one exchange at a time
pub(crate) struct Requests {
    socket: NlSocket,
    next_seq: u32,
    batch: Vec<u8>,
    /// Where each request of the batch starts
    starts: Vec<usize>,
    answer: Vec<u8>,
}

/// A family, a command of it, and the datapath it is for
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) family: u16,
    pub(crate) version: u8,
    pub(crate) command: u8,
    pub(crate) dp_ifindex: i32,
}

impl Requests {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = NlSocket::connect(NlFamily::Generic, None, Groups::empty())?;
        raw::set_receive_buffer(raw::borrow(&socket), RECEIVE_BUFFER)?;
        raw::set_receive_timeout(raw::borrow(&socket), PATIENCE)?;
        // Only saves memory: kernels before 4.3 do not know it.
        let _ = raw::cap_acks(raw::borrow(&socket));
        Ok(Self {
            socket,
            next_seq: 1,
            batch: vec![],
            starts: vec![],
            answer: vec![0; ANSWER],
        })
    }

    /// What the controller knows of a family; asking makes the kernel load its module
    pub(crate) fn family(&mut self, name: &str) -> Result<Family, RequestError> {
        resolve(&self.socket, &mut self.answer, name)
    }

    /// One request without an answer but success
    pub(crate) fn run(
        &mut self,
        call: Call,
        fill: impl FnOnce(&mut AttrWriter<'_>),
    ) -> Result<(), RequestError> {
        self.push(call, 0, fill)?;
        self.exchange(|_reply| Ok(())).and_then(|refused| first(&refused))
    }

    /// One request with one answer
    pub(crate) fn ask<T>(
        &mut self,
        call: Call,
        fill: impl FnOnce(&mut AttrWriter<'_>),
        decode: impl Fn(&Generic<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, RequestError> {
        let mut answer = None;
        self.push(call, NLM_F_ECHO, fill)?;
        let refused = self.exchange(|reply| {
            answer = Some(decode(&reply)?);
            Ok(())
        })?;
        first(&refused)?;
        answer.ok_or(RequestError::Decode(DecodeError::Truncated))
    }

    /// Adds a request to the batch
    pub(crate) fn push(
        &mut self,
        call: Call,
        flags: u16,
        fill: impl FnOnce(&mut AttrWriter<'_>),
    ) -> Result<(), TooLong> {
        let Call {
            family,
            version,
            command,
            dp_ifindex,
        } = call;
        let start = self.batch.len();
        let request = Request {
            family,
            flags,
            seq: 0,
            command,
            version,
            dp_ifindex: Some(dp_ifindex),
        };
        request.encode(&mut self.batch, fill)?;
        self.starts.push(start);
        Ok(())
    }

    /// Whether the batch should be sent before anything is added to it
    pub(crate) fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_BYTES || self.starts.len() >= BATCH_REQUESTS
    }

    /// Sends the batch and reads all answers: the error numbers of the refused requests by position
    pub(crate) fn exchange(
        &mut self,
        reply: impl FnMut(Generic<'_>) -> Result<(), DecodeError>,
    ) -> Result<BTreeMap<usize, i32>, RequestError> {
        let result = self.send_and_receive(reply);
        self.batch.clear();
        self.starts.clear();
        result
    }

    fn send_and_receive(
        &mut self,
        mut reply: impl FnMut(Generic<'_>) -> Result<(), DecodeError>,
    ) -> Result<BTreeMap<usize, i32>, RequestError> {
        let Some(last) = self.starts.len().checked_sub(1) else {
            return Ok(BTreeMap::new());
        };
        let mut exchange = Exchange::new(self.number(NLM_F_ACK), last);
        self.send()?;
        while !exchange.take(receive(&self.socket, &mut self.answer)?, &mut reply)? {}
        Ok(exchange.into_refused())
    }

    /// Lists a table of the kernel
    pub(crate) fn dump<T>(
        &mut self,
        call: Call,
        decode: impl Fn(&Generic<'_>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, RequestError> {
        for _attempt in 0..DUMP_ATTEMPTS {
            self.push(call, NLM_F_DUMP, |_none| {})?;
            let listed = self.dump_once(&decode);
            self.batch.clear();
            self.starts.clear();
            if let Some(items) = listed? {
                return Ok(items);
            }
        }
        Err(RequestError::DumpInterrupted {
            attempts: DUMP_ATTEMPTS,
        })
    }

    /// `None` when changes interrupted it
    fn dump_once<T>(
        &mut self,
        decode: impl Fn(&Generic<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, RequestError> {
        let mut listing = Listing::new(self.number(0));
        self.send()?;
        while !listing.take(receive(&self.socket, &mut self.answer)?, &decode)? {}
        Ok(listing.into_items())
    }

    /// Gives the batch consecutive sequence numbers and the last request more flags; returns the first
    fn number(&mut self, flags_of_last: u16) -> u32 {
        let first_seq = self.next_seq;
        for start in &self.starts {
            write_at(&mut self.batch, start + SEQ_AT, &self.next_seq.to_ne_bytes());
            self.next_seq = self.next_seq.wrapping_add(1);
        }
        if let Some(at) = self.starts.last().map(|start| start + FLAGS_AT)
            && let Some(flags) = self.batch.get(at..).and_then(|b| b.first_chunk())
        {
            let flags = u16::from_ne_bytes(*flags) | flags_of_last;
            write_at(&mut self.batch, at, &flags.to_ne_bytes());
        }
        first_seq
    }

    fn send(&self) -> Result<(), RequestError> {
        self.socket
            .send(&self.batch, Msg::empty())
            .map(drop)
            .map_err(RequestError::Socket)
    }
}

/// Asks for a family on a socket that has nothing else in flight
pub(crate) fn resolve(socket: &NlSocket, buffer: &mut [u8], name: &str) -> Result<Family, RequestError> {
    const SEQ: u32 = 0x00f0_0d00;
    let mut request = vec![];
    Family::encode_request(name, SEQ, &mut request)?;
    socket
        .send(&request, Msg::empty())
        .map_err(RequestError::Socket)?;
    loop {
        for message in Messages::new(receive(socket, buffer)?) {
            let message = message?;
            if message.header.seq != SEQ {
                continue;
            }
            match message.decode()? {
                Payload::Generic(generic) => return Ok(Family::decode(&generic)?),
                Payload::Ack { errno, .. } => return Err(RequestError::Refused { errno }),
                Payload::Noop | Payload::Overrun | Payload::Done { .. } => {}
            }
        }
    }
}

fn receive<'b>(socket: &NlSocket, buffer: &'b mut [u8]) -> Result<&'b [u8], RequestError> {
    let length = loop {
        match socket.recv(&mut *buffer, Msg::empty()) {
            Ok((length, _groups)) => break length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.raw_os_error() == Some(ENOBUFS) => return Err(RequestError::AnswersLost),
            Err(e) => return Err(RequestError::Socket(e)),
        }
    };
    Ok(buffer.get(..length).unwrap_or_default())
}

fn first(refused: &BTreeMap<usize, i32>) -> Result<(), RequestError> {
    refused
        .get(&0)
        .map_or(Ok(()), |errno| Err(RequestError::refused(*errno)))
}

fn write_at(buf: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = buf.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

// Offsets in struct nlmsghdr
const FLAGS_AT: usize = 6;
const SEQ_AT: usize = 8;

/// Requests per datagram: if all are refused, the answers still fit [`RECEIVE_BUFFER`]
const BATCH_REQUESTS: usize = 256;
/// Bytes per datagram after which it is sent: one more request of the largest size stays within the
/// default `wmem` of 208 KiB
const BATCH_BYTES: usize = 32 * 1024;
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// The kernel's dumps come in datagrams of at most 32 KiB; one flow with its actions has at most 64
const ANSWER: usize = 128 * 1024;
/// The kernel answers within the system call; only a broken one makes anybody wait
const PATIENCE: Duration = Duration::from_secs(10);
const DUMP_ATTEMPTS: u32 = 8;
