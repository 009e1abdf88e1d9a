//! Neighbours that end, and come back or do not: what is held, and for how long.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gossip::Departure;
use model::PathKind;
use overlay::FastdpHere;

use super::ms;
use crate::control::command::Kept;
use crate::control::world::{Setup, Wire, World};
use crate::neighbours::Path;

const USUAL: Setup = Setup::USUAL;
const FASTDP: Option<PathKind> = Some(PathKind::Fastdp);
const SLEEVE: Option<PathKind> = Some(PathKind::Sleeve);
const GRACE: Duration = Duration::from_secs(5);

/// Two hosts with fastdp between them; the second is the one that ends
fn connected() -> World {
    let mut world = World::pair(USUAL, USUAL);
    world.wait("fastdp", ms(1000), |world| world.path(0, 1, FASTDP));
    world.run(ms(5000));
    world
}

#[test]
fn how_it_ends_says_whether_and_how_long_a_neighbour_is_held() {
    type End = fn(&mut World);
    // How long the path to the host that ended stays, and what the status says 50 ms after the end.
    let table: [(&str, End, [Duration; 2], &str); 6] = [
        (
            "a kill",
            |world| world.kill(1),
            [GRACE, GRACE + ms(1)],
            "held fastdp 1450",
        ),
        (
            "a stop, as for an update",
            |world| world.stop(1, Departure::Restart),
            [GRACE, GRACE + ms(1)],
            "held fastdp 1450",
        ),
        (
            "a reset",
            |world| world.stop(1, Departure::Leave),
            [ms(0), ms(1)],
            "failed (the peer has left)",
        ),
        (
            "no power",
            |world| world.unplug(1),
            [ms(1500), ms(2000)],
            "established fastdp 1450",
        ),
        (
            "everything is cut",
            |world| world.cut(0, 1, Wire::All),
            [ms(1500), ms(2000)],
            "established fastdp 1450",
        ),
        (
            "TCP alone is cut",
            |world| world.cut(0, 1, Wire::Tcp),
            // The silence that is noticed first, then the grace.
            [ms(2000) + GRACE, ms(2500) + GRACE],
            "established fastdp 1450",
        ),
    ];
    for (what, end, [least, most], soon) in table {
        let mut world = connected();
        end(&mut world);
        let ended = world.elapsed();
        world.run(ms(50));
        assert_eq!(world.line(0), soon, "{what}");
        world.run(ms(20_000));
        let paths = world.hosts[0].paths_to(&world.hosts[1]);
        let gone = paths.iter().find(|(at, path)| *at >= ended && path.is_none());
        let (at, _) = gone.unwrap_or_else(|| panic!("{what}: held for ever"));
        let lasted = *at - ended;
        assert!(
            (least..=most).contains(&lasted),
            "{what}: let go after {lasted:?}"
        );
    }
}

#[test]
fn whoever_comes_back_within_the_grace_was_never_away() {
    for away in [0, 100, 1000, 3000, 4500].map(ms) {
        let mut world = connected();
        let before = world.hosts[0].paths_to(&world.hosts[1]);
        world.stop(1, Departure::Restart);
        world.run(away);
        world.boot(1);
        world.wait("established", GRACE, |world| {
            world.line(0) == "established fastdp 1450" && world.line(1) == "established fastdp 1450"
        });
        world.run(ms(30_000));
        let after = world.hosts[0].paths_to(&world.hosts[1]);
        assert_eq!(before, after, "no other path for a moment, {away:?} away");
    }
}

#[test]
fn whoever_comes_back_too_late_starts_anew() {
    let mut world = connected();
    world.kill(1);
    world.run(GRACE + ms(1000));
    assert_eq!(world.hosts[0].path_to(&world.hosts[1]), None);
    world.boot(1);
    world.wait("fastdp", ms(30_000), |world| world.path(0, 1, FASTDP));
}

