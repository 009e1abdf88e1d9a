//! Addresses that wait for a disk, on whole control planes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipam::{Config, Init, Ipam, Ticket, Timers};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::ms;
use crate::control::command::Kept;
use crate::control::plane::ADDRESSES;
use crate::control::shared::Shared;
use crate::control::world::{Setup, World};

const USUAL: Setup = Setup::USUAL;

#[test]
fn an_address_waits_for_the_disk_and_nothing_else_does() {
    let mut world = World::pair(USUAL, USUAL);
    world.run(Duration::from_secs(4));
    let (name, now) = (world.hosts[0].name(), world.now());
    let config = Config {
        name,
        identity: world.hosts[0].key.clone(),
        range: "10.32.0.0/24".parse().unwrap(),
        init: Init::Seed(BTreeSet::from([name])),
        expected_peers: 1,
        lease: None,
        timers: Timers::default(),
    };
    let mut ipam = Ipam::new(config, None, None, 1, StdRng::seed_from_u64(1), now);
    ipam.allocate(
        Ticket(7),
        "c1".parse().unwrap(),
        "10.32.0.0/24".parse().unwrap(),
        now,
    );
    let plane = world.hosts[0].plane.as_mut().unwrap();
    plane.ipam = Some(Shared::new(ipam, name, ADDRESSES));
    let address = Ipv4Addr::new(10, 32, 0, 1);
    world.name(0, "web", "c2".parse().unwrap(), address);
    let beats = world.beats(0);
    world.run(Duration::from_secs(30));

    assert!(world.hosts[0].granted.is_empty(), "the disk has not answered");
    let zone = world.hosts[1].zone.as_ref().unwrap();
    assert_eq!(zone.addresses("web.weave.local").collect::<Vec<_>>(), [address]);
    assert!(world.beats(0) > beats + 20, "heartbeats go on");
    assert!(
        world.path(0, 1, Some(model::PathKind::Fastdp)),
        "{}",
        world.line(0)
    );

    let numbers = world.hosts[0].kept.iter().filter_map(|kept| {
        let Kept::Addresses(number, _) = kept else {
            return None;
        };
        Some(*number)
    });
    let last = numbers.max().expect("something is to be kept");
    let now = world.now();
    let plane = world.hosts[0].plane.as_mut().unwrap();
    plane.kept(last, now);
    world.run(ms(10));
    assert_eq!(world.hosts[0].granted, [Ticket(7)]);
}
