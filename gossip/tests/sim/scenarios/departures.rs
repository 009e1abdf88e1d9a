//! Restarts, departures, silence.

use gossip::{Departure, DownReason, Ended};

use super::*;

#[test]
fn a_killed_and_restarted_peer_costs_nobody_a_route() {
    for seed in 1..=20 {
        restart_one(seed, None);
        restart_one(seed, Some(Departure::Restart));
    }
}

fn restart_one(seed: u64, departure: Option<Departure>) {
    let mut world = full_mesh(seed, 4);
    let restarted = world.hosts[0].name;
    world.stop(0, departure);
    world.start_after(0, secs(2));
    world.run_for(secs(10));

    for host in &world.hosts[1..] {
        assert!(host.events.contains(&Event::NeighbourHeld { peer: restarted }));
        // Where both dialled at once, one connection takes the place of the other, and the peer is up again.
        let ups = ups(&world, host.name, restarted);
        assert!(!ups.is_empty() && ups.iter().all(|resumed| *resumed), "{ups:?}");
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
