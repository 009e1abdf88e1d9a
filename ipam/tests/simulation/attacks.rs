//! Single messages of one hostile member, each of which once took something.

use std::net::Ipv4Addr;
use std::time::Duration;

use gossip::Identity;
use ipam::{Event, Incarnation, Init, Owner, Rejection};
use model::PeerName;

use crate::forged::{
    At, Ballot, Body, Decision, Heir, Ledger, Part, Piece, Record, Register, Roll, Span, Value, Vote, lacked,
    word,
};
use crate::world::{World, config, identity, name};

const RANGE: &str = "10.32.0.0/12";

/// A member that writes what it likes, and its key
struct Hostile {
    identity: Identity,
    owner: Owner,
}

impl Hostile {
    fn new(seed: u8) -> Self {
        let identity = Identity::from_seed([seed; 32].into());
        let owner = owner(identity.peer_name(), 1 << 50);
        Self { identity, owner }
    }

    fn part(&self, body: Body) -> Vec<u8> {
        lacked(&Part {
            range: RANGE.parse().unwrap(),
            teller: self.owner.name,
            keys: vec![(self.owner.name, self.identity.key())],
            body,
        })
    }

    fn piece(&self, span: Span, lineage: u64, version: u64) -> Piece {
        let register = Register {
            lineage,
            epoch: 1,
            version,
            owner: self.owner,
            by: self.owner,
        };
        Piece::signed(span, register, &self.identity)
    }
}

fn owner(name: PeerName, incarnation: u64) -> Owner {
    Owner {
        name,
        incarnation: Incarnation(incarnation),
    }
}

/// Two hosts that share a range, and one hostile member in sight of both
fn world(hostile: &Hostile) -> World {
    let mut world = World::new(3);
    world.pinned = true;
    world.strangers.insert(hostile.owner.name);
    let init = Init::Seed([name(0), name(1)].into());
    for n in 0..2 {
        world.add(config(n, RANGE, init.clone(), Some(300)));
    }
    world.join_all();
    world.advance(Duration::from_secs(10));
    for n in 0..2 {
        world.allocate(n, RANGE);
    }
    world.advance(Duration::from_secs(10));
    world
}

fn owners(world: &World, n: usize) -> Vec<(PeerName, u64)> {
    let status = world.status(n);
    let owners = status.owners.iter();
    let mut owners: Vec<_> = owners.map(|owner| (owner.owner.name, owner.addresses)).collect();
    owners.sort_unstable();
    owners
}

fn rejected(world: &World, n: usize, why: Rejection) -> u64 {
    world.status(n).rejections.get(&why).copied().unwrap_or(0)
}

/// Everything is as before the attack, also after a restart, and addresses are handed out
fn unharmed(world: &mut World) {
    let halves = vec![(name(0), 1 << 19), (name(1), 1 << 19)];
    for restarted in [false, true] {
        if restarted {
            for n in 0..2 {
                world.crash(n);
                world.start(n, false);
            }
            world.advance(Duration::from_secs(30));
        }
        for n in 0..2 {
            assert_eq!(owners(world, n), halves, "{n}, restarted: {restarted}");
            let ticket = world.allocate(n, RANGE);
            world.advance(Duration::from_secs(5));
            assert!(world.answered(n, ticket), "{:?}", world.status(n).phase);
        }
    }
    assert!(!world.events.iter().any(|(_, event)| *event == Event::Unreadable));
}

const fn span(first: u32, last: u32) -> Span {
    Span { first, last }
}

fn whole() -> Span {
    let first = u32::from(Ipv4Addr::new(10, 32, 0, 0));
    span(first, first + (1 << 20) - 1)
}

fn ledger(lineage: u64, owner: Owner) -> Body {
    Body::Ledger(Ledger {
        roll: Some(Roll {
            at: At { lineage, index: 0 },
            first: vec![owner],
            voters: vec![owner],
        }),
        gone: vec![],
        decisions: vec![],
        words: vec![],
    })
}

#[test]
fn a_ledger_of_the_greatest_lineage_takes_over_nothing() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    for n in 0..2 {
        let malformed = world.inject(
            hostile.owner.name,
            n,
            &hostile.part(ledger(u64::MAX, hostile.owner)),
        );
        assert!(malformed);
    }
    unharmed(&mut world);
}

