use gossip::Identity;
use proptest::prelude::*;

use super::*;
use crate::domain::HostName;
use crate::stamp::MAX_COUNT;

/// origin, epoch, sequence
const STATE: [u8; 8] = [2, 0, 0, 0, 0, 1, 5, 3];

#[test]
fn a_change_has_these_bytes() {
    let bytes = [
        &[0][..], // what happened
        &STATE,
        &proof_bytes(),
        &[1],                                                      // from
        &[1, 3],                                                   // one came, with sequence 3
        &[4, b'c', b'1', b'.', b'x', 2, b'i', b'd', 10, 32, 0, 1], // name, container, address
        &[1, 1],                                                   // one went, that came with sequence 1
    ]
    .concat();
    let told = Told::Delta(Delta {
        head: head(3),
        from: 1,
        came: vec![(3, entry("c1.x"))],
        went: vec![1],
    });
    assert_eq!(taken(&bytes), Ok(told.clone()));
    assert_eq!(encode(&lent(&told)), bytes);
}

#[test]
fn a_piece_has_these_bytes() {
    let bytes = [
        &[1][..], // what there is
        &STATE,
        &proof_bytes(),
        &[1, 2],                                                   // the second piece of two
        &[1, 3],                                                   // one entry, with sequence 3
        &[4, b'c', b'1', b'.', b'x', 2, b'i', b'd', 10, 32, 0, 1], // name, container, address
    ]
    .concat();
    let told = Told::Whole(Whole {
        head: head(3),
        piece: 1,
        pieces: 2,
        entries: vec![(3, entry("c1.x"))],
    });
    assert_eq!(taken(&bytes), Ok(told.clone()));
    assert_eq!(encode(&lent(&told)), bytes);
}

#[test]
fn a_signature_is_over_these_bytes() {
    let statement = [
        &b"weaved names\0"[..],
        &[2, 0, 0, 0, 0, 1],       // origin
        &[5, 0, 0, 0, 0, 0, 0, 0], // epoch
        &[3, 0, 0, 0, 0, 0, 0, 0], // sequence
        &[7; 32],                  // digest
    ]
    .concat();
    let signature = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32])
        .unwrap()
        .sign(&statement);
    assert_eq!(proof_bytes()[64..], *signature.as_ref());
    assert!(head(3).proof.holds(origin(), head(3).stamp));
    assert!(!head(3).proof.holds(origin(), head(4).stamp));
}

#[test]
fn what_no_peer_tells_is_malformed() {
    let delta = Delta {
        head: head(9),
        from: 4,
        came: vec![(6, entry("c1.x")), (9, entry("c2.x"))],
        went: vec![2, 5],
    };
    assert!(decode(&encode(&lent(&Told::Delta(delta.clone())))).is_ok());
    let unsound: [fn(&mut Delta<Entry>); 13] = [
        |delta| delta.head.origin = Mac::BROADCAST.into(),
        |delta| delta.head.origin = Mac::ZERO.into(),
        |delta| delta.head.stamp.epoch = MAX_COUNT + 1,
        |delta| delta.head.stamp.sequence = MAX_COUNT + 1,
        |delta| delta.from = 9,
        |delta| delta.from = 6,
        |delta| delta.came[1].0 = 6,
        |delta| delta.came[1].0 = 10,
        // One that goes twice
        |delta| delta.went = vec![2, 2],
        |delta| delta.went = vec![5, 2],
        |delta| delta.went = vec![0, 5],
        // One that goes before it comes, and one that comes and goes
        |delta| delta.went = vec![2, 10],
        |delta| delta.went = vec![2, 6],
    ];
    for (number, change) in unsound.iter().enumerate() {
        let mut delta = delta.clone();
        change(&mut delta);
        assert!(decode(&encode(&lent(&Told::Delta(delta)))).is_err(), "{number}");
    }
    let whole = Whole {
        head: head(9),
        piece: 0,
        pieces: 1,
        entries: vec![(6, entry("c1.x")), (9, entry("c2.x"))],
    };
    assert!(decode(&encode(&lent(&Told::Whole(whole.clone())))).is_ok());
    let unsound: [fn(&mut Whole<Entry>); 5] = [
        |whole| whole.piece = 1,
        |whole| whole.pieces = 0,
        |whole| whole.pieces = MAX_PIECES + 1,
        |whole| whole.entries[0].0 = 0,
        |whole| whole.entries[1].0 = 10,
    ];
    for (number, change) in unsound.iter().enumerate() {
        let mut whole = whole.clone();
        change(&mut whole);
        assert!(decode(&encode(&lent(&Told::Whole(whole)))).is_err(), "{number}");
    }
}

