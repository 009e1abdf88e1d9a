//! Single stories, each with its own claim.

use std::time::Duration;

use gossip::{
    ConnectionState, Counters, Departure, DownReason, Ended, Event, PeerRecord, SendError, Topology,
};
use model::{PeerName, Target};

use crate::world::{CHANNEL, HostId, World, address};

// Restarts

#[test]
fn a_killed_and_restarted_peer_costs_nobody_a_route() {
    for departure in [None, Some(Departure::Restart)] {
        let mut world = full_mesh(1, 4);
        let restarted = world.hosts[0].name;
        world.stop(0, departure);
        world.start_after(0, secs(2));
        world.run_for(secs(10));

        for host in &world.hosts[1..] {
            assert!(host.events.contains(&Event::NeighbourHeld { peer: restarted }));
            assert_eq!(ups(&world, host.name, restarted), [true], "resumed, once");
            assert!(
                !host
                    .events
                    .iter()
                    .any(|event| matches!(event, Event::NeighbourDown { .. }))
            );
            for topology in topologies(&host.events) {
                assert_eq!(topology.unicast(restarted), Some(restarted));
                assert!(!topology.broadcast(host.name).is_empty());
            }
        }
        let own_view = &world.hosts[0];
        assert!(
            own_view
                .events
                .iter()
                .all(|event| !matches!(event, Event::NeighbourDown { .. }))
        );
        assert_eq!(established(&world, 0), 3);
    }
}

#[test]
fn a_peer_that_does_not_come_back_is_down_after_the_grace_and_gone_a_second_later() {
    let mut world = full_mesh(2, 3);
    let lost = world.hosts[0].name;
    world.stop(0, None);
    world.run_for(Duration::from_millis(4900));
    assert!(world.hosts[1].topology().unicast(lost).is_some());
    world.run_for(Duration::from_millis(200));
    let down = Event::NeighbourDown {
        peer: lost,
        reason: DownReason::GraceOver,
    };
    assert!(world.hosts[1].events.contains(&down));
    assert!(world.hosts[1].topology().unicast(lost).is_none());
    world.run_for(Duration::from_millis(1100));
    for host in &world.hosts[1..] {
        assert_eq!(
            host.events
                .iter()
                .filter(|event| **event == Event::PeerGone(lost))
                .count(),
            1
        );
    }
}

#[test]
fn a_peer_that_leaves_is_down_at_once() {
    let mut world = full_mesh(3, 3);
    let left = world.hosts[0].name;
    world.stop(0, Some(Departure::Leave));
    world.run_for(Duration::from_millis(50));
    for host in &world.hosts[1..] {
        let down = Event::NeighbourDown {
            peer: left,
            reason: DownReason::Left,
        };
        assert!(host.events.contains(&down));
        assert!(!host.topology().peers.contains_key(&left));
    }
}

#[test]
fn a_peer_whose_start_counter_was_lost_outbids_its_own_past() {
    let mut world = full_mesh(4, 3);
    world.stop(0, None);
    world.hosts[0].epoch = 0;
    // Its record of the first start has more versions than a fresh one, under the same epoch.
    world.start_after(0, secs(1));
    world.run_for(secs(5));
    let name = world.hosts[0].name;
    let own = stamp(&world, 0, name);
    assert_eq!(stamp(&world, 1, name), own);
    assert_eq!(stamp(&world, 2, name), own);
    assert_eq!(established(&world, 0), 2);
}

// Silence

#[test]
fn silence_without_a_data_path_is_down_after_two_and_a_half_seconds() {
    let mut world = full_mesh(5, 2);
    let other = world.hosts[1].name;
    world.cut(0, 1);
    world.run_for(Duration::from_millis(3200));
    let down = Event::NeighbourDown {
        peer: other,
        reason: DownReason::Ended(Ended::Silence),
    };
    assert!(world.hosts[0].events.contains(&down));
    assert!(
        !world.hosts[0]
            .events
            .contains(&Event::NeighbourHeld { peer: other })
    );
}

#[test]
fn silence_with_a_data_path_is_held_until_the_path_goes_too() {
    let mut world = full_mesh(6, 2);
    let other = world.hosts[1].name;
    world.cut_tcp(0, 1);
    world.run_for(Duration::from_millis(3200));
    assert!(
        world.hosts[0]
            .events
            .contains(&Event::NeighbourHeld { peer: other })
    );
    world.with(0, |mesh, now| mesh.path_established(other, false, now));
    let down = Event::NeighbourDown {
        peer: other,
        reason: DownReason::Silent,
    };
    assert!(world.hosts[0].events.contains(&down));
}