#[test]
fn a_lineage_that_one_stranger_supports_takes_over_nothing() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    // The oldest there can be, begun in 2020.
    let lineage = (1 << 63) - (1_577_836_800_000 << 20);
    let mut record = Record::new(hostile.owner, &hostile.identity);
    record.at = At { lineage, index: 0 };
    let record = record.sign(&hostile.identity);
    for n in 0..2 {
        for body in [
            Body::Records(vec![record.clone()]),
            ledger(lineage, hostile.owner),
        ] {
            assert!(!world.inject(hostile.owner.name, n, &hostile.part(body)));
        }
        assert_eq!(rejected(&world, n, Rejection::NoSupport), 1);
    }
    world.advance(Duration::from_secs(60));
    unharmed(&mut world);
}

#[test]
fn a_stranger_writes_no_register_of_the_range() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    for n in 0..2 {
        let lineage = world.status(n).lineage.unwrap();
        let piece = hostile.piece(whole(), lineage, 7);
        world.inject(hostile.owner.name, n, &hostile.part(Body::Space(vec![piece])));
        assert!(rejected(&world, n, Rejection::NoTitle) > 0);
    }
    unharmed(&mut world);
}

#[test]
fn a_register_that_an_honest_owner_did_not_sign_is_nobodys() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    for n in 0..2 {
        let status = world.status(n);
        let other = status
            .owners
            .iter()
            .find(|owner| owner.owner.name == name(1 - n))
            .unwrap();
        let register = Register {
            lineage: status.lineage.unwrap(),
            epoch: 0,
            version: 9,
            owner: hostile.owner,
            by: other.owner,
        };
        let piece = Piece::signed(whole(), register, &hostile.identity);
        world.inject(hostile.owner.name, n, &hostile.part(Body::Space(vec![piece])));
        assert_eq!(rejected(&world, n, Rejection::BadSignature), 1);
    }
    unharmed(&mut world);
}

#[test]
fn a_million_pieces_of_single_addresses_take_no_memory() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    let lineage = world.status(0).lineage.unwrap();
    // One signature for all: what is not this peer's to write is refused before it is looked at.
    let one = hostile.piece(whole(), lineage, 7);
    let Span { first, last } = whole();
    let addresses: Vec<u32> = (first..=last).collect();
    for some in addresses.chunks(4096) {
        let pieces = some.iter().map(|address| Piece {
            span: span(*address, *address),
            ..one
        });
        world.inject(
            hostile.owner.name,
            0,
            &hostile.part(Body::Space(pieces.collect())),
        );
    }
    assert_eq!(rejected(&world, 0, Rejection::NoTitle), 1 << 20);
    assert!(world.status(0).entries.len() < 10);
    unharmed(&mut world);
}

#[test]
fn an_owner_cuts_its_own_share_into_so_many_pieces_and_no_more() {
    let mut world = world(&Hostile::new(200));
    let status = world.status(0);
    let other = status
        .owners
        .iter()
        .find(|owner| owner.owner.name == name(1))
        .unwrap()
        .owner;
    let entry = status.entries.iter().find(|entry| entry.owner == other).unwrap();
    let first = u32::from(entry.first);
    let hostile = Hostile {
        identity: identity(1),
        owner: other,
    };
    let pieces: Vec<Piece> = (0..6000)
        .map(|n| {
            let register = Register {
                lineage: status.lineage.unwrap(),
                epoch: entry.epoch,
                version: entry.version + 1 + u64::from(n % 2),
                owner: other,
                by: other,
            };
            Piece::signed(span(first + n, first + n), register, &hostile.identity)
        })
        .collect();
    for some in pieces.chunks(3000) {
        world.inject(other.name, 0, &hostile.part(Body::Space(some.to_vec())));
    }
    let budgets = world.status(0).budgets;
    let pieces = budgets.iter().find(|budget| budget.name == "pieces").unwrap();
    assert!((4000..4200).contains(&pieces.used), "{pieces:?}");
    assert!(rejected(&world, 0, Rejection::OverBudget) > 1000);
}

#[test]
fn a_long_chain_of_those_that_are_gone_is_not_taken_over() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    let lineage = world.status(0).lineage.unwrap();
    for part in 0..9 {
        let gone = (0..2000u64).map(|n| {
            let n = part * 2000 + n;
            let heir = Heir {
                generation: 0,
                heir: owner(hostile.owner.name, n + 1),
            };
            (owner(hostile.owner.name, n), heir)
        });
        let Body::Ledger(mut body) = ledger(lineage, hostile.owner) else {
            unreachable!()
        };
        body.roll = None;
        body.gone = gone.collect();
        world.inject(hostile.owner.name, 0, &hostile.part(Body::Ledger(body)));
    }
    let budgets = world.status(0).budgets;
    let gone = budgets.iter().find(|budget| budget.name == "gone").unwrap();
    assert_eq!(gone.used, 0);
    unharmed(&mut world);
}

