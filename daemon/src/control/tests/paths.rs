//! Which path there is between two hosts, and from when on.

use std::net::Ipv6Addr;

use model::PathKind;
use overlay::FastdpHere;

use super::ms;
use crate::control::world::{Setup, Wire, World};
use crate::neighbours::Path;
use crate::testing::logged;

const FASTDP: Option<PathKind> = Some(PathKind::Fastdp);
const SLEEVE: Option<PathKind> = Some(PathKind::Sleeve);

const USUAL: Setup = Setup::USUAL;
const NO_OPENVSWITCH: Setup = Setup {
    fastdp: FastdpHere::NoOpenVSwitch,
    ..USUAL
};
const DISABLED: Setup = Setup {
    fastdp: FastdpHere::Disabled,
    ..USUAL
};
const PASSWORD: Setup = Setup {
    password: true,
    ..USUAL
};
const JUMBO: Setup = Setup {
    underlay_mtu: 9000,
    ..USUAL
};

const fn ipv6(last: u16) -> Setup {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    Setup {
        address: Some(std::net::IpAddr::V6(address)),
        ..USUAL
    }
}

#[test]
fn hosts_that_meet_choose_the_best_path_that_works() {
    let (vxlan, sleeve) = (Wire::Vxlan, Wire::Sleeve);
    #[rustfmt::skip]
    let table: &[(Setup, Setup, &[Wire], &str, &str)] = &[
        (USUAL, USUAL, &[],
            "established fastdp 1450",
            "established fastdp 1450"),
        (USUAL, USUAL, &[sleeve],
            "established fastdp 1450",
            "established fastdp 1450"),
        (USUAL, USUAL, &[vxlan],
            "established sleeve 1438 (fastdp: no heartbeat yet (UDP 6784 blocked?))",
            "established sleeve 1438 (fastdp: no heartbeat yet (UDP 6784 blocked?))"),
        (USUAL, USUAL, &[vxlan, sleeve],
            "pending (fastdp: no heartbeat yet (UDP 6784 blocked?))",
            "pending (fastdp: no heartbeat yet (UDP 6784 blocked?))"),
        (NO_OPENVSWITCH, USUAL, &[],
            "established sleeve 1438 (no openvswitch in this kernel)",
            "established sleeve 1438 (peer has no openvswitch)"),
        (USUAL, DISABLED, &[],
            "established sleeve 1438 (peer has no openvswitch)",
            "established sleeve 1438 (fastdp disabled (--no-fastdp))"),
        (PASSWORD, PASSWORD, &[],
            "established sleeve 1422 (encrypted)",
            "established sleeve 1422 (encrypted)"),
        (ipv6(1), ipv6(2), &[],
            "established sleeve 1418 (fastdp needs IPv4 addresses)",
            "established sleeve 1418 (fastdp needs IPv4 addresses)"),
        (JUMBO, JUMBO, &[],
            "established fastdp 8950",
            "established fastdp 8950"),
        (PASSWORD, NO_OPENVSWITCH, &[],
            "failed (password specified, but peer requested an unencrypted connection)",
            ""),
    ];
    for (one, two, cuts, expected, there) in table {
        let mut world = World::new([one.clone(), two.clone()]);
        for wire in *cuts {
            world.cut(0, 1, *wire);
        }
        world.connect(0, 1);
        world.run(ms(5000));
        let what = format!("{one:?} to {two:?}, {cuts:?} cut");
        assert_eq!(world.line(0), *expected, "{what}");
        assert_eq!(world.line(1), *there, "{what}");
    }
}

#[test]
fn the_first_path_is_there_within_a_second() {
    for (one, two, path) in [
        (USUAL, USUAL, FASTDP),
        (USUAL, NO_OPENVSWITCH, SLEEVE),
        (PASSWORD, PASSWORD, SLEEVE),
    ] {
        let mut world = World::pair(one, two);
        let took = world.wait("a path", ms(1000), |world| world.path(0, 1, path));
        assert!(took > ms(1), "{took:?}");
    }
}

