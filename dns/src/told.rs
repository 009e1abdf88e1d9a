//! What peers tell each other of a part, and its bytes: bincode of [`Told`], and of a list of stamps.
//!
//! Names and containers are read where they lie and nothing is made room for before it was read, so a
//! message can make nobody allocate more than a small multiple of its own size.

use std::fmt;
use std::marker::PhantomData;

use bincode::config;
use bincode::serde::{borrow_decode_from_slice, encode_to_vec};
use gossip::{MAX_PART_BYTES, Malformed};
use model::{Mac, PeerName};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::part::{MAX_ENTRIES, Stamp};

/// The most peers that names are known of
pub const MAX_PARTS: usize = 4096;

/// The most messages that a whole part takes
pub(crate) const MAX_PIECES: u32 = 64;

/// What one message tells
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told<E> {
    /// What happened
    Delta(Delta<E>),
    /// What there is
    Whole(Whole<E>),
}

/// What happened to a part after a sequence
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta<E> {
    pub(crate) origin: PeerName,
    /// Where the part is after it
    pub(crate) stamp: Stamp,
    /// The sequence that it goes on from
    pub(crate) from: u64,
    /// What came since, and is still there, by the sequence of its coming
    #[serde(deserialize_with = "growing", bound(deserialize = "E: Deserialize<'de>"))]
    pub(crate) came: Vec<(u64, E)>,
    /// By the sequences of the goings, the sequences of the comings
    #[serde(deserialize_with = "growing")]
    pub(crate) went: Vec<(u64, u64)>,
}

/// A piece of all that is in a part
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whole<E> {
    pub(crate) origin: PeerName,
    pub(crate) stamp: Stamp,
    pub(crate) piece: u32,
    pub(crate) pieces: u32,
    #[serde(deserialize_with = "growing", bound(deserialize = "E: Deserialize<'de>"))]
    pub(crate) entries: Vec<(u64, E)>,
}

/// An entry in a message
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lent<'a> {
    name: &'a str,
    container: &'a str,
    address: [u8; 4],
}

impl Lent<'_> {
    /// About how many bytes it takes with its sequence, never less than it does
    pub(crate) const fn bytes(&self) -> usize {
        3 * MAX_VARINT + self.name.len() + self.container.len() + self.address.len()
    }

    fn take(self) -> Result<Entry, Malformed> {
        match (self.name.parse(), self.container.parse()) {
            (Ok(name), Ok(container)) if !self.name.ends_with('.') => Ok(Entry {
                name,
                container,
                address: self.address.into(),
            }),
            (Err(_), _) | (_, Err(_)) | (Ok(_), Ok(_)) => Err(Malformed("a name that no host has")),
        }
    }
}

impl<'a> From<&'a Entry> for Lent<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            name: entry.name.as_str(),
            container: entry.container.as_str(),
            address: entry.address.octets(),
        }
    }
}

impl Delta<Lent<'_>> {
    /// About how many bytes its lists take, never less than they do
    pub(crate) fn bytes(&self) -> usize {
        let came: usize = self.came.iter().map(|(_, entry)| entry.bytes()).sum();
        came + 2 * MAX_VARINT * self.went.len()
    }
}

/// The bytes of a message
pub(crate) fn encode(told: &Told<Lent<'_>>) -> Vec<u8> {
    to_bytes(told)
}

/// What bytes tell, if a peer can have told it
pub(crate) fn decode(bytes: &[u8]) -> Result<Told<Entry>, Malformed> {
    let take = |lines: Vec<(u64, Lent<'_>)>| {
        let take = |(came, lent): (u64, Lent<'_>)| Ok((came, lent.take()?));
        lines.into_iter().map(take).collect::<Result<Vec<_>, Malformed>>()
    };
    Ok(match from_bytes::<Told<Lent<'_>>>(bytes)? {
        Told::Delta(delta) => {
            check(delta.is_sound(), "a change of names that no peer makes")?;
            Told::Delta(Delta {
                origin: delta.origin,
                stamp: delta.stamp,
                from: delta.from,
                came: take(delta.came)?,
                went: delta.went,
            })
        }
        Told::Whole(whole) => {
            check(whole.is_sound(), "a list of names that no peer has")?;
            Told::Whole(Whole {
                origin: whole.origin,
                stamp: whole.stamp,
                piece: whole.piece,
                pieces: whole.pieces,
                entries: take(whole.entries)?,
            })
        }
    })
}

/// Which parts somebody has, in the order of their origins
pub(crate) type Stamps = Vec<(PeerName, Stamp)>;

/// The bytes of a summary
pub(crate) fn encode_summary(stamps: &Stamps) -> Vec<u8> {
    to_bytes(stamps)
}

/// What a summary says, if a peer can have made it
pub(crate) fn decode_summary(bytes: &[u8]) -> Result<Stamps, Malformed> {
    #[derive(Deserialize)]
    struct Summary(#[serde(deserialize_with = "growing")] Stamps);
    let Summary(stamps) = from_bytes(bytes)?;
    let sound = stamps.len() <= MAX_PARTS
        && stamps.is_sorted_by(|(one, _), (next, _)| one < next)
        && stamps
            .iter()
            .all(|(origin, stamp)| is_station(*origin) && stamp.is_sound());
    check(sound, "a summary of names that no peer makes")?;
    Ok(stamps)
}

impl<E> Delta<E> {
    fn is_sound(&self) -> bool {
        let to = self.stamp.sequence;
        let since = |sequence: u64| sequence > self.from && sequence <= to;
        is_station(self.origin)
            && self.stamp.is_sound()
            && self.from < to
            && self.came.len() <= MAX_ENTRIES
            && self.came.is_sorted_by(|(one, _), (next, _)| one < next)
            && self.came.iter().all(|(came, _)| since(*came))
            && self.went.is_sorted_by(|(one, _), (next, _)| one < next)
            && self.went.iter().all(|(went, came)| since(*went) && came < went)
    }
}

impl<E> Whole<E> {
    fn is_sound(&self) -> bool {
        is_station(self.origin)
            && self.stamp.is_sound()
            && self.piece < self.pieces
            && self.pieces <= MAX_PIECES
            && self.entries.len() <= MAX_ENTRIES
            && self.entries.is_sorted_by(|(one, _), (next, _)| one < next)
            && self
                .entries
                .iter()
                .all(|(came, _)| (1..=self.stamp.sequence).contains(came))
    }
}

/// A varint of 64 bits
const MAX_VARINT: usize = 9;

const fn check(sound: bool, problem: &'static str) -> Result<(), Malformed> {
    if sound { Ok(()) } else { Err(Malformed(problem)) }
}

/// Whether the name is one that a peer can have: the binary form holds any 48 bits
fn is_station(name: PeerName) -> bool {
    !name.mac().is_group() && name.mac() != Mac::ZERO
}

fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    encode_to_vec(value, config::standard()).expect("names and numbers can be encoded")
}

fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    let config = config::standard().with_limit::<{ 2 * MAX_PART_BYTES }>();
    match borrow_decode_from_slice(bytes, config) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok(_) | Err(_) => Err(Malformed("not what is told of names")),
    }
}

/// A list that grows as it is read, whatever length it says
fn growing<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct Growing<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Growing<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element()? {
                values.push(value);
            }
            Ok(values)
        }
    }

    from.deserialize_seq(Growing(PhantomData))
}

#[cfg(test)]
mod tests;
