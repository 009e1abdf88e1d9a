use super::*;

const PORT: u16 = 6784;

fn up(mtu: u16) -> Health {
    Health::Up {
        mtu: Some(mtu),
        rtt: Some(Duration::from_millis(1)),
    }
}

fn down(ms: u64) -> Health {
    Health::Down {
        silent: Duration::from_millis(ms),
    }
}

/// fastdp and sleeve up, nothing in the way
fn good() -> Inputs {
    Inputs {
        fastdp: up(1450),
        sleeve: up(1438),
        encrypted: false,
        here: FastdpHere::Capable,
        there: true,
        ipv4: true,
        vxlan_port: PORT,
        failing_port: None,
    }
}

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

#[test]
fn every_combination_of_inputs_has_its_choice() {
    let config = ChooserConfig::default();
    let healths = [
        Health::Unproven,
        down(1600),
        up(1450),
        up(1200),
        Health::Up { mtu: None, rtt: None },
    ];
    let mut combinations = 0;
    for fastdp in healths {
        for sleeve in healths {
            for here in [
                FastdpHere::Capable,
                FastdpHere::NoOpenVSwitch,
                FastdpHere::Disabled,
            ] {
                for bits in 0..8 {
                    let [encrypted, there, ipv4] = [1, 2, 4].map(|bit| bits & bit != 0);
                    let inputs = Inputs {
                        fastdp,
                        sleeve,
                        encrypted,
                        here,
                        there,
                        ipv4,
                        vxlan_port: PORT,
                        failing_port: None,
                    };
                    let mut chooser = PathChooser::new(config);
                    chooser.update(inputs, Instant::now());
                    let Choice { path, reason, mtu } = chooser.choice();
                    // The oracle: a list of texts, first match.
                    let expected = match () {
                        () if here == FastdpHere::Disabled => Some("fastdp disabled (--no-fastdp)"),
                        () if here == FastdpHere::NoOpenVSwitch => Some("no openvswitch in this kernel"),
                        () if !there => Some("peer has no openvswitch"),
                        () if encrypted => Some("encrypted"),
                        () if !ipv4 => Some("fastdp needs IPv4 addresses"),
                        () if fastdp == Health::Unproven => {
                            Some("fastdp: no heartbeat yet (UDP 6784 blocked?)")
                        }
                        () if fastdp == down(1600) => {
                            Some("fastdp: no heartbeat for 1.6s (UDP 6784 blocked?)")
                        }
                        () if fastdp == up(1200) => Some("fastdp: path MTU 1200 < 1280"),
                        () => None,
                    };
                    assert_eq!(
                        reason.map(|reason| reason.to_string()).as_deref(),
                        expected,
                        "{inputs:?}"
                    );
                    let sleeve_mtu = match sleeve {
                        Health::Up { mtu, .. } => Some(mtu),
                        Health::Unproven | Health::Down { .. } => None,
                    };
                    let wanted = match (expected, sleeve_mtu) {
                        (None, _) => (
                            Some(PathKind::Fastdp),
                            if fastdp == up(1450) { Some(1450) } else { None },
                        ),
                        (Some(_), Some(mtu)) => (Some(PathKind::Sleeve), mtu),
                        (Some(_), None) => (None, None),
                    };
                    assert_eq!((path, mtu), wanted, "{inputs:?}");
                    combinations += 1;
                }
            }
        }
    }
    assert_eq!(combinations, 5 * 5 * 3 * 8);
}

#[test]
fn a_fall_is_followed_at_once_and_a_return_after_the_hold_off() {
    let mut chooser = PathChooser::new(ChooserConfig::default());
    let start = Instant::now();
    assert_eq!(
        chooser.update(good(), start).unwrap().path,
        Some(PathKind::Fastdp),
        "the first time at once"
    );

    let fallen = Inputs {
        fastdp: down(1500),
        ..good()
    };
    let choice = chooser.update(fallen, start).unwrap();
    assert_eq!((choice.path, choice.mtu), (Some(PathKind::Sleeve), Some(1438)));
    assert_eq!(chooser.poll_timeout(), None);

    let choice = chooser.update(good(), start + seconds(5.0)).unwrap();
    assert_eq!(choice.path, Some(PathKind::Sleeve));
    assert_eq!(
        choice.reason.unwrap().to_string(),
        "fastdp: fell 1x, must stay up for 2s"
    );
    let (due, _) = chooser.poll_timeout().unwrap();
    assert_eq!(due, start + seconds(7.0));
    assert_eq!(chooser.handle_timeout(start + seconds(6.9)), None);
    assert_eq!(chooser.handle_timeout(due).unwrap().path, Some(PathKind::Fastdp));
    assert_eq!(chooser.poll_timeout(), None);
}

