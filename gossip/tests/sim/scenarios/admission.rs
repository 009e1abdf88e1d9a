//! Who is welcome, and what a forger can do.

use super::*;

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
    world.run_for(secs(60));
    assert_eq!(
        counters(&world, 0).handshakes,
        0,
        "no handshake with its own key comes to its end"
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
    assert!(retry.is_some(), "the other one may be gone later");
    assert_eq!(established(&world, 1), 1);
    assert!(counters(&world, 1).name_collisions >= 1);
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
    assert!(retry.is_some(), "the other one may be gone later");
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
