use std::collections::BTreeMap;

use model::{Mac, ShortId, Uid};
use proptest::prelude::*;

use super::*;
use crate::config::Offer;
use crate::digest::{Digest, Stamp};
use crate::identity::{BeatKey, IdentityKey, Signature};
use crate::message::Goodbye;
use crate::network::NetworkName;
use crate::prologue::Versions;
use crate::records::tests::{name, record};
use crate::records::{Dispute, Link, MAX_ADDRESSES};

/// Each message with its bytes, as this program sends them
#[rustfmt::skip]
fn captures() -> Vec<(Message, Vec<u8>)> {
    vec![
        (Message::Hello(Box::new(hello())), [vec![
            0, 0, 0, 186,                            // length
            1, 1,                                   // tag: hello, version
            0x02, 0, 0, 0, 0, 0x01,                 // name
            5, b'h', b'o', b's', b't', b'1',        // nickname
        ], vec![0x22; 32], vec![0; 64], vec![       // Ed25519 key, signature of the X25519 key
            0xfb, 0x34, 0x12,                       // uid: 0x1234, as varint u16
            7,                                      // epoch
            0xfb, 0xbc, 0x0a,                       // short id: 0xabc
            0xfd, 8, 7, 6, 5, 4, 3, 2, 1,           // connection id, as varint u64
        ], vec![0x44; 32], vec![                    // key of heartbeats
            1,                                      // trusts you
            1,                                      // offer: fastdp
            0xfb, 0x80, 0x1a,                       // offer: VXLAN port 6784
            0xfb, 0x7f, 0x1a,                       // offer: sleeve port 6783
            0xfb, 0xaa, 0x05,                       // offer: overlay MTU 1450
            0xfb, 0x7f, 0x1a,                       // control port
            0, 192, 0, 2, 9, 0xfb, 0x7f, 0x1a,      // you: IPv4, port
            5, b'0', b'.', b'1', b'.', b'0',        // version
        ]].concat()),
        (Message::Welcome, vec![
            0, 0, 0, 2,
            2, 1,                                   // tag: welcome, version
        ]),
        (Message::Keepalive, vec![
            0, 0, 0, 2,
            3, 1,                                   // tag: keepalive, version
        ]),
        (Message::Goodbye(Goodbye::Refused(Reject::ConnectionLimit(200))), vec![
            0, 0, 0, 5,
            4, 1,                                   // tag: goodbye, version
            3, 4, 200,                              // refused, connection limit, 200
        ]),
        (Message::Digest(digest()), {
            let mut bytes = vec![0, 0, 0, 34, 5, 1]; // tag: digest, version
            bytes.extend(*blake3::Hasher::new().finalize().as_bytes());
            bytes
        }),
        (Message::Summary(vec![(name(2), record(2, 300, &[]).stamp())]), vec![
            0, 0, 0, 14,
            6, 1,                                   // tag: summary, version
            1,                                      // one entry
            0x02, 0, 0, 0, 0, 0x02,                 // name
            1,                                      // epoch
            0xfb, 0x2c, 0x01,                       // version: 300
            2,                                      // uid
        ]),
        (Message::Want(vec![name(3)]), vec![
            0, 0, 0, 9,
            7, 1,                                   // tag: want, version
            1,                                      // one name
            0x02, 0, 0, 0, 0, 0x03,
        ]),
        (Message::Records(vec![captured_record()]), {
            let mut bytes = vec![
                0, 0, 0, 172,
                8, 1,                               // tag: records, version
                1,                                  // one record
                0x02, 0, 0, 0, 0, 0x01,             // name
            ];
            bytes.extend([1; 32]);                  // key
            bytes.extend([
                5, b'h', b'o', b's', b't', b'1',    // nickname
                1,                                  // uid
                1,                                  // epoch
                2,                                  // version
                1,                                  // short id
                0,                                  // no address
                1,                                  // one connection
                0x02, 0, 0, 0, 0, 0x04,             // to
                0, 192, 0, 2, 1, 0xfb, 0x7f, 0x1a,  // its address
                1, 1,                               // outbound, established
                1,                                  // one dispute
                0x02, 0, 0, 0, 0, 0x05,             // about this name
            ]);
            bytes.extend([3; 32]);                  // claimed by this key
            bytes.extend([0; 64]);                  // signature
            bytes
        }),
        (Message::Bans(vec![captured_ban()]), [vec![
            0, 0, 0, 141,
            10, 1,                                  // tag: bans, version
            1,                                      // one order
        ], vec![9; 32], vec![                       // about this key
            0x02, 0, 0, 0, 0, 0x09,                 // which had this name
            1,                                      // refused
            0xfb, 0xe8, 0x03,                       // at 1000 ms
        ], vec![8; 32], vec![0; 64]].concat()),     // by this key, signature
        (Message::Channel(Channel(9), vec![0xaa, 0xbb]), vec![
            0, 0, 0, 5,
            9, 1,                                   // tag: channel, version
            9,                                      // which
            0xaa, 0xbb,                             // raw
        ]),
    ]
}

