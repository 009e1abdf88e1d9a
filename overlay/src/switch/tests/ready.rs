//! Flows that are there before their first frame.

use super::*;

/// Whether the kernel was told of a flow for frames with this key
fn has(bench: &Bench, key: &UpcallKey) -> bool {
    bench.actions_of(key).is_some()
}

#[test]
fn a_pair_that_announced_itself_needs_no_upcall() {
    let bench = Bench::new();
    let (here, there) = (station(1), station(11));
    let ready = [
        (key(C1, here, there), tunnelled(1, vni(0, 1))),
        (vxlan(1, vni(1, 0), there, here), vec![A::Output(C1)]),
        (
            key(C1, here, station(12)),
            vec![A::PushVlan(one(2)), A::Output(TAP)],
        ),
        (
            tap(Vlans::One(one(2)), station(12), here),
            vec![A::PopVlan, A::Output(C1)],
        ),
        (key(C1, here, station(2)), vec![A::Output(C2)]),
        (key(C2, station(2), here), vec![A::Output(C1)]),
        // Through the relay to 3; how its frames come back only they will show.
        (key(C1, here, station(13)), tunnelled(1, vni(0, 3))),
    ];
    for (key, actions) in ready {
        assert_eq!(bench.actions_of(&key), Some(actions), "{key:?}");
    }
    assert!(!has(&bench, &vxlan(1, vni(3, 0), station(13), here)));
    assert!(bench.switch.counters().flows_ready > 0);
}

#[test]
fn the_frame_that_makes_a_station_known_puts_its_flows_before_its_own() {
    let mut bench = Bench::new();
    bench.outputs();
    let newcomer = vxlan(1, vni(1, 0), station(77), Mac::BROADCAST);
    assert!(bench.miss(&newcomer).install.is_some());
    let put = bench.commands().into_iter().map(|command| match command {
        Command::PutFlow(key, _) => key,
        Command::DeleteFlow(_) => panic!("nothing to delete"),
    });
    let put: BTreeSet<_> = put.collect();
    let both_ways = [(C1, station(1)), (C2, station(2))].map(|(port, here)| {
        [
            key(port, here, station(77)).flow_key(),
            vxlan(1, vni(1, 0), station(77), here).flow_key(),
        ]
    });
    assert_eq!(put, both_ways.into_iter().flatten().collect());
    // Not again.
    bench.miss(&newcomer);
    assert_eq!(bench.commands(), []);
}

#[test]
fn a_station_that_moves_takes_its_flows_along() {
    let mut bench = Bench::new();
    let to_it = key(C1, station(1), station(11));
    assert_eq!(bench.actions_of(&to_it), Some(tunnelled(1, vni(0, 1))));
    bench.miss(&key(C2, station(11), Mac::BROADCAST));
    assert_eq!(bench.actions_of(&to_it), Some(vec![A::Output(C2)]));
    assert!(!has(&bench, &vxlan(1, vni(1, 0), station(11), station(1))));
    assert!(has(&bench, &key(C2, station(11), station(1))));
}

#[test]
fn made_up_addresses_do_not_fill_the_table() {
    let mut bench = Bench::new();
    let before = bench.switch.flow_count();
    for n in 100..200 {
        bench.miss(&key(C1, station(n), Mac::BROADCAST));
    }
    // Each its own flow; the first few the flows to the stations known, too.
    let grown = bench.switch.flow_count() - before;
    assert!((100..150).contains(&grown), "{grown} flows");
    // Nor do they stand in the way of those that have an address each.
    bench.miss(&key(C2, station(2), Mac::BROADCAST));
    assert!(has(&bench, &key(C2, station(2), station(11))));
}

#[test]
fn there_is_a_limit_to_what_is_put_unasked() {
    let mut bench = Bench::with(Config {
        ready_flows: 20,
        ..Config::default()
    });
    bench.switch.settle(bench.now);
    for n in 0..100 {
        bench.miss(&vxlan(1, vni(1, 0), station(100 + n), Mac::BROADCAST));
    }
    let reactive = bench.switch.flow_count();
    bench.miss(&key(C1, station(1), Mac::BROADCAST));
    assert_eq!(bench.switch.flow_count(), reactive + 1);

    let mut bench = Bench::with(Config::default());
    bench.switch.settle(bench.now);
    for n in 0..100 {
        bench.miss(&vxlan(1, vni(1, 0), station(100 + n), Mac::BROADCAST));
    }
    bench.outputs();
    bench.miss(&key(C1, station(1), Mac::BROADCAST));
    assert_eq!(bench.commands().len(), 128, "a frame does not wait for more");
}

#[test]
fn with_two_vxlan_ports_nothing_is_said_of_where_frames_come_in() {
    let mut bench = Bench::with(Config::default());
    bench.switch.port_added(PortNo(3), PortRole::Vxlan, bench.now);
    bench.introduce();
    assert!(has(&bench, &key(C1, station(1), station(11))));
    assert!(!has(&bench, &vxlan(1, vni(1, 0), station(11), station(1))));
}

#[test]
fn frames_to_stations_that_nobody_knows_are_limited_as_those_from_them_are() {
    let mut bench = Bench::new();
    let now = bench.now;
    let passed = (0..10_000u32).filter(|n| {
        let [_, a, b, c] = n.to_be_bytes();
        let nowhere = Mac::new([6, 6, 6, a, b, c]);
        let verdict = bench.switch.miss(&key(C1, station(1), nowhere), now);
        verdict.dropped.is_none()
    });
    let passed = passed.count();
    let most = usize::try_from(Config::default().stranger_burst).unwrap();
    assert!(passed <= most, "{passed} passed");
    assert!(passed > most / 2);
}

#[test]
fn stations_that_come_and_come_do_not_take_all_the_time() {
    let mut bench = Bench::with(Config {
        ready_per_second: 10,
        ready_burst: 50,
        ..Config::default()
    });
    let now = bench.now;
    bench.switch.miss(&key(C1, station(1), Mac::BROADCAST), now);
    let mut newcomers = (0..200).map(|n| Mac::new([6, 6, 6, 6, 6, n]));
    let mut put_by_100 = |now: Instant| {
        let before = bench.switch.counters().flows_ready;
        for newcomer in newcomers.by_ref().take(100) {
            let greeting = vxlan(1, vni(1, 0), newcomer, Mac::BROADCAST);
            bench.switch.miss(&greeting, now);
        }
        bench.switch.counters().flows_ready - before
    };
    assert_eq!(put_by_100(now), 50);
    assert_eq!(put_by_100(now + Duration::from_secs(1)), 10);
}