#[test]
fn a_process_that_did_not_run_for_a_moment_is_missed_by_nobody() {
    let mut world = full_mesh(7, 3);
    world.starve(0, Duration::from_millis(1400));
    world.run_for(secs(5));
    for host in &world.hosts {
        let losses =
            |event: &Event| matches!(event, Event::NeighbourHeld { .. } | Event::NeighbourDown { .. });
        assert!(!host.events.iter().any(losses), "{:?}", host.events);
    }
    assert_eq!(counters(&world, 0).starved, 1);
}

#[test]
fn a_process_that_did_not_run_for_long_blames_nobody() {
    let mut world = full_mesh(22, 3);
    world.starve(0, secs(10));
    world.run_for(Duration::from_millis(9_999));
    // The clock is looked at before the sockets are read.
    world.with(0, |mesh, now| mesh.handle_timeout(now));
    assert_eq!(counters(&world, 0).silent, 0);
    assert_eq!(established(&world, 0), 2);
    // The others did not wait: they say so.
    world.run_for(secs(5));
    assert_eq!(counters(&world, 0).silent, 0);
    assert_eq!(established(&world, 0), 2);
}

#[test]
fn a_split_mesh_finds_together_without_anybody_in_between() {
    // Hosts 1 and 2 know of each other only by host 0, which leaves for good.
    let mut world = World::new(8, 3);
    for id in [1, 2] {
        world.hosts[id].targets = vec![0];
    }
    start_all(&mut world);
    world.stop(0, Some(Departure::Leave));
    world.cut(1, 2);
    world.run_for(secs(20));
    assert_eq!(world.hosts[1].topology().peers.len(), 1);
    world.heal(1, 2);
    world.run_for(secs(60));
    assert_eq!(established(&world, 1), 1);
}

// Who is welcome

#[test]
fn passwords_must_agree_and_the_status_says_how_they_do_not() {
    let errors = |ours: Option<u8>, theirs: Option<u8>| {
        let mut world = World::new(9, 2);
        world.hosts[0].password = theirs;
        world.hosts[1].password = ours;
        world.hosts[1].targets = vec![0];
        start_all(&mut world);
        assert_eq!(established(&world, 0), 0);
        let (error, retry) = failure(&world, 1);
        assert!(retry.is_some());
        error
    };
    assert_eq!(
        errors(Some(1), None),
        "password specified, but peer requested an unencrypted connection"
    );
    assert_eq!(
        errors(None, Some(1)),
        "no password specified, but peer requested an encrypted connection"
    );
    assert_eq!(
        errors(Some(1), Some(2)),
        "unable to decrypt TCP msg: the passwords differ"
    );
}

#[test]
fn a_peer_does_not_connect_to_itself_twice() {
    let mut world = World::new(10, 1);
    world.hosts[0].targets = vec![0];
    start_all(&mut world);
    assert_eq!(failure(&world, 0), ("cannot connect to ourself".to_owned(), None));
    assert_eq!(
        counters(&world, 0).handshakes,
        2,
        "one connection, both of its ends"
    );
}

#[test]
fn a_second_peer_of_the_same_name_is_refused_and_says_so() {
    let mut world = World::new(11, 3);
    world.hosts[2].name = world.hosts[0].name;
    world.hosts[1].targets = vec![0];
    world.hosts[2].targets = vec![1];
    world.start(0);
    world.start(1);
    world.run_for(secs(2));
    world.start(2);
    world.run_for(secs(2));
    let (error, retry) = failure(&world, 2);
    assert!(error.starts_with("peer names collision"), "{error}");
    assert_eq!(retry, None);
    assert_eq!(established(&world, 1), 1);
    assert_eq!(counters(&world, 1).name_collisions, 1);
}

#[test]
fn a_running_copy_of_a_disk_is_refused() {
    let mut world = World::new(12, 2);
    world.hosts[1].keys = world.hosts[0].keys.clone();
    world.hosts[1].name = world.hosts[0].name;
    world.hosts[1].targets = vec![0];
    start_all(&mut world);
    let (error, retry) = failure(&world, 1);
    assert!(error.starts_with("peer names collision"), "{error}");
    assert_eq!(retry, None);
}

#[test]
fn the_connection_limit_is_kept_and_told() {
    let mut world = World::new(13, 3);
    world.hosts[0].conn_limit = Some(1);
    for host in &mut world.hosts {
        host.discovery = false;
    }
    for id in [1, 2] {
        world.hosts[id].targets = vec![0];
    }
    world.start(0);
    world.start(1);
    world.run_for(secs(2));
    world.start(2);
    world.run_for(secs(2));
    assert_eq!(established(&world, 0), 1);
    assert_eq!(failure(&world, 2).0, "connection limit of the remote reached (1)");
    // A neighbour's restart is not a new neighbour.
    world.stop(1, None);
    world.start(1);
    world.run_for(secs(2));
    assert_eq!(established(&world, 1), 1);
}

