//! Names, on whole control planes.

use std::net::Ipv4Addr;
use std::time::Duration;

use model::{ContainerId, PathKind};

use crate::control::command::Kept;
use crate::control::plane::{NAMES, SLEEVE_KEYS};
use crate::control::world::{Setup, Wire, World};

const USUAL: Setup = Setup::USUAL;

/// The addresses that a host answers with
fn answered(world: &World, host: usize, name: &str) -> Vec<Ipv4Addr> {
    let zone = world.hosts[host].zone.as_ref();
    let mut found: Vec<_> = zone.into_iter().flat_map(|zone| zone.addresses(name)).collect();
    found.sort_unstable();
    found
}

fn id(text: &str) -> ContainerId {
    text.parse().unwrap()
}

#[test]
fn a_name_is_known_everywhere_at_once_and_gone_as_fast() {
    let mut world = World::new([USUAL, USUAL, USUAL]);
    world.connect(0, 1);
    world.connect(1, 2);
    world.run(Duration::from_secs(4));
    let (one, two) = (Ipv4Addr::new(10, 32, 0, 1), Ipv4Addr::new(10, 32, 0, 2));
    world.name(0, "web", id("a"), one);
    world.name(2, "WEB", id("b"), two);
    world.run(Duration::from_millis(100));
    for host in 0..3 {
        assert_eq!(
            answered(&world, host, "web.weave.local"),
            [one, two],
            "host {host}"
        );
    }
    world.unname(0, id("a"));
    world.run(Duration::from_millis(100));
    for host in 0..3 {
        assert_eq!(answered(&world, host, "web.weave.local"), [two], "host {host}");
    }
}

#[test]
fn what_was_said_into_a_cut_link_comes_around_it() {
    let mut world = World::new([USUAL, USUAL, USUAL]);
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        world.connect(one, other);
    }
    world.run(Duration::from_secs(4));
    let address = Ipv4Addr::new(10, 32, 0, 1);
    world.name(2, "web", id("a"), address);
    world.run(Duration::from_millis(100));
    assert_eq!(answered(&world, 0, "web.weave.local"), [address]);
    world.cut(0, 2, Wire::All);
    world.unname(2, id("a"));
    world.run(Duration::from_secs(8));
    assert!(answered(&world, 0, "web.weave.local").is_empty());
}

#[test]
fn names_go_with_their_host_and_nothing_stale_comes_back_with_it() {
    let mut world = World::pair(USUAL, USUAL);
    world.run(Duration::from_secs(4));
    let (stays, ends) = (Ipv4Addr::new(10, 32, 0, 1), Ipv4Addr::new(10, 32, 0, 2));
    world.name(0, "stays", id("a"), stays);
    world.name(0, "ends", id("b"), ends);
    world.run(Duration::from_secs(1));
    assert_eq!(answered(&world, 1, "ends.weave.local"), [ends]);
    world.cut(0, 1, Wire::All);
    world.run(Duration::from_secs(15));
    for name in ["stays.weave.local", "ends.weave.local"] {
        assert!(
            answered(&world, 1, name).is_empty(),
            "{name} of a host that is gone"
        );
    }
    world.unname(0, id("b"));
    world.heal();
    for _ in 0..300 {
        world.run(Duration::from_millis(100));
        let ended = answered(&world, 1, "ends.weave.local");
        assert!(ended.is_empty(), "a name that is gone is back");
        if answered(&world, 1, "stays.weave.local") == [stays] {
            return;
        }
    }
    panic!("the name of a host that is back is not");
}

#[test]
fn a_host_that_starts_anew_learns_the_names_of_others_before_any_data_path_works() {
    let mut world = World::pair(USUAL, USUAL);
    world.run(Duration::from_secs(4));
    let address = Ipv4Addr::new(10, 32, 0, 1);
    world.name(1, "web", id("a"), address);
    world.run(Duration::from_secs(1));
    world.kill(0);
    world.run(Duration::from_secs(10));
    world.cut(0, 1, Wire::Sleeve);
    world.cut(0, 1, Wire::Vxlan);
    // A neighbor that is held counts as reachable from the start.
    let is_other = |kept: &Kept| !matches!(kept, Kept::Neighbours(_));
    world.hosts[0].kept.retain(is_other);
    world.boot(0);
    world.wait("the name is known", Duration::from_secs(1), |world| {
        answered(world, 0, "web.weave.local") == [address]
    });
}

#[test]
fn a_host_that_is_back_without_names_has_none_anywhere() {
    let mut world = World::pair(USUAL, USUAL);
    world.run(Duration::from_secs(4));
    let address = Ipv4Addr::new(10, 32, 0, 1);
    world.name(0, "web", id("a"), address);
    world.run(Duration::from_secs(1));
    assert_eq!(answered(&world, 1, "web.weave.local"), [address]);
    world.kill(0);
    world.boot(0);
    world.wait("the name is gone", Duration::from_secs(8), |world| {
        answered(world, 1, "web.weave.local").is_empty()
    });
    world.run(Duration::from_secs(8));
    assert!(world.path(1, 0, Some(PathKind::Fastdp)), "{}", world.line(1));
    assert!(answered(&world, 1, "web.weave.local").is_empty(), "it is back");
}

#[test]
fn a_malformed_message_ends_the_connection_that_it_came_on() {
    for channel in [SLEEVE_KEYS, NAMES] {
        let mut world = World::pair(USUAL, USUAL);
        world.run(Duration::from_secs(4));
        world.send(1, 0, channel, &[255; 16]);
        // Too short for any key, of a version that is spoken.
        world.send(1, 0, channel, &[2, 1]);
        world.run(Duration::from_millis(50));
        assert_eq!(world.hosts[0].plane().mesh.counters().malformed, 1, "{channel:?}");
        world.wait("connected again", Duration::from_secs(8), |world| {
            world.hosts[0].plane().mesh.held().is_empty()
        });
    }
}
