//! Peers that come and go for ever.

use std::time::Duration;

use ipam::Phase;
use model::ContainerId;

use crate::world::{World, config, consensus};

const RANGE: &str = "10.0.0.0/22";
const HOUR: u64 = 3600;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Hosts that are connected with all others, and lose each other for `lease` seconds at most
fn world(hosts: usize, lease: u64) -> World {
    let mut world = World::new(11);
    world.judge.lease = Some(seconds(lease));
    for _ in 0..hosts {
        add(&mut world, hosts, lease);
    }
    world.advance(seconds(10));
    world
}

fn add(world: &mut World, voters: usize, lease: u64) -> usize {
    let n = world.hosts.len();
    world.add(config(n, RANGE, consensus(voters), Some(lease)));
    for other in world.alive() {
        world.join(n, other);
    }
    n
}

fn fill(world: &mut World, n: usize, containers: usize) {
    let tickets: Vec<_> = (0..containers).map(|_| world.allocate(n, RANGE)).collect();
    world.advance(seconds(10));
    for ticket in tickets {
        assert!(world.answered(n, ticket), "{n}: {:?}", world.status(n));
    }
}

/// Its power is cut, for good
fn bury(world: &mut World, n: usize) {
    world.crash(n);
    world.hosts[n].containers.clear();
    world.hosts[n].buried = true;
}

fn judge(world: &mut World) {
    let now = world.now;
    world.judge.healed(&world.hosts, now);
    assert_eq!(world.judge.violations, Vec::<String>::new());
}

#[test]
fn every_host_replaced_daily_for_thirty_days_leaks_no_address() {
    let mut world = world(3, 6 * HOUR);
    for _ in 0..30 {
        for old in world.alive() {
            let new = add(&mut world, 3, 6 * HOUR);
            fill(&mut world, new, 20);
            bury(&mut world, old);
            world.advance(seconds(8 * HOUR));
        }
    }
    judge(&mut world);
    let alive = world.alive();
    assert_eq!((alive.len(), world.hosts.len()), (3, 93));
    let status = world.status(alive[0]);
    assert_eq!(status.owners.len(), 3, "{:?}", status.owners);
}

#[test]
fn ten_become_five_and_ten_again_many_times() {
    let mut world = world(10, HOUR);
    for round in 0..20 {
        for (at, n) in world.alive().into_iter().enumerate() {
            if at % 2 == round % 2 {
                world.leave(n);
                world.hosts[n].buried = true;
            }
        }
        let new: Vec<usize> = (0..5).map(|_| add(&mut world, 10, HOUR)).collect();
        world.advance(seconds(10));
        for n in new {
            fill(&mut world, n, 3);
        }
    }
    world.advance(seconds(2 * HOUR));
    judge(&mut world);
}

#[test]
fn state_lost_while_others_allocate_gives_nothing_twice() {
    let mut world = world(4, HOUR);
    for n in 0..4 {
        fill(&mut world, n, 10);
    }
    for round in 0..20 {
        let n = round % 4;
        world.crash(n);
        world.hosts[n].disk = None;
        world.hosts[n].kept_at = None;
        for other in world.alive() {
            let containers: Vec<ContainerId> = world.hosts[other].containers.keys().cloned().collect();
            for container in containers.iter().take(5) {
                world.end(other, container);
            }
            for _ in 0..5 {
                world.allocate(other, RANGE);
            }
        }
        world.start(n, false);
        world.advance(seconds(20));
    }
    world.advance(seconds(3 * HOUR));
    for n in 0..4 {
        fill(&mut world, n, 10);
    }
    judge(&mut world);
}

#[test]
fn who_was_away_for_longer_than_the_lease_gives_nothing_before_it_has_heard() {
    let mut world = world(3, HOUR);
    for n in 0..3 {
        fill(&mut world, n, 10);
    }
    for other in [1, 2] {
        world.part(0, other);
    }
    world.advance(seconds(2 * HOUR));
    assert!(matches!(world.status(0).phase, Phase::Fenced { .. }));
    fill(&mut world, 1, 650);
    let waiting: Vec<_> = (0..10).map(|_| world.allocate(0, RANGE)).collect();
    world.advance(seconds(60));
    assert!(waiting.iter().all(|ticket| !world.answered(0, *ticket)));
    world.join_all();
    world.advance(seconds(60));
    assert!(waiting.iter().all(|ticket| world.answered(0, *ticket)));
    judge(&mut world);
    // What its containers had all along, others hand out last, and nobody had to.
    for n in 0..3 {
        assert_eq!(world.status(n).conflicts, []);
    }
}

#[test]
fn of_fifty_peers_fifteen_go_at_once_and_nothing_grows() {
    let hosts = 50;
    let mut world = World::new(5);
    world.judge.lease = Some(seconds(HOUR));
    for n in 0..hosts {
        world.add(config(n, RANGE, consensus(hosts), Some(HOUR)));
        for other in (0..n).rev().take(2).chain([n / 2]) {
            world.join(n, other);
        }
    }
    world.advance(seconds(20));
    for n in 0..hosts {
        world.allocate(n, RANGE);
    }
    world.advance(seconds(60));
    for n in 0..hosts {
        assert_eq!(world.hosts[n].containers.len(), 1, "{:?}", world.status(n).phase);
    }
    for n in (0..15).map(|n| 3 * n + 1) {
        bury(&mut world, n);
    }
    for n in world.alive() {
        world.join(n, 0);
        world.join(n, hosts - 1);
    }
    world.advance(seconds(2 * HOUR));
    judge(&mut world);
    let kept = |world: &World| -> usize {
        let disks = world
            .hosts
            .iter()
            .filter(|host| host.runs())
            .map(|host| host.disk.as_ref().unwrap());
        disks.map(bytes).sum()
    };
    let (bytes, messages) = (kept(&world), world.messages);
    world.advance(seconds(4 * HOUR));
    let sent = world.messages - messages;
    // What hours of nothing may cost: each connection compares hashes every 30 s, both ways.
    let links = 2 * world
        .network
        .0
        .values()
        .filter(|wire| wire.up == [true; 2])
        .count() as u64;
    assert!(
        sent <= links * 4 * HOUR / 30 * 11 / 10,
        "{sent} messages over {links} ways"
    );
    assert!(kept(&world) <= bytes * 11 / 10, "{bytes} became {}", kept(&world));
}

fn bytes(disk: &ipam::State) -> usize {
    [&disk.space, &disk.ledger, &disk.record, &disk.heard]
        .into_iter()
        .flatten()
        .map(Vec::len)
        .sum()
}