#[test]
fn a_path_that_flaps_is_trusted_less_each_time_and_again_when_it_was_good_for_long() {
    let config = ChooserConfig::default();
    let mut chooser = PathChooser::new(config);
    let mut now = Instant::now();
    let fallen = Inputs {
        fastdp: down(1500),
        ..good()
    };
    let mut switches = 0;
    chooser.update(good(), now);
    // A minute of one second up, one second down.
    for _ in 0..30 {
        now += seconds(1.0);
        switches += u32::from(
            chooser
                .update(fallen, now)
                .is_some_and(|choice| choice.path == Some(PathKind::Fastdp)),
        );
        now += seconds(1.0);
        switches += u32::from(
            chooser
                .update(good(), now)
                .is_some_and(|choice| choice.path == Some(PathKind::Fastdp)),
        );
    }
    assert_eq!(switches, 0, "it never stayed up for the hold-off");
    let (due, _) = chooser.poll_timeout().unwrap();
    assert_eq!(due, now + config.max_hold_off);
    assert!(chooser.handle_timeout(due).is_some());

    let much_later = due + config.forget;
    chooser.update(good(), much_later);
    chooser.update(fallen, much_later);
    chooser.update(good(), much_later);
    assert_eq!(chooser.poll_timeout().unwrap().0, much_later + config.hold_off);
}

#[test]
fn without_a_sleeve_a_doubtful_fastdp_is_better_than_none() {
    let mut chooser = PathChooser::new(ChooserConfig::default());
    let now = Instant::now();
    let alone = Inputs {
        sleeve: down(2000),
        ..good()
    };
    let dead = Inputs {
        fastdp: down(1500),
        ..alone
    };
    chooser.update(alone, now);
    let choice = chooser.update(dead, now).unwrap();
    assert_eq!(choice.path, None);
    assert_eq!(chooser.update(alone, now).unwrap().path, Some(PathKind::Fastdp));
}

#[test]
fn a_held_neighbour_keeps_its_path_whatever_its_probes_say() {
    let mut chooser = PathChooser::new(ChooserConfig::default());
    let now = Instant::now();
    chooser.update(good(), now);
    let before = chooser.choice();
    chooser.hold();
    let dead = Inputs {
        fastdp: down(1500),
        sleeve: down(1500),
        ..good()
    };
    assert_eq!(chooser.update(dead, now), None);
    assert_eq!(chooser.handle_timeout(now + seconds(4.0)), None);
    assert_eq!((chooser.choice(), chooser.poll_timeout()), (before, None));
    assert_eq!(chooser.release(now + seconds(5.0)).unwrap().path, None);
}

#[test]
fn only_what_matters_is_a_change() {
    let mut chooser = PathChooser::new(ChooserConfig::default());
    let now = Instant::now();
    let silent = |ms| Inputs {
        fastdp: down(ms),
        ..good()
    };
    assert!(chooser.update(silent(1600), now).is_some());
    assert_eq!(chooser.update(silent(3600), now), None, "the same, longer");
    assert_eq!(
        chooser.choice().reason.unwrap().to_string(),
        "fastdp: no heartbeat for 3.6s (UDP 6784 blocked?)"
    );
    assert!(
        chooser
            .update(
                Inputs {
                    encrypted: true,
                    ..silent(3600)
                },
                now
            )
            .is_some(),
        "another reason"
    );
    let narrower = Inputs {
        sleeve: up(1300),
        encrypted: true,
        ..silent(3600)
    };
    assert_eq!(chooser.update(narrower, now).unwrap().mtu, Some(1300));
}

#[test]
fn a_port_that_cannot_be_made_is_a_reason_while_it_lasts() {
    let now = Instant::now();
    let mut chooser = PathChooser::new(ChooserConfig::default());
    let failing = Inputs {
        failing_port: Some(PORT),
        ..good()
    };
    chooser.update(failing, now);
    let choice = chooser.choice();
    assert_eq!(choice.path, Some(PathKind::Sleeve));
    assert_eq!(choice.reason, Some(Reason::NoPort { port: PORT }));
    chooser.update(good(), now);
    assert_eq!(chooser.choice().path, Some(PathKind::Fastdp));
}
