use gossip::{DerivedKeys, MAX_PART_BYTES};
use proptest::prelude::*;

use super::*;
use crate::assembly::PATIENCE;
use crate::budget::{MAX_ENTRIES, MAX_PARTS, MAX_WEIGHT};
use crate::copies::KEPT;
use crate::domain;
use crate::part::MAX_REMOVED;
use crate::stamp::MAX_COUNT;
use crate::zone::Found;

#[test]
fn what_is_added_is_found_listed_and_counted() {
    let mut names = peer(1);
    assert_eq!(names.add("C1", id("a"), ip(1)), Ok(true));
    assert_eq!(names.add("c1.weave.local.", id("a"), ip(1)), Ok(false));
    assert_eq!(names.add("x.c1.weave.local", id("a"), ip(1)), Ok(true));
    assert_eq!(names.count(), 2);
    let listed: Vec<(&str, PeerName)> = names
        .entries()
        .map(|listed| (listed.hostname, listed.origin))
        .collect();
    assert_eq!(listed, [("C1", name(1)), ("x.c1", name(1))]);
    assert!(names.zone().addresses("c1.weave.local").eq([ip(1)]));
    let elsewhere = names.add("c1.example.com", id("a"), ip(1)).unwrap_err();
    assert!(matches!(
        elsewhere,
        AddError::Name(NameError {
            problem: domain::Problem::Elsewhere(_),
            ..
        })
    ));
}

#[test]
fn what_others_say_of_a_name_is_said_here_all_the_same() {
    let (mut here, mut there) = (peer(1), peer(2));
    there.add("c1", id("a"), ip(1)).unwrap();
    here.reachable(&[name(2)].into(), now());
    tell(&mut there, &mut here);
    for container in ["a", "b"] {
        assert_eq!(here.add("C1", id(container), ip(1)), Ok(true));
        assert_eq!(here.add("c1", id(container), ip(1)), Ok(false));
    }
    assert_eq!(here.count(), 3);
}

#[test]
fn what_a_filter_leaves_out_is_of_any_value() {
    let mut names = peer(1);
    for (name, container, address) in [("c1", "a", 1), ("c1", "b", 2), ("c2", "a", 1), ("c2", "a", 3)] {
        names.add(name, id(container), ip(address)).unwrap();
    }
    let filter = |name: Option<&str>, container: Option<&str>, address: Option<u8>| Filter {
        name: name.map(str::to_owned),
        container: container.map(id),
        address: address.map(ip),
    };
    for (filter, removed) in [
        (filter(Some("c3"), None, None), 0),
        (filter(Some("C1"), Some("b"), Some(1)), 0),
        (filter(Some("C1.weave.local"), None, None), 2),
        (filter(None, Some("a"), Some(3)), 1),
        (filter(None, None, None), 1),
    ] {
        assert_eq!(names.remove(&filter), Ok(removed), "{filter:?}");
    }
    assert_eq!(names.count(), 0);
    assert_eq!(names.names_of(&id("a")).count(), 0);
    assert!(names.remove(&filter(Some("c1.example.com"), None, None)).is_err());
}

#[test]
fn a_change_reaches_a_peer_and_is_news_once() {
    let (mut here, mut there) = (peer(1), peer(2));
    there.reachable(&[name(1)].into(), now());
    here.add("c1", id("a"), ip(1)).unwrap();
    let [part] = &here.take_changes()[..] else {
        panic!("one change is one part")
    };
    assert_eq!(
        there.merge(teller(), part, &DerivedKeys, now()),
        Ok(Some(part.clone()))
    );
    assert_eq!(there.merge(teller(), part, &DerivedKeys, now()), Ok(None));
    assert!(here.take_changes().is_empty());
    assert!(there.zone().addresses("c1.weave.local").eq([ip(1)]));
    here.remove(&Filter::default()).unwrap();
    tell(&mut here, &mut there);
    assert_eq!(there.zone().find("c1.weave.local"), Found::Nothing);
    assert_eq!(there.count(), 0);
}

