//! Changes of paths, topology, ports and stations.

use super::*;

#[test]
fn a_path_that_changes_rewrites_its_flows_and_no_other() {
    let mut bench = Bench::new();
    let remote = key(C1, station(1), station(13));
    let sleeve = key(C1, station(1), station(12));
    let local = key(C1, station(1), station(2));
    for key in [&remote, &sleeve, &local] {
        bench.miss(key);
    }
    bench.outputs();
    let now = bench.now;

    bench.switch.set_path(name(1), Some(fastdp(1, 1450)), now);
    assert_eq!(bench.commands(), [], "the same path again");

    bench.switch.set_path(name(1), Some(Path::Sleeve), now);
    let commands = bench.commands();
    assert!(commands.contains(&Command::PutFlow(
        remote.flow_key(),
        vec![A::PushVlan(one(3)), A::Output(TAP)]
    )));
    for command in &commands {
        let Command::PutFlow(key, _) = command else {
            panic!("nothing to delete: {command:?}");
        };
        let behind_it = [station(11), station(13)].contains(&key.dst);
        assert!(behind_it || key.dst.is_group(), "{key}");
    }

    bench.switch.set_path(name(1), None, now);
    assert!(
        bench
            .commands()
            .contains(&Command::PutFlow(remote.flow_key(), vec![])),
        "dead at once"
    );
    assert_eq!(bench.miss(&remote).dropped, Some(DropReason::NoPath));
    let flood = bench.miss(&key(C1, station(1), station(99)));
    assert!(!flood.actions.contains(&A::Output(VXLAN)), "{flood:?}");

    bench.switch.set_path(name(1), Some(fastdp(1, 1450)), now);
    assert_eq!(bench.actions_of(&remote), Some(tunnelled(1, vni(0, 3))));
}

#[test]
fn a_topology_that_changes_rewrites_the_flows_it_touches() {
    let mut bench = Bench::new();
    let behind = key(C1, station(1), station(13));
    let near = key(C1, station(1), station(11));
    bench.miss(&behind);
    bench.miss(&near);
    bench.outputs();
    let now = bench.now;

    let mut routes = graph();
    routes.part(1, 3);
    routes.join(2, 3);
    bench.switch.set_routes(Arc::new(routes.routes(0)), now);
    let commands = bench.commands();
    assert!(commands.contains(&Command::PutFlow(
        behind.flow_key(),
        vec![A::PushVlan(one(3)), A::Output(TAP)]
    )));
    assert!(
        !commands
            .iter()
            .any(|command| matches!(command, Command::PutFlow(key, _) if *key == near.flow_key()))
    );

    // Peer 3 leaves: its stations are unknown, so their flows go.
    routes.part(2, 3);
    bench.switch.set_routes(Arc::new(routes.routes(0)), now);
    assert!(
        bench
            .commands()
            .contains(&Command::DeleteFlow(behind.flow_key().ufid()))
    );
    assert_eq!(bench.shared.lookup(station(13)), None);
}

#[test]
fn stations_follow_a_peer_to_its_new_short_id() {
    let mut bench = Bench::new();
    let remote = key(C1, station(1), station(11));
    bench.miss(&remote);
    let mut table = graph();
    table.ids.insert(1, ShortId::truncated(0x777));
    bench.switch.set_routes(Arc::new(table.routes(0)), bench.now);
    let renamed = Vni::new(id(0), ShortId::truncated(0x777));
    assert_eq!(bench.actions_of(&remote), Some(tunnelled(1, renamed)));
    let station = bench.shared.lookup(station(11));
    assert_eq!(station, Some(Station::Peer(ShortId::truncated(0x777))));
}

#[test]
fn a_new_own_short_id_rewrites_what_is_sent() {
    let mut bench = Bench::new();
    let remote = key(C1, station(1), station(11));
    bench.miss(&remote);
    let mut table = graph();
    table.ids.insert(0, ShortId::truncated(0x700));
    bench.switch.set_routes(Arc::new(table.routes(0)), bench.now);
    let renamed = Vni::new(ShortId::truncated(0x700), id(1));
    assert_eq!(bench.actions_of(&remote), Some(tunnelled(1, renamed)));
}

#[test]
fn a_station_is_followed_at_once_and_back() {
    let mut bench = Bench::new();
    let from_it = key(C1, station(1), station(11));
    let to_it = key(C2, station(2), station(1));
    bench.miss(&from_it);
    bench.miss(&to_it);
    bench.outputs();

    // It speaks on peer 1's host.
    let there = vxlan(1, vni(1, 0), station(1), Mac::BROADCAST);
    bench.miss(&there);
    let outputs = bench.outputs();
    assert!(outputs.contains(&SwitchOutput::Event(Event::MacMoved {
        mac: station(1),
        from: Place::Port(C1),
        to: Place::Peer(id(1)),
    })));
    assert!(outputs.contains(&SwitchOutput::Command(Command::DeleteFlow(
        from_it.flow_key().ufid()
    ))));
    assert_eq!(bench.actions_of(&to_it), Some(tunnelled(1, vni(0, 1))));

    // And is back: its first frame from C1 comes up because its flow is gone.
    assert_eq!(bench.actions_of(&from_it), None);
    assert_eq!(bench.miss(&from_it).install, Some(from_it.flow_key()));
    assert_eq!(bench.actions_of(&to_it), Some(vec![A::Output(C1)]));
    assert_eq!(
        bench.actions_of(&there),
        None,
        "the next frame from there would be seen"
    );

    // From port to port, and between peers.
    bench.miss(&key(C2, station(1), Mac::BROADCAST));
    assert_eq!(
        bench.actions_of(&to_it),
        Some(vec![]),
        "it is on the asker's own port"
    );
    bench.miss(&tap(Vlans::One(one(4)), station(1), Mac::BROADCAST));
    assert_eq!(
        bench.actions_of(&to_it),
        Some(vec![A::PushVlan(one(4)), A::Output(TAP)])
    );
    assert_eq!(bench.switch.counters().macs_moved, 4);
}

#[test]
fn ports_that_come_and_go_change_floods_and_take_their_stations_along() {
    let mut bench = Bench::new();
    let flood = key(C1, station(1), Mac::BROADCAST);
    let to_c2 = key(C1, station(1), station(2));
    bench.miss(&to_c2);
    bench.outputs();
    let now = bench.now;

    let c3 = PortNo(12);
    bench.switch.port_added(c3, PortRole::Container, now);
    assert!(bench.actions_of(&flood).unwrap().contains(&A::Output(c3)));
    let puts = bench.commands();
    assert!(
        puts.iter()
            .all(|command| matches!(command, Command::PutFlow(key, _) if key.dst.is_group()))
    );
    bench.switch.port_added(c3, PortRole::Container, now);
    assert_eq!(bench.commands(), [], "again is nothing");

    bench.switch.port_removed(C2, now);
    assert!(!bench.actions_of(&flood).unwrap().contains(&A::Output(C2)));
    assert_eq!(bench.actions_of(&to_c2), None);
    assert!(bench.switch.flows().all(|(key, _)| key.in_port != C2));
    assert_eq!(bench.shared.lookup(station(2)), None);

    bench.switch.port_removed(VXLAN, now);
    assert!(!bench.actions_of(&flood).unwrap().contains(&A::Output(VXLAN)));
    bench.switch.port_removed(TAP, now);
    assert!(!bench.actions_of(&flood).unwrap().contains(&A::Output(TAP)));
    bench.switch.port_added(VXLAN, PortRole::Vxlan, now);
    assert!(bench.actions_of(&flood).unwrap().contains(&A::Output(VXLAN)));
}