#[test]
fn a_held_neighbour_is_sent_no_heartbeats_and_keeps_its_sleeve() {
    let mut world = connected();
    world.kill(1);
    world.run(ms(50));
    let beats = world.beats(0);
    world.run(ms(4000));
    assert_eq!(world.beats(0), beats);
    assert_eq!(world.hosts[0].listening.len(), 1);
    world.run(ms(2000));
    assert_eq!(world.hosts[0].listening.len(), 0, "let go");
}

#[test]
fn a_neighbour_that_is_back_gets_a_new_key_in_the_same_session() {
    let mut world = connected();
    let session = |world: &World| {
        let (_, neighbour) = world.hosts[0].plane().neighbours.sessions().next().unwrap();
        neighbour.session
    };
    let listening = |world: &World| -> BTreeSet<_> { world.hosts[0].listening.keys().copied().collect() };
    let (before, old) = (session(&world), listening(&world));
    let sealer = before.sealer().as_ref().unwrap().session();
    world.kill(1);
    world.boot(1);
    world.wait("back", ms(2000), |world| world.line(0).starts_with("established"));
    world.run(ms(1000));
    assert!(
        Arc::ptr_eq(&before, &session(&world)),
        "counters and addresses go on"
    );
    assert_ne!(before.sealer().as_ref().unwrap().session(), sealer, "its new key");
    assert!(
        old.is_subset(&listening(&world)),
        "frames of the old session may still arrive"
    );
    assert!(listening(&world).len() > old.len(), "a new session was offered");
    world.run(ms(15_000));
    let new = listening(&world);
    assert_eq!(new.len(), 1);
    assert!(new.is_disjoint(&old), "our new key");
}

#[test]
fn a_narrow_path_stays_narrow_through_a_restart() {
    let mut world = World::pair(USUAL, USUAL);
    world.path_mtu = 1400;
    world.wait("measured", ms(5000), |world| {
        world.line(0) == "established fastdp 1350"
    });
    let before = world.hosts[0].paths_to(&world.hosts[1]);
    world.kill(1);
    world.run(ms(500));
    world.boot(1);
    world.run(ms(10_000));
    assert_eq!(world.hosts[0].paths_to(&world.hosts[1]), before);
}

#[test]
fn whoever_comes_back_without_open_vswitch_is_on_the_sleeve_as_soon_as_that_works() {
    let mut world = connected();
    world.kill(1);
    world.hosts[1].set_up(Setup {
        fastdp: FastdpHere::Disabled,
        ..USUAL
    });
    world.boot(1);
    world.wait("the sleeve", ms(1000), |world| world.path(0, 1, SLEEVE));
    world.wait("its MTU", ms(1000), |world| {
        world.line(0) == "established sleeve 1438 (peer has no openvswitch)"
    });
}

#[test]
fn whoever_comes_back_to_a_dead_path_is_judged_anew_after_two_seconds() {
    let mut world = connected();
    world.kill(1);
    world.cut(0, 1, Wire::Vxlan);
    world.boot(1);
    world.wait("back", ms(1000), |world| world.line(0).starts_with("established"));
    let took = world.wait("the sleeve", ms(3000), |world| {
        world.hosts[0].path_to(&world.hosts[1]) == SLEEVE
    });
    assert!(took > ms(1500), "{took:?}");
}

#[test]
fn adopted_flows_are_settled_once_all_are_back_or_the_grace_is_over() {
    let settled = |world: &World, host: usize| world.hosts[host].settled.clone();
    let mut world = connected();
    assert_eq!(settled(&world, 0), [GRACE], "after a first start");

    world.hosts[0].settled.clear();
    world.kill(0);
    world.boot(0);
    let booted = world.elapsed();
    world.wait("back", ms(1000), |world| {
        world.line(0) == "established fastdp 1450" && world.line(1) == "established fastdp 1450"
    });
    world.run(ms(10_000));
    let [at] = settled(&world, 0)[..] else {
        panic!("settled {:?}", settled(&world, 0));
    };
    assert!((ms(2000)..ms(3000)).contains(&(at - booted)), "{:?}", at - booted);

    world.hosts[0].settled.clear();
    world.kill(1);
    world.kill(0);
    world.boot(0);
    let booted = world.elapsed();
    world.run(ms(10_000));
    assert_eq!(settled(&world, 0), [booted + GRACE], "nobody is back");
}