#[test]
fn a_change_is_told_again_with_the_next_ones() {
    let (mut here, mut there) = (peer(1), peer(2));
    there.reachable(&[name(1)].into(), now());
    for n in 0..5 {
        here.add(&format!("c{n}"), id("a"), ip(n)).unwrap();
        let _lost = here.take_changes();
    }
    here.add("c5", id("a"), ip(5)).unwrap();
    tell(&mut here, &mut there);
    assert_eq!(there.count(), 6);
}

#[test]
fn a_change_after_one_that_was_lost_waits_for_it() {
    let (mut here, mut there) = (peer(1), peer(2));
    there.reachable(&[name(1)].into(), now());
    here.add("c0", id("a"), ip(0)).unwrap();
    tell(&mut here, &mut there);
    for n in 0..20 {
        here.add(&format!("x{n}"), id("x"), ip(n)).unwrap();
    }
    let _lost = here.take_changes();
    here.add("last", id("a"), ip(1)).unwrap();
    for part in here.take_changes() {
        assert_eq!(there.merge(teller(), &part, &DerivedKeys, now()), Ok(None));
    }
    assert_eq!(there.count(), 1);
    sync(&here, &mut there);
    assert_eq!(there.count(), 22);
}

#[test]
fn what_went_while_a_peer_was_cut_off_cannot_come_back() {
    let (mut here, mut there, mut third) = (peer(1), peer(2), peer(3));
    for peer in [&mut there, &mut third] {
        peer.reachable(&[name(1), name(2), name(3)].into(), now());
    }
    here.add("c1", id("a"), ip(1)).unwrap();
    here.add("c2", id("b"), ip(2)).unwrap();
    sync(&here, &mut there);
    sync(&here, &mut third);
    here.remove(&Filter {
        container: Some(id("a")),
        ..Filter::default()
    })
    .unwrap();
    sync(&here, &mut there);
    assert_eq!(there.count(), 1);
    sync(&third, &mut there);
    assert_eq!(there.count(), 1);
    sync(&there, &mut third);
    assert_eq!(third.zone().find("c1.weave.local"), Found::Nothing);
}

#[test]
fn a_restart_ends_what_was_said_before() {
    let (mut here, mut there) = (peer(1), peer(2));
    there.reachable(&[name(1)].into(), now());
    for n in 0..9 {
        here.add(&format!("c{n}"), id("a"), ip(n)).unwrap();
    }
    sync(&here, &mut there);
    let old = here.summary();
    let mut here = peer_at(1, 2);
    here.add("c3", id("a"), ip(3)).unwrap();
    sync(&here, &mut there);
    assert_eq!(there.count(), 1);
    assert!(there.zone().addresses("c3.weave.local").eq([ip(3)]));
    assert!(!there.missing(&old).unwrap().is_empty());
}

#[test]
fn a_run_with_an_older_clock_outbids_the_one_before() {
    let (mut before, mut there) = (peer_at(1, 7), peer(2));
    there.reachable(&[name(1)].into(), now());
    before.add("old", id("a"), ip(1)).unwrap();
    sync(&before, &mut there);
    let mut here = peer_at(1, 3);
    here.add("new", id("b"), ip(2)).unwrap();
    let _told = here.take_changes();
    sync(&there, &mut here);
    assert_eq!(here.count(), 1);
    tell(&mut here, &mut there);
    assert_eq!(there.count(), 1);
    assert!(there.zone().addresses("new.weave.local").eq([ip(2)]));
    assert_eq!(here.summary(), there_with(&there, &here));
}

#[test]
fn who_cannot_be_reached_is_not_answered_nor_told_of_and_forgotten_in_time() {
    let (mut here, mut there, third) = (peer(1), peer(2), peer(3));
    let start = now();
    there.reachable(&[name(1)].into(), start);
    here.add("c1", id("a"), ip(1)).unwrap();
    sync(&here, &mut there);
    there.reachable(&[].into(), start);
    assert_eq!(there.count(), 0);
    assert_eq!(there.zone().find("c1.weave.local"), Found::Nothing);
    assert!(there.missing(&third.summary()).unwrap().len() == 1);
    there.reachable(&[name(1)].into(), start);
    assert_eq!(there.count(), 1);
    assert_eq!(there.poll_timeout(), None);
    there.reachable(&[].into(), start);
    assert_eq!(there.poll_timeout(), Some(start + KEPT));
    there.handle_timeout(start + KEPT);
    assert_eq!(there.poll_timeout(), None);
    there.reachable(&[name(1)].into(), start + KEPT);
    assert_eq!(there.count(), 0);
    sync(&here, &mut there);
    assert!(there.zone().addresses("c1.weave.local").eq([ip(1)]));
}

