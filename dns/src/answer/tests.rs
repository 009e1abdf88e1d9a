use hickory_proto::op::{Edns, Message, OpCode, Query};
use hickory_proto::rr::{Name, RData, Record};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::{Domain, Names};

#[test]
fn each_question_has_the_answer_that_the_table_says() {
    use RecordType::{A, AAAA, ANY, DS, HTTPS, MX, NS, PTR, SOA, SRV, TXT};
    const DOMAIN: &str = "weave.local.";
    const NETWORK: &str = "32.10.in-addr.arpa.";
    let forward: Option<(&str, &str, &str)> = None;
    for (name, kind, expected) in [
        // Names that are there: code, what is answered, the SOA's owner
        ("c1.weave.local.", A, Some(("No Error", "10.32.0.1", ""))),
        ("C1.Weave.LOCAL.", A, Some(("No Error", "10.32.0.1", ""))),
        ("c1.weave.local.", ANY, Some(("No Error", "10.32.0.1", ""))),
        ("c1.weave.local.", AAAA, Some(("No Error", "", DOMAIN))),
        ("c1.weave.local.", MX, Some(("No Error", "", DOMAIN))),
        ("c1.weave.local.", SRV, Some(("No Error", "", DOMAIN))),
        ("c1.weave.local.", PTR, Some(("No Error", "", DOMAIN))),
        ("a.b.weave.local.", A, Some(("No Error", "10.32.0.2", ""))),
        // Names that only have others below
        ("b.weave.local.", A, Some(("No Error", "", DOMAIN))),
        ("b.weave.local.", ANY, Some(("No Error", "", DOMAIN))),
        // Names that nobody has
        ("c3.weave.local.", A, Some(("Non-Existent Domain", "", DOMAIN))),
        ("c3.weave.local.", TXT, Some(("Non-Existent Domain", "", DOMAIN))),
        ("x.c1.weave.local.", A, Some(("Non-Existent Domain", "", DOMAIN))),
        // The domain
        (
            "weave.local.",
            SOA,
            Some(("No Error", "weave.local. hostmaster.weave.local.", "")),
        ),
        ("weave.local.", NS, Some(("No Error", "weave.local.", ""))),
        (
            "weave.local.",
            ANY,
            Some((
                "No Error",
                "weave.local. hostmaster.weave.local. weave.local.",
                "",
            )),
        ),
        ("weave.local.", A, Some(("No Error", "", DOMAIN))),
        // Single labels
        ("c1.", A, Some(("No Error", "10.32.0.1", ""))),
        ("C1.", AAAA, Some(("No Error", "", ""))),
        ("b.", A, Some(("No Error", "", ""))),
        ("c3.", A, Some(("Non-Existent Domain", "", ""))),
        ("c3.", AAAA, Some(("Non-Existent Domain", "", ""))),
        ("c3.", HTTPS, Some(("Non-Existent Domain", "", ""))),
        ("com.", NS, forward),
        ("com.", DS, forward),
        (".", NS, forward),
        (".", A, forward),
        // Addresses
        (
            "1.0.32.10.in-addr.arpa.",
            PTR,
            Some(("No Error", "C1.weave.local.", "")),
        ),
        (
            "1.0.32.10.IN-ADDR.Arpa.",
            PTR,
            Some(("No Error", "C1.weave.local.", "")),
        ),
        (
            "1.0.32.10.in-addr.arpa.",
            ANY,
            Some(("No Error", "C1.weave.local.", "")),
        ),
        (
            "1.0.32.10.in-addr.arpa.",
            A,
            Some(("No Error", "", "1.0.32.10.in-addr.arpa.")),
        ),
        (
            "2.0.32.10.in-addr.arpa.",
            PTR,
            Some(("No Error", "a.b.weave.local.", "")),
        ),
        (
            "9.0.32.10.in-addr.arpa.",
            PTR,
            Some(("Non-Existent Domain", "", NETWORK)),
        ),
        (
            "x.1.0.32.10.in-addr.arpa.",
            PTR,
            Some(("Non-Existent Domain", "", NETWORK)),
        ),
        ("0.32.10.in-addr.arpa.", PTR, Some(("No Error", "", NETWORK))),
        (
            "1.2.0.192.in-addr.arpa.",
            PTR,
            Some(("No Error", "outside.weave.local.", "")),
        ),
        ("2.2.0.192.in-addr.arpa.", PTR, forward),
        ("10.in-addr.arpa.", NS, forward),
        ("1.0.48.10.in-addr.arpa.", PTR, forward),
        // Others
        ("www.example.com.", A, forward),
        ("c1.weave.localx.", A, forward),
        ("c1.local.", A, forward),
        ("in-addr.arpa.", SOA, forward),
        ("1.0.0.0.ip6.arpa.", PTR, forward),
    ] {
        let query = query(name, kind);
        let Some((code, answer, soa)) = expected else {
            assert_eq!(ask(&query, Transport::Udp), Answer::Forward, "{name} {kind}");
            continue;
        };
        let reply = reply(&query, Transport::Udp);
        assert_eq!(reply.metadata.response_code.to_string(), code, "{name} {kind}");
        assert!(
            reply.metadata.authoritative && reply.metadata.recursion_available,
            "{name} {kind}"
        );
        assert_eq!(text(&reply.answers), answer, "{name} {kind}");
        let owners: Vec<String> = reply
            .authorities
            .iter()
            .map(|record| record.name.to_string())
            .collect();
        assert_eq!(owners.join(" "), soa, "{name} {kind}");
        assert!(
            reply
                .answers
                .iter()
                .all(|record| record.name == reply.queries[0].name),
            "{name} {kind}"
        );
        assert!(
            reply
                .answers
                .iter()
                .chain(&reply.authorities)
                .all(|record| record.ttl == 7)
        );
        assert!(reply.queries == query.queries && reply.metadata.id == query.metadata.id);
    }
}

