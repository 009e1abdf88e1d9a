//! Who is believed on the paths: nobody without proof.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::PathKind;

use super::ms;
use crate::control::world::{PORT, Setup, Wire, World};
use crate::neighbours::Path;
use crate::neighbours::gate::BeatDrop;
use crate::testing::logged;

const USUAL: Setup = Setup::USUAL;
const PASSWORD: Setup = Setup {
    password: true,
    ..USUAL
};
const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
const MOVED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// Two neighbours whose paths have settled
fn settled(setup: Setup) -> World {
    let mut world = World::pair(setup.clone(), setup);
    // Not when heartbeats are due.
    world.run(ms(3100));
    world
}

/// Where a host sends to its only neighbour: by fastdp, and by the sleeve
fn remotes(world: &World, host: usize) -> (Option<IpAddr>, SocketAddr) {
    let other = &world.hosts[1 - host];
    let path = world.hosts[host]
        .paths_to(other)
        .last()
        .and_then(|(_, path)| *path);
    let fastdp = match path {
        Some(Path::Fastdp { remote, .. }) => Some(remote.into()),
        Some(Path::Sleeve) | None => None,
    };
    let mut sessions = world.hosts[host].plane().neighbours.sessions();
    let (_, neighbour) = sessions.next().unwrap();
    (fastdp, neighbour.session.ends().remote)
}

/// Where frames by fastdp are accepted from
fn proved(world: &World, host: usize) -> Option<IpAddr> {
    let fastdp = world.hosts[host].fastdp.values().next()?;
    fastdp.proved.map(IpAddr::from)
}

#[test]
fn captured_heartbeats_move_nothing_and_are_not_answered() {
    for (setup, from) in [
        (USUAL, Some(STRANGER)),
        (USUAL, None),
        (PASSWORD, Some(STRANGER)),
        (PASSWORD, None),
    ] {
        let mut world = settled(setup);
        world.capture();
        world.run(ms(2000));
        let before: Vec<_> = [0, 1]
            .map(|host| (remotes(&world, host), proved(&world, host), world.line(host)))
            .into();
        let sent = [0, 1].map(|host| world.beats(host));
        world.hosts.iter_mut().for_each(|host| host.refused.clear());
        let count = world.replay(from);
        assert!(count > 8, "{count}");
        world.run(ms(2));
        let after: Vec<_> = [0, 1]
            .map(|host| (remotes(&world, host), proved(&world, host), world.line(host)))
            .into();
        assert_eq!(before, after);
        assert_eq!(
            sent,
            [0, 1].map(|host| world.beats(host)),
            "no answer, no challenge"
        );
        let replayed: usize = world.hosts.iter().map(|host| host.refused.len()).sum();
        assert_eq!(replayed, count);
        let reasons = world.hosts.iter().flat_map(|host| &host.refused);
        assert!(reasons.into_iter().all(|reason| *reason == BeatDrop::Replayed));
    }
}

#[test]
fn forged_heartbeats_move_nothing_and_cost_the_neighbour_nothing() {
    let mut world = settled(USUAL);
    let before = (remotes(&world, 0), proved(&world, 0), world.line(0));
    let beats = world.beats(0);
    let mut body = [0x5a; 40];
    body[..2].copy_from_slice(&[0x02, 0x01]);
    for _ in 0..5000 {
        world.forge(0, 1, STRANGER, &body);
    }
    world.run(ms(2));
    assert_eq!((remotes(&world, 0), proved(&world, 0), world.line(0)), before);
    assert_eq!(world.beats(0), beats);
    assert_eq!(world.hosts[0].refused.len(), 10_000);
    world.run(ms(10_000));
    assert!(world.path(0, 1, Some(PathKind::Fastdp)), "{}", world.line(0));
}

#[test]
fn a_neighbour_that_really_moves_is_followed_on_both_paths_and_told_of_once() {
    for setup in [USUAL, PASSWORD] {
        let fastdp = !setup.password;
        let mut world = settled(setup);
        let lines = logged(|| {
            world.hosts[1].translated = Some(MOVED.into());
            world.run(ms(1500));
        });
        let (by_fastdp, by_sleeve) = remotes(&world, 0);
        assert_eq!(by_sleeve, SocketAddr::new(MOVED.into(), PORT));
        if fastdp {
            assert_eq!(by_fastdp, Some(MOVED.into()));
            assert_eq!(proved(&world, 0), Some(MOVED.into()));
        }
        let told = lines
            .iter()
            .filter(|line| line.contains(&format!("is at {MOVED}")));
        assert_eq!(told.count(), if fastdp { 2 } else { 1 }, "{lines:#?}");
    }
}

#[test]
fn an_address_that_does_not_answer_the_challenge_is_not_taken() {
    let mut world = settled(USUAL);
    let before = (remotes(&world, 0), proved(&world, 0));
    // Genuine heartbeats that never arrived, sent on by somebody else.
    for wire in [Wire::Vxlan, Wire::Sleeve] {
        world.cut(0, 1, wire);
    }
    world.capture();
    world.run(ms(600));
    let beats = world.beats(0);
    world.replay(Some(STRANGER));
    world.run(ms(2));
    assert!(world.beats(0) > beats, "they are answered, and challenged");
    world.heal();
    world.run(ms(5000));
    assert_eq!((remotes(&world, 0), proved(&world, 0)), before);
}

#[test]
fn frames_are_accepted_by_fastdp_only_from_neighbours_that_may_use_it() {
    let at = |world: &World, host: usize| {
        let told: Vec<_> = world.hosts[host]
            .fastdp
            .values()
            .map(|fastdp| fastdp.proved)
            .collect();
        told
    };
    let world = settled(USUAL);
    for host in [0, 1] {
        let other = world.hosts[1 - host].address;
        assert_eq!(
            at(&world, host)
                .into_iter()
                .map(|at| at.map(IpAddr::from))
                .collect::<Vec<_>>(),
            [Some(other)]
        );
    }
    let world = settled(PASSWORD);
    for host in [0, 1] {
        assert!(at(&world, host).is_empty(), "nobody, so there is no VXLAN port");
    }
    let mut world = World::pair(USUAL, USUAL);
    world.cut(0, 1, Wire::Vxlan);
    world.run(ms(3000));
    assert_eq!(at(&world, 0), [None], "who has not proved itself may yet");
}

#[test]
fn a_vxlan_port_that_cannot_be_made_is_the_reason_for_the_sleeve() {
    let mut world = settled(USUAL);
    world.fail_vxlan_ports(0, [PORT + 1].into());
    world.cut(0, 1, Wire::Vxlan);
    world.run(ms(3000));
    assert_eq!(
        world.line(0),
        "established sleeve 1438 (fastdp: cannot make the VXLAN port (UDP 6784 in use by another device?))"
    );
    world.heal();
    world.fail_vxlan_ports(0, [].into());
    world.run(ms(10_000));
    assert_eq!(world.line(0), "established fastdp 1450");
}