#[test]
fn names_of_a_peer_that_the_mesh_does_not_reach_are_asked_for_when_it_does() {
    let (mut here, mut there) = (peer(1), peer(2));
    here.add("c1", id("a"), ip(1)).unwrap();
    tell(&mut here, &mut there);
    assert_eq!((there.count(), there.fill().origins), (0, 0));
    assert_eq!(there.fill().refused, [(Refused::Unreachable, 1)].into());
    there.reachable(&[name(3)].into(), now());
    assert!(!there.take_doubt());
    there.reachable(&[name(1), name(3)].into(), now());
    assert!(there.take_doubt());
    assert!(!there.take_doubt());
    sync(&here, &mut there);
    assert_eq!(there.count(), 1);
}

#[test]
fn who_is_kept_for_its_return_is_followed_and_kept_no_longer_for_that() {
    let (mut here, mut there) = (peer(1), peer(2));
    let start = now();
    there.reachable(&[name(1)].into(), start);
    here.add("c1", id("a"), ip(1)).unwrap();
    tell(&mut here, &mut there);
    there.reachable(&[].into(), start);
    here.remove(&Filter::default()).unwrap();
    here.add("c2", id("b"), ip(2)).unwrap();
    tell(&mut here, &mut there);
    assert_eq!(there.count(), 0);
    assert_eq!(there.poll_timeout(), Some(start + KEPT));
    there.reachable(&[name(1)].into(), start);
    assert_eq!(there.zone().find("c1.weave.local"), Found::Nothing);
    assert!(there.zone().addresses("c2.weave.local").eq([ip(2)]));
}

#[test]
fn whoever_lags_further_than_is_remembered_is_told_the_whole() {
    let (mut here, mut there) = (peer(1), peer(2));
    there.reachable(&[name(1)].into(), now());
    here.add("stays", id("s"), ip(1)).unwrap();
    here.add("goes", id("g"), ip(2)).unwrap();
    sync(&here, &mut there);
    here.remove(&Filter {
        container: Some(id("g")),
        ..Filter::default()
    })
    .unwrap();
    for n in 0..MAX_REMOVED {
        here.add(&format!("c{n}"), id("a"), ip(3)).unwrap();
        here.remove(&Filter {
            container: Some(id("a")),
            ..Filter::default()
        })
        .unwrap();
    }
    assert!(here.own.floor() > 2);
    sync(&here, &mut there);
    assert!(there.entries().map(|listed| listed.hostname).eq(["stays"]));
}

#[test]
fn a_large_part_comes_in_pieces_and_is_seen_when_all_are_there() {
    let (mut here, mut there, mut third) = (peer(1), peer(2), peer(3));
    there.reachable(&[name(1)].into(), now());
    third.reachable(&[name(1)].into(), now());
    let label = "x".repeat(60);
    for n in 0..12_000 {
        here.add(&format!("{label}.{n}.weave.local"), id(&format!("{n}")), ip(1))
            .unwrap();
    }
    let mut pieces = here.take_changes();
    assert!(pieces.len() > 1);
    assert!(pieces.iter().all(|piece| piece.len() <= MAX_PART_BYTES));
    pieces.reverse();
    let last = pieces.pop().unwrap();
    for piece in &pieces {
        for _twice in 0..2 {
            assert_eq!(there.merge(teller(), piece, &DerivedKeys, now()), Ok(None));
        }
        assert_eq!(there.count(), 0);
        assert_eq!(there.missing(&peer(3).summary()).unwrap().len(), 1);
    }
    assert!(!there.take_doubt());
    assert_eq!(there.merge(teller(), &last, &DerivedKeys, now()), Ok(None));
    assert_eq!(there.count(), 12_000);
    assert!(there.take_doubt(), "others may lack what came in pieces");
    assert_eq!(there.assemblies.bytes(), 0);
    // A copy says it in the same pieces; and one change more is told as such.
    sync(&there, &mut third);
    assert_eq!(third.count(), 12_000);
    here.add("last", id("z"), ip(1)).unwrap();
    let summary = there.summary();
    assert!(
        here.missing(&summary)
            .unwrap()
            .iter()
            .map(Vec::len)
            .sum::<usize>()
            < 300
    );
    sync(&here, &mut there);
    assert_eq!(there.count(), 12_001);
}

