//! Dumps: ageing, repair, adoption.

use super::*;

fn seen(key: &UpcallKey, actions: Vec<A>, used_ago: Option<u64>) -> SeenFlow {
    let key = key.flow_key();
    SeenFlow {
        ufid: Some(key.ufid()),
        key: Some(key),
        actions,
        used_ago: used_ago.map(Duration::from_secs),
    }
}

impl Bench {
    /// The kernel as the switch believes it to be, each flow last used so long ago
    fn dump(&self, used_ago: impl Fn(&FlowKey) -> Option<u64>) -> Vec<SeenFlow> {
        let flows = self.switch.flows().map(|(key, actions)| SeenFlow {
            ufid: Some(key.ufid()),
            key: Some(*key),
            actions: actions.to_vec(),
            used_ago: used_ago(key).map(Duration::from_secs),
        });
        flows.collect()
    }

    /// A switch that just started: ports and neighbours, nothing else
    fn restarted() -> Self {
        Self::with(Config {
            mtu: 1450,
            ..Config::default()
        })
    }
}

#[test]
fn flows_in_use_keep_their_stations_and_idle_ones_go() {
    let mut bench = Bench::new();
    let busy = key(C1, station(1), station(11));
    bench.miss(&busy);
    bench.outputs();
    let later = bench.now + Duration::from_secs(599);
    let dump = bench.dump(|key| (*key == busy.flow_key()).then_some(3));
    bench.switch.flows_seen(dump, later, later);
    let left: Vec<_> = bench.switch.flows().map(|(key, _)| *key).collect();
    assert_eq!(left, [busy.flow_key()]);
    assert!(
        bench
            .commands()
            .iter()
            .all(|command| matches!(command, Command::DeleteFlow(_)))
    );

    // Ten minutes after they spoke first, the busy one is known and the silent one is not.
    bench.switch.handle_timeout(later + Duration::from_secs(60));
    assert_eq!(bench.switch.decide(&busy.flow_key()).reason, None);
    let known: Vec<_> = bench.switch.stations().map(|(mac, ..)| mac).collect();
    assert_eq!(known, [station(1)]);
}

#[test]
fn a_crowded_table_sheds_idle_flows_sooner() {
    let mut bench = Bench::with(Config {
        max_flows: 8,
        ready_flows: 0,
        ..Config::default()
    });
    bench.switch.settle(bench.now);
    bench.introduce();
    bench.miss(&key(C2, station(2), station(11)));
    assert_eq!(bench.switch.flow_count(), 7);
    let later = bench.now + Duration::from_secs(11);
    let dump = bench.dump(|key| (key.in_port == C2).then_some(1));
    bench.switch.flows_seen(dump, later, later);
    assert_eq!(bench.switch.flow_count(), 2);
}

#[test]
fn what_the_kernel_lost_is_forgotten_and_what_somebody_changed_is_put_right() {
    let mut bench = Bench::new();
    let flow = key(C1, station(1), station(11));
    bench.miss(&flow);
    bench.outputs();
    let right = bench.actions_of(&flow).unwrap();
    let later = bench.now + Duration::from_secs(5);

    // A dump asked for before the flow can have arrived proves nothing.
    bench.switch.flows_seen([], bench.now, bench.now);
    assert!(bench.actions_of(&flow).is_some());

    bench
        .switch
        .flows_seen([seen(&flow, vec![A::Output(C2)], Some(1))], later, later);
    assert_eq!(bench.commands(), [Command::PutFlow(flow.flow_key(), right)]);
    assert_eq!(
        bench.switch.flow_count(),
        1,
        "those that were missing are forgotten"
    );

    let later = later + Duration::from_secs(5);
    bench.switch.flows_seen([], later, later);
    assert_eq!(bench.switch.flow_count(), 0);
    assert!(
        bench.miss(&flow).install.is_some(),
        "its next frame puts it again"
    );
}

#[test]
fn flows_of_strangers_are_deleted_once_settled() {
    let foreign = SeenFlow {
        ufid: Some(Ufid([7; 16])),
        key: None,
        actions: vec![],
        used_ago: None,
    };
    let nameless = SeenFlow {
        ufid: None,
        ..foreign.clone()
    };
    let ours_by_another_name = SeenFlow {
        ufid: Some(Ufid([8; 16])),
        ..seen(&key(C1, station(1), station(2)), vec![], None)
    };
    let mut bench = Bench::restarted();
    let now = bench.now;
    bench
        .switch
        .flows_seen([foreign.clone(), nameless, ours_by_another_name], now, now);
    assert_eq!(bench.commands(), []);
    bench.switch.settle(now);
    let deleted = [[7; 16], [8; 16]].map(|id| Command::DeleteFlow(Ufid(id)));
    assert_eq!(bench.commands(), deleted);
    assert_eq!(bench.switch.counters().flows_foreign, 3);

    bench.switch.flows_seen(
        [foreign, seen(&key(C1, station(1), station(2)), vec![], None)],
        now,
        now,
    );
    assert_eq!(
        bench.commands().len(),
        2,
        "a flow that it did not put is a stranger's, too"
    );
}