#[test]
fn bytes_that_no_host_has_in_its_name_are_nobodys() {
    for label in [&b"c\xc11"[..], b"a.b", b"c1\0", b"c?1"] {
        let mut query = query("c1.weave.local.", RecordType::A);
        query.queries[0].name = Name::from_labels([label, b"weave", b"local"]).unwrap();
        let reply = reply(&query, Transport::Udp);
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain, "{label:?}");
        assert_eq!(reply.queries, query.queries);
    }
}

#[test]
fn the_asked_case_is_kept() {
    let reply = reply(&query("c1.WEAVE.local.", RecordType::A), Transport::Udp);
    assert_eq!(reply.queries[0].name.to_string(), "c1.WEAVE.local.");
    assert_eq!(reply.answers[0].name.to_string(), "c1.WEAVE.local.");
}

#[test]
fn a_negative_answer_says_how_long_it_holds() {
    let reply = reply(&query("c3.weave.local.", RecordType::A), Transport::Udp);
    let RData::SOA(soa) = &reply.authorities[0].data else {
        panic!("no SOA")
    };
    assert_eq!(
        (soa.minimum, soa.mname.to_string()),
        (7, "weave.local.".to_owned())
    );
    assert_eq!(soa.rname.to_string(), "hostmaster.weave.local.");
}

#[test]
fn addresses_come_in_another_order_each_time_and_all_of_them() {
    let zone = zone(50);
    let mut rng = StdRng::seed_from_u64(1);
    let bytes = query("many.weave.local.", RecordType::A).to_vec().unwrap();
    let mut first = std::collections::BTreeMap::new();
    for _ in 0..500 {
        let Answer::Reply(reply) = authority().answer(&bytes, Transport::Tcp, &zone, &mut rng) else {
            panic!("no reply")
        };
        let reply = Message::from_vec(&reply).unwrap();
        let mut all: Vec<String> = reply
            .answers
            .iter()
            .map(|record| record.data.to_string())
            .collect();
        *first.entry(all[0].clone()).or_insert(0) += 1;
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 50);
    }
    assert!(first.len() > 40, "{first:?}");
}

#[test]
fn a_datagram_has_as_many_addresses_as_fit_and_says_if_there_are_more() {
    // Header 12, question 22, OPT 11, each address 16 bytes
    for (payload, count, there) in [
        (None, 50, 29),
        (None, 29, 29),
        (Some(100), 50, 29),
        (Some(512), 50, 29),
        (Some(700), 50, 40),
        (Some(1232), 50, 50),
        (Some(4096), 300, 253),
        (Some(65_535), 300, 253),
    ] {
        let mut query = query("many.weave.local.", RecordType::A);
        query.edns = payload.map(edns);
        let zone = zone(count);
        let bytes = answered(&zone, &query, Transport::Udp);
        assert!(bytes.len() <= usize::from(payload.unwrap_or(512)).clamp(512, 4096));
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!(reply.answers.len(), there, "{payload:?}");
        assert_eq!(reply.metadata.truncation, there < count, "{payload:?}");
        assert_eq!(reply.edns.is_some(), payload.is_some());
        let whole = Message::from_vec(&answered(&zone, &query, Transport::Tcp)).unwrap();
        assert_eq!((whole.answers.len(), whole.metadata.truncation), (count, false));
    }
}

