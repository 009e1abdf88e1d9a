use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;

fn mac(n: u32) -> Mac {
    let [a, b, c, d] = n.to_be_bytes();
    Mac::new([2, 0, a, b, c, d])
}

fn peer(id: u16) -> Station {
    Station::Peer(ShortId::truncated(id))
}

#[test]
fn a_station_is_where_its_last_frame_came_from() {
    let table = MacTable::new(64, 1);
    assert_eq!(table.lookup(mac(1)), None);
    assert_eq!(table.learn(mac(1), peer(0), 1), Learnt::New);
    assert_eq!(table.learn(mac(1), peer(0), 2), Learnt::Known);
    assert_eq!(
        table.learn(mac(1), Station::Local, 3),
        Learnt::Moved { from: peer(0) }
    );
    assert_eq!(table.lookup(mac(1)), Some(Station::Local));
    table.forget(mac(1));
    assert_eq!(table.lookup(mac(1)), None);
}

#[test]
fn group_and_zero_addresses_are_nobody() {
    let table = MacTable::new(64, 1);
    assert_eq!(table.learn(Mac::BROADCAST, peer(1), 1), Learnt::Refused);
    assert_eq!(table.learn(Mac::ZERO, peer(1), 1), Learnt::Refused);
    assert_eq!(table.lookup(Mac::ZERO), None);
    assert!(table.is_empty());
}

#[test]
fn the_silent_are_forgotten_and_the_talkative_kept() {
    let table = MacTable::new(64, 1);
    table.learn(mac(1), peer(1), 10);
    table.learn(mac(2), peer(1), 10);
    table.learn(mac(2), peer(1), 600);
    table.expire(611, 600);
    assert_eq!(
        (table.lookup(mac(1)), table.lookup(mac(2))),
        (None, Some(peer(1)))
    );
}

#[test]
fn a_peer_that_leaves_takes_only_its_own_stations_along() {
    let table = MacTable::new(64, 1);
    table.learn(mac(1), peer(1), 0);
    table.learn(mac(2), peer(2), 0);
    table.learn(mac(3), Station::Local, 0);
    table.forget_peer(ShortId::truncated(1));
    let mut left = vec![];
    table.for_each(|mac, station, _| left.push((mac, station)));
    left.sort();
    assert_eq!(left, [(mac(2), peer(2)), (mac(3), Station::Local)]);
}

#[test]
fn a_full_table_stays_bounded_and_drops_the_oldest() {
    let table = MacTable::new(WAYS, 1);
    assert_eq!(table.capacity(), WAYS);
    for n in 0..WAYS as u32 {
        table.learn(mac(n), peer(1), n + 1);
    }
    table.learn(mac(0), peer(1), 50);
    table.learn(mac(99), peer(1), 51);
    assert_eq!(table.lookup(mac(1)), None, "the oldest made room");
    assert_eq!(table.lookup(mac(0)), Some(peer(1)), "the refreshed one did not");
    assert_eq!((table.len(), table.evicted()), (WAYS, 1));
}

#[test]
fn addresses_that_count_up_spread_over_the_sets() {
    let table = MacTable::new(65_536, 0x1234_5678_9abc_def1);
    for n in 0..32_768 {
        table.learn(mac(n), peer(1), 1);
    }
    assert!(
        table.evicted() < 1_500,
        "{} evicted at half load",
        table.evicted()
    );
}

#[test]
fn threads_learn_and_look_up_at_once() {
    const STATIONS: u32 = 64;
    const ROUNDS: u32 = 20_000;
    // Small enough that the threads meet in the same sets, large enough that nobody is evicted.
    let table = MacTable::new(4096, 7);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4u16)
            .map(|id| {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let n = (round * 7 + u32::from(id)) % STATIONS;
                        table.learn(mac(n), peer(id), round);
                        if round % 97 == 0 {
                            table.forget(mac(n));
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    for n in 0..STATIONS {
                        match table.lookup(mac(n)) {
                            None | Some(Station::Peer(_)) => {}
                            Some(Station::Local) => panic!("nobody wrote this"),
                        }
                    }
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, SeqCst);
    });
    let mut seen = BTreeMap::<Mac, u32>::new();
    table.for_each(|mac, _, _| *seen.entry(mac).or_default() += 1);
    assert!(
        seen.values().all(|&times| times == 1),
        "a station stands in the table once: {seen:?}"
    );
}

proptest! {
    #[test]
    fn without_crowding_it_behaves_like_a_map(steps in prop::collection::vec((0..40u32, 0..6u16, 0..3u8), 0..200)) {
        let table = MacTable::new(8192, 99);
        let mut model = BTreeMap::new();
        for (tick, (n, id, what)) in steps.into_iter().enumerate() {
            match what {
                0 => {
                    table.forget(mac(n));
                    model.remove(&n);
                }
                1 => {
                    table.forget_peer(ShortId::truncated(id));
                    model.retain(|_, station| *station != peer(id));
                }
                _ => {
                    let expected = match model.insert(n, peer(id)) {
                        None => Learnt::New,
                        Some(from) if from == peer(id) => Learnt::Known,
                        Some(from) => Learnt::Moved { from },
                    };
                    prop_assert_eq!(table.learn(mac(n), peer(id), tick as u32), expected);
                }
            }
            for n in 0..40 {
                prop_assert_eq!(table.lookup(mac(n)), model.get(&n).copied());
            }
        }
    }
}