#[test]
fn pieces_of_two_states_are_kept_apart_and_the_later_one_counts() {
    let (mut here, mut there) = (peer(1), peer(2));
    there.reachable(&[name(1)].into(), now());
    for n in 0..30_000 {
        here.add(&format!("c{n}"), id(&format!("{n}")), ip(1)).unwrap();
    }
    let before = here.tell_own(None);
    here.remove(&Filter {
        container: Some(id("0")),
        ..Filter::default()
    })
    .unwrap();
    let after = here.tell_own(None);
    assert_eq!((before.len(), after.len()), (2, 2));
    let mut put = |part: &[u8]| {
        assert_eq!(there.merge(teller(), part, &DerivedKeys, now()), Ok(None));
        there.count()
    };
    let counts = [
        &before[0], &after[0], &before[1], &after[0], &after[1], &before[0],
    ]
    .map(|part| put(part));
    assert_eq!(counts, [0, 0, 0, 0, 29_999, 29_999]);
    assert_eq!(there.assemblies.bytes(), 0);
}

#[test]
fn pieces_that_nobody_completes_are_forgotten() {
    let (mut here, mut there) = (peer(1), peer(2));
    let start = now();
    there.reachable(&[name(1)].into(), start);
    for n in 0..30_000 {
        here.add(&format!("c{n}"), id(&format!("{n}")), ip(1)).unwrap();
    }
    there
        .merge(teller(), &here.take_changes()[0], &DerivedKeys, start)
        .unwrap();
    assert!(there.fill().waiting_bytes > 500_000);
    assert_eq!(there.poll_timeout(), Some(start + PATIENCE));
    there.handle_timeout(start + PATIENCE);
    assert_eq!((there.poll_timeout(), there.fill().waiting_bytes), (None, 0));
}

#[test]
fn no_host_has_more_names_than_there_is_room_for() {
    let mut names = peer(1);
    for n in 0..MAX_ENTRIES {
        names.add(&format!("c{n}"), id(&format!("{n}")), ip(1)).unwrap();
    }
    assert_eq!(names.add("last", id("z"), ip(1)), Err(AddError::Full));
    assert_eq!(names.count(), MAX_ENTRIES);
}

#[test]
fn there_is_room_for_a_new_peer_where_one_has_gone() {
    let mut there = peer(1);
    let all: BTreeSet<PeerName> = (2..=MAX_PARTS as u32).map(name).collect();
    there.reachable(&all, now());
    for n in 2..=MAX_PARTS as u32 {
        tell(&mut peer(n), &mut there);
    }
    assert_eq!(there.others.all().len(), MAX_PARTS - 1);
    let newcomer = peer(9999);
    sync(&newcomer, &mut there);
    assert!(!there.others.all().contains_key(&name(9999)));
    there.reachable(&all.iter().copied().skip(1).chain([name(9999)]).collect(), now());
    sync(&newcomer, &mut there);
    assert!(there.others.all().contains_key(&name(9999)));
    assert!(!there.others.all().contains_key(&name(2)));
    assert!(there.summary().len() < MAX_PART_BYTES);
}

/// A part of so many entries of 32 bytes of text, as its origin tells it
fn part_of(n: u32, entries: usize) -> Vec<Vec<u8>> {
    let mut names = peer(n);
    for entry in 0..entries {
        let (name, container) = (format!("{n}-{entry:09}"), format!("{entry:05}"));
        names
            .add(&name, id(&container), Ipv4Addr::from_bits(entry as u32))
            .unwrap();
    }
    names.take_changes()
}

