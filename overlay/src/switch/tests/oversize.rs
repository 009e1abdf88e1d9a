//! Frames too long for their path.

use super::*;

#[test]
fn a_narrow_path_has_its_frames_measured() {
    let mut bench = Bench::with(Config {
        mtu: 1450,
        too_long_to: Some(7),
        ..Config::default()
    });
    let now = bench.now;
    bench.switch.settle(now);
    bench.introduce();
    let remote = key(C1, station(1), station(13));
    assert_eq!(
        bench.miss(&remote).actions,
        tunnelled(1, vni(0, 3)),
        "wide enough"
    );
    bench.switch.set_path(name(1), Some(fastdp(1, 1300)), now);
    let measured = bench.actions_of(&remote).unwrap().pop();
    let Some(A::CheckPktLen {
        max,
        greater,
        less_equal,
    }) = measured
    else {
        panic!("not measured: {measured:?}");
    };
    assert_eq!((max, less_equal), (1314, tunnelled(1, vni(0, 3))));
    let [A::Userspace { pid: 7, cookie }] = *greater.as_slice() else {
        panic!("sent up: {greater:?}");
    };
    assert!(Switch::is_oversize(cookie));
    let answer = bench.switch.oversize(C1, station(13), cookie, now).unwrap();
    assert_eq!(
        answer,
        Oversize {
            mtu: 1300,
            reply: Some(vec![A::Output(C1)]),
            fragment: Some(vec![A::PushVlan(one(3)), A::Output(TAP)]),
        }
    );
    // A wider MTU of the containers here makes the wide path narrow, too.
    bench.switch.set_path(name(1), Some(fastdp(1, 1450)), now);
    bench.switch.set_mtu(1500, now);
    assert!(matches!(
        bench.actions_of(&remote).as_deref(),
        Some([A::CheckPktLen { max: 1464, .. }])
    ));
    bench.switch.set_too_long_to(None, now);
    assert_eq!(
        bench.actions_of(&remote),
        Some(tunnelled(1, vni(0, 3))),
        "this kernel cannot"
    );
}

/// The cookies in a list of actions
fn cookies(actions: &[A]) -> Vec<u64> {
    let lists = actions.iter().filter_map(|action| match action {
        A::CheckPktLen { greater, .. } => Some(greater),
        A::Output(_) | A::SetTunnel(_) | A::PushVlan(_) | A::PopVlan | A::Userspace { .. } | A::Other(..) => {
            None
        }
    });
    let cookies = lists.flatten().filter_map(|action| match action {
        A::Userspace { cookie, .. } => Some(*cookie),
        A::Output(_)
        | A::SetTunnel(_)
        | A::PushVlan(_)
        | A::PopVlan
        | A::CheckPktLen { .. }
        | A::Other(..) => None,
    });
    cookies.collect()
}

#[test]
fn too_long_a_frame_is_answered_only_where_that_helps() {
    let mut bench = Bench::with(Config {
        mtu: 1450,
        too_long_to: Some(7),
        ..Config::default()
    });
    let now = bench.now;
    bench.switch.settle(now);
    bench.introduce();
    bench.switch.set_path(name(1), Some(fastdp(1, 1300)), now);

    // Flooded: fragments for the neighbour on that path, no answer.
    for key in [
        key(C1, station(1), Mac::BROADCAST),
        key(C1, station(1), station(99)),
    ] {
        let actions = bench.switch.decide(&key.flow_key()).actions;
        let [cookie] = *cookies(&actions) else {
            panic!("one narrow copy: {actions:?}")
        };
        let answer = bench.switch.oversize(C1, key.dst, cookie, now).unwrap();
        assert_eq!(answer.reply, None);
        assert_eq!(answer.fragment, Some(vec![A::PushVlan(one(1)), A::Output(TAP)]));
    }

    // Relayed from peer 4 by the sleeve to peer 3: the answer goes back the way it came.
    let relayed = tap(Vlans::Two(outer(3), one(4)), station(14), station(13));
    let [cookie] = *cookies(&bench.miss(&relayed).actions) else {
        panic!("measured")
    };
    let answer = bench.switch.oversize(TAP, station(13), cookie, now).unwrap();
    let back = vec![A::PushVlan(one(3)), A::PushVlan(outer(4)), A::Output(TAP)];
    assert_eq!(answer.reply, Some(back));
    let on = vec![A::PushVlan(one(4)), A::PushVlan(outer(3)), A::Output(TAP)];
    assert_eq!(answer.fragment, Some(on));

    // The path became the sleeve's while the frame was on its way up.
    bench.switch.set_path(name(1), Some(Path::Sleeve), now);
    let answer = bench.switch.oversize(TAP, station(13), cookie, now).unwrap();
    assert_eq!((answer.mtu, answer.reply), (1450, None));

    // Neither way.
    bench.switch.port_removed(TAP, now);
    assert_eq!(
        bench.switch.oversize(TAP, station(13), cookie, now),
        Err(DropReason::NoPath)
    );
    assert_eq!(
        bench.switch.oversize(C1, station(13), 1, now),
        Err(DropReason::BadTag)
    );
}

#[test]
fn what_other_hosts_send_is_measured_on_every_path() {
    let mut bench = Bench::with(Config {
        mtu: 1450,
        too_long_to: Some(7),
        ..Config::default()
    });
    bench.switch.settle(bench.now);
    bench.introduce();
    let relayed = tap(Vlans::Two(outer(3), one(4)), station(14), station(13));
    let flooded = tap(Vlans::One(one(4)), station(14), Mac::BROADCAST);
    for key in [relayed, flooded] {
        let actions = bench.miss(&key).actions;
        assert_eq!(cookies(&actions).len(), 1, "{actions:?}");
    }
    let own = bench.miss(&key(C1, station(1), Mac::BROADCAST));
    assert_eq!(cookies(&own.actions), [], "containers here know the path's MTU");
}