#[test]
fn what_a_restart_needs_is_kept_and_written_only_when_it_changes() {
    let mut world = connected();
    world.run(ms(60_000));
    let name = world.hosts[1].name();
    let address = std::net::SocketAddr::new(world.hosts[1].address, crate::control::world::PORT);
    let neighbours = |world: &World| -> Vec<Kept> {
        let kept = world.hosts[0].kept.iter();
        kept.filter(|kept| matches!(kept, Kept::Neighbours(_)))
            .cloned()
            .collect()
    };
    let (with, without) = (
        Kept::Neighbours(vec![(name, address)]),
        Kept::Neighbours(Vec::new()),
    );
    assert_eq!(neighbours(&world), [without.clone(), with.clone()]);
    let target = world.hosts[1].target();
    assert!(world.hosts[0].kept.contains(&Kept::Targets(vec![target])));
    let short_id = world.hosts[0].plane().mesh.short_id();
    assert!(world.hosts[0].kept.contains(&Kept::ShortId(short_id)));

    world.stop(1, Departure::Leave);
    world.run(ms(1000));
    assert_eq!(neighbours(&world), [without.clone(), with, without]);
}

#[test]
fn a_bridge_forgets_the_stations_of_whoever_is_gone() {
    let bridge = Setup {
        fastdp: FastdpHere::NoOpenVSwitch,
        ..USUAL
    };
    let mut world = World::pair(bridge, USUAL);
    world.run(ms(5000));
    let gone = world.hosts[1].plane().mesh.short_id();
    assert_eq!(world.hosts[0].forgotten, []);
    world.stop(1, Departure::Leave);
    world.run(ms(60_000));
    assert_eq!(world.hosts[0].forgotten, [gone]);
    assert_eq!(world.hosts[0].expiries, 1, "once a minute");
    assert_eq!(
        world.hosts[1].forgotten,
        [],
        "a datapath's switch does that by itself"
    );
}

#[test]
fn the_last_of_several_lines_to_a_peer_that_is_cut_is_gone_round_by_a_third() {
    let mut world = World::new([USUAL, USUAL, USUAL]);
    world.connect(0, 1);
    world.connect(1, 2);
    let all = |world: &World| [(0, 1), (1, 2), (0, 2)].map(|(a, b)| world.path(a, b, FASTDP)) == [true; 3];
    world.wait("a full mesh, by discovery", ms(10_000), all);
    world.cut(0, 1, Wire::All);
    let [one, two, three] = [0, 1, 2].map(|host| world.hosts[host].name());
    world.wait("a way round", ms(4000), |world| {
        let via = |from: usize, to| world.hosts[from].plane().topology.unicast(to);
        via(0, two) == Some(three) && via(1, one) == Some(three)
    });
    assert!(world.path(0, 2, FASTDP) && world.path(1, 2, FASTDP));
    world.heal();
    world.wait("a full mesh", ms(60_000), all);
}

#[test]
fn paths_are_published_with_the_addresses_of_the_connection() {
    let world = connected();
    let (_, path) = world.hosts[0].paths_to(&world.hosts[1])[0];
    let [local, remote] = [0, 1].map(|host| match world.hosts[host].address {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(_) => unreachable!("an IPv4 network"),
    });
    let expected = Path::Fastdp {
        udp_port: crate::control::world::PORT + 1,
        local,
        remote,
        mtu: 1438,
    };
    assert_eq!(path, Some(expected));
}
