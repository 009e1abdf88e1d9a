//! The bytes of an answer.
//!
//! Every owner of a record is the asked name or ends it, so it is a pointer into the question (RFC 1035,
//! 4.1.4), and an address takes 16 bytes.

use std::net::Ipv4Addr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::Transport;
use super::query::{HEADER_BYTES, Question};
use crate::domain::HostName;
use crate::zone::Zone;

/// The longest datagram for an asker that says nothing of it (RFC 1035, 4.2.1)
const UDP_BYTES: usize = 512;

/// The longest datagram that anybody gets: askers are on this host, where fragments do not get lost
const UDP_MAX_BYTES: usize = 4096;

/// What we say that we can take: a question never has more
const OUR_PAYLOAD: u16 = 1232;

/// Which list of records
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
}

/// An answer that is being written
#[derive(Debug)]
pub(super) struct Reply<'a> {
    question: &'a Question,
    ttl: u32,
    authoritative: bool,
    /// Of the whole answer, with what is still to be written
    limit: usize,
    truncated: bool,
    answers: u16,
    authorities: u16,
    bytes: Vec<u8>,
}

impl<'a> Reply<'a> {
    pub(super) fn new(question: &'a Question, transport: Transport, ttl: u32) -> Self {
        let whole = match (transport, question.edns) {
            (Transport::Udp, None) => UDP_BYTES,
            (Transport::Udp, Some(edns)) => usize::from(edns.payload).clamp(UDP_BYTES, UDP_MAX_BYTES),
            (Transport::Tcp, _) => usize::from(u16::MAX),
        };
        let mut bytes = Vec::with_capacity(UDP_BYTES);
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(&question.name);
        bytes.extend_from_slice(&u16::from(question.kind).to_be_bytes());
        bytes.extend_from_slice(&u16::from(question.class).to_be_bytes());
        Self {
            question,
            ttl,
            authoritative: true,
            limit: whole.saturating_sub(question.edns.map_or(0, |_| OPT_BYTES)),
            truncated: false,
            answers: 0,
            authorities: 0,
            bytes,
        }
    }

    /// An answer of which the zone knows nothing
    pub(super) const fn not_ours(mut self) -> Self {
        self.authoritative = false;
        self
    }

    pub(super) const fn has_no_answer(&self) -> bool {
        self.answers == 0
    }

    /// As many addresses as there is room for
    pub(super) fn addresses(&mut self, addresses: &[Ipv4Addr]) {
        let room = self.limit.saturating_sub(self.bytes.len()) / ADDRESS_BYTES;
        self.truncated = addresses.len() > room;
        for address in addresses.iter().take(room) {
            self.record(Section::Answer, 0, RecordType::A, |bytes| {
                bytes.extend_from_slice(&address.octets());
            });
        }
    }

    /// A name that the asked one is the address of
    pub(super) fn host(&mut self, host: &HostName) {
        self.record(Section::Answer, 0, RecordType::PTR, |bytes| {
            name(bytes, host.as_str())
        });
    }

    /// The SOA of what the last labels of the asked name are
    pub(super) fn soa(&mut self, section: Section, labels: usize, zone: &Zone) {
        let (ttl, owner, question) = (self.ttl, self.skip(labels), self.question);
        self.record(section, owner, RecordType::SOA, |bytes| {
            // Who answers, and whom to write to, in the domain: it ends the question or comes here.
            let domain = zone.domain().as_str();
            let at = if zone.domain().host(&question.key).is_some() {
                // The length of its first label and the zero at its end.
                let name = domain.len().saturating_add(2);
                let before = question.name.len().saturating_sub(name);
                let at = HEADER_BYTES.saturating_add(before);
                pointer(bytes, at);
                at
            } else {
                let at = bytes.len();
                name(bytes, domain);
                at
            };
            label(bytes, b"hostmaster");
            pointer(bytes, at);
            for value in [zone.version(), REFRESH, RETRY, EXPIRE, ttl] {
                bytes.extend_from_slice(&value.to_be_bytes());
            }
        });
    }

    /// That the domain, which is the last labels of the asked name, is answered by itself
    pub(super) fn ns(&mut self, labels: usize) {
        let owner = self.skip(labels);
        self.record(Section::Answer, owner, RecordType::NS, |bytes| {
            pointer(bytes, HEADER_BYTES.saturating_add(owner));
        });
    }

