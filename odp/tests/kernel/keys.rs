//! The kernel takes the canonical keys and the actions, packets match them, and dumps give them back.

use odp::{Dpif, FlowMatch};
use openvswitch_sys::{Action, ActionList, FlowKey, PortNo, SetTunnel, Tag, UpcallCommand, Vlans};

use crate::host::{DST, Host, SRC, frame, tunnel_key, vxlan};
use crate::namespace::sh;

const TYPE: [u8; 2] = [0x88, 0xb5];

fn tagged(tags: &[[u8; 4]]) -> Vec<u8> {
    frame(&[tags.concat(), TYPE.to_vec()].concat(), 80)
}

/// The one flow of the datapath, as the dump and as `ovs-dpctl` see it
#[track_caller]
fn assert_dumped(host: &mut Host, key: FlowKey, actions: &[Action]) {
    let flows = host.odp.dump_flows(&host.dp).unwrap();
    let flow = flows
        .iter()
        .find(|f| f.ufid == Some(key.ufid()))
        .expect("the flow by its id");
    assert_eq!(
        (&flow.matches, &flow.actions[..]),
        (&FlowMatch::Canonical(key), actions)
    );
    let dump = sh("ovs-dpctl dump-flows weave");
    for part in [
        format!("eth(src={},dst={})", key.src, key.dst),
        format!("actions:{}", ActionList(actions)),
    ] {
        assert!(dump.contains(&part), "{part}\nis not in\n{dump}");
    }
}

pub(crate) fn every_key_is_accepted_matched_and_dumped_as_itself() {
    let mut host = Host::new();
    let forms = [
        (Vlans::None, tagged(&[])),
        (Vlans::One(Tag::dot1q(0xabc)), tagged(&[[0x81, 0, 0x0a, 0xbc]])),
        (Vlans::One(Tag::dot1ad(0)), tagged(&[[0x88, 0xa8, 0, 0]])),
        (
            Vlans::Two(Tag::dot1ad(0xabc), Tag::dot1q(0x123)),
            tagged(&[[0x88, 0xa8, 0x0a, 0xbc], [0x81, 0, 0x01, 0x23]]),
        ),
        (
            Vlans::Two(Tag::dot1q(1), Tag::dot1q(2)),
            tagged(&[[0x81, 0, 0, 1], [0x81, 0, 0, 2]]),
        ),
    ];
    for (cookie, (vlans, frame)) in (1..).zip(forms) {
        host.inject(&frame);
        let miss = host.upcall();
        assert_eq!(
            (miss.command, &miss.packet),
            (UpcallCommand::Miss, &frame),
            "{vlans:?}"
        );
        assert_eq!(
            (miss.key.flow_key(), miss.key.ethertype),
            (host.key(vlans), Some(0x88b5))
        );

        let (key, actions) = (host.key(vlans), [host.tell(cookie)]);
        host.put(key, actions.to_vec());
        host.inject(&frame);
        let hit = host.upcall();
        assert_eq!(
            (hit.command, hit.cookie),
            (UpcallCommand::Action, Some(cookie)),
            "{vlans:?}"
        );
        assert_eq!(hit.packet, frame);
        assert_dumped(&mut host, key, &actions);
    }
    let masks = host
        .odp
        .datapath(&host.dp.name)
        .unwrap()
        .unwrap()
        .megaflow_stats
        .masks;
    assert_eq!(masks, 3, "one mask for each number of tags");
}

pub(crate) fn a_tunnel_key_is_accepted_matched_and_dumped_as_itself() {
    let mut host = Host::new();
    sh("ip addr add 192.0.2.1/24 dev lo");
    let port = host.odp.add_vport(&host.dp, &vxlan()).unwrap();
    let tunnel = tunnel_key(0xabc123, "192.0.2.1", "192.0.2.1");
    let key = FlowKey {
        in_port: port,
        src: SRC,
        dst: DST,
        tunnel: Some(tunnel),
        vlans: Vlans::None,
    };
    for csum in [false, true] {
        let set = SetTunnel {
            id: tunnel.id,
            src: tunnel.src,
            dst: tunnel.dst,
            tos: 0,
            ttl: 64,
            dont_fragment: true,
            csum,
        };
        let send = [Action::SetTunnel(set), Action::Output(port)];
        host.send(&tagged(&[]), &send);
        let miss = host.upcall();
        assert_eq!((miss.command, miss.key.flow_key()), (UpcallCommand::Miss, key));

        host.put(key, vec![host.tell(7)]);
        host.send(&tagged(&[]), &send);
        assert_eq!(
            host.upcall().cookie,
            Some(7),
            "also with other flags of the outer header"
        );
        let flow = host.odp.dump_flows(&host.dp).unwrap().remove(0);
        assert_eq!(
            (flow.matches, flow.ufid),
            (FlowMatch::Canonical(key), Some(key.ufid()))
        );
        assert_eq!(host.odp.del_flows(&host.dp, &[key.ufid()]).unwrap(), 1);
    }
}