#[test]
fn a_hostile_origin_pushes_out_no_names_but_its_own() {
    let mut here = peer(1);
    here.reachable(&(2..9).map(name).collect(), now());
    let mut hear = |n: u32, entries: usize| {
        for part in part_of(n, entries) {
            assert_eq!(here.merge(name(n), &part, &DerivedKeys, now()).map(drop), Ok(()));
        }
        assert!(here.fill().weight <= MAX_WEIGHT);
        let of = |n| here.entries().filter(|listed| listed.origin == name(n)).count();
        (2..6).map(of).collect::<Vec<_>>()
    };
    assert_eq!(hear(2, 10_000), [10_000, 0, 0, 0]);
    assert_eq!(hear(3, MAX_ENTRIES), [10_000, MAX_ENTRIES, 0, 0]);
    assert_eq!(hear(4, MAX_ENTRIES), [10_000, MAX_ENTRIES, MAX_ENTRIES, 0]);
    // No room for one beyond its share; one within it takes the place of one beyond.
    assert_eq!(hear(5, MAX_ENTRIES), [10_000, MAX_ENTRIES, MAX_ENTRIES, 0]);
    let after = hear(5, 30_000);
    assert_eq!((after[0], after[3]), (10_000, 30_000));
    assert_eq!(after[1] + after[2], MAX_ENTRIES);
    let refused = here.fill().refused;
    assert!(refused[&Refused::NoRoom] >= 2, "{refused:?}");
    assert_eq!(
        here.zone().find("3-000000007.weave.local") == Found::Nothing,
        after[1] == 0
    );
}

#[test]
fn invented_origins_take_no_memory() {
    let mut here = peer(1);
    here.reachable(&[name(2)].into(), now());
    for n in 100..5_000 {
        for part in part_of(n, 1) {
            assert_eq!(here.merge(name(2), &part, &DerivedKeys, now()), Ok(None));
        }
    }
    let fill = here.fill();
    assert_eq!((fill.origins, fill.weight, fill.waiting_bytes), (0, 0, 0));
    assert_eq!(fill.refused, [(Refused::Unreachable, 4_900)].into());
}

#[test]
fn pieces_of_one_neighbor_spoil_none_of_another() {
    let mut here = peer(1);
    here.reachable(&[name(2), name(3)].into(), now());
    let pieces = part_of(2, 30_000);
    assert_eq!(pieces.len(), 2);
    let mut spoiled = pieces.clone();
    for piece in &mut spoiled {
        let last = piece.len() - 1;
        piece[last] ^= 1;
    }
    for (teller, piece) in [(3, &spoiled[0]), (2, &pieces[0]), (3, &spoiled[1])] {
        assert_eq!(here.merge(name(teller), piece, &DerivedKeys, now()), Ok(None));
        assert_eq!(here.count(), 0);
    }
    assert_eq!(here.fill().refused, [(Refused::Digest, 1)].into());
    assert_eq!(here.merge(name(2), &pieces[1], &DerivedKeys, now()), Ok(None));
    assert_eq!(here.count(), 30_000);
    assert!(here.take_doubt());
}

/// 43 bytes that said of the victim's epoch that it was the last one, for which it answered with one beyond
#[test]
fn nobody_else_makes_a_peer_outbid_what_cannot_be_outbid() {
    let mut here = peer(1);
    here.add("web", id("a"), ip(1)).unwrap();
    let before = here.summary();
    for (epoch, signer, reason) in [
        (MAX_COUNT, key(2), Some(Refused::OtherKey)),
        (u64::MAX / 2 - 1, key(2), None),
        (u64::MAX, key(1), None),
        (MAX_COUNT, key(1), Some(Refused::Epoch)),
    ] {
        let mut forger = Names::new(name(1), signer, epoch, Domain::default());
        forger.add("web", id("c"), [6, 6, 6, 6].into()).unwrap();
        for part in forger.take_changes() {
            let told = here.merge(teller(), &part, &DerivedKeys, now());
            assert_eq!(told.is_err(), reason.is_none(), "{epoch}");
        }
        assert!(reason.is_none_or(|reason| here.fill().refused.contains_key(&reason)));
        assert_eq!(here.summary(), before);
    }
    let mut later = peer_at(1, MAX_COUNT - 1);
    later.add("web", id("c"), ip(9)).unwrap();
    tell(&mut later, &mut here);
    assert_eq!(here.own.stamp.epoch, MAX_COUNT);
    let mut there = peer(2);
    there.reachable(&[name(1)].into(), now());
    sync(&here, &mut there);
    assert!(there.zone().addresses("web.weave.local").eq([ip(1)]));
}