#[test]
fn a_connection_carries_what_two_bytes_of_length_can_say() {
    let bytes = answered(
        &zone(5000),
        &query("many.weave.local.", RecordType::A),
        Transport::Tcp,
    );
    assert_eq!(
        Message::from_vec(&bytes).unwrap().answers.len(),
        (65_535 - 34) / 16
    );
}

#[test]
fn the_longest_names_have_an_answer_that_fits() {
    let long = [["d"; 40].join("."), "e".repeat(63)].join(".");
    let mut names = Names::new(
        "02:00:00:00:00:01".parse().unwrap(),
        gossip::Identity::from_seed([7; 32].into()),
        1,
        long.parse().unwrap(),
    );
    let host = format!("{}.{long}", ["h"; 54].join("."));
    assert_eq!(host.len(), 251);
    names
        .add(&host, "id".parse().unwrap(), [10, 32, 0, 1].into())
        .unwrap();
    let zone = names.take_zone().unwrap();
    for (name, kind) in [
        (host.as_str(), RecordType::A),
        (host.as_str(), RecordType::AAAA),
        ("1.0.32.10.in-addr.arpa.", RecordType::PTR),
        ("1.0.32.10.in-addr.arpa.", RecordType::A),
        ("255.255.32.10.in-addr.arpa.", RecordType::PTR),
    ] {
        let mut query = query(name, kind);
        query.edns = Some(edns(512));
        let bytes = answered(&zone, &query, Transport::Udp);
        assert!(bytes.len() <= 512, "{name} {kind}");
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!(reply.answers.len() + reply.authorities.len(), 1, "{name} {kind}");
    }
}

#[test]
fn edns_is_answered_with_edns() {
    let mut query = query("c1.weave.local.", RecordType::A);
    assert!(reply(&query, Transport::Udp).edns.is_none());
    query.edns = Some(edns(1232));
    query.edns.as_mut().unwrap().set_dnssec_ok(true);
    let answered = reply(&query, Transport::Udp).edns.unwrap();
    assert_eq!((answered.version(), answered.max_payload()), (0, 1232));
    assert!(answered.flags().dnssec_ok);
    query.edns.as_mut().unwrap().set_version(1);
    let refused = reply(&query, Transport::Udp);
    assert_eq!(
        u16::from(refused.metadata.response_code),
        u16::from(ResponseCode::BADVERS)
    );
    assert_eq!((refused.edns.unwrap().version(), refused.answers.len()), (0, 0));
}

#[test]
fn what_is_asked_of_nobody_here_is_refused() {
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::NONE, DNSClass::from(0x8001)] {
        let mut query = query("c1.weave.local.", RecordType::A);
        query.queries[0].query_class = class;
        assert_eq!(
            reply(&query, Transport::Udp).metadata.response_code,
            ResponseCode::Refused,
            "{class}"
        );
    }
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        let reply = reply(&query("example.com.", kind), Transport::Tcp);
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    }
    let mut any = query("c1.weave.local.", RecordType::A);
    any.queries[0].query_class = DNSClass::ANY;
    assert_eq!(text(&reply(&any, Transport::Udp).answers), "10.32.0.1");
}

#[test]
fn what_is_no_question_is_answered_with_an_error_or_not_at_all() {
    let good = query("c1.weave.local.", RecordType::A).to_vec().unwrap();
    let code = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        match ask_bytes(&bytes) {
            Answer::Reply(reply) => {
                assert_eq!((reply.len(), &reply[..2]), (12, &bytes[..2]));
                Some(reply[3] & 15)
            }
            Answer::Drop => None,
            Answer::Forward => panic!("forwarded"),
        }
    };
    assert_eq!(code(&|bytes| bytes.truncate(11)), None);
    assert_eq!(code(&|bytes| bytes[2] |= 0x80), None);
    assert_eq!(code(&|bytes| bytes.truncate(12)), Some(1));
    assert_eq!(code(&|bytes| bytes.truncate(20)), Some(1));
    assert_eq!(code(&|bytes| bytes[5] = 0), Some(1));
    assert_eq!(code(&|bytes| bytes[5] = 2), Some(1));
    assert_eq!(code(&|bytes| bytes[7] = 1), Some(1));
    // A name that is a pointer to itself
    assert_eq!(code(&|bytes| bytes[12..14].copy_from_slice(&[0xc0, 12])), Some(1));
    for opcode in [1, 2, 4, 5, 15] {
        assert_eq!(code(&|bytes| bytes[2] |= opcode << 3), Some(4), "{opcode}");
    }
}