pub(crate) fn a_tags_priority_does_not_matter() {
    let mut host = Host::new();
    host.put(host.key(Vlans::One(Tag::dot1q(5))), vec![host.tell(1)]);
    for priority in [0x00, 0x20, 0xe0] {
        let frame = tagged(&[[0x81, 0, priority, 5]]);
        host.inject(&frame);
        let hit = host.upcall();
        assert_eq!((hit.cookie, hit.packet), (Some(1), frame));
    }
}

pub(crate) fn an_untagged_key_does_not_match_tagged_frames() {
    let mut host = Host::new();
    host.put(host.key(Vlans::None), vec![host.tell(1)]);
    host.inject(&tagged(&[[0x81, 0, 0, 5]]));
    assert_eq!(host.upcall().command, UpcallCommand::Miss);
    let three = tagged(&[[0x88, 0xa8, 0, 1], [0x81, 0, 0, 2], [0x81, 0, 0, 3]]);
    host.inject(&three);
    let miss = host.upcall();
    assert_eq!(
        miss.key.vlans,
        Vlans::Two(Tag::dot1ad(1), Tag::dot1q(2)),
        "the outer two are parsed"
    );
    assert_eq!((miss.key.ethertype, miss.packet), (Some(0x8100), three));
}

pub(crate) fn actions_are_dumped_as_they_were_put() {
    let mut host = Host::new();
    let vxlan = host.odp.add_vport(&host.dp, &vxlan()).unwrap();
    let set = |dont_fragment, csum, tos| {
        let (src, dst) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        Action::SetTunnel(SetTunnel {
            id: 0x1002,
            src,
            dst,
            tos,
            ttl: 64,
            dont_fragment,
            csum,
        })
    };
    let near = Action::Output(host.near);
    let lists = [
        vec![],
        vec![near.clone(), Action::Output(PortNo::LOCAL)],
        vec![set(true, true, 0), Action::Output(vxlan)],
        vec![
            set(false, false, 4),
            Action::Output(vxlan),
            set(true, false, 0),
            Action::Output(vxlan),
        ],
        vec![Action::PushVlan(Tag::dot1q(5)), near.clone()],
        vec![
            Action::PushVlan(Tag::dot1q(5)),
            Action::PushVlan(Tag::dot1ad(0xfff)),
            near.clone(),
        ],
        vec![Action::PopVlan, Action::PopVlan, near.clone()],
        vec![host.tell(0xfeed)],
        vec![
            near.clone(),
            Action::CheckPktLen {
                max: 1414,
                greater: vec![host.tell(9)],
                less_equal: vec![set(true, true, 0), Action::Output(vxlan)],
            },
        ],
        vec![Action::CheckPktLen {
            max: 1500,
            greater: vec![],
            less_equal: vec![
                near.clone(),
                Action::CheckPktLen {
                    max: 1400,
                    greater: vec![near],
                    less_equal: vec![host.tell(1)],
                },
            ],
        }],
    ];
    let key = host.key(Vlans::None);
    for actions in lists {
        host.put(key, actions.clone());
        assert_dumped(&mut host, key, &actions);
    }
}

pub(crate) fn the_length_of_a_frame_chooses_the_branch() {
    let mut host = Host::new();
    let check = Action::CheckPktLen {
        max: 100,
        greater: vec![host.tell(1)],
        less_equal: vec![host.tell(2)],
    };
    host.put(host.key(Vlans::None), vec![check]);
    for (len, cookie) in [(99, 2), (100, 2), (101, 1)] {
        host.inject(&frame(&TYPE, len));
        assert_eq!(
            host.upcall().cookie,
            Some(cookie),
            "{len} bytes with the Ethernet header"
        );
    }
}

pub(crate) fn tags_are_pushed_and_popped() {
    let mut host = Host::new();
    let tags = Vlans::Two(Tag::dot1ad(0xabc), Tag::dot1q(0x123));
    host.put(
        host.key(tags),
        vec![Action::PopVlan, Action::PopVlan, host.tell(1)],
    );
    let push = [
        Action::PushVlan(Tag::dot1q(0x123)),
        Action::PushVlan(Tag::dot1ad(0xabc)),
        Action::Output(host.near),
        Action::PopVlan,
        Action::Output(host.near),
    ];
    host.send(&tagged(&[]), &push);
    // Both copies may wait by now: take what comes.
    let mut seen = vec![];
    while seen.len() < 2 {
        assert!(crate::namespace::wait(&host.upcalls));
        let keep = |u: odp::Upcall<'_>| seen.push((u.cookie(), u.key.vlans, u.packet.to_vec()));
        host.upcalls.recv_batch(keep).unwrap();
    }
    seen.sort_by_key(|(cookie, ..)| *cookie);
    let (one, untagged) = (Vlans::One(Tag::dot1q(0x123)), tagged(&[]));
    let inner = [&untagged[..12], &[0x81, 0, 0x01, 0x23], &untagged[12..]].concat();
    assert_eq!(seen[0], (None, one, inner), "pushed twice, popped once");
    assert_eq!(
        (seen[1].0, &seen[1].2),
        (Some(1), &untagged),
        "pushed twice, popped twice"
    );
}
