//! Discovery and targets.

use crate::world::address;
use gossip::DownReason;
use model::Target;

use super::*;

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
