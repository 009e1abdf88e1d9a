//! One question on its way to others.
//!
//! ```text
//!            ask the first         its time is over, or it failed
//!  Asking(1) ------------> wait --------------------------------> Asking(2) ... -> none answered
//!                            |
//!                            | an answer, of any that was asked
//!                            v
//!                          done
//! ```
//! The servers are asked in their order, and once more all of them, since a datagram may be lost. Who
//! was asked may answer until the end: another is asked meanwhile, but the late answer is as good. One
//! that says that it cannot answer counts as one that failed; if no other does better, its word is
//! passed on.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::later;
use rand::Rng;

/// How long there is for all servers together: askers ask again after five seconds (`resolv.conf(5)`)
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4500);

/// How often the servers are gone through
const ROUNDS: u32 = 2;

/// A question that others are asked
///
/// After each call: [`Forward::poll_ask`] until there is nothing, unless it is done.
#[derive(Debug)]
pub struct Forward {
    /// With an id of our own, that only those who were asked can know
    query: Vec<u8>,
    asked_id: [u8; 2],
    servers: Vec<Server>,
    rounds: u32,
    asked: u32,
    next_at: Instant,
    ends_at: Instant,
    /// The words of one that cannot answer
    refusal: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    asked: bool,
    failed: bool,
}

/// What bytes from a server are
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// The answer, with the asker's id: done
    Answer(Vec<u8>),
    /// Not an answer to this question from somebody who was asked; or one that is of no use yet
    Nothing,
}

impl Forward {
    /// A question that these servers are asked, in their order; by datagrams that may get lost or not
    ///
    /// None if it is not one question.
    pub fn new(
        query: &[u8],
        servers: &[SocketAddr],
        may_get_lost: bool,
        rng: &mut impl Rng,
        now: Instant,
    ) -> Option<Self> {
        question(query)?;
        let mut query = query.to_vec();
        let asked_id = [query[0], query[1]];
        query[..2].copy_from_slice(&(rng.next_u32() as u16).to_be_bytes());
        let server = |address: &SocketAddr| Server {
            address: *address,
            asked: false,
            failed: false,
        };
        Some(Self {
            query,
            asked_id,
            servers: servers.iter().map(server).collect(),
            rounds: if may_get_lost { ROUNDS } else { 1 },
            asked: 0,
            next_at: now,
            ends_at: later(now, ANSWER_WITHIN),
            refusal: None,
        })
    }

    /// Whom to ask now, with [`Forward::query`]
    pub fn poll_ask(&mut self, now: Instant) -> Option<SocketAddr> {
        if now < self.next_at || now >= self.ends_at {
            return None;
        }
        let all = self.questions();
        while self.asked < all {
            let at = (self.asked as usize).checked_rem(self.servers.len())?;
            let server = self.servers.get_mut(at)?;
            self.asked = self.asked.saturating_add(1);
            if server.failed {
                continue;
            }
            server.asked = true;
            // What is left is shared between those that are still to be asked.
            let left = all.saturating_sub(self.asked).saturating_add(1);
            let time = self.ends_at.saturating_duration_since(now);
            self.next_at = later(now, time.checked_div(left).unwrap_or_default());
            return Some(server.address);
        }
        None
    }

    /// The bytes that servers are asked with
    pub fn query(&self) -> &[u8] {
        &self.query
    }

    /// Bytes came from this address
    pub fn came(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Came {
        let is_asked = |server: &&mut Server| server.asked && !server.failed && server.address == from;
        let Some(server) = self.servers.iter_mut().find(is_asked) else {
            return Came::Nothing;
        };
        let Some(is_use) = answers(bytes, &self.query) else {
            return Came::Nothing;
        };
        let mut answer = bytes.to_vec();
        answer[..2].copy_from_slice(&self.asked_id);
        if is_use {
            return Came::Answer(answer);
        }
        server.failed = true;
        self.refusal.get_or_insert(answer);
        self.next_at = now;
        Came::Nothing
    }

    /// This server cannot be asked, or does not listen
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        let mut servers = self.servers.iter_mut();
        if let Some(server) = servers.find(|server| server.address == address && !server.failed) {
            server.failed = true;
            self.next_at = now;
        }
    }

    /// Whether it is of no use to wait any longer, and then what may be passed on all the same
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.ends_at || self.servers.iter().all(|server| server.failed)
    }

    /// What to say when it is over: the words of a server that could not answer, or nothing
    pub fn into_refusal(self) -> Option<Vec<u8>> {
        self.refusal
    }

    /// How many times somebody is asked, at most
    fn questions(&self) -> u32 {
        let servers = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        servers.saturating_mul(self.rounds)
    }

    /// When to ask the next, or to look whether it is over
    pub fn poll_timeout(&self) -> Instant {
        let all_asked = self.asked >= self.questions();
        if all_asked {
            self.ends_at
        } else {
            self.next_at.min(self.ends_at)
        }
    }
}

/// Whether bytes are an answer to this question, and then whether it is of use
///
/// A server that does not understand the question may leave it out of its refusal.
fn answers(bytes: &[u8], query: &[u8]) -> Option<bool> {
    let header = bytes.get(..HEADER_BYTES)?;
    if header[..2] != query[..2] || header[2] & RESPONSE == 0 {
        return None;
    }
    let is_use = !matches!(header[3] & RCODE, FORMERR | SERVFAIL | NOTIMP | REFUSED);
    let is_same = match (question(bytes), question(query)) {
        (Some(theirs), Some(ours)) => theirs.eq_ignore_ascii_case(ours),
        (None, _) => !is_use && header[4..6] == [0, 0],
        (Some(_), None) => false,
    };
    is_same.then_some(is_use)
}

/// The bytes of the only question in a message
fn question(message: &[u8]) -> Option<&[u8]> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER_BYTES;
    loop {
        match *message.get(at)? {
            0 => break,
            label @ 1..=63 => at = at.checked_add(1)?.checked_add(usize::from(label))?,
            _pointer => return None,
        }
    }
    message.get(HEADER_BYTES..at.checked_add(5)?)
}

const HEADER_BYTES: usize = 12;

/// In the third byte: it is an answer
const RESPONSE: u8 = 0x80;

/// In the fourth byte: how the answer is
const RCODE: u8 = 0x0f;
const FORMERR: u8 = 1;
const SERVFAIL: u8 = 2;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

#[cfg(test)]
mod tests;