#[test]
fn a_first_meeting_is_told_in_two_lines_and_without_alarm() {
    let lines = logged(|| {
        let mut world = World::pair(USUAL, USUAL);
        world.run(ms(20));
        assert_eq!(
            world.line(1),
            "established sleeve 1438 (fastdp: no heartbeat yet (UDP 6784 blocked?))",
            "the status tells at all times what is so"
        );
        world.run(ms(9980));
    });
    let told: Vec<&str> = lines
        .iter()
        .map(|line| line.split(": ").last().unwrap_or_default())
        .filter(|text| text.contains("path"))
        .collect();
    assert_eq!(told, ["path fastdp", "path fastdp"], "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("WARN")), "{lines:#?}");
}

#[test]
fn a_path_that_stays_bad_is_told_of_after_the_grace_and_once() {
    let told = |cuts: &[Wire], time| {
        let mut world = World::new([USUAL, USUAL]);
        let name = world.hosts[1].name().to_string();
        let lines = logged(|| {
            for wire in cuts {
                world.cut(0, 1, *wire);
            }
            world.connect(0, 1);
            world.run(time);
        });
        let of_host1 = lines
            .into_iter()
            .filter(|line| line.contains(&format!("{name}: ")));
        let lines: Vec<String> = of_host1.map(|line| line.replace(&name, "host2")).collect();
        lines
    };
    let blocked = "INFO host2: path sleeve: fastdp: no heartbeat yet (UDP 6784 blocked?)";
    assert_eq!(told(&[Wire::Vxlan], ms(1000)), [""; 0]);
    assert_eq!(told(&[Wire::Vxlan], ms(60_000)), [blocked]);
    let nothing = "WARN host2: no path: no heartbeat by the sleeve (UDP 6783 blocked?), fastdp: no heartbeat \
                   yet (UDP 6784 blocked?)";
    assert_eq!(told(&[Wire::Vxlan, Wire::Sleeve], ms(1000)), [""; 0]);
    assert_eq!(told(&[Wire::Vxlan, Wire::Sleeve], ms(60_000)), [nothing]);
}

#[test]
fn a_cut_moves_frames_to_what_is_left_and_back() {
    let mut world = World::pair(USUAL, USUAL);
    world.wait("fastdp", ms(1000), |world| world.path(0, 1, FASTDP));
    world.run(ms(2000));

    world.cut(0, 1, Wire::Vxlan);
    world.wait("the sleeve", ms(2000), |world| world.path(0, 1, SLEEVE));
    let line = world.line(0);
    assert!(
        line.starts_with("established sleeve 1438 (fastdp: no heartbeat for "),
        "{line}"
    );

    world.heal();
    world.wait("on probation", ms(2000), |world| {
        world.line(0) == "established sleeve 1438 (fastdp: fell 1x, must stay up for 2s)"
    });
    world.wait("fastdp again", ms(3000), |world| world.path(0, 1, FASTDP));

    world.cut(0, 1, Wire::Sleeve);
    world.run(ms(5000));
    assert_eq!(
        world.line(0),
        "established fastdp 1450",
        "the sleeve is not missed"
    );

    world.cut(0, 1, Wire::Vxlan);
    world.wait("nothing left", ms(2000), |world| world.path(0, 1, None));
    assert!(world.line(0).starts_with("pending ("), "{}", world.line(0));
    world.heal();
    world.wait("fastdp again", ms(10_000), |world| world.path(0, 1, FASTDP));
}

#[test]
fn a_path_is_as_wide_as_its_narrowest_part() {
    let mtu = |world: &World, from: usize, to: usize| {
        let path = world.hosts[from].paths_to(&world.hosts[to]).last().unwrap().1;
        match path {
            Some(Path::Fastdp { mtu, .. }) => Some(mtu),
            Some(Path::Sleeve) | None => None,
        }
    };
    let small_containers = Setup {
        overlay_mtu: Some(1000),
        ..USUAL
    };
    let mut world = World::pair(USUAL, small_containers);
    world.run(ms(5000));
    assert_eq!(
        mtu(&world, 0, 1),
        Some(1000),
        "no more than the containers there take"
    );
    assert_eq!(mtu(&world, 1, 0), Some(1438), "nor than those here");
    assert_eq!(world.line(0), "established fastdp 1450", "the path is wider");

    let mut world = World::pair(JUMBO, JUMBO);
    world.path_mtu = 1400;
    world.run(ms(5000));
    assert_eq!(world.line(0), "established fastdp 1350");
    assert_eq!(mtu(&world, 0, 1), Some(1350));

    world.path_mtu = 1300;
    world.wait("too little for fastdp", ms(20_000), |world| {
        let line = "established sleeve 1238 (fastdp: path MTU 1250 < 1280)";
        world.line(0) == line && world.line(1) == line
    });
}

#[test]
fn another_mtu_of_the_underlay_is_found_at_once_once_it_is_told() {
    let mut world = World::pair(USUAL, USUAL);
    world.run(ms(5000));
    for host in [0, 1] {
        world.set_underlay_mtu(host, 9000);
    }
    world.wait("wide", ms(1000), |world| {
        world.line(0) == "established fastdp 8950" && world.line(1) == "established fastdp 8950"
    });
    for host in [0, 1] {
        world.set_underlay_mtu(host, 1400);
    }
    world.wait("narrow", ms(1000), |world| {
        world.line(0) == "established fastdp 1350" && world.line(1) == "established fastdp 1350"
    });
}