#[test]
fn every_message_has_the_bytes_of_its_capture() {
    for (message, capture) in captures() {
        let bytes = encode(&message);
        let len = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        assert_eq!(len, bytes.len() - 4);
        assert_eq!(bytes, capture, "{message:?}");
        assert_eq!(parse(&bytes[4..]), Ok(Some(message)));
    }
}

#[test]
fn no_message_is_without_a_capture() {
    let seen: BTreeMap<u8, ()> = captures().iter().map(|(message, _)| (tag(message), ())).collect();
    assert_eq!(seen.len(), 10);
}

#[test]
fn what_a_newer_peer_may_say_is_skipped() {
    assert_eq!(parse(&[200, VERSION, 1, 2, 3]), Ok(None));
    assert_eq!(parse(&[KEEPALIVE, 2, 1]), Ok(None));
}

#[test]
fn what_is_not_exactly_one_value_is_refused() {
    assert_eq!(parse(&[KEEPALIVE]), Err(WireError::Short));
    assert_eq!(parse(&[CHANNEL, VERSION]), Err(WireError::Short));
    assert_eq!(parse(&[KEEPALIVE, VERSION, 0]), Err(WireError::Malformed));
    assert_eq!(parse(&[DIGEST, VERSION, 0]), Err(WireError::Malformed));
    // A vector of 2^64-1 names in nine bytes.
    let huge = [WANT, VERSION, 0xfd, 255, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(parse(&huge), Err(WireError::Malformed));
}

#[test]
fn what_no_peer_would_say_is_refused() {
    let group = Hello {
        name: PeerName::from(Mac::BROADCAST),
        ..hello()
    };
    let talkative = Hello {
        version: "x".repeat(MAX_VERSION_TEXT + 1),
        ..hello()
    };
    let late = Hello {
        epoch: COUNTER_LIMIT,
        ..hello()
    };
    let mut too_many = record(1, 1, &[]);
    too_many.addresses = vec!["192.0.2.1:1".parse().unwrap(); MAX_ADDRESSES + 1];
    for message in [
        Message::Hello(Box::new(group)),
        Message::Hello(Box::new(talkative)),
        Message::Records(vec![too_many]),
        Message::Hello(Box::new(late)),
        Message::Records(vec![record(1, COUNTER_LIMIT, &[])]),
        Message::Want((0..MAX_PEERS as u16 + 1).map(name).collect()),
        Message::Want(vec![name(1), name(1)]),
        Message::Want(vec![name(2), name(1)]),
        Message::Summary(vec![(name(1), record(1, COUNTER_LIMIT, &[]).stamp())]),
        Message::Bans(vec![captured_ban(); MAX_ORDERS + 1]),
    ] {
        let bytes = encode(&message);
        assert_eq!(parse(&bytes[4..]), Err(WireError::OutOfBounds));
    }
}

#[test]
fn the_largest_record_and_the_largest_summary_fit_the_limit() {
    let mut largest = record(1, COUNTER_LIMIT - 1, &[]);
    largest.nickname = "n".repeat(253).parse().unwrap();
    largest.addresses = vec!["[2001:db8::1]:65535".parse().unwrap(); MAX_ADDRESSES];
    let link = Link {
        address: "[2001:db8::1]:65535".parse().unwrap(),
        outbound: true,
        established: true,
    };
    largest.connections = (2..MAX_PEERS as u16 + 1).map(|n| (name(n), link)).collect();
    assert!(largest.is_sound());
    let stamp = Stamp {
        epoch: COUNTER_LIMIT - 1,
        version: COUNTER_LIMIT - 1,
        uid: Uid(u64::MAX),
    };
    let summary = (0..MAX_PEERS as u16).map(|n| (name(n), stamp)).collect();
    for message in [Message::Records(vec![largest.clone()]), Message::Summary(summary)] {
        let bytes = encode(&message);
        assert!(bytes.len() < LIMIT);
        assert!(parse(&bytes[4..]).unwrap().is_some());
    }
    let bytes = encode(&Message::Records(vec![largest.clone()]));
    assert!(
        bytes.len() <= record_bytes(&largest),
        "the estimate is never too small"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>, tag in 0..11u8) {
        let _ = parse(&bytes);
        let _ = parse(&[&[tag, VERSION][..], &bytes].concat());
        let _ = parse_reject(&bytes);
    }

    #[test]
    fn a_damaged_message_is_a_message_or_an_error(which in 0..10usize, at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = encode(&captures()[which].0);
        let at = 4 + at.index(bytes.len() - 4);
        bytes[at] ^= 1 << bit;
        let _ = parse(&bytes[4..]);
    }
}

#[test]
fn every_reject_comes_back() {
    let versions = Versions { min: 3, max: 9 };
    for reject in [
        Reject::Versions {
            ours: versions,
            theirs: versions,
        },
        Reject::PasswordMissing,
        Reject::PasswordUnexpected,
        Reject::PasswordWrong,
        Reject::ConnectionLimit(u32::MAX),
        Reject::OtherNetwork {
            ours: NetworkName::default(),
            theirs: "staging".parse().unwrap(),
        },
        Reject::Banned,
        Reject::Ourselves,
        Reject::NameCollision(name(1)),
    ] {
        assert_eq!(parse_reject(&emit_reject(reject)), Ok(reject));
    }
}

fn hello() -> Hello {
    Hello {
        name: name(1),
        nickname: "host1".parse().unwrap(),
        identity: IdentityKey([0x22; 32]),
        proof: Signature::default(),
        uid: Uid(0x1234),
        epoch: 7,
        short_id: ShortId::truncated(0xabc),
        conn_id: 0x0102_0304_0506_0708,
        beat_key: BeatKey::new(zeroize::Zeroizing::new([0x44; 32])),
        trusts_you: true,
        offer: Offer {
            fastdp: true,
            vxlan_port: 6784,
            sleeve_port: 6783,
            overlay_mtu: 1450,
        },
        control_port: 6783,
        you: "192.0.2.9:6783".parse().unwrap(),
        version: "0.1.0".into(),
    }
}

fn captured_record() -> PeerRecord {
    PeerRecord {
        key: IdentityKey([1; 32]),
        disputes: vec![Dispute {
            name: name(5),
            claimant: IdentityKey([3; 32]),
        }],
        signature: Signature::default(),
        ..record(1, 2, &[4])
    }
}

fn captured_ban() -> Ban {
    Ban {
        key: IdentityKey([9; 32]),
        name: name(9),
        refused: true,
        at_ms: 1000,
        by: IdentityKey([8; 32]),
        signature: Signature::default(),
    }
}

fn digest() -> Digest {
    Digest::of(std::iter::empty())
}

fn tag(message: &Message) -> u8 {
    let bytes = encode(message);
    // No wildcard: a new message does not compile until it is here, and then needs a capture.
    let expected = match message {
        Message::Hello(_) => HELLO,
        Message::Welcome => WELCOME,
        Message::Keepalive => KEEPALIVE,
        Message::Goodbye(_) => GOODBYE,
        Message::Digest(_) => DIGEST,
        Message::Summary(_) => SUMMARY,
        Message::Want(_) => WANT,
        Message::Records(_) => RECORDS,
        Message::Bans(_) => BANS,
        Message::Channel(..) => CHANNEL,
    };
    assert_eq!(bytes[4], expected);
    expected
}