#[test]
fn data_is_clear_only_where_both_sides_trust_the_network() {
    let encrypted = |trusting: &[HostId]| {
        let mut world = World::new(14, 2);
        for host in &mut world.hosts {
            host.password = Some(1);
        }
        for id in trusting {
            world.hosts[*id].trusted_subnets = vec!["192.0.2.0/24".parse().unwrap()];
        }
        world.hosts[1].targets = vec![0];
        start_all(&mut world);
        let flags: Vec<bool> = world
            .hosts
            .iter()
            .flat_map(|host| {
                host.events.iter().filter_map(|event| match event {
                    Event::NeighbourUp { encrypted, .. } => Some(*encrypted),
                    _ => None,
                })
            })
            .collect();
        assert_eq!(flags[0], flags[1]);
        flags[0]
    };
    assert!(encrypted(&[]));
    assert!(encrypted(&[0]));
    assert!(!encrypted(&[0, 1]));
}

// Attacks on one connection

#[test]
fn forged_bytes_end_that_connection_only_and_cost_no_route() {
    for (bytes, count) in [
        (
            &[
                3, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8,
                9, 0, 1, 2,
            ][..],
            (|counters: &Counters| counters.forged) as fn(&Counters) -> u64,
        ),
        (b"GET / HTTP/1.1\r\n", |counters| counters.malformed),
        (&[1, 0, 1, 0], |counters| counters.malformed),
    ] {
        let mut world = full_mesh(15, 3);
        world.inject(0, bytes);
        world.run_for(secs(3));
        assert_eq!(count(counters(&world, 0)), 1);
        for id in 0..3 {
            assert_eq!(established(&world, id), 2);
            let events = &world.hosts[id].events;
            assert!(
                !events
                    .iter()
                    .any(|event| matches!(event, Event::NeighbourDown { .. }))
            );
            assert!(topologies(events).all(|topology| topology.peers.len() == 3));
        }
        let touched = |id: &HostId| {
            let up = |event: &Event| matches!(event, Event::NeighbourUp { .. });
            world.hosts[*id].events.iter().any(up)
        };
        assert_eq!([1, 2].iter().filter(|id| touched(id)).count(), 1);
    }
}

// Messages

#[test]
fn messages_arrive_whole_and_in_order_whatever_their_size() {
    let mut world = full_mesh(16, 2);
    let (from, to) = (world.hosts[0].name, world.hosts[1].name);
    let sizes = [0, 1, 65_535, 65_536, gossip::MAX_CHANNEL_BYTES, 3];
    for (n, size) in sizes.iter().enumerate() {
        let sent = world.with(0, |mesh, now| mesh.send(to, CHANNEL, vec![n as u8; *size], now));
        assert_eq!(sent, Some(Ok(())));
    }
    world.run_for(secs(1));
    let received = world.hosts[1]
        .events
        .iter()
        .filter(|event| matches!(event, Event::Message { .. }));
    let message = |(n, size): (usize, &usize)| Event::Message {
        peer: from,
        channel: CHANNEL,
        bytes: vec![n as u8; *size],
    };
    let expected: Vec<Event> = sizes.iter().enumerate().map(message).collect();
    assert!(received.eq(&expected));
}

#[test]
fn a_message_that_cannot_be_sent_is_refused() {
    let mut world = full_mesh(17, 2);
    let (stranger, to) = (World::new(99, 1).hosts[0].name, world.hosts[1].name);
    let too_long = vec![0; gossip::MAX_CHANNEL_BYTES + 1];
    let len = too_long.len();
    assert_eq!(
        world.with(0, |mesh, now| mesh.send(to, CHANNEL, too_long, now)),
        Some(Err(SendError::TooLong(len)))
    );
    assert_eq!(
        world.with(0, |mesh, now| mesh.send(stranger, CHANNEL, vec![], now)),
        Some(Err(SendError::NotConnected(stranger)))
    );
}

// Discovery and targets

#[test]
fn without_discovery_a_line_stays_a_line() {
    let mut world = World::new(18, 4);
    for id in 0..4 {
        world.hosts[id].discovery = false;
        world.hosts[id].targets = if id == 0 { vec![] } else { vec![id - 1] };
    }
    start_all(&mut world);
    let names: Vec<PeerName> = world.hosts.iter().map(|host| host.name).collect();
    let end = world.hosts[0].topology();
    assert_eq!(end.peers.len(), 4);
    assert_eq!(end.unicast(names[3]), Some(names[1]));
    assert_eq!(world.hosts[1].topology().broadcast(names[0]), [names[2]]);
    assert_eq!(established(&world, 1), 2);
}