#[test]
fn a_change_of_a_relay_that_changed_it_is_not_taken_over_and_the_whole_is_asked_for() {
    let (mut here, mut there) = (peer(1), peer(2));
    there.reachable(&[name(1)].into(), now());
    here.add("c1", id("a"), ip(1)).unwrap();
    tell(&mut here, &mut there);
    here.add("c2", id("a"), ip(2)).unwrap();
    let mut parts = here.take_changes();
    // The list of what went is empty at the end; before it is the address.
    let at = parts[0].len() - 2;
    parts[0][at] ^= 1;
    assert_eq!(there.merge(teller(), &parts[0], &DerivedKeys, now()), Ok(None));
    assert_eq!(there.count(), 1);
    assert_eq!(there.fill().refused, [(Refused::Digest, 1)].into());
    assert_eq!(decode_summary(&there.summary()).unwrap().len(), 1, "only its own");
    sync(&here, &mut there);
    assert_eq!(there.count(), 2);
    assert_eq!(decode_summary(&there.summary()).unwrap().len(), 2);
}

#[test]
fn a_key_that_is_bound_takes_the_place_of_one_that_was_only_first() {
    struct Bound(gossip::IdentityKey);
    impl Keys for Bound {
        fn binding(&self, _name: PeerName, key: &gossip::IdentityKey) -> Binding {
            if *key == self.0 {
                Binding::Bound
            } else {
                Binding::Unknown
            }
        }
    }
    let mut here = peer(1);
    here.reachable(&[name(2)].into(), now());
    let first = Names::new(name(2), key(7), 9, Domain::default());
    sync(&first, &mut here);
    let (mut other, mut bound) = (peer_at(2, 10), peer(2));
    other.add("c1", id("a"), ip(1)).unwrap();
    bound.add("c2", id("a"), ip(2)).unwrap();
    sync(&other, &mut here);
    assert_eq!(
        (here.count(), here.fill().refused),
        (0, [(Refused::OtherKey, 1)].into())
    );
    for part in bound.take_changes() {
        assert!(
            here.merge(teller(), &part, &Bound(key(2).key()), now())
                .unwrap()
                .is_some()
        );
    }
    assert!(here.zone().addresses("c2.weave.local").eq([ip(2)]));
}