#[test]
fn two_thousand_records_of_invented_owners_are_read_again_or_not_taken_over() {
    let mut world = world(&Hostile::new(200));
    for n in 0..2000u32 {
        let mut seed = [201; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        let identity = Identity::from_seed(seed.into());
        let hostile = Hostile {
            owner: owner(identity.peer_name(), 1 << 50),
            identity,
        };
        let mut record = Record::new(hostile.owner, &hostile.identity);
        record.repeats = (0..1024)
            .map(|n| (owner(name(9), (1 << 61) + n), 1 << 61))
            .collect();
        record.acks = (0..512).map(|n| owner(name(9), (1 << 61) + n)).collect();
        let record = record.sign(&hostile.identity);
        world.inject(hostile.owner.name, 0, &hostile.part(Body::Records(vec![record])));
    }
    let status = world.status(0);
    for budget in status.budgets {
        assert!(budget.used <= budget.most, "{budget:?}");
    }
    assert!(status.rejections[&Rejection::OverBudget] > 1000);
    let host = &world.hosts[0];
    let heard = host.disk.as_ref().unwrap().heard.as_ref().unwrap().len();
    assert!(heard < 32 << 20, "{heard}");
    unharmed(&mut world);
}

#[test]
fn a_record_for_an_honest_name_is_not_taken_over() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    for n in 0..2 {
        for of in 0..2 {
            let forged = Record::new(owner(name(of), (1 << 62) - 1), &hostile.identity);
            let record = forged.sign(&hostile.identity);
            world.inject(hostile.owner.name, n, &hostile.part(Body::Records(vec![record])));
        }
        assert_eq!(rejected(&world, n, Rejection::ForeignKey), 2);
    }
    unharmed(&mut world);
}

/// A ledger with the roll that host 0 knows
fn known_ledger(world: &World) -> Ledger {
    let status = world.status(0);
    let at = At {
        lineage: status.lineage.unwrap(),
        index: status.index,
    };
    Ledger {
        roll: Some(Roll {
            at,
            first: status.voters.clone(),
            voters: status.voters,
        }),
        gone: vec![],
        decisions: vec![],
        words: vec![],
    }
}

/// Makes the hostile one an owner that host 0 has met
fn introduce(world: &mut World, hostile: &Hostile) {
    let record = Record::new(hostile.owner, &hostile.identity).sign(&hostile.identity);
    world.inject(hostile.owner.name, 0, &hostile.part(Body::Records(vec![record])));
}

#[test]
fn a_decision_that_one_member_signed_takes_no_more_than_its_word_would() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    introduce(&mut world, &hostile);
    world.crash(1);
    world.advance(Duration::from_secs(10));
    let stranger = owner(name(77), 1 << 50);
    // A generation that nobody could outbid, and an heir that nobody has met
    for (generation, heir) in [(1 << 61, hostile.owner), (0, stranger)] {
        let mut body = known_ledger(&world);
        let at = body.roll.as_ref().unwrap().at;
        let gone = body.roll.as_ref().unwrap().voters[1];
        let value = Value::Next {
            add: vec![],
            remove: vec![(gone, Some(Heir { generation, heir }), false)],
        };
        let ballot = Ballot {
            round: 1,
            proposer: hostile.owner,
        };
        let vote = Vote::signed(hostile.owner, at, ballot, value.clone(), &hostile.identity);
        let (.., signature) = vote.accepted.unwrap();
        body.decisions.push(Decision {
            at,
            ballot,
            value,
            by: vec![(hostile.owner, signature)],
        });
        world.inject(hostile.owner.name, 0, &hostile.part(Body::Ledger(body)));
    }
    assert_eq!(rejected(&world, 0, Rejection::NoQuorum), 2);
    world.start(1, false);
    world.advance(Duration::from_secs(30));
    unharmed(&mut world);
}

#[test]
fn words_of_one_member_leave_room_for_those_of_others() {
    let hostile = Hostile::new(200);
    let mut world = world(&hostile);
    introduce(&mut world, &hostile);
    let mut body = known_ledger(&world);
    let words = (0..200).map(|n| word(owner(name(77), 1 + n), 0, hostile.owner, &hostile.identity));
    body.words = words.collect();
    world.inject(hostile.owner.name, 0, &hostile.part(Body::Ledger(body)));
    let budgets = world.status(0).budgets;
    let words = budgets.iter().find(|budget| budget.name == "words").unwrap();
    assert_eq!((words.used, words.most), (128, 256));
    assert_eq!(rejected(&world, 0, Rejection::OverBudget), 72);
    unharmed(&mut world);
}