#[test]
fn targets_are_kept_replaced_and_forgotten() {
    let mut world = World::new(19, 3);
    world.hosts[0].discovery = false;
    start_all(&mut world);
    let [first, second] = [Target::from(address(1)), Target::from(address(2))];
    world.with(0, |mesh, now| mesh.set_targets(vec![first.clone()], false, now));
    world.run_for(secs(2));
    world.with(0, |mesh, now| mesh.set_targets(vec![second.clone()], true, now));
    world.run_for(secs(2));
    assert_eq!(established(&world, 0), 2, "a replaced target's connection stays");
    world.with(0, |mesh, now| mesh.forget(std::slice::from_ref(&second), now));
    let told: Vec<&Vec<Target>> = world.hosts[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::TargetsChanged(targets) => Some(targets),
            _ => None,
        })
        .collect();
    assert_eq!(told, [&vec![first], &vec![second], &vec![]]);
}

#[test]
fn a_removed_peer_is_gone_at_once() {
    let mut world = full_mesh(20, 2);
    let other = world.hosts[1].name;
    assert_eq!(
        world.with(0, |mesh, now| mesh.remove_peer(other, now)),
        Some(false),
        "while it is connected"
    );
    world.stop(1, None);
    world.run_for(secs(1));
    assert_eq!(
        world.with(0, |mesh, now| mesh.remove_peer(other, now)),
        Some(true)
    );
    let events = &world.hosts[0].events;
    assert!(events.contains(&Event::NeighbourDown {
        peer: other,
        reason: DownReason::Removed
    }));
    assert!(events.contains(&Event::PeerGone(other)));
    world.run_for(secs(1));
    assert!(world.hosts[0].topology().unicast(other).is_none());
}

#[test]
fn a_full_mesh_forms_without_passing_records_on() {
    let count = 16;
    let mut world = World::new(21, count);
    for id in 1..count {
        world.hosts[id].targets = vec![0];
    }
    start_all(&mut world);
    world.run_for(secs(10));
    for id in 0..count {
        assert_eq!(established(&world, id), count - 1);
    }
    // At rest a change is told to each neighbour once, and by nobody else.
    let sent = |world: &World| {
        world
            .running()
            .map(|mesh| mesh.counters().records_sent)
            .sum::<u64>()
    };
    let before = sent(&world);
    let other = world.hosts[1].name;
    world.with(0, |mesh, now| mesh.path_established(other, false, now));
    world.run_for(secs(1));
    assert_eq!(sent(&world) - before, count as u64 - 1);
}

/// So many hosts, connected to each other, with nothing told yet
fn full_mesh(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, count);
    for id in 1..count {
        world.hosts[id].targets = vec![0];
    }
    start_all(&mut world);
    for id in 0..count {
        assert_eq!(established(&world, id), count - 1, "the mesh is full");
    }
    world.forget_events();
    world
}

fn start_all(world: &mut World) {
    for id in 0..world.hosts.len() {
        world.start(id);
    }
    world.run_for(secs(15));
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn counters(world: &World, id: HostId) -> &Counters {
    world.hosts[id].mesh.as_ref().map(gossip::Mesh::counters).unwrap()
}

fn established(world: &World, id: HostId) -> usize {
    let Some(mesh) = &world.hosts[id].mesh else {
        return 0;
    };
    let connections = mesh.connections(world.now);
    connections
        .iter()
        .filter(|connection| connection.state == ConnectionState::Established)
        .count()
}

/// What the status says of the only target, and when it is dialled again
fn failure(world: &World, id: HostId) -> (String, Option<Duration>) {
    let mesh = world.hosts[id].mesh.as_ref().unwrap();
    let failed = mesh
        .connections(world.now)
        .into_iter()
        .find_map(|connection| match connection.state {
            ConnectionState::Failed { error, retry_in } => Some((error, retry_in)),
            _ => None,
        });
    failed.unwrap()
}

fn stamp(world: &World, id: HostId, of: PeerName) -> gossip::Stamp {
    PeerRecord::stamp(&world.hosts[id].topology().peers[&of])
}

fn topologies(events: &[Event]) -> impl Iterator<Item = &Topology> {
    events.iter().filter_map(|event| match event {
        Event::TopologyChanged(topology) => Some(&**topology),
        _ => None,
    })
}

/// Whether the peer resumed, for each time that it came up
fn ups(world: &World, at: PeerName, of: PeerName) -> Vec<bool> {
    let host = world.hosts.iter().find(|host| host.name == at).unwrap();
    let resumed = |event: &Event| match event {
        Event::NeighbourUp { peer, resumed, .. } if *peer == of => Some(*resumed),
        _ => None,
    };
    host.events.iter().filter_map(resumed).collect()
}
