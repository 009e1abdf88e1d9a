//! Which frames by VXLAN are believed: those from addresses that neighbours have proved.

use super::*;

const STRANGER: u8 = 66;

/// To station 1 on C1, from a station of peer `source`, sent from the address of host `from`
fn frame(from: u8, source: u16) -> UpcallKey {
    vxlan(from, vni(source, 0), station(10 + source as u8), station(1))
}

fn dropped(bench: &mut Bench, key: &UpcallKey) -> Option<DropReason> {
    let verdict = bench.miss(key);
    let nothing = verdict.actions.is_empty() && verdict.install.is_none();
    assert!(verdict.dropped.is_none() || nothing, "{verdict:?}");
    verdict.dropped
}

#[test]
fn a_stranger_delivers_nothing_and_teaches_nothing() {
    let mut bench = Bench::new();
    bench.outputs();
    for source in 1..5 {
        for dst in [station(1), station(99), Mac::BROADCAST] {
            let key = vxlan(STRANGER, vni(source, 0), station(77), dst);
            assert_eq!(dropped(&mut bench, &key), Some(DropReason::UnprovedAddress));
            let relayed = vxlan(STRANGER, vni(source, 3), station(77), dst);
            assert_eq!(dropped(&mut bench, &relayed), Some(DropReason::UnprovedAddress));
        }
    }
    assert!(bench.switch.stations().all(|(mac, _, _)| mac != station(77)));
    assert_eq!(bench.commands(), [], "not even a flow that drops");
}

#[test]
fn a_neighbour_and_a_relay_are_believed_by_their_addresses() {
    let mut bench = Bench::new();
    assert_eq!(dropped(&mut bench, &frame(1, 1)), None, "itself");
    assert_eq!(dropped(&mut bench, &frame(1, 3)), None, "the peer behind it");
    assert_eq!(
        dropped(&mut bench, &frame(1, 4)),
        None,
        "any peer that is no neighbour"
    );
    let key = frame(1, 2);
    assert_eq!(
        dropped(&mut bench, &key),
        Some(DropReason::WrongRelay),
        "a neighbour sends for itself"
    );
}

#[test]
fn a_neighbour_that_has_not_proved_itself_by_fastdp_is_not_believed() {
    let mut bench = Bench::new();
    let now = bench.now;
    assert_eq!(
        dropped(&mut bench, &frame(2, 2)),
        Some(DropReason::UnprovedAddress)
    );
    bench.switch.set_ingress(name(2), Some(address(2)), now);
    assert_eq!(
        dropped(&mut bench, &frame(2, 2)),
        None,
        "whichever path this side has chosen"
    );
    assert_eq!(dropped(&mut bench, &frame(2, 1)), Some(DropReason::WrongRelay));
}

#[test]
fn flows_go_with_the_address_that_they_were_believed_by() {
    let mut bench = Bench::new();
    let (direct, relayed) = (frame(1, 1), frame(1, 3));
    for (before, after) in [(1, Some(7)), (7, None)] {
        let now = bench.now;
        bench.switch.set_ingress(name(1), Some(address(before)), now);
        let keys = [direct, relayed].map(|key| UpcallKey {
            tunnel: key.tunnel.map(|tunnel| TunnelKey {
                src: address(before),
                ..tunnel
            }),
            ..key
        });
        for key in &keys {
            assert_eq!(dropped(&mut bench, key), None);
            assert!(bench.actions_of(key).is_some());
        }
        bench.outputs();
        bench.switch.set_ingress(name(1), after.map(address), now);
        let commands = bench.commands();
        for key in &keys {
            assert!(
                commands.contains(&Command::DeleteFlow(key.flow_key().ufid())),
                "{key:?}"
            );
            assert_eq!(bench.actions_of(key), None);
            assert_eq!(dropped(&mut bench, key), Some(DropReason::UnprovedAddress));
        }
    }
}

#[test]
fn a_relayed_flow_goes_when_its_source_begins_to_send_directly() {
    let mut bench = Bench::new();
    let relayed = frame(1, 3);
    assert_eq!(dropped(&mut bench, &relayed), None);
    bench.outputs();
    let mut graph = graph();
    graph.join(0, 3);
    let now = bench.now;
    bench.switch.set_routes(Arc::new(graph.routes(0)), now);
    assert_eq!(bench.actions_of(&relayed), None);
    assert_eq!(dropped(&mut bench, &relayed), Some(DropReason::WrongRelay));
}

#[test]
fn adopted_flows_stay_until_their_neighbour_is_known_to_be_elsewhere() {
    for (proved, stays) in [(Some(1), true), (Some(7), false), (None, false)] {
        let mut bench = Bench::with(Config::default());
        let now = bench.now;
        bench.switch.set_ingress(name(1), Some(address(1)), now);
        let seen = |key: &UpcallKey| SeenFlow {
            ufid: Some(key.flow_key().ufid()),
            key: Some(key.flow_key()),
            actions: vec![A::Output(C1)],
            used_ago: Some(Duration::from_secs(1)),
        };
        let (of_it, of_another) = (frame(1, 1), frame(4, 4));
        bench
            .switch
            .flows_seen([seen(&of_it), seen(&of_another)], now, now);
        bench.switch.set_ingress(name(1), proved.map(address), now);
        assert_eq!(bench.actions_of(&of_it).is_some(), stays, "{proved:?}");
        assert!(
            bench.actions_of(&of_another).is_some(),
            "its neighbour may yet come back"
        );
        bench.switch.settle(now);
        assert_eq!(bench.actions_of(&of_another), None, "it has not");
    }
}

#[test]
fn a_flood_of_strangers_takes_nothing_from_neighbours() {
    let mut bench = Bench::with(Config {
        misses_per_second: 10,
        miss_burst: 10,
        ..Config::default()
    });
    let now = bench.now;
    bench.switch.settle(now);
    for n in 0..2000u16 {
        let key = vxlan((n % 200) as u8 + 30, vni(1, 0), station(n as u8), station(1));
        assert!(bench.switch.miss(&key, now).dropped.is_some());
    }
    let drops = bench.switch.counters().drops;
    assert_eq!(drops.of(DropReason::UnprovedAddress), 2000);
    assert_eq!(bench.switch.miss(&frame(1, 1), now).dropped, None);
}
