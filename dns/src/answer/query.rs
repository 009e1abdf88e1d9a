//! A question as it was asked.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

/// The bytes before the question
pub(super) const HEADER_BYTES: usize = 12;

/// What bytes are
pub(super) enum Heard {
    Question(Question),
    /// A question that is answered with this, whatever it is
    Unanswerable(ResponseCode),
    /// Nothing that wants an answer
    Nothing,
}

/// The one question of a message
#[derive(Debug)]
pub(super) struct Question {
    pub(super) id: u16,
    pub(super) recursion_desired: bool,
    pub(super) checking_disabled: bool,
    /// The bytes of the name, its labels in the case that they were asked in
    pub(super) name: Vec<u8>,
    /// What it is looked up by: in lower case, with '?' for what no host has in its name
    pub(super) key: String,
    pub(super) kind: RecordType,
    pub(super) class: DNSClass,
    pub(super) edns: Option<Edns>,
}

/// What the asker's end can take
#[derive(Debug, Clone, Copy)]
pub(super) struct Edns {
    pub(super) payload: u16,
    pub(super) version: u8,
    pub(super) dnssec: bool,
}

impl Question {
    /// Reads a message; the header first, of which enough is there when the rest is not
    pub(super) fn read(bytes: &[u8]) -> Heard {
        let Some(&[_, _, high, _, questions_high, questions_low, ..]) = bytes.get(..HEADER_BYTES) else {
            return Heard::Nothing;
        };
        if high & RESPONSE != 0 {
            return Heard::Nothing;
        }
        if high & OPCODE != 0 {
            return Heard::Unanswerable(ResponseCode::NotImp);
        }
        if u16::from_be_bytes([questions_high, questions_low]) != 1 {
            return Heard::Unanswerable(ResponseCode::FormErr);
        }
        let Ok(message) = Message::from_vec(bytes) else {
            return Heard::Unanswerable(ResponseCode::FormErr);
        };
        let [query] = &message.queries[..] else {
            return Heard::Unanswerable(ResponseCode::FormErr);
        };
        let mut name = Vec::with_capacity(query.name.len().saturating_add(1));
        let mut key = String::with_capacity(query.name.len());
        for label in query.name.iter() {
            // A label has at most 63 bytes, or it would not have been read.
            name.push(label.len() as u8);
            name.extend_from_slice(label);
            if !key.is_empty() {
                key.push('.');
            }
            key.extend(label.iter().map(|byte| match byte {
                b'.' | b'?' | 0x80.. => '?',
                byte => char::from(byte.to_ascii_lowercase()),
            }));
        }
        name.push(0);
        Heard::Question(Self {
            id: message.metadata.id,
            recursion_desired: message.metadata.recursion_desired,
            checking_disabled: message.metadata.checking_disabled,
            name,
            key,
            kind: query.query_type,
            class: query.query_class,
            edns: message.edns.as_ref().map(|edns| Edns {
                payload: edns.max_payload(),
                version: edns.version(),
                dnssec: edns.flags().dnssec_ok,
            }),
        })
    }

    /// Whether the name is a single label
    pub(super) fn is_single(&self) -> bool {
        !self.key.is_empty() && !self.key.contains('.')
    }
}

/// In the third byte: it is an answer
const RESPONSE: u8 = 0x80;

/// In the third byte: what is asked for, of which 0 is a query
pub(super) const OPCODE: u8 = 0x78;