#[test]
fn adopted_flows_stay_until_it_settles_and_teach_where_stations_are() {
    let mut bench = Bench::restarted();
    let now = bench.now;
    let to_peer = key(C1, station(1), station(11));
    let stale = key(C2, station(2), station(11));
    let wrong = vec![A::Output(HOST)];
    let dump = vec![
        seen(&to_peer, tunnelled(1, vni(0, 1)), Some(1)),
        seen(&stale, wrong.clone(), Some(2)),
        seen(
            &vxlan(1, vni(1, 0), station(11), station(1)),
            vec![A::Output(C1)],
            Some(1),
        ),
        seen(
            &tap(Vlans::One(one(2)), station(12), station(1)),
            vec![A::PopVlan, A::Output(C1)],
            None,
        ),
        // It spoke here before it spoke there.
        seen(&key(C2, station(9), station(1)), vec![A::Output(C1)], Some(30)),
        seen(
            &vxlan(1, vni(3, 0), station(9), station(1)),
            vec![A::Output(C1)],
            Some(20),
        ),
        // Relayed: says nothing of where station 70 is.
        seen(&vxlan(1, vni(1, 2), station(70), station(12)), vec![], Some(1)),
    ];
    bench.switch.flows_seen(dump, now, now);
    let places: Vec<_> = bench
        .switch
        .stations()
        .map(|(mac, place, _)| (mac, place))
        .collect();
    let wanted = [
        (station(1), Place::Port(C1)),
        (station(2), Place::Port(C2)),
        (station(9), Place::Peer(id(3))),
        (station(11), Place::Peer(id(1))),
        (station(12), Place::Peer(id(2))),
    ];
    assert_eq!(places, wanted);
    bench.outputs();

    // Whatever comes and goes.
    bench.switch.set_path(name(1), None, now);
    bench.switch.set_path(name(1), Some(fastdp(1, 1450)), now);
    bench
        .switch
        .set_routes(Arc::new(Graph::new(1, &[]).routes(0)), now);
    bench.switch.set_routes(Arc::new(graph().routes(0)), now);
    let late = now + Duration::from_secs(400);
    bench.switch.flows_seen(bench.dump(|_| None), late, late);
    assert_eq!(bench.commands(), []);
    let stray = bench.switch.miss(&stale, now);
    assert_eq!(
        (stray.actions, stray.install),
        (wrong, None),
        "it was on its way up already"
    );

    bench.miss(&key(C1, station(1), Mac::BROADCAST));
    bench.switch.flows_seen(
        [
            seen(&to_peer, tunnelled(1, vni(0, 1)), Some(1)),
            seen(&stale, vec![], Some(1)),
        ],
        now,
        now,
    );
    bench.outputs();
    bench.switch.settle(now);
    let commands = bench.commands();
    assert!(commands.contains(&Command::PutFlow(stale.flow_key(), tunnelled(1, vni(0, 1)))));
    let touched = |wanted: &UpcallKey| {
        commands.iter().any(|command| match command {
            Command::PutFlow(key, _) => *key == wanted.flow_key(),
            Command::DeleteFlow(ufid) => *ufid == wanted.flow_key().ufid(),
        })
    };
    assert!(!touched(&to_peer), "it was right");
    assert!(
        touched(&key(C2, station(9), station(1))),
        "that station is elsewhere"
    );
    assert!(bench.switch.is_settled());
}

#[test]
fn stations_of_peers_that_did_not_come_back_are_unknown_after_settling() {
    let mut bench = Bench::restarted();
    let now = bench.now;
    let gone = vxlan(1, vni(50, 0), station(50), station(1));
    bench
        .switch
        .flows_seen([seen(&gone, vec![A::Output(C1)], Some(1))], now, now);
    assert_eq!(bench.switch.station_count(), 1);
    bench.switch.settle(now);
    assert_eq!(bench.switch.station_count(), 0);
    assert_eq!(bench.commands(), [Command::DeleteFlow(gone.flow_key().ufid())]);
}

#[test]
fn while_it_has_not_settled_new_ports_hear_floods_and_old_ones_are_not_written_to() {
    let mut bench = Bench::restarted();
    let now = bench.now;
    let flood = key(C1, station(1), Mac::BROADCAST);
    let flooded = [vec![A::Output(C2)], tunnelled(1, vni(0, 1))].concat();
    let tagged = tap(Vlans::One(one(2)), station(12), Mac::BROADCAST);
    let to_c2 = key(C1, station(1), station(2));
    let dump = vec![
        seen(&flood, flooded.clone(), Some(1)),
        seen(&tagged, vec![A::PopVlan, A::Output(C1)], Some(1)),
        seen(&to_c2, vec![A::Output(C2)], Some(1)),
    ];
    bench.switch.flows_seen(dump, now, now);
    let c3 = PortNo(12);
    bench.switch.port_added(c3, PortRole::Container, now);
    let commands = bench.commands();
    assert_eq!(commands.len(), 2);
    assert!(commands.contains(&Command::PutFlow(
        flood.flow_key(),
        [vec![A::Output(c3)], flooded].concat()
    )));
    assert!(commands.contains(&Command::PutFlow(
        tagged.flow_key(),
        vec![A::PopVlan, A::Output(c3), A::Output(C1)]
    )));

    bench.switch.port_removed(C2, now);
    let commands = bench.commands();
    assert!(commands.contains(&Command::DeleteFlow(to_c2.flow_key().ufid())));
    assert!(commands.contains(&Command::PutFlow(
        flood.flow_key(),
        [vec![A::Output(c3)], tunnelled(1, vni(0, 1))].concat()
    )));
    bench.switch.port_removed(C1, now);
    assert!(
        bench
            .commands()
            .contains(&Command::DeleteFlow(flood.flow_key().ufid()))
    );
}
