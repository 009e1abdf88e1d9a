use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

#[test]
fn an_answer_comes_back_as_it_is_but_for_the_id() {
    let start = now();
    let mut forward = forward(1, true, start);
    assert_eq!(forward.poll_ask(start), Some(server(0)));
    assert_eq!(forward.poll_ask(start), None);
    let mut theirs = answer(&forward, ResponseCode::NXDomain);
    let Came::Answer(ours) = forward.came(server(0), &theirs, start) else {
        panic!("no answer")
    };
    assert_eq!(ours[..2], [0x12, 0x34]);
    assert_ne!(theirs[..2], [0x12, 0x34]);
    theirs[..2].copy_from_slice(&[0x12, 0x34]);
    assert_eq!(ours, theirs);
}

#[test]
fn what_is_not_the_answer_is_nothing() {
    let start = now();
    let mut forward = forward(2, true, start);
    forward.poll_ask(start);
    let good = answer(&forward, ResponseCode::NoError);
    assert_eq!(
        forward.came(server(1), &good, start),
        Came::Nothing,
        "of one that was not asked"
    );
    let changes: [fn(&mut Vec<u8>); 8] = [
        |bytes| bytes[0] ^= 1,
        |bytes| bytes[1] ^= 1,
        |bytes| bytes[2] &= 0x7f,
        |bytes| bytes[5] = 2,
        |bytes| bytes[5] = 0,
        |bytes| bytes[13] ^= 1,
        |bytes| *bytes.last_mut().unwrap() = 3,
        |bytes| bytes.truncate(14),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut bytes = good.clone();
        change(&mut bytes);
        assert_eq!(forward.came(server(0), &bytes, start), Came::Nothing, "{number}");
    }
    let mut lower = good.clone();
    lower[12..].make_ascii_lowercase();
    assert!(matches!(forward.came(server(0), &lower, start), Came::Answer(_)));
}

#[test]
fn each_server_is_asked_twice_in_time_and_a_late_answer_counts() {
    let start = now();
    let mut forward = forward(3, true, start);
    let (mut asked, mut at) = (Vec::new(), start);
    while !forward.is_over(at) {
        while let Some(server) = forward.poll_ask(at) {
            asked.push((server.port(), (at - start).as_millis()));
        }
        at = forward.poll_timeout();
    }
    let first: Vec<u16> = asked.iter().map(|(server, _)| *server).collect();
    assert_eq!(first, [0, 1, 2, 0, 1, 2]);
    let gaps: Vec<u128> = asked.iter().map(|(_, at)| *at).collect();
    assert_eq!(gaps, [0, 750, 1500, 2250, 3000, 3750]);
    assert_eq!(at, start + ANSWER_WITHIN);
    let late = answer(&forward, ResponseCode::NoError);
    assert!(matches!(forward.came(server(0), &late, at), Came::Answer(_)));
}

#[test]
fn one_that_fails_or_cannot_answer_is_followed_by_the_next_at_once() {
    let start = now();
    let mut forward = forward(3, true, start);
    assert_eq!(forward.poll_ask(start), Some(server(0)));
    forward.failed(server(0), start);
    assert_eq!(forward.poll_ask(start), Some(server(1)));
    let refused = answer(&forward, ResponseCode::Refused);
    assert_eq!(forward.came(server(1), &refused, start), Came::Nothing);
    assert_eq!(forward.poll_ask(start), Some(server(2)));
    assert!(!forward.is_over(start));
    let mut bare = answer(&forward, ResponseCode::FormErr);
    bare.truncate(12);
    bare[4..6].fill(0);
    assert_eq!(forward.came(server(2), &bare, start), Came::Nothing);
    assert!(forward.is_over(start));
    let mut expected = refused;
    expected[..2].copy_from_slice(&[0x12, 0x34]);
    assert_eq!(forward.into_refusal(), Some(expected));
}

#[test]
fn nobody_to_ask_is_over_at_once() {
    let start = now();
    let mut forward = forward(0, true, start);
    assert_eq!(forward.poll_ask(start), None);
    assert!(forward.is_over(start));
    assert_eq!(forward.into_refusal(), None);
}

#[test]
fn on_connections_each_server_is_asked_once() {
    let start = now();
    let mut forward = forward(2, false, start);
    assert_eq!(forward.poll_ask(start), Some(server(0)));
    let half = start + ANSWER_WITHIN / 2;
    assert_eq!(forward.poll_timeout(), half);
    assert_eq!(forward.poll_ask(half), Some(server(1)));
    assert_eq!(forward.poll_ask(half), None);
    assert_eq!(forward.poll_timeout(), start + ANSWER_WITHIN);
}

#[test]
fn ids_cannot_be_guessed_from_each_other() {
    let mut rng = StdRng::seed_from_u64(1);
    let ids: std::collections::BTreeSet<Vec<u8>> = (0..100)
        .map(|_| {
            let forward = Forward::new(&query(), &[server(0)], true, &mut rng, now()).unwrap();
            forward.query()[..2].to_vec()
        })
        .collect();
    assert!(ids.len() > 95);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..40), asked in any::<bool>()) {
        let start = now();
        let mut rng = StdRng::seed_from_u64(1);
        let _forward = Forward::new(&bytes, &[server(0)], asked, &mut rng, start);
        let mut forward = forward(1, true, start);
        forward.poll_ask(start);
        let mut bytes = bytes;
        if asked && bytes.len() > 2 {
            bytes[..2].copy_from_slice(&forward.query()[..2]);
        }
        forward.came(server(0), &bytes, start);
    }
}

fn forward(servers: u16, may_get_lost: bool, now: Instant) -> Forward {
    let servers: Vec<SocketAddr> = (0..servers).map(server).collect();
    let mut rng = StdRng::seed_from_u64(7);
    Forward::new(&query(), &servers, may_get_lost, &mut rng, now).unwrap()
}

fn query() -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 0x1234;
    message.add_query(Query::query(
        Name::from_ascii("www.EXAMPLE.com.").unwrap(),
        RecordType::A,
    ));
    message.to_vec().unwrap()
}

fn answer(forward: &Forward, code: ResponseCode) -> Vec<u8> {
    let mut message = Message::from_vec(forward.query()).unwrap().into_response();
    message.metadata.response_code = code;
    message.to_vec().unwrap()
}

fn server(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], n))
}

fn now() -> Instant {
    Instant::now()
}