#[test]
fn names_that_no_host_has_are_malformed() {
    for name in ["", "a b", "c1.x.", "a..b"] {
        let name = Lent {
            name,
            container: "id",
            address: [10, 32, 0, 1],
        };
        let told = Told::Whole(Whole {
            head: head(9),
            piece: 0,
            pieces: 1,
            entries: vec![(1, name)],
        });
        assert!(taken(&encode(&told)).is_err(), "{name:?}");
    }
}

#[test]
fn a_length_that_is_not_there_makes_no_room() {
    // A list of 2^32 entries, and a name of 2^32 bytes
    let head = [&[1][..], &STATE, &proof_bytes(), &[0, 1]].concat();
    let list = [&head[..], &[252, 255, 255, 255, 255, 1, 4, b'c']].concat();
    let name = [&head[..], &[1, 1, 252, 255, 255, 255, 255, b'c']].concat();
    assert!(decode(&list).is_err());
    assert!(decode(&name).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_told_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _told = decode(&bytes);
        let _stamps = decode_summary(&bytes);
    }

    #[test]
    fn what_is_told_arrives_or_is_malformed(kind in 0..2u8, tail in prop::collection::vec(0..8u8, 0..60)) {
        let bytes = [&[kind][..], &STATE, &proof_bytes(), &tail].concat();
        if let Ok(told) = taken(&bytes) {
            prop_assert_eq!(encode(&lent(&told)), bytes);
        }
    }

    #[test]
    fn a_summary_comes_back(stamps in prop::collection::btree_map(1..100u8, (0..9u64, 0..9u64), 0..9)) {
        let stamps: Stamps = stamps
            .into_iter()
            .map(|(n, (epoch, sequence))| (Mac::new([2, 0, 0, 0, 0, n]).into(), Stamp { epoch, sequence }))
            .collect();
        prop_assert_eq!(decode_summary(&encode_summary(&stamps)), Ok(stamps));
    }
}

fn origin() -> PeerName {
    Mac::new([2, 0, 0, 0, 0, 1]).into()
}

fn head(sequence: u64) -> Head {
    let (identity, stamp) = (Identity::from_seed([9; 32].into()), Stamp { epoch: 5, sequence });
    Head {
        origin: origin(),
        stamp,
        proof: Proof::sign(&identity, origin(), stamp, [7; 32]),
    }
}

/// Key, digest, signature
fn proof_bytes() -> Vec<u8> {
    let proof = head(3).proof;
    let bytes = to_bytes(&proof);
    assert_eq!((&bytes[..32], &bytes[32..64]), (&proof.key.0[..], &[7; 32][..]));
    assert_eq!(bytes.len(), 128);
    bytes
}

fn taken(bytes: &[u8]) -> Result<Told<Entry>, Malformed> {
    Ok(match decode(bytes)? {
        Told::Delta(delta) => Told::Delta(delta.take()?),
        Told::Whole(whole) => Told::Whole(whole.take()?),
    })
}

fn entry(name: &str) -> Entry {
    Entry {
        name: name.parse::<HostName>().unwrap(),
        container: "id".parse().unwrap(),
        address: [10, 32, 0, 1].into(),
    }
}

fn lent(told: &Told<Entry>) -> Told<Lent<'_>> {
    match told {
        Told::Delta(delta) => Told::Delta(Delta {
            head: delta.head,
            from: delta.from,
            came: lend(&delta.came),
            went: delta.went.clone(),
        }),
        Told::Whole(whole) => Told::Whole(Whole {
            head: whole.head,
            piece: whole.piece,
            pieces: whole.pieces,
            entries: lend(&whole.entries),
        }),
    }
}

fn lend(entries: &[(u64, Entry)]) -> Vec<(u64, Lent<'_>)> {
    entries
        .iter()
        .map(|(came, entry)| (*came, entry.into()))
        .collect()
}
