//! How a network begins, how parts of it meet, and how it goes on.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipam::{Init, Phase, Refusal, Ticket};

use crate::world::{World, config, consensus, name};

const RANGE: &str = "10.0.0.0/24";

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn world(inits: &[Init]) -> World {
    let mut world = World::new(7);
    for (n, init) in inits.iter().enumerate() {
        world.add(config(n, RANGE, init.clone(), None));
    }
    world
}

fn seed(names: &[usize]) -> Init {
    Init::Seed(names.iter().copied().map(name).collect())
}

/// The address that was granted, once it was
fn address(world: &mut World, n: usize, ticket: Ticket, within: Duration) -> Ipv4Addr {
    world.advance(within);
    assert!(world.answered(n, ticket), "{:?}", world.status(n));
    assert_eq!(world.hosts[n].refused.get(&ticket), None);
    let has = world.hosts[n].containers.get(&crate::world::container(ticket.0));
    has.unwrap().0
}

fn hold_together(world: &World) {
    assert_eq!(world.judge.violations, Vec::<String>::new());
}

#[test]
fn the_first_address_takes_a_handful_of_round_trips() {
    let mut world = world(&[consensus(3), consensus(3), consensus(3)]);
    world.join_all();
    world.advance(seconds(10));
    let ticket = world.allocate(1, RANGE);
    // At most 60 ms for a way: asking, promising, accepting, and what is on its way.
    address(&mut world, 1, ticket, Duration::from_millis(500));
    hold_together(&world);
}

#[test]
fn an_observer_has_no_vote() {
    let mut world = world(&[consensus(2), Init::Observer, consensus(2)]);
    world.join(0, 1);
    world.advance(seconds(10));
    let ticket = world.allocate(0, RANGE);
    world.advance(seconds(60));
    assert!(!world.answered(0, ticket));
    let phase = Phase::AwaitingConsensus { quorum: 2, known: 1 };
    assert_eq!(world.status(0).phase, phase);
    world.join(1, 2);
    address(&mut world, 0, ticket, seconds(10));
    hold_together(&world);
}

#[test]
fn an_observer_can_call_for_a_beginning() {
    let mut world = world(&[consensus(2), Init::Observer, consensus(2)]);
    world.join_all();
    world.advance(seconds(60));
    assert_eq!(world.status(0).phase, Phase::Idle);
    let ticket = world.allocate(1, RANGE);
    address(&mut world, 1, ticket, seconds(10));
    hold_together(&world);
}

#[test]
fn half_of_a_network_that_never_met_does_not_begin() {
    let mut world = world(&[consensus(4), consensus(4), consensus(4), consensus(4)]);
    world.join(0, 1);
    world.join(2, 3);
    world.advance(seconds(10));
    let tickets = [world.allocate(0, RANGE), world.allocate(2, RANGE)];
    world.advance(seconds(300));
    assert!(!world.answered(0, tickets[0]) && !world.answered(2, tickets[1]));
    world.join(1, 2);
    let one = address(&mut world, 0, tickets[0], seconds(10));
    let other = address(&mut world, 2, tickets[1], seconds(1));
    assert_ne!(one, other);
    hold_together(&world);
}

#[test]
fn peers_of_the_same_seed_begin_apart_and_meet() {
    let init = seed(&[0, 1]);
    let mut world = world(&[init.clone(), init]);
    let tickets = [world.allocate(0, RANGE), world.allocate(1, RANGE)];
    let one = address(&mut world, 0, tickets[0], seconds(5));
    let other = address(&mut world, 1, tickets[1], seconds(0));
    assert_ne!(one, other);
    world.join(0, 1);
    world.advance(seconds(60));
    assert_eq!(world.status(0).conflicts, []);
    assert_eq!(world.status(0).entries, world.status(1).entries);
    hold_together(&world);
}

#[test]
fn networks_of_other_seeds_meet_and_keep_what_is_in_use() {
    let mut world = world(&[seed(&[0]), seed(&[1]), seed(&[2])]);
    let tickets: Vec<Ticket> = (0..3).map(|n| world.allocate(n, RANGE)).collect();
    world.advance(seconds(5));
    world.join_all();
    world.advance(seconds(120));
    for (n, ticket) in tickets.into_iter().enumerate() {
        // All three took the first address, and all three say so.
        assert_eq!(
            address(&mut world, n, ticket, seconds(0)),
            Ipv4Addr::new(10, 0, 0, 1)
        );
        assert_eq!(world.status(n).conflicts.len(), 2, "{n}");
    }
    let ticket = world.allocate(2, RANGE);
    let more = address(&mut world, 2, ticket, seconds(60));
    assert_ne!(more, Ipv4Addr::new(10, 0, 0, 1));
    let now = world.now;
    world.judge.healed(&world.hosts, now);
    hold_together(&world);
}

