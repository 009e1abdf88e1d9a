//! The bytes of each format, one field a line.

use gossip::Signature;
use model::Mac;

use super::*;
use crate::gone::Heir;
use crate::ledger::{Accepted, At, Ballot, Removal, Value, Vote};
use crate::record::{Refused, Want};
use crate::space::{Deed, Register};

fn owner(n: u8) -> Owner {
    Owner {
        name: PeerName::from(Mac::new([2, 0, 0, 0, 0, n])),
        incarnation: Incarnation(n.into()),
    }
}

fn key() -> IdentityKey {
    gossip::Identity::from_seed([7; 32].into()).key()
}

fn signature() -> Signature {
    Signature::default()
}

const AT: At = At {
    lineage: Lineage(1 << 62),
    index: 3,
};

fn ballot() -> Ballot {
    Ballot {
        round: 5,
        proposer: owner(1),
    }
}

fn value() -> Value {
    let heir = Heir {
        generation: 0,
        heir: owner(1),
    };
    let removal = Removal {
        owner: owner(2),
        heir: Some(heir),
        lapsed: true,
    };
    Value::Next {
        add: vec![owner(3)],
        remove: vec![removal],
    }
}

fn record() -> Record {
    let accepted = Accepted {
        ballot: ballot(),
        value: value(),
        signature: signature(),
    };
    let want = Want {
        number: 300,
        of: owner(2),
        span: Span {
            first: 1,
            last: 70_000,
        },
        exact: false,
    };
    let refused = Refused {
        to: owner(2),
        number: 1,
        in_use: true,
    };
    Record {
        version: 4,
        calls: true,
        free: 9,
        vote: Some(Vote {
            at: AT,
            promised: ballot(),
            accepted: Some(accepted),
        }),
        at: AT,
        question: 8,
        repeats: vec![(owner(2), 6)],
        lapsed: (AT, vec![owner(4)]),
        said: vec![owner(5)],
        inherits: vec![owner(6)],
        acks: vec![owner(7)],
        wants: vec![want],
        refused: vec![refused],
        uses: vec![10],
        ..Record::new(owner(1), Incarnation(1), true, key())
    }
}

fn part(body: Body) -> Part {
    Part {
        range: "10.32.0.0/12".parse().unwrap(),
        teller: owner(1).name,
        keys: vec![(owner(1).name, key())],
        body,
    }
}

fn piece() -> Piece {
    Piece {
        span: Span { first: 1, last: 2 },
        register: Register {
            lineage: AT.lineage,
            epoch: 1,
            version: 2,
            owner: owner(2),
            by: owner(1),
        },
        deed: Some(Deed {
            span: Span { first: 1, last: 9 },
            signature: signature(),
        }),
    }
}

const RANGE: &[u8] = b"\x0c10.32.0.0/12";
const KEY: &[u8] = &[
    234, 74, 108, 99, 226, 156, 82, 10, 190, 245, 80, 123, 19, 46, 197, 249, 149, 71, 118, 174, 190, 190,
    123, 146, 66, 30, 234, 105, 20, 70, 210, 44,
];
const ONE: &[u8] = &[2, 0, 0, 0, 0, 1, 1];
const TWO: &[u8] = &[2, 0, 0, 0, 0, 2, 2];
const THREE: &[u8] = &[2, 0, 0, 0, 0, 3, 3];
const AT_BYTES: &[u8] = &[253, 0, 0, 0, 0, 0, 0, 0, 64, 3];
const UNSIGNED: &[u8] = &[0; 64];
/// One owner added, one removed: an heir of generation 0, and lapsed
const NEXT: &[&[u8]] = &[&[1, 1], THREE, &[1], TWO, &[1, 0], ONE, &[1]];

/// Whether the value is these fields one after the other, and they are the value
fn is<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, fields: &[&[u8]]) {
    let bytes = fields.concat();
    assert_eq!(encode(value), bytes);
    assert_eq!(decode::<T>(&bytes).as_ref(), Some(value));
}

#[test]
fn a_part_of_another_range() {
    let name = &ONE[..6];
    is(&part(Body::Nothing), &[RANGE, name, &[1], name, KEY, &[0]]);
}

