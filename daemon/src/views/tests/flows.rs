use std::net::Ipv4Addr;

use gossip::Departure;
use model::{Mac, Vni};
use openvswitch_sys::{Action, FlowKey, FlowMatch, FlowStats, PortNo, SetTunnel, TunnelKey, Vlans};

use super::*;
use crate::datapath::{FlowDump, MacPlace};

#[test]
fn flows_have_names_in_place_of_numbers() {
    let world = mesh();
    let short_id = |host: usize| world.hosts[host].plane().mesh.short_id();
    let own_to_two = u32::from(Vni::new(short_id(0), short_id(1)));
    let strange = (0..=0xfff)
        .map(ShortId::truncated)
        .find(|id| (0..3).all(|host| short_id(host) != *id));
    let two_to_strange = u32::from(Vni::new(short_id(1), strange.unwrap()));
    let (here, there) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let (src, dst) = (Mac::new([2, 0, 0, 0, 0, 1]), Mac::new([2, 0, 0, 0, 0, 2]));
    let flow = |key: FlowKey, actions, used| openvswitch_sys::Flow {
        ufid: Some(openvswitch_sys::Ufid([0xab; 16])),
        matches: FlowMatch::Canonical(key),
        actions,
        stats: FlowStats {
            packets: 3,
            bytes: 300,
        },
        used,
    };
    let tag = openvswitch_sys::Tag { tpid: 0x8100, vid: 7 };
    let dump = FlowDump {
        flows: vec![
            flow(
                FlowKey {
                    in_port: PortNo(2),
                    src,
                    dst,
                    tunnel: None,
                    vlans: Vlans::None,
                },
                vec![
                    Action::SetTunnel(SetTunnel {
                        id: own_to_two.into(),
                        src: here,
                        dst: there,
                        tos: 0,
                        ttl: 64,
                        dont_fragment: true,
                        csum: true,
                    }),
                    Action::CheckPktLen {
                        max: 1464,
                        greater: vec![Action::Userspace { pid: 5, cookie: 9 }],
                        less_equal: vec![Action::Output(PortNo(1))],
                    },
                ],
                Some(9_000),
            ),
            flow(
                FlowKey {
                    in_port: PortNo(1),
                    src: dst,
                    dst: src,
                    tunnel: Some(TunnelKey {
                        id: two_to_strange.into(),
                        src: there,
                        dst: here,
                    }),
                    vlans: Vlans::One(tag),
                },
                vec![Action::PopVlan, Action::PushVlan(tag), Action::Output(PortNo(99))],
                None,
            ),
        ],
        ports: BTreeMap::from([
            (PortNo(1), "vxlan-6784".to_owned()),
            (PortNo(2), "vwcab".to_owned()),
        ]),
        monotonic_ms: 10_000,
    };
    let [one, two] = names(&world);
    let directory = Directory::of(world.hosts[0].plane());
    let shown: Vec<Value> = flows(&dump, &directory).into_iter().map(json).collect();
    let peer = |host: usize, name: &str| {
        let nickname = format!("host{}", host + 1);
        json!({ "short_id": short_id(host), "name": name, "nickname": nickname })
    };
    let outer = |vni, source: Value, destination: Value, from, to| {
        json!({
            "vni": vni, "source": source, "destination": destination,
            "outer_source": from, "outer_destination": to,
        })
    };
    let tunnel = outer(own_to_two, peer(0, &one), peer(1, &two), here, there);
    let nobody = json!({ "short_id": strange.unwrap() });
    let from_two = outer(two_to_strange, peer(1, &two), nobody, there, here);
    let mut into_tunnel = tunnel;
    into_tunnel["action"] = json!("tunnel");
    let ufid = "ab".repeat(16);
    assert_eq!(
        shown,
        [
            json!({
                "ufid": ufid, "in_port": "vwcab", "src": src, "dst": dst,
                "actions": [
                    into_tunnel,
                    {
                        "action": "check_pkt_len", "max": 1464,
                        "greater": [{ "action": "userspace", "cookie": 9 }],
                        "less_equal": [{ "action": "output", "port": "vxlan-6784" }],
                    },
                ],
                "packets": 3, "bytes": 300, "used_ms_ago": 1000,
            }),
            json!({
                "ufid": ufid, "in_port": "vxlan-6784", "src": dst, "dst": src,
                "tunnel": from_two,
                "tags": [{ "tpid": 0x8100, "vid": 7 }],
                "actions": [
                    { "action": "pop_tag" },
                    { "action": "push_tag", "tpid": 0x8100, "vid": 7 },
                    { "action": "output", "port": "port 99" },
                ],
                "packets": 3, "bytes": 300,
            }),
        ]
    );
}

#[test]
fn stations_are_shown_at_their_peer_and_not_at_all_once_that_is_gone() {
    let mut world = mesh();
    let station = |last: u8, peer| MacPlace {
        mac: Mac::new([2, 0, 0, 0, 0, last]),
        peer,
        seen_ago: Some(seconds(u64::from(last))),
    };
    let third = world.hosts[2].plane().mesh.short_id();
    let places = [station(1, None), station(3, Some(third))];
    let shown = |world: &World| -> Vec<(String, Option<u64>)> {
        let directory = Directory::of(world.hosts[0].plane());
        let entries = macs(&places, &directory).into_iter();
        entries
            .map(|entry| (entry.peer.nickname.to_string(), entry.seen_ms_ago))
            .collect()
    };
    let own = ("host1".to_owned(), Some(1000));
    assert_eq!(shown(&world), [own.clone(), ("host3".to_owned(), Some(3000))]);
    world.stop(2, Departure::Leave);
    world.run(seconds(10));
    assert_eq!(shown(&world), [own]);
}
