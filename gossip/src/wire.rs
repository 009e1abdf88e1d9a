//! The bytes of messages; the only place that knows the encoding.
//!
//! ```text
//!  0             4     5         6
//! +-------------+-----+---------+------------- - -
//! | length (BE) | tag | version | body: bincode, varint, little endian; a channel's is raw
//! +-------------+-----+---------+------------- - -
//! ```
//! The length counts from the tag on. A tag or a version that is not known is skipped, so that a
//! newer peer may say more. A body that is not exactly one value is an error.

use model::PeerName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bans::{Ban, MAX_ORDERS};
use crate::digest::Stamp;
use crate::message::{Hello, Message};
use crate::output::Channel;
use crate::records::{COUNTER_LIMIT, MAX_PEERS, PeerRecord, is_station};
use crate::reject::Reject;

/// The longest message, from its tag on
pub(crate) const LIMIT: usize = 1 << 20;

/// The longest that [`crate::Mesh::send`] takes: a message less tag, version and channel
pub const MAX_CHANNEL_BYTES: usize = LIMIT - 3;

/// The longest version text in a Hello
pub(crate) const MAX_VERSION_TEXT: usize = 64;

/// A message with its length
pub(crate) fn encode(message: &Message) -> Vec<u8> {
    let mut out = vec![0; 4];
    match message {
        Message::Hello(hello) => body(&mut out, HELLO, hello),
        Message::Welcome => body(&mut out, WELCOME, &()),
        Message::Keepalive => body(&mut out, KEEPALIVE, &()),
        Message::Goodbye(goodbye) => body(&mut out, GOODBYE, goodbye),
        Message::Digest(digest) => body(&mut out, DIGEST, digest),
        Message::Summary(stamps) => body(&mut out, SUMMARY, stamps),
        Message::Want(names) => body(&mut out, WANT, names),
        Message::Records(records) => body(&mut out, RECORDS, records),
        Message::Bans(bans) => body(&mut out, BANS, bans),
        Message::Channel(Channel(channel), bytes) => {
            out.extend_from_slice(&[CHANNEL, VERSION, *channel]);
            out.extend_from_slice(bytes);
        }
    }
    let len = u32::try_from(out.len().saturating_sub(4)).expect("messages are made to fit the limit");
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}

/// The message in `bytes`, without its length; none if this program does not know its kind
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Message>, WireError> {
    let &[tag, version, ref body @ ..] = bytes else {
        return Err(WireError::Short);
    };
    if version != VERSION {
        return Ok(None);
    }
    Ok(Some(match tag {
        HELLO => Message::Hello(Box::new(sound(value::<Hello>(body)?, |hello| {
            is_station(hello.name) && hello.epoch < COUNTER_LIMIT && hello.version.len() <= MAX_VERSION_TEXT
        })?)),
        WELCOME => value::<()>(body).map(|()| Message::Welcome)?,
        KEEPALIVE => value::<()>(body).map(|()| Message::Keepalive)?,
        GOODBYE => Message::Goodbye(value(body)?),
        DIGEST => Message::Digest(value(body)?),
        SUMMARY => Message::Summary(sound(value::<Vec<_>>(body)?, |stamps| {
            let is_sound = |(name, stamp): &(PeerName, Stamp)| {
                is_station(*name) && stamp.epoch < COUNTER_LIMIT && stamp.version < COUNTER_LIMIT
            };
            stamps.len() <= MAX_PEERS && stamps.iter().all(is_sound)
        })?),
        WANT => Message::Want(sound(value::<Vec<PeerName>>(body)?, |names| {
            names.len() <= MAX_PEERS && names.is_sorted_by(|one, next| one < next)
        })?),
        RECORDS => Message::Records(sound(value::<Vec<PeerRecord>>(body)?, |records| {
            records.len() <= MAX_PEERS && records.iter().all(PeerRecord::is_sound)
        })?),
        BANS => Message::Bans(sound(value::<Vec<Ban>>(body)?, |bans| {
            bans.len() <= MAX_ORDERS && bans.iter().all(Ban::is_sound)
        })?),
        CHANNEL => {
            let (channel, bytes) = body.split_first().ok_or(WireError::Short)?;
            Message::Channel(Channel(*channel), bytes.to_vec())
        }
        _unknown => return Ok(None),
    }))
}

/// The body of a reject frame
pub(crate) fn emit_reject(reject: Reject) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, &reject);
    out
}

/// The reason in the body of a reject frame
pub(crate) fn parse_reject(body: &[u8]) -> Result<Reject, WireError> {
    value(body)
}

/// Nearly the size of a record's bytes, never less
pub(crate) fn record_bytes(record: &PeerRecord) -> usize {
    // Name, key, counters as varints, uid, short id, signature; then per address an IPv6 one with its port, per
    // connection that with a name and two flags, and per dispute a name and a key.
    [
        164,
        record.nickname.as_str().len(),
        record.disputes.len().saturating_mul(38),
        record.addresses.len().saturating_mul(24),
        record.connections.len().saturating_mul(32),
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

/// The bytes are no message
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// Not even a tag and a version
    #[error("a message of less than two bytes")]
    Short,
    /// Not one value of the kind that the tag says
    #[error("a malformed message")]
    Malformed,
    /// A value that no peer would send
    #[error("a message out of bounds")]
    OutOfBounds,
}

const VERSION: u8 = 1;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const KEEPALIVE: u8 = 3;
const GOODBYE: u8 = 4;
const DIGEST: u8 = 5;
const SUMMARY: u8 = 6;
const WANT: u8 = 7;
const RECORDS: u8 = 8;
const CHANNEL: u8 = 9;
const BANS: u8 = 10;

fn body<T: Serialize>(out: &mut Vec<u8>, tag: u8, value: &T) {
    out.extend_from_slice(&[tag, VERSION]);
    append(out, value);
}

pub(crate) fn append<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let bytes = bincode::serde::encode_to_vec(value, bincode::config::standard());
    out.extend_from_slice(&bytes.expect("messages hold nothing that cannot be encoded"));
}

pub(crate) fn value<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    let config = bincode::config::standard().with_limit::<LIMIT>();
    match bincode::serde::decode_from_slice(body, config) {
        Ok((value, read)) if read == body.len() => Ok(value),
        Ok(_) | Err(_) => Err(WireError::Malformed),
    }
}

fn sound<T>(value: T, is_sound: impl FnOnce(&T) -> bool) -> Result<T, WireError> {
    if is_sound(&value) {
        Ok(value)
    } else {
        Err(WireError::OutOfBounds)
    }
}

#[cfg(test)]
mod tests;
