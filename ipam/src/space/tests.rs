use proptest::prelude::*;

use super::*;
use crate::owner::Incarnation;

/// A register of the owner number `n`
fn register(epoch: u64, version: u64, n: u8) -> Register {
    let owner = Owner {
        name: model::PeerName::from(model::Mac::new([2, 0, 0, 0, 0, n])),
        incarnation: Incarnation(1),
    };
    Register {
        lineage: Lineage(1),
        epoch,
        version,
        owner,
        by: owner,
    }
}

fn span(first: u32, last: u32) -> Span {
    Span::new(first, last).unwrap()
}

fn writes() -> impl Strategy<Value = Vec<(Span, Register)>> {
    let write = (0..32u32, 0..16u32, 0..3u64, 0..3u64, 1..4u8);
    let write = write.prop_map(|(first, len, epoch, version, n)| {
        // Half of them reach the last address there is.
        let base = if n == 1 { u32::MAX - 40 } else { 0 };
        let first = base + first;
        (
            span(first, first.saturating_add(len)),
            register(epoch, version, n),
        )
    });
    prop::collection::vec(write, 0..20)
}

fn space(writes: &[(Span, Register)]) -> Space {
    let mut space = Space::default();
    for (span, register) in writes {
        space.join(*span, *register, None);
    }
    space
}

fn joined(mut one: Space, other: &Space) -> Space {
    for piece in other.pieces() {
        one.join(piece.span, piece.register, None);
    }
    one
}

#[test]
fn equal_neighbours_are_one_piece() {
    let mut space = Space::default();
    space.join(span(0, 9), register(0, 0, 1), None);
    space.join(span(20, u32::MAX), register(0, 0, 1), None);
    assert_eq!(space.pieces().count(), 2);
    let moved = space.join(span(5, 25), register(0, 0, 1), None);
    assert_eq!(space.pieces().count(), 1);
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].span, span(10, 19));
}

#[test]
fn what_was_given_and_taken_in_an_epoch_is_less_than_what_the_heir_has() {
    let first = register(0, 0, 1);
    assert!(first.given(register(0, 0, 2).owner) > first);
    assert!(first.inherited(register(0, 0, 3).owner) > first.given(register(0, 0, 2).owner));
    assert!(
        register(0, 0, 1) > register(0, 0, 2),
        "of two heirs the lower is right"
    );
}

proptest! {
    #[test]
    fn a_space_is_a_register_for_each_address(writes in writes()) {
        let space = space(&writes);
        for address in (0..64).chain(u32::MAX - 64..=u32::MAX) {
            let wanted = writes.iter().filter(|(span, _)| span.contains(address)).map(|(_, r)| *r).max();
            prop_assert_eq!(space.get(address), wanted);
        }
        let pieces: Vec<Piece> = space.pieces().collect();
        for n in 1..4 {
            let owner = register(0, 0, n).owner;
            let held = pieces.iter().filter(|piece| piece.register.owner == owner);
            prop_assert_eq!(space.held_by(owner), held.map(|piece| piece.span.len()).sum::<u64>());
        }
        for pair in pieces.windows(2) {
            prop_assert!(pair[0].span.last < pair[1].span.first);
            let touch = pair[0].span.last + 1 == pair[1].span.first;
            prop_assert!(!touch || pair[0].register != pair[1].register, "neighbours are joined");
        }
    }

    #[test]
    fn what_moved_is_what_differs(writes in writes(), last in writes()) {
        let mut space = space(&writes);
        for (span, register) in last {
            let before = space.clone();
            let moved = space.join(span, register, None);
            for address in (0..64).chain(u32::MAX - 64..=u32::MAX) {
                let told = moved.iter().find(|moved| moved.span.contains(address));
                prop_assert_eq!(told.is_some(), before.get(address) != space.get(address));
                if let Some(told) = told {
                    prop_assert_eq!(told.before, before.get(address));
                }
            }
        }
    }

    #[test]
    fn joining_is_associative_commutative_and_idempotent(a in writes(), b in writes(), c in writes()) {
        let (a, b, c) = (space(&a), space(&b), space(&c));
        let ab = joined(a.clone(), &b);
        prop_assert_eq!(&ab, &joined(b.clone(), &a));
        prop_assert_eq!(joined(ab.clone(), &c), joined(a.clone(), &joined(b.clone(), &c)));
        prop_assert_eq!(joined(ab.clone(), &a), ab);
    }

    #[test]
    fn digests_are_equal_exactly_for_equal_spaces(a in writes(), b in writes()) {
        let (a, b) = (space(&a), space(&b));
        let all = span(0, u32::MAX);
        prop_assert_eq!(a == b, a.digest(all) == b.digest(all));
    }
}
