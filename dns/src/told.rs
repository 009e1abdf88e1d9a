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

use crate::budget::{MAX_ENTRIES, MAX_PARTS};
use crate::entry::Entry;
use crate::part::MAX_REMOVED;
use crate::proof::Proof;
use crate::stamp::Stamp;

/// The most messages that a whole part takes
pub(crate) const MAX_PIECES: u32 = 16;

/// What one message tells
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told<E> {
    /// What happened
    Delta(Delta<E>),
    /// What there is
    Whole(Whole<E>),
}

/// Which state of whose part it is, and the proof
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) origin: PeerName,
    /// Where the part is after the message
    pub(crate) stamp: Stamp,
    pub(crate) proof: Proof,
}

/// What happened to a part after a sequence
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta<E> {
    pub(crate) head: Head,
    /// The sequence that it goes on from
    pub(crate) from: u64,
    /// What came since, and is still there, by the sequence of its coming
    #[serde(deserialize_with = "growing", bound(deserialize = "E: Deserialize<'de>"))]
    pub(crate) came: Vec<(u64, E)>,
    /// The sequences of the comings of what went since
    #[serde(deserialize_with = "growing")]
    pub(crate) went: Vec<u64>,
}

/// A piece of all that is in a part
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whole<E> {
    pub(crate) head: Head,
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
        let text = self.name.len().saturating_add(self.container.len());
        text.saturating_add(FRAME_BYTES)
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
        let came = self.came.iter().map(|(_, entry)| entry.bytes());
        let went = self.went.iter().map(|_came| MAX_VARINT);
        came.chain(went).fold(0, usize::saturating_add)
    }
}

/// The bytes of a message
pub(crate) fn encode(told: &Told<Lent<'_>>) -> Vec<u8> {
    to_bytes(told)
}

/// What bytes tell, if a peer can have told it; the names are still to be read
pub(crate) fn decode(bytes: &[u8]) -> Result<Told<Lent<'_>>, Malformed> {
    let told = from_bytes::<Told<Lent<'_>>>(bytes)?;
    match &told {
        Told::Delta(delta) => check(delta.is_sound(), "a change of names that no peer makes")?,
        Told::Whole(whole) => check(whole.is_sound(), "a list of names that no peer has")?,
    }
    Ok(told)
}

impl<E> Told<E> {
    pub(crate) const fn head(&self) -> &Head {
        match self {
            Self::Delta(delta) => &delta.head,
            Self::Whole(whole) => &whole.head,
        }
    }
}

impl Delta<Lent<'_>> {
    /// With names that were read
    pub(crate) fn take(self) -> Result<Delta<Entry>, Malformed> {
        Ok(Delta {
            head: self.head,
            from: self.from,
            came: take(self.came)?,
            went: self.went,
        })
    }
}

impl Whole<Lent<'_>> {
    /// With names that were read
    pub(crate) fn take(self) -> Result<Whole<Entry>, Malformed> {
        Ok(Whole {
            head: self.head,
            piece: self.piece,
            pieces: self.pieces,
            entries: take(self.entries)?,
        })
    }
}

fn take(lines: Vec<(u64, Lent<'_>)>) -> Result<Vec<(u64, Entry)>, Malformed> {
    let take = |(came, lent): (u64, Lent<'_>)| Ok((came, lent.take()?));
    lines.into_iter().map(take).collect()
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

impl Head {
    fn is_sound(&self) -> bool {
        is_station(self.origin) && self.stamp.is_sound()
    }
}

impl<E> Delta<E> {
    fn is_sound(&self) -> bool {
        let to = self.head.stamp.sequence;
        let came = |sequence: &u64| self.came.binary_search_by_key(sequence, |(came, _)| *came);
        self.head.is_sound()
            && self.from < to
            && self.came.len() <= MAX_ENTRIES
            && self.came.is_sorted_by(|(one, _), (next, _)| one < next)
            && self.came.iter().all(|(came, _)| *came > self.from && *came <= to)
            && self.went.len() <= MAX_REMOVED
            && self.went.is_sorted_by(|one, next| one < next)
            && self
                .went
                .iter()
                .all(|went| (1..=to).contains(went) && came(went).is_err())
    }
}

impl<E> Whole<E> {
    fn is_sound(&self) -> bool {
        self.head.is_sound()
            && self.piece < self.pieces
            && self.pieces <= MAX_PIECES
            && self.entries.len() <= MAX_ENTRIES
            && self.entries.is_sorted_by(|(one, _), (next, _)| one < next)
            && self
                .entries
                .iter()
                .all(|(came, _)| (1..=self.head.stamp.sequence).contains(came))
    }
}

/// A varint of 64 bits
const MAX_VARINT: usize = 9;

/// What an entry takes beside its texts: its sequence, their lengths and the address
const FRAME_BYTES: usize = 3 * MAX_VARINT + 4;

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
