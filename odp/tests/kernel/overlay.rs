//! Two hosts, each a namespace with a datapath, on one underlay.

use std::net::Ipv4Addr;

use model::Mac;
use odp::{Dpif, FlowMatch, Odp, UpcallSocket};
use openvswitch_sys::{Action, FlowKey, PortNo, SetTunnel, UpcallCommand, Vlans};

use crate::host::{frame, next_upcall, tunnel_key, vxlan};
use crate::namespace::{Namespace, sh};

struct Node {
    namespace: Namespace,
    odp: Odp,
    upcalls: UpcallSocket,
    dp: odp::Datapath,
    vxlan: PortNo,
    underlay: Ipv4Addr,
    mac: Mac,
}

/// Two hosts, 192.0.2.1 and .2 on the underlay, 10.9.0.1 and .2 on the overlay
fn pair() -> [Node; 2] {
    let (a, b) = (Namespace::current(), Namespace::new());
    a.enter();
    sh(&format!(
        "ip link add under type veth peer name under netns {}",
        b.path()
    ));
    [(1, a), (2, b)].map(|(n, namespace)| {
        namespace.enter();
        sh(&format!(
            "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
             ip addr add 192.0.2.{n}/24 dev under; ip link set under up"
        ));
        let mut odp = Odp::open().unwrap();
        let upcalls = UpcallSocket::open(1 << 20).unwrap();
        let dp = odp
            .create_or_adopt(&"weave".parse().unwrap(), &[upcalls.pid()])
            .unwrap();
        let vxlan = odp.add_vport(&dp, &vxlan()).unwrap();
        let mac = Mac::new([2, 0, 0, 0, 9, n]);
        sh(&format!(
            "ip link set weave address {mac} mtu 1400 up; ip addr add 10.9.0.{n}/24 dev weave
             ip neigh add 10.9.0.{o} lladdr 02:00:00:00:09:0{o} dev weave",
            o = 3 - n
        ));
        Node {
            namespace,
            odp,
            upcalls,
            dp,
            vxlan,
            underlay: Ipv4Addr::new(192, 0, 2, n),
            mac,
        }
    })
}

fn to(from: &Node, peer: &Node, id: u64) -> Action {
    let (src, dst) = (from.underlay, peer.underlay);
    Action::SetTunnel(SetTunnel {
        id,
        src,
        dst,
        tos: 0,
        ttl: 64,
        dont_fragment: true,
        csum: true,
    })
}

/// What a host sends to its peer, and what it delivers from there
fn flows(here: &Node, peer: &Node) -> Vec<(FlowKey, Vec<Action>)> {
    let key = |in_port, src, dst, tunnel| FlowKey {
        in_port,
        src,
        dst,
        tunnel,
        vlans: Vlans::None,
    };
    let tunnel = tunnel_key(0x2001, &peer.underlay.to_string(), &here.underlay.to_string());
    vec![
        (
            key(PortNo::LOCAL, here.mac, peer.mac, None),
            vec![to(here, peer, 0x2001), Action::Output(here.vxlan)],
        ),
        (
            key(here.vxlan, peer.mac, here.mac, Some(tunnel)),
            vec![Action::Output(PortNo::LOCAL)],
        ),
    ]
}

pub(crate) fn two_hosts_ping_over_vxlan() {
    let [mut a, mut b] = pair();
    for (here, flows) in [(0, flows(&a, &b)), (1, flows(&b, &a))] {
        let node = if here == 0 { &mut a } else { &mut b };
        assert_eq!(node.odp.put_flows(&node.dp, &flows).unwrap(), [Ok(()), Ok(())]);
    }
    a.namespace.enter();
    let ping = sh("ping -c 3 -i 0.2 -W 1 10.9.0.2");
    assert!(ping.contains("3 received"), "{ping}");
    for node in [&mut a, &mut b] {
        node.namespace.enter();
        for flow in node.odp.dump_flows(&node.dp).unwrap() {
            assert!(matches!(flow.matches, FlowMatch::Canonical(_)));
            assert_eq!(flow.stats.packets, 3, "{flow:?}");
        }
        let dump = sh("ovs-dpctl dump-flows weave");
        assert!(
            dump.contains("set(tunnel(tun_id=0x2001,") && dump.contains("packets:3"),
            "{dump}"
        );
    }

    // The kernel goes on without anybody.
    let Node { odp, upcalls, .. } = b;
    drop((odp, upcalls));
    a.namespace.enter();
    assert!(sh("ping -c 2 -i 0.2 -W 1 10.9.0.2").contains("2 received"));
}

pub(crate) fn a_heartbeat_arrives_as_a_miss_with_its_tunnel() {
    let [mut a, mut b] = pair();
    let mut beat = frame(&[0x88, 0xb5], 1414);
    beat[..12].fill(0);
    let actions = [to(&a, &b, 0x2001), Action::Output(a.vxlan)];
    let key = odp::PacketKey::InPort(PortNo::LOCAL);
    let execute = odp::Execute {
        packet: &beat,
        key,
        actions: &actions,
        hash: None,
    };
    assert_eq!(a.odp.execute(&a.dp, &[execute]).unwrap(), [Ok(())]);

    let seen = next_upcall(&mut b.upcalls).expect("the heartbeat");
    assert_eq!((seen.command, &seen.packet), (UpcallCommand::Miss, &beat));
    assert_eq!(
        (seen.key.in_port, seen.key.src, seen.key.dst),
        (b.vxlan, Mac::ZERO, Mac::ZERO)
    );
    assert_eq!(
        seen.key.tunnel,
        Some(tunnel_key(0x2001, "192.0.2.1", "192.0.2.2"))
    );
    assert_eq!(seen.key.ethertype, Some(0x88b5));
}
