//! Which question gets which answer.
//!
//! | asked is | answer |
//! |---|---|
//! | `A` of a name in the domain | its addresses, in another order each time |
//! | another type of it, or a name that only has others below | none, with the SOA |
//! | a name in the domain that nobody has | NXDOMAIN, with the SOA |
//! | the domain itself | its SOA and NS |
//! | a single label that is a name in the domain | as if it were in the domain |
//! | an address of any other single label | NXDOMAIN: see `docs/decisions/014-names.md` |
//! | `PTR` of an address that has a name | the first of its names |
//! | of any other address in our networks | NXDOMAIN, with an SOA: nobody else knows better |
//! | anything else | what somebody else says |

mod query;
mod reply;
mod reverse;

use std::net::Ipv4Addr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};
use ipnetwork::Ipv4Network;
use rand::Rng;
use rand::seq::SliceRandom as _;

use crate::domain::{Domain, HostName};
use crate::zone::{Found, Zone};
use query::{Heard, Question};
use reply::{Reply, Section};
use reverse::Reverse;

/// How a question came
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram, whose answer has to fit in one
    Udp,
    /// On a connection
    Tcp,
}

/// What to do with a question
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Send these bytes
    Reply(Vec<u8>),
    /// Ask somebody else, with the bytes of the question
    Forward,
    /// Nothing: it is no question
    Drop,
}

/// How the zone is answered
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// For how many seconds an answer, or that there is none, may be kept
    pub ttl: u32,
    /// Whose addresses have names here or none at all
    pub networks: Vec<Ipv4Network>,
}

impl Authority {
    /// For how many seconds answers are kept unless somebody chose another number
    pub const TTL: u32 = 1;

    /// The answer to the bytes of a question
    pub fn answer(&self, query: &[u8], transport: Transport, zone: &Zone, rng: &mut impl Rng) -> Answer {
        let question = match Question::read(query) {
            Heard::Question(question) => question,
            Heard::Nothing => return Answer::Drop,
            Heard::Unanswerable(code) => return Answer::Reply(reply::refusal(query, code)),
        };
        let mut reply = Reply::new(&question, transport, self.ttl);
        if question.edns.is_some_and(|edns| edns.version > 0) {
            return Answer::Reply(reply.finish(ResponseCode::BADVERS));
        }
        if !matches!(question.class, DNSClass::IN | DNSClass::ANY)
            || matches!(question.kind, RecordType::AXFR | RecordType::IXFR)
        {
            return Answer::Reply(reply.finish(ResponseCode::Refused));
        }
        let (code, authority) = match self.decide(&question, zone) {
            Decision::Forward => return Answer::Forward,
            Decision::Found(data, authority) => {
                let is_asked = |kind| question.kind == kind || question.kind == RecordType::ANY;
                match data {
                    Data::Addresses(addresses) if is_asked(RecordType::A) => {
                        let mut addresses: Vec<Ipv4Addr> =
                            addresses.iter().map(|(address, _)| *address).collect();
                        addresses.shuffle(rng);
                        reply.addresses(&addresses);
                    }
                    Data::Host(host) if is_asked(RecordType::PTR) => reply.host(host),
                    Data::Domain => {
                        if is_asked(RecordType::SOA) {
                            reply.soa(Section::Answer, labels(zone.domain()), zone);
                        }
                        if is_asked(RecordType::NS) {
                            reply.ns(labels(zone.domain()));
                        }
                    }
                    Data::Addresses(_) | Data::Host(_) | Data::Nothing => {}
                }
                (ResponseCode::NoError, authority)
            }
            Decision::NoName(authority) => (ResponseCode::NXDomain, authority),
        };
        if let Some(authority) = authority.filter(|_| reply.has_no_answer()) {
            reply.soa(Section::Authority, authority, zone);
        }
        Answer::Reply(reply.finish(code))
    }

    fn decide<'a>(&self, question: &Question, zone: &'a Zone) -> Decision<'a> {
        let (name, domain) = (question.key.as_str(), zone.domain());
        let authority = Some(labels(domain));
        match domain.host(name).map(|host| (host, zone.find(name))) {
            Some(("", _)) => return Decision::Found(Data::Domain, authority),
            Some((_, Found::Addresses(addresses))) => {
                return Decision::Found(Data::Addresses(addresses), authority);
            }
            Some((_, Found::Below)) => return Decision::Found(Data::Nothing, authority),
            Some((_, Found::Nothing)) => return Decision::NoName(authority),
            None => {}
        }
        if question.is_single() {
            let whole = format!("{name}.{}", domain.as_str().to_ascii_lowercase());
            return match zone.find(&whole) {
                Found::Addresses(addresses) => Decision::Found(Data::Addresses(addresses), None),
                Found::Below => Decision::Found(Data::Nothing, None),
                Found::Nothing if is_asked_of_hosts(question.kind) => Decision::NoName(None),
                Found::Nothing => Decision::Forward,
            };
        }
        let Some(reverse) = Reverse::read(name) else {
            return Decision::Forward;
        };
        if let Some(host) = reverse.address().and_then(|address| zone.host(address)) {
            return Decision::Found(Data::Host(host), Some(reverse::ADDRESS_LABELS));
        }
        match reverse.authority(&self.networks) {
            Some(authority) if reverse.is_between() => Decision::Found(Data::Nothing, Some(authority)),
            Some(authority) => Decision::NoName(Some(authority)),
            None => Decision::Forward,
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            ttl: Self::TTL,
            networks: Vec::new(),
        }
    }
}

/// That nobody else could be asked, to whoever asked this; none if it is no question
pub fn servfail(query: &[u8]) -> Option<Vec<u8>> {
    match Question::read(query) {
        Heard::Question(question) => {
            let reply = Reply::new(&question, Transport::Udp, 0).not_ours();
            Some(reply.finish(ResponseCode::ServFail))
        }
        Heard::Unanswerable(_) => Some(reply::refusal(query, ResponseCode::ServFail)),
        Heard::Nothing => None,
    }
}

/// That this asker is not answered, to whoever asked this; none if it is no question
pub fn refused(query: &[u8]) -> Option<Vec<u8>> {
    match Question::read(query) {
        Heard::Question(question) => {
            let reply = Reply::new(&question, Transport::Udp, 0).not_ours();
            Some(reply.finish(ResponseCode::Refused))
        }
        Heard::Unanswerable(_) => Some(reply::refusal(query, ResponseCode::Refused)),
        Heard::Nothing => None,
    }
}

/// What is known of a name. `usize` is how many of its last labels are the name of the SOA that tells
/// that there is nothing, and for how long that holds.
enum Decision<'a> {
    /// Not here
    Forward,
    /// That it is there
    Found(Data<'a>, Option<usize>),
    /// That it is not there
    NoName(Option<usize>),
}

enum Data<'a> {
    Addresses(&'a [(Ipv4Addr, u32)]),
    Host(&'a HostName),
    Domain,
    Nothing,
}

fn labels(domain: &Domain) -> usize {
    domain.as_str().split('.').count()
}

/// Whether it is what programs ask that want to connect to a host, whose short name they have
const fn is_asked_of_hosts(kind: RecordType) -> bool {
    matches!(
        kind,
        RecordType::A | RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB | RecordType::ANY
    )
}

#[cfg(test)]
mod tests;