    /// The whole answer
    pub(super) fn finish(mut self, code: ResponseCode) -> Vec<u8> {
        let question = self.question;
        let mut additionals = 0_u16;
        if let Some(edns) = question.edns {
            additionals = 1;
            self.bytes.push(0);
            self.bytes
                .extend_from_slice(&u16::from(RecordType::OPT).to_be_bytes());
            self.bytes.extend_from_slice(&OUR_PAYLOAD.to_be_bytes());
            let dnssec = if edns.dnssec { DNSSEC_OK } else { 0 };
            self.bytes.extend_from_slice(&[code.high(), 0, dnssec, 0, 0, 0]);
        }
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        let flags = RESPONSE
            | flag(self.authoritative, AUTHORITATIVE)
            | flag(self.truncated, TRUNCATED)
            | flag(question.recursion_desired, RECURSION_DESIRED)
            | RECURSION_AVAILABLE
            | flag(question.checking_disabled, CHECKING_DISABLED)
            | u16::from(code.low());
        let header = [question.id, flags, 1, self.answers, self.authorities, additionals];
        for (place, value) in self.bytes.chunks_exact_mut(2).zip(header) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        self.bytes
    }

    /// Writes a record whose owner is the asked name without its first `owner` bytes
    fn record(&mut self, section: Section, owner: usize, kind: RecordType, data: impl FnOnce(&mut Vec<u8>)) {
        match section {
            Section::Answer => self.answers = self.answers.saturating_add(1),
            Section::Authority => self.authorities = self.authorities.saturating_add(1),
        }
        pointer(&mut self.bytes, HEADER_BYTES.saturating_add(owner));
        self.bytes.extend_from_slice(&u16::from(kind).to_be_bytes());
        self.bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.bytes.extend_from_slice(&self.ttl.to_be_bytes());
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        data(&mut self.bytes);
        // Two names and some numbers at most
        let length = self.bytes.len().saturating_sub(at).saturating_sub(2) as u16;
        for (place, byte) in self.bytes.iter_mut().skip(at).zip(length.to_be_bytes()) {
            *place = byte;
        }
    }

    /// Where in the asked name its last labels begin
    fn skip(&self, labels: usize) -> usize {
        let (name, mut starts, mut at) = (&self.question.name, Vec::new(), 0);
        while name[at] != 0 {
            starts.push(at);
            at = usize::from(name[at]).saturating_add(at).saturating_add(1);
        }
        starts[starts.len().saturating_sub(labels)]
    }
}

/// An answer of a header only, to a message of which at least that was there
pub(super) fn refusal(query: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    if let Some(&[id, id_low, high, ..]) = query.get(..HEADER_BYTES) {
        let kept = high & (super::query::OPCODE | (RECURSION_DESIRED >> 8) as u8);
        bytes[..4].copy_from_slice(&[id, id_low, (RESPONSE >> 8) as u8 | kept, code.low()]);
    }
    bytes
}

/// A record of an address: a pointer, type, class, TTL, length, address
const ADDRESS_BYTES: usize = 16;

/// An OPT record without options (RFC 6891, 6.1.2)
const OPT_BYTES: usize = 11;

/// What secondaries of the zone would go by, of which there are none
const REFRESH: u32 = 3600;
const RETRY: u32 = 600;
const EXPIRE: u32 = 86_400;

const CLASS_IN: u16 = 1;

const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const CHECKING_DISABLED: u16 = 0x0010;

/// In the third byte of the flags of an OPT
const DNSSEC_OK: u8 = 0x80;

/// A name whose labels are none too long
fn name(bytes: &mut Vec<u8>, name: &str) {
    for part in name.split('.') {
        label(bytes, part.as_bytes());
    }
    bytes.push(0);
}

fn label(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.push(part.len() as u8);
    bytes.extend_from_slice(part);
}

/// The rest of a name is at this offset, which is in the question or short after it
fn pointer(bytes: &mut Vec<u8>, at: usize) {
    bytes.extend_from_slice(&(0xc000 | at as u16).to_be_bytes());
}