#[test]
fn two_pairs_that_began_for_themselves_become_one_network() {
    let mut world = world(&[consensus(1), consensus(1), consensus(1), consensus(1)]);
    world.join(0, 1);
    world.join(2, 3);
    world.advance(seconds(10));
    let tickets: Vec<(usize, Ticket)> = (0..4)
        .flat_map(|n| [n; 5])
        .map(|n| (n, world.allocate(n, RANGE)))
        .collect();
    world.advance(seconds(60));
    for (n, ticket) in &tickets {
        assert!(world.answered(*n, *ticket));
    }
    let had: Vec<_> = world.hosts.iter().map(|host| host.containers.clone()).collect();
    world.join(1, 2);
    world.advance(seconds(120));
    let has: Vec<_> = world.hosts.iter().map(|host| host.containers.clone()).collect();
    assert_eq!(had, has);
    let lineages: Vec<_> = (0..4).map(|n| world.status(n).lineage).collect();
    assert!(lineages.iter().all(|lineage| *lineage == lineages[0]));
    for n in 0..4 {
        let ticket = world.allocate(n, RANGE);
        let new = address(&mut world, n, ticket, seconds(30));
        let twice = had
            .iter()
            .flat_map(|host| host.values())
            .any(|(has, _)| *has == new);
        assert!(!twice, "{n} was given {new}, which was in use");
    }
    let now = world.now;
    world.judge.healed(&world.hosts, now);
    hold_together(&world);
}

#[test]
fn another_range_after_a_restart_begins_anew() {
    let mut world = world(&[consensus(1)]);
    let ticket = world.allocate(0, RANGE);
    address(&mut world, 0, ticket, seconds(5));
    let container = crate::world::container(ticket.0);
    world.end(0, &container);
    world.crash(0);
    world.hosts[0].config.range = "10.9.0.0/24".parse().unwrap();
    world.start(0, false);
    let ticket = world.allocate(0, "10.9.0.0/24");
    let new = address(&mut world, 0, ticket, seconds(10));
    assert_eq!(new, Ipv4Addr::new(10, 9, 0, 1));
    hold_together(&world);
}

#[test]
fn an_operator_says_that_the_owner_of_nearly_everything_is_dead() {
    let mut world = world(&[seed(&[0]), seed(&[0]), seed(&[0])]);
    world.join_all();
    world.advance(seconds(10));
    world.crash(0);
    world.advance(seconds(10));
    // As many as both have no room for.
    let tickets: Vec<(usize, Ticket)> = (0..100)
        .flat_map(|_| [1, 2])
        .map(|n| (n, world.allocate(n, RANGE)))
        .collect();
    world.advance(seconds(60));
    assert!(tickets.iter().any(|(n, ticket)| !world.answered(*n, *ticket)));
    world.remove(1, name(0));
    world.advance(seconds(5));
    for (n, ticket) in tickets {
        assert!(world.answered(n, ticket), "{:?}", world.status(n).phase);
    }
    hold_together(&world);
}

#[test]
fn who_is_there_cannot_be_removed() {
    let mut world = world(&[consensus(2), consensus(2)]);
    world.join_all();
    world.advance(seconds(10));
    let ticket = world.allocate(0, RANGE);
    address(&mut world, 0, ticket, seconds(10));
    let before = world.status(0).entries;
    for dead in [0, 1] {
        let ticket = world.remove(0, name(dead));
        world.advance(seconds(1));
        let why = world.hosts[0].refused.get(&ticket);
        assert!(matches!(why, Some(Refusal::Itself(_) | Refusal::Reachable(_))));
    }
    assert_eq!(world.status(0).entries, before);
}

#[test]
fn all_leave_and_return_by_turns() {
    let mut world = world(&[consensus(2), consensus(2)]);
    world.join_all();
    world.advance(seconds(10));
    for round in 0..10 {
        let n = round % 2;
        let ticket = world.allocate(n, RANGE);
        address(&mut world, n, ticket, seconds(10));
        world.leave(n);
        world.start(n, false);
        world.advance(seconds(10));
        let ticket = world.allocate(n, RANGE);
        address(&mut world, n, ticket, seconds(10));
    }
    let now = world.now;
    world.judge.healed(&world.hosts, now);
    hold_together(&world);
}

#[test]
fn what_a_container_has_is_known_again_from_another_peer_after_the_state_is_lost() {
    let mut world = world(&[consensus(2), consensus(2)]);
    world.join_all();
    world.advance(seconds(10));
    let ticket = world.allocate(1, RANGE);
    let has = address(&mut world, 1, ticket, seconds(10));
    world.crash(1);
    world.hosts[1].disk = None;
    world.hosts[1].kept_at = None;
    world.start(1, false);
    world.advance(seconds(10));
    for n in [0, 1] {
        let ticket = world.claim(n, has);
        world.advance(seconds(10));
        assert!(
            world.hosts[n].refused.contains_key(&ticket),
            "{n} got {has}, which is in use"
        );
    }
    hold_together(&world);
}
