use proptest::prelude::*;

use super::sim::{Link, World};
use super::*;

fn up_with(mtu: u16) -> impl Fn(&ProbeStatus) -> bool {
    move |status| status.up && status.mtu == Some(mtu)
}

/// Two probes that are up with the MTU of a link
fn established(link: &Link, seed: u64) -> World {
    let ceiling = link.mtu.max(1500);
    let mut world = World::new(
        &ProbeConfig {
            ceiling,
            ..ProbeConfig::default()
        },
        link,
        seed,
    );
    let mtu = link.mtu;
    let took = world.run_for(Duration::from_secs(20), |world| world.both(up_with(mtu)));
    assert!(
        took.is_some(),
        "{:?} {:?}",
        world.probes[0].status(),
        world.probes[1].status()
    );
    assert_eq!(world.downs(), 0);
    world
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_good_path_is_up_with_its_mtu_after_two_round_trips() {
    let world = established(&Link::lan(), 1);
    assert!(world.now - world.start < Duration::from_millis(2));
    let status = world.probes[0].status();
    assert_eq!(status.reason, None);
    assert!(status.rtt.unwrap() < Duration::from_millis(1));
}

#[test]
fn a_quiet_path_costs_two_packets_and_their_answers_a_second() {
    let mut world = established(&Link::lan(), 1);
    let before = world.packets;
    world.run(SECOND * 50);
    assert_eq!(world.packets - before, 2 * 2 * 2 * 50);
}

#[test]
fn any_mtu_is_found_exactly() {
    for (mtu, ceiling) in [
        (576, 1500),
        (577, 1500),
        (1280, 1500),
        (1400, 1500),
        (1499, 1500),
        (1500, 1500),
    ]
    .into_iter()
    .chain([
        (1500, 9001),
        (8951, 9001),
        (65_535, 65_535),
        (600, 600),
        (1000, 576),
    ]) {
        let link = Link { mtu, ..Link::lan() };
        let mut world = World::new(
            &ProbeConfig {
                ceiling,
                ..ProbeConfig::default()
            },
            &link,
            5,
        );
        let expected = mtu.min(ceiling);
        let took = world.run_for(SECOND * 4, |world| world.both(up_with(expected)));
        assert!(
            took.is_some(),
            "{mtu} of {ceiling}: {:?}",
            world.probes[0].status()
        );
    }
}

#[test]
fn directions_may_differ_in_mtu() {
    let mut world = World::new(&ProbeConfig::default(), &Link::lan(), 1);
    world.links[0].mtu = 1400;
    world.run(SECOND * 3);
    assert_eq!(
        (world.probes[0].status().mtu, world.probes[1].status().mtu),
        (Some(1400), Some(1500))
    );
}

#[test]
fn a_path_below_the_floor_is_up_but_too_small() {
    let link = Link {
        mtu: 500,
        ..Link::lan()
    };
    let mut world = World::new(&ProbeConfig::default(), &link, 1);
    world.run(SECOND * 4);
    assert!(world.both(|status| status.up && status.reason == Some(ProbeReason::TooSmall)));
    world.links = [Link::lan(), Link::lan()];
    assert!(
        world
            .run_for(SECOND * 6, |world| world.both(up_with(1500)))
            .is_some(),
        "it is looked at again"
    );
}

#[test]
fn a_dead_path_never_comes_up_and_says_why() {
    let dead = Link {
        cut: true,
        ..Link::lan()
    };
    let mut world = World::new(&ProbeConfig::default(), &dead, 1);
    world.run(SECOND * 5);
    assert!(world.both(|status| !status.up && status.reason == Some(ProbeReason::Unanswered)));
    world.links[0].cut = false;
    world.run(SECOND * 5);
    assert_eq!(world.probes[1].status().reason, Some(ProbeReason::OneWay));
    assert!(!world.probes[1].status().up, "to hear is not enough");
}

#[test]
fn after_a_cut_the_reason_tells_the_direction() {
    let mut world = established(&Link::lan(), 1);
    world.links[0].cut = true;
    world.run(SECOND * 4);
    assert_eq!(world.probes[0].status().reason, Some(ProbeReason::OneWay));
    assert_eq!(world.probes[1].status().reason, Some(ProbeReason::Silent));
    assert_eq!(world.probes[0].status().mtu, Some(1500), "the MTU is kept");
}

#[test]
fn a_black_hole_is_left_within_two_seconds() {
    let mut worst = Duration::ZERO;
    for (seed, mtu) in (576..1500).step_by(7).enumerate() {
        let mut world = established(&Link::lan(), seed as u64);
        world.run(Duration::from_millis(seed as u64 * 37 % 500));
        world.links = [0, 1].map(|_| Link { mtu, ..Link::lan() });
        let fits = |world: &World| world.both(|s| s.up && s.mtu.is_some_and(|m| m <= mtu));
        let left = world.run_for(Duration::from_millis(2000), fits).unwrap();
        assert!(
            world
                .run_for(SECOND * 2, |world| world.both(up_with(mtu)))
                .is_some(),
            "{mtu}"
        );
        assert_eq!(world.downs(), 0, "the path stays up");
        worst = worst.max(left);
    }
    println!("black hole left after at most {worst:?}");
}

#[test]
fn a_larger_mtu_is_found_in_time_or_at_once_when_told() {
    let small = Link {
        mtu: 1400,
        ..Link::lan()
    };
    let mut world = established(&small, 1);
    world.links = [Link::lan(), Link::lan()];
    assert_eq!(
        world.run_for(SECOND * 50, |world| world.both(up_with(1500))),
        None
    );
    assert!(
        world
            .run_for(SECOND * 15, |world| world.both(up_with(1500)))
            .is_some()
    );
    world.links = [0, 1].map(|_| Link {
        mtu: 9000,
        ..Link::lan()
    });
    for probe in &mut world.probes {
        probe.network_changed(9000, world.now);
    }
    world.speak();
    assert!(world.run_for(SECOND, |world| world.both(up_with(9000))).is_some());
    for probe in &mut world.probes {
        probe.network_changed(1450, world.now);
    }
    assert!(world.both(up_with(1450)), "a lower ceiling holds at once");
}

#[test]
fn what_the_kernel_refuses_is_not_waited_for() {
    let start = Instant::now();
    let mut probe = PathProbe::new(ProbeConfig::default(), 1, start);
    let mut sizes = Vec::new();
    // Sizes above 1450 are refused; what fits is answered at once.
    for _ in 0..60 {
        match probe.poll_output() {
            Some(Output::Transmit(Transmit { pad_to, .. })) if pad_to > 1450 => {
                sizes.push(pad_to);
                probe.refused(pad_to, start);
            }
            Some(Output::Transmit(transmit)) => {
                sizes.push(transmit.pad_to);
                answer(&mut probe, transmit, start);
            }
            Some(Output::Changed(_)) => {}
            None => break,
        }
    }
    assert_eq!(probe.status().mtu, Some(1450), "{sizes:?}");
    assert_eq!(sizes[..3], [0, 1500, 1037]);
    // A full-size beat that is refused means that the route's MTU shrank.
    probe.refused(1450, start);
    assert!(matches!(
        probe.poll_output(),
        Some(Output::Transmit(Transmit { pad_to: 1012, .. }))
    ));
}

/// Gives a probe the answer to a ping
fn answer(probe: &mut PathProbe, ping: Transmit, now: Instant) {
    let Beat::Ping(fields) = ping.beat else {
        panic!("no ping: {ping:?}");
    };
    probe.handle_beat(Beat::Pong(fields), 64, now).unwrap();
}

#[test]
fn a_starved_process_does_not_take_the_path_down() {
    let mut world = established(&Link::lan(), 1);
    for time in [3, 5, 8] {
        world.asleep[0] = Some(world.now + SECOND * time);
        world.run(SECOND * 12);
        let own = world
            .changes
            .iter()
            .filter(|(_, who, status)| *who == 0 && !status.up)
            .count();
        assert_eq!(own, 0, "{time} s");
    }
}

#[test]
fn starvation_does_not_excuse_silence_for_ever() {
    let mut world = established(&Link::lan(), 1);
    world.links[0].cut = true;
    let start = world.now;
    // A process that always wakes too late for its timers.
    while world.probes[0].status().up {
        world.asleep[0] = Some(world.now + Duration::from_millis(800));
        world.run(Duration::from_millis(801));
        assert!(world.now - start < SECOND * 20);
    }
    assert!(world.now - start > SECOND * 9);
}

#[test]
fn a_held_neighbour_keeps_its_status_until_it_is_back() {
    let mut world = established(&Link::lan(), 1);
    let before = world.changes.len();
    world.probes[0].freeze();
    world.links[1].cut = true;
    assert_eq!(world.probes[0].poll_timeout(), None);
    world.run(SECOND * 30);
    assert!(up_with(1500)(&world.probes[0].status()));
    world.links[1].cut = false;
    world.probes[0].thaw(world.now);
    world.speak();
    world.run(SECOND * 10);
    assert!(world.changes[before..].iter().all(|(_, who, _)| *who == 1));
    assert!(world.both(up_with(1500)));
    world.links[0].cut = true;
    world.probes[0].freeze();
    world.run(SECOND);
    world.probes[0].thaw(world.now);
    world.speak();
    let down = world.run_for(SECOND * 2, |world| !world.probes[0].status().up);
    assert!(down.is_some(), "not back after all");
}

#[test]
fn one_beat_answered_is_not_a_recovery() {
    let mut world = established(&Link::lan(), 1);
    world.links[0].cut = true;
    world.run(SECOND * 3);
    world.links[0].cut = false;
    let recovering = |world: &World| world.both(|s| s.reason == Some(ProbeReason::Recovering));
    assert!(world.run_for(SECOND, recovering).is_some());
    let up = world.run_for(SECOND * 5, |world| world.both(|s| s.up)).unwrap();
    assert!(up >= Duration::from_millis(900), "{up:?}");
}

#[test]
fn heartbeats_that_are_not_expected_are_refused() {
    let now = Instant::now();
    let mut probe = PathProbe::new(ProbeConfig::default(), 7, now);
    let Some(Output::Transmit(ping)) = probe.poll_output() else {
        panic!("a probe starts with a ping");
    };
    assert_eq!(probe.handle_beat(ping.beat, 64, now), Err(BeatError::Reflected));
    let fields = BeatFields {
        id: 7,
        sequence: 5,
        size: 0,
    };
    assert_eq!(
        probe.handle_beat(Beat::Pong(fields), 64, now),
        Err(BeatError::Unasked(5))
    );
    let fields = BeatFields {
        id: 8,
        sequence: 0,
        size: 0,
    };
    assert_eq!(
        probe.handle_beat(Beat::Pong(fields), 64, now),
        Err(BeatError::Unasked(0))
    );
    assert!(!probe.status().up);
}

#[test]
fn pings_are_answered_however_many_they_are_and_apart_from_own_pings() {
    let now = Instant::now();
    let mut probe = PathProbe::new(ProbeConfig::default(), 7, now);
    while probe.poll_output().is_some() {}
    for sequence in 0..1000 {
        let fields = BeatFields {
            id: 8,
            sequence,
            size: 0,
        };
        assert_eq!(
            probe.handle_beat(Beat::Ping(fields), 64, now),
            Ok(Some(Beat::Pong(fields)))
        );
    }
    assert_eq!(probe.poll_output(), None, "no answer waits behind a ping");
}

#[test]
fn a_pong_tells_what_arrived() {
    let now = Instant::now();
    let mut probe = PathProbe::new(ProbeConfig::default(), 7, now);
    let _first_ping = probe.poll_output();
    for (claimed, arrived, told) in [(1500, 1500, 1500), (1500, 1400, 1400), (0, 64, 0)] {
        let fields = BeatFields {
            id: 8,
            sequence: 3,
            size: claimed,
        };
        let pong = probe.handle_beat(Beat::Ping(fields), arrived, now);
        assert_eq!(pong, Ok(Some(Beat::Pong(BeatFields { size: told, ..fields }))));
    }
}

#[test]
fn slow_paths_are_not_taken_for_dead_ones() {
    for delay in [50, 120, 200, 300, 600] {
        let delay = Duration::from_millis(delay);
        let link = Link {
            delay,
            jitter: delay / 10,
            ..Link::lan()
        };
        let mut world = established(&link, 3);
        world.run(SECOND * 300);
        assert_eq!(world.downs(), 0, "{delay:?}");
        assert!(world.both(up_with(1500)), "{delay:?}");
    }
}

/// Virtual hours at `loss` in each direction: how often a path was taken for dead, and how often its MTU
/// for smaller than it is
fn false_alarms(loss: f64, hours: u32) -> (usize, usize) {
    let mut world = established(&Link::lan(), 99);
    world.changes.clear();
    for link in &mut world.links {
        link.loss = loss;
    }
    world.run(SECOND * 3600 * hours);
    let smaller = world
        .changes
        .iter()
        .filter(|(_, _, status)| status.mtu != Some(1500))
        .count();
    (world.downs(), smaller)
}

#[test]
fn random_loss_of_five_percent_takes_no_path_down() {
    assert_eq!(false_alarms(0.05, 12), (0, 0));
}

#[test]
fn heavy_loss_takes_no_path_down_and_seldom_shrinks_its_mtu() {
    for (loss, smaller) in [(0.1, 0), (0.2, 0), (0.3, 20)] {
        let (downs, shrunk) = false_alarms(loss, 1);
        assert_eq!(downs, 0, "{loss}");
        assert!(shrunk <= smaller, "{loss}: {shrunk} in an hour");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn cuts_are_seen_in_two_seconds_and_repairs_in_five(
        seed: u64,
        at in 0..2000u64,
        direction in 0..3usize,
        delay in prop_oneof![Just(150u64), 150..20_000u64],
        loss in prop_oneof![Just(0.0), Just(0.05)],
        repair in 2100..9000u64,
    ) {
        let link = Link { delay: Duration::from_micros(delay), ..Link::lan() };
        let mut world = established(&link, seed);
        for link in &mut world.links {
            link.loss = loss;
        }
        world.run(Duration::from_millis(at));
        prop_assert_eq!(world.downs(), 0);
        let cut = world.now;
        for (i, link) in world.links.iter_mut().enumerate() {
            link.cut = direction == i || direction == 2;
        }
        world.run(Duration::from_millis(repair));
        for who in 0..2 {
            let down = world.changes.iter().find(|(_, probe, status)| *probe == who && !status.up);
            let (when, _, _) = down.expect("both sides go down");
            prop_assert!(*when - cut <= SECOND * 2, "{:?}", *when - cut);
        }
        prop_assert!(world.both(|status| !status.up));
        for link in &mut world.links {
            link.cut = false;
        }
        let recovered = world.run_for(SECOND * 5, |world| world.both(up_with(1500)));
        prop_assert!(recovered.is_some());
    }

    #[test]
    fn the_mtu_is_found_in_spite_of_loss(seed: u64, mtu in 576..1500u16) {
        let mut world = World::new(&ProbeConfig::default(), &Link { mtu, loss: 0.05, ..Link::lan() }, seed);
        prop_assert!(world.run_for(SECOND * 5, |world| world.both(|status| status.mtu.is_some())).is_some());
        prop_assert!(world.both(|status| status.mtu.is_some_and(|found| found <= mtu)));
        prop_assert!(world.run_for(SECOND * 130, |world| world.both(up_with(mtu))).is_some());
    }

    #[test]
    fn any_beats_never_panic(
        steps in prop::collection::vec((any::<(u64, u32, u16)>(), any::<u16>(), 0..900u64, 0..9u8), 0..80),
    ) {
        let mut now = Instant::now();
        let mut probe = PathProbe::new(ProbeConfig::default(), 1, now);
        for ((id, sequence, claimed), size, pause, action) in steps {
            now += Duration::from_millis(pause);
            let fields = BeatFields { id, sequence, size: claimed };
            let near = BeatFields { id: 1 + id % 2, sequence: sequence % 20, size: claimed % 1600 };
            match action {
                0 => probe.freeze(),
                1 => probe.thaw(now),
                2 => probe.network_changed(size, now),
                3 => probe.refused(size, now),
                4 => drop(probe.handle_beat(Beat::Ping(fields), size, now)),
                5 => drop(probe.handle_beat(Beat::Pong(fields), size, now)),
                6 => drop(probe.handle_beat(Beat::Ping(near), size, now)),
                _ => drop(probe.handle_beat(Beat::Pong(near), size, now)),
            }
            probe.handle_timeout(now);
            while probe.poll_output().is_some() {}
            if let Some((at, why)) = probe.poll_timeout() {
                prop_assert!(at > now, "{}", why);
            }
        }
    }
}