#[test]
fn a_failure_tells_what_it_is_of() {
    let mut query = query("www.example.com.", RecordType::A);
    query.edns = Some(edns(1232));
    let reply = Message::from_vec(&servfail(&query.to_vec().unwrap()).unwrap()).unwrap();
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(!reply.metadata.authoritative && reply.edns.is_some());
    assert_eq!(
        (reply.queries, reply.metadata.id),
        (query.queries, query.metadata.id)
    );
    assert_eq!(servfail(&[0; 5]), None);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        survive(&bytes)?;
    }

    /// Bytes that are nearly a question: what is answered can be read by others, and is of this question.
    #[test]
    fn nearly_questions_are_survived(
        edns in any::<bool>(),
        changes in prop::collection::vec((2..60usize, any::<u8>()), 0..4),
        cut in 0..60usize,
        name in prop::sample::select(vec!["c1.weave.local.", "9.0.32.10.in-addr.arpa.", "many.weave.local.", "c1."]),
    ) {
        let mut query = query(name, RecordType::A);
        query.edns = edns.then(|| tests::edns(1232));
        let mut bytes = query.to_vec().unwrap();
        for (at, byte) in changes {
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
        }
        if cut > 50 {
            bytes.truncate(cut);
        }
        survive(&bytes)?;
    }
}

fn survive(bytes: &[u8]) -> Result<(), TestCaseError> {
    let _failure = servfail(bytes);
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut rng = StdRng::seed_from_u64(1);
        if let Answer::Reply(reply) = authority().answer(bytes, transport, &zone(100), &mut rng) {
            prop_assert_eq!(&reply[..2], &bytes[..2]);
            prop_assert!(reply[2] & 0x80 != 0);
            let opcode = OpCode::from_u8((reply[2] >> 3) & 15);
            if opcode == OpCode::Query {
                prop_assert!(Message::from_vec(&reply).is_ok());
            }
        }
    }
    Ok(())
}

fn authority() -> Authority {
    Authority {
        ttl: 7,
        networks: vec!["10.32.0.0/12".parse().unwrap()],
    }
}

/// Some names, and one with that many addresses
fn zone(many: usize) -> Zone {
    let mut names = Names::new(
        "02:00:00:00:00:01".parse().unwrap(),
        gossip::Identity::from_seed([7; 32].into()),
        1,
        Domain::default(),
    );
    for (name, address) in [
        ("C1", [10, 32, 0, 1]),
        ("z", [10, 32, 0, 1]),
        ("a.b.weave.local", [10, 32, 0, 2]),
        ("outside", [192, 0, 2, 1]),
    ] {
        names.add(name, "id".parse().unwrap(), address.into()).unwrap();
    }
    for n in 0..many {
        let address = Ipv4Addr::from_bits(0x0a21_0000 + n as u32);
        names
            .add("many", format!("{n}").parse().unwrap(), address)
            .unwrap();
    }
    names.take_zone().unwrap()
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 0x1234;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn edns(payload: u16) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    edns
}

fn ask_bytes(bytes: &[u8]) -> Answer {
    authority().answer(bytes, Transport::Udp, &zone(0), &mut StdRng::seed_from_u64(1))
}

fn ask(query: &Message, transport: Transport) -> Answer {
    authority().answer(
        &query.to_vec().unwrap(),
        transport,
        &zone(0),
        &mut StdRng::seed_from_u64(1),
    )
}

fn answered(zone: &Zone, query: &Message, transport: Transport) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(1);
    match authority().answer(&query.to_vec().unwrap(), transport, zone, &mut rng) {
        Answer::Reply(bytes) => bytes,
        other @ (Answer::Forward | Answer::Drop) => panic!("{other:?}"),
    }
}

fn reply(query: &Message, transport: Transport) -> Message {
    Message::from_vec(&answered(&zone(0), query, transport)).unwrap()
}

/// What records say, without numbers that nobody goes by
fn text(records: &[Record]) -> String {
    let say = |record: &Record| {
        if let RData::SOA(soa) = &record.data {
            format!("{} {}", soa.mname, soa.rname)
        } else {
            record.data.to_string()
        }
    };
    records.iter().map(say).collect::<Vec<_>>().join(" ")
}
