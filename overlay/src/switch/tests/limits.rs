//! What is bounded.

use super::*;

#[test]
fn random_addresses_in_a_burst_do_not_starve_the_others() {
    let mut bench = Bench::with(Config {
        max_macs: 1000,
        max_flows: 1200,
        ..Config::default()
    });
    let now = bench.now;
    bench.switch.settle(now);
    bench.introduce();
    let mut passed = 0;
    for n in 0..10_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let made_up = Mac::new([6, 6, 6, a, b, c]);
        let verdict = bench.switch.miss(&key(C1, made_up, station(2)), now);
        passed += u32::from(verdict.dropped.is_none());
    }
    let config = Config::default();
    assert!(passed <= config.stranger_burst, "{passed} passed");
    let counters = *bench.switch.counters();
    assert!(counters.drops.of(DropReason::RateLimited) >= 9500);
    assert!(counters.flows_refused > 0);
    assert!(bench.switch.station_count() <= 1000);
    assert!(bench.switch.flow_count() <= 600, "a port has its share");
    // The rest goes on undisturbed.
    assert_eq!(
        bench.switch.miss(&key(C2, station(2), station(11)), now).actions,
        tunnelled(1, vni(0, 1))
    );
    let peer = bench
        .switch
        .miss(&vxlan(1, vni(1, 0), station(11), station(2)), now);
    assert_eq!(
        (peer.actions, peer.install.is_some()),
        (vec![A::Output(C2)], true)
    );
}

#[test]
fn one_noisy_peer_does_not_use_up_the_misses_of_another() {
    let mut bench = Bench::with(Config {
        miss_burst: 10,
        ..Config::default()
    });
    let now = bench.now;
    bench.switch.settle(now);
    for n in 0..100 {
        bench
            .switch
            .miss(&vxlan(1, vni(1, 0), station(n), station(200)), now);
        bench
            .switch
            .miss(&vxlan(1, vni(40, 0), station(n), station(200)), now);
    }
    let noisy = bench
        .switch
        .miss(&vxlan(1, vni(1, 0), station(1), station(200)), now);
    assert_eq!(noisy.dropped, Some(DropReason::RateLimited));
    let quiet = bench
        .switch
        .miss(&vxlan(1, vni(3, 0), station(13), station(200)), now);
    assert_eq!(quiet.dropped, None);
}

#[test]
fn hundreds_of_neighbours_get_their_copies_in_several_lists() {
    let peers = 400u16;
    let names: Vec<PeerName> = (0..=peers)
        .map(|n| PeerName::from(Mac::new([2, 0xaa, 0, 0, (n >> 8) as u8, n as u8])))
        .collect();
    let own = names[0];
    let table = Table {
        own,
        own_id: ShortId::truncated(0),
        ids: names
            .iter()
            .enumerate()
            .map(|(n, name)| (*name, ShortId::truncated(n as u16)))
            .collect(),
        unicast: names[1..].iter().map(|name| (*name, *name)).collect(),
        broadcast: [(own, names[1..].to_vec())].into(),
    };
    let now = Instant::now();
    let mut switch = Switch::new(
        Config::default(),
        Arc::new(table),
        Arc::new(MacTable::new(8, 1)),
        now,
    );
    switch.port_added(VXLAN, PortRole::Vxlan, now);
    switch.port_added(C1, PortRole::Container, now);
    for name in &names[1..] {
        switch.set_path(*name, Some(fastdp(1, 1450)), now);
    }
    let verdict = switch.miss(&key(C1, station(1), Mac::BROADCAST), now);
    assert_eq!(verdict.install, None);
    let lists: Vec<_> = std::iter::once(&verdict.actions)
        .chain(&verdict.further)
        .collect();
    assert!(lists.len() > 1);
    let copies = lists
        .iter()
        .flat_map(|list| list.iter())
        .filter(|action| **action == A::Output(VXLAN))
        .count();
    assert_eq!(copies, usize::from(peers));
}

#[test]
fn silent_stations_are_forgotten_and_their_flows_with_them() {
    let mut bench = Bench::new();
    let to_it = key(C2, station(2), station(11));
    bench.miss(&to_it);
    bench.outputs();
    let later = bench.now + Duration::from_secs(601);
    let (due, _) = bench.switch.poll_timeout().unwrap();
    assert!(due < later);
    bench.switch.miss(&key(C2, station(2), Mac::BROADCAST), later);
    bench.switch.handle_timeout(later);
    assert_eq!(bench.actions_of(&to_it), None);
    let left: Vec<_> = bench.switch.stations().map(|(mac, ..)| mac).collect();
    assert_eq!(left, [station(2)]);
    assert_eq!(bench.shared.lookup(station(11)), None);
}