/// What may happen in a network of three, of which the first has something to say
#[derive(Debug, Clone)]
enum Step {
    Add(u8),
    Remove(u8),
    /// The changes are told to some, and lost on the way to the others
    Tell([bool; 2]),
    /// One compares with another, of whose answers the first some arrive
    Sync(usize, usize, usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12u8).prop_map(Step::Add),
        3 => (0..12u8).prop_map(Step::Remove),
        2 => any::<[bool; 2]>().prop_map(Step::Tell),
        3 => (0..3usize, 0..3usize, 0..3usize).prop_map(|(from, to, first)| Step::Sync(from, to, first)),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Whatever is lost and in whatever order it arrives: a copy is what the part once was, at the
    /// sequence that it says; a copy never goes back; and when all have compared, they are equal.
    #[test]
    fn a_copy_is_what_the_part_was(steps in prop::collection::vec(step(), 0..120)) {
        let everybody: BTreeSet<PeerName> = [name(0), name(1), name(2)].into();
        let mut peers = [peer(0), peer(1), peer(2)];
        let mut past: BTreeMap<Stamp, Vec<(u64, Entry)>> = BTreeMap::new();
        let at = now();
        for peer in &mut peers {
            peer.reachable(&everybody, at);
        }
        let list = |part: &Part| part.entries().clone().into_iter().collect::<Vec<_>>();
        past.insert(peers[0].own.stamp, list(&peers[0].own));
        for step in steps {
            let before = [1, 2].map(|n: usize| stamp(&peers[n]));
            match step {
                Step::Add(n) => {
                    peers[0].add(&format!("c{}", n % 4), id(&format!("{}", n / 4)), ip(n)).unwrap();
                }
                Step::Remove(n) => {
                    peers[0].remove(&Filter { address: Some(ip(n)), ..Filter::default() }).unwrap();
                }
                Step::Tell(arrives) => {
                    for part in peers[0].take_changes() {
                        for n in 0..2 {
                            if arrives[n] {
                                peers[n + 1].merge(teller(), &part, &DerivedKeys, at).unwrap();
                            }
                        }
                    }
                }
                Step::Sync(from, to, first) if from != to => {
                    let parts = peers[from].missing(&peers[to].summary()).unwrap();
                    for part in parts.iter().take(first) {
                        peers[to].merge(teller(), part, &DerivedKeys, at).unwrap();
                    }
                }
                Step::Sync(..) => {}
                Step::Restart => {
                    let epoch = peers[0].own.stamp.epoch + 1;
                    peers[0] = peer_at(0, epoch);
                    peers[0].reachable(&everybody, at);
                }
            }
            past.entry(peers[0].own.stamp).or_insert_with(|| list(&peers[0].own));
            for (n, before) in [1, 2].into_iter().zip(before) {
                prop_assert!(stamp(&peers[n]) >= before);
                if let Some(copied) = peers[n].others.get(name(0)) {
                    prop_assert_eq!(Some(&list(&copied.part)), past.get(&copied.part.stamp));
                    prop_assert_eq!(copied.part.digest(), copied.proof.digest);
                }
            }
        }
        for (from, to) in [(0, 1), (1, 2), (0, 2), (2, 0), (1, 0), (2, 1)] {
            let parts = peers[from].missing(&peers[to].summary()).unwrap();
            for part in parts {
                peers[to].merge(teller(), &part, &DerivedKeys, at).unwrap();
            }
        }
        prop_assert_eq!(peers[0].summary(), peers[1].summary());
        prop_assert_eq!(peers[1].summary(), peers[2].summary());
        for peer in &peers {
            prop_assert_eq!(peer.count(), peers[0].own.entries().len());
            let mut fresh = Zone::new(Domain::default());
            for listed in peer.entries() {
                fresh.insert(&listed.entry.name, listed.entry.address);
            }
            for n in 0..4 {
                let name = format!("c{n}.weave.local");
                prop_assert_eq!(peer.zone().find(&name), fresh.find(&name));
            }
        }
    }

    #[test]
    fn any_bytes_are_merged_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut names = peer(1);
        let _merged = names.merge(teller(), &bytes, &DerivedKeys, now());
        let _missing = names.missing(&bytes);
    }
}

fn peer(n: u32) -> Names {
    peer_at(n, 1)
}

fn peer_at(n: u32, epoch: u64) -> Names {
    Names::new(name(n), key(n), epoch, Domain::default())
}

fn key(n: u32) -> Identity {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&n.to_le_bytes());
    Identity::from_seed(seed.into())
}

fn name(n: u32) -> PeerName {
    model::Mac::from_bits(0x0200_0000_0000 | u64::from(n)).into()
}

/// A neighbor that tells parts, whoever wrote them
fn teller() -> PeerName {
    name(999)
}

fn id(text: &str) -> ContainerId {
    text.parse().unwrap()
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 32, 0, last)
}

fn now() -> Instant {
    Instant::now()
}

fn tell(from: &mut Names, to: &mut Names) {
    for part in from.take_changes() {
        to.merge(teller(), &part, &DerivedKeys, now()).unwrap();
    }
}

/// What a comparison brings from one to the other
fn sync(from: &Names, to: &mut Names) {
    for part in from.missing(&to.summary()).unwrap() {
        to.merge(teller(), &part, &DerivedKeys, now()).unwrap();
    }
}

fn stamp(peer: &Names) -> Option<Stamp> {
    peer.others.get(name(0)).map(|copied| copied.part.stamp)
}

/// The summary of a peer as another has it
fn there_with(there: &Names, of: &Names) -> Vec<u8> {
    encode_summary(&vec![(of.name, there.others.all()[&of.name].part.stamp)])
}
