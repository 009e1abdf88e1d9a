//! The fake does what the kernel tests see the kernel do.

use model::Mac;
use openvswitch_sys::{Tag, UpcallCommand, UpcallKey, Vlans};

use super::*;

const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn frame() -> Vec<u8> {
    [&B[..], &A[..], &[0x88, 0xb5], &[7; 46]].concat()
}

fn key(in_port: PortNo, vlans: Vlans) -> FlowKey {
    FlowKey {
        in_port,
        src: Mac::new(A),
        dst: Mac::new(B),
        tunnel: None,
        vlans,
    }
}

fn host() -> (Fake, Datapath, PortNo) {
    let mut fake = Fake::new();
    let dp = fake
        .create_or_adopt(&"weave".parse().unwrap(), &[UpcallPid(1)])
        .unwrap();
    let spec = VportSpec {
        name: "veth0".parse().unwrap(),
        kind: VportKind::Netdev,
    };
    let port = fake.add_vport(&dp, &spec).unwrap();
    assert_eq!(
        fake.add_vport(&dp, &spec).unwrap(),
        port,
        "adding twice is adding once"
    );
    (fake, dp, port)
}

#[test]
fn a_miss_goes_up_and_its_answer_comes_down() {
    let (mut fake, dp, port) = host();
    fake.deliver(&dp, port, None, &frame());
    let mut seen = vec![];
    let actions = [Action::Output(PortNo::LOCAL)];
    let mut other = fake.clone();
    let received = fake
        .upcalls()
        .recv_batch(&mut |upcall| {
            seen.push((upcall.command, upcall.key));
            let put = [(upcall.key.flow_key(), actions.to_vec())];
            other
                .install_and_execute(&dp, &put, &[Execute::answer(&upcall, &actions)])
                .unwrap();
        })
        .unwrap();
    assert_eq!(received.count, 1);
    let UpcallKey { ethertype, vlans, .. } = seen[0].1;
    assert_eq!(
        (seen[0].0, ethertype, vlans),
        (UpcallCommand::Miss, Some(0x88b5), Vlans::None)
    );
    let expected = vec![Sent {
        port: PortNo::LOCAL,
        tunnel: None,
        frame: frame(),
    }];
    assert_eq!(fake.sent(), expected);

    fake.deliver(&dp, port, None, &frame());
    assert_eq!(fake.sent(), expected, "the flow forwards the next one");
    let stats = fake.datapath(&dp.name).unwrap().unwrap().stats;
    assert_eq!((stats.hit, stats.missed, stats.flows), (1, 1, 1));
    assert_eq!(
        fake.dump_flows(&dp).unwrap()[0].stats,
        FlowStats {
            packets: 1,
            bytes: 60
        }
    );
}

#[test]
fn tags_pushed_here_are_matched_and_popped_there() {
    let (mut fake, dp, port) = host();
    let tags = [
        Action::PushVlan(Tag::dot1q(5)),
        Action::PushVlan(Tag::dot1ad(9)),
        Action::Output(port),
    ];
    let send = Execute {
        packet: &frame(),
        key: PacketKey::InPort(PortNo::LOCAL),
        actions: &tags,
        hash: None,
    };
    assert_eq!(fake.execute(&dp, &[send]).unwrap(), [Ok(())]);
    let tagged = fake.sent().remove(0).frame;
    assert_eq!(tagged[12..20], [0x88, 0xa8, 0, 9, 0x81, 0, 0, 5]);

    let vlans = Vlans::Two(Tag::dot1ad(9), Tag::dot1q(5));
    let pop = vec![Action::PopVlan, Action::PopVlan, Action::Output(PortNo::LOCAL)];
    fake.put_flows(&dp, &[(key(port, vlans), pop)]).unwrap();
    fake.deliver(&dp, port, None, &tagged);
    assert_eq!(fake.sent()[0].frame, frame());
}

#[test]
fn a_long_frame_takes_the_other_branch() {
    let (mut fake, dp, port) = host();
    let check = Action::CheckPktLen {
        max: 60,
        greater: vec![Action::Userspace { pid: 1, cookie: 42 }],
        less_equal: vec![Action::Output(PortNo::LOCAL)],
    };
    fake.put_flows(&dp, &[(key(port, Vlans::None), vec![check])])
        .unwrap();
    fake.deliver(&dp, port, None, &frame());
    assert_eq!(fake.sent().len(), 1);
    let long = [frame(), vec![0]].concat();
    fake.deliver(&dp, port, None, &long);
    assert_eq!(fake.sent(), []);
    let mut cookies = vec![];
    fake.upcalls()
        .recv_batch(&mut |upcall| cookies.push((upcall.command, upcall.cookie())))
        .unwrap();
    assert_eq!(cookies, [(UpcallCommand::Action, Some(42))]);
}

#[test]
fn a_datapath_outlives_its_user() {
    let (mut fake, dp, port) = host();
    fake.put_flows(&dp, &[(key(port, Vlans::None), vec![])]).unwrap();
    let again = fake.create_or_adopt(&dp.name, &[UpcallPid(2)]).unwrap();
    assert!(again.adopted && again.ifindex == dp.ifindex);
    assert_eq!(fake.dump_flows(&again).unwrap().len(), 1);

    fake.set_features(&again, UserFeatures(0x9 | 0x2));
    assert_eq!(
        fake.reassert_dispatch(&again).unwrap(),
        Reasserted::Restored {
            found: UserFeatures(0xb)
        }
    );
    assert_eq!(fake.reassert_dispatch(&again).unwrap(), Reasserted::AsItWas);

    fake.delete_datapath(&dp).unwrap();
    fake.delete_datapath(&dp).unwrap();
    assert!(matches!(fake.dump_flows(&dp), Err(RequestError::DatapathGone)));
    let result = fake.put_flows(&dp, &[(key(port, Vlans::None), vec![])]).unwrap();
    assert_eq!(result, [Err(Refusal::DatapathGone)]);
}