#[test]
fn a_part_of_the_space() {
    let name = &ONE[..6];
    let head = [RANGE, name, &[1], name, KEY, &[1, 1]].concat();
    let lineage = &AT_BYTES[..9];
    let piece_bytes = [&[1, 2], lineage, &[1, 2], TWO, ONE, &[1, 1, 9], UNSIGNED].concat();
    is(&part(Body::Space(vec![piece()])), &[&head, &piece_bytes]);
}

#[test]
fn a_ledger() {
    let heir = Heir {
        generation: 1,
        heir: owner(1),
    };
    let decision = Decision {
        at: AT,
        ballot: ballot(),
        value: value(),
        by: vec![(owner(1), signature())],
    };
    let word = Word {
        owner: owner(2),
        generation: 1,
        by: owner(1),
        signature: signature(),
    };
    let ledger = Ledger {
        roll: Some(Roll {
            at: AT,
            first: [owner(1)].into(),
            voters: [owner(2)].into(),
        }),
        gone: vec![(owner(3), heir)],
        decisions: vec![decision],
        words: vec![word],
    };
    let next = NEXT.concat();
    let roll = [&[1], AT_BYTES, &[1], ONE, &[1], TWO].concat();
    let gone = [&[1], THREE, &[1], ONE].concat();
    let decision = [&[1], AT_BYTES, &[5], ONE, &next, &[1], ONE, UNSIGNED].concat();
    let word = [&[1], TWO, &[1], ONE, UNSIGNED].concat();
    is(&ledger, &[&roll, &gone, &decision, &word]);
}

#[test]
fn the_first_owners() {
    let value = Value::First {
        lineage: AT.lineage,
        voters: vec![owner(1)],
    };
    is(&value, &[&[0], &AT_BYTES[..9], &[1], ONE]);
}

#[test]
fn a_record() {
    let next = NEXT.concat();
    let vote = [&[1], AT_BYTES, &[5], ONE, &[1, 5], ONE, &next, UNSIGNED].concat();
    is(
        &record(),
        &[
            ONE,
            // born, version, elector, calls, left, free
            &[1, 4, 1, 1, 0, 9],
            &vote,
            AT_BYTES,
            // question, repeats
            &[8, 1],
            TWO,
            &[6],
            // lapsed
            AT_BYTES,
            &[1, 2, 0, 0, 0, 0, 4, 4],
            // said, inherits, acks
            &[1, 2, 0, 0, 0, 0, 5, 5],
            &[1, 2, 0, 0, 0, 0, 6, 6],
            &[1, 2, 0, 0, 0, 0, 7, 7],
            // wants: 300 of 1 to 70,000, not exact
            &[1, 251, 44, 1],
            TWO,
            &[1, 252, 112, 17, 1, 0, 0],
            // refused
            &[1],
            TWO,
            &[1, 1],
            // uses
            &[1, 10],
            KEY,
            UNSIGNED,
        ],
    );
}

#[test]
fn a_summary() {
    let summary = Summary {
        range: "10.32.0.0/12".parse().unwrap(),
        space: vec![[1; 16]],
        ledger: [2; 16],
        lineage: Some(AT.lineage),
        records: vec![(owner(1), Incarnation(1), 4)],
    };
    let lineage = &AT_BYTES[..9];
    is(
        &summary,
        &[RANGE, &[1], &[1; 16], &[2; 16], &[1], lineage, &[1], ONE, &[1, 4]],
    );
}

#[test]
fn signed_messages() {
    let piece = piece();
    let span = [1u8, 9];
    let register = [&AT_BYTES[..9], &[1, 2], TWO, ONE].concat();
    let deed = piece.deed.unwrap();
    assert_eq!(
        crate::title::message(deed.span, &piece.register),
        [b"\x08register", &span[..], &register].concat()
    );
    assert_eq!(
        crate::ledger::acceptance(owner(1), AT, ballot(), &value()),
        [b"\x0aacceptance", ONE, AT_BYTES, &[5], ONE, &NEXT.concat()].concat()
    );
}
