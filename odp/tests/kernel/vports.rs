//! Ports: added, adopted, refused, gone.

use odp::{DelVportError, Dpif, VportChange, VportError, VportEvents, VportKind, VportSpec};
use openvswitch_sys::PortNo;

use crate::host::{Host, netdev, vxlan};
use crate::namespace::{sh, wait};

pub(crate) fn ports_are_added_adopted_and_removed() {
    let mut host = Host::new();
    let internal = VportSpec {
        name: "inside".parse().unwrap(),
        kind: VportKind::Internal,
    };
    let mut ports = vec![];
    for spec in [vxlan(), internal] {
        let port = host.odp.add_vport(&host.dp, &spec).unwrap();
        assert_eq!(host.odp.add_vport(&host.dp, &spec).unwrap(), port, "{spec:?}");
        ports.push(port);
    }

    let listed = host.odp.vports(&host.dp).unwrap();
    let listed: Vec<_> = listed.iter().map(|v| (v.port, v.name.as_str(), v.kind)).collect();
    let expected = [
        (PortNo::LOCAL, "weave", VportKind::Internal),
        (host.near, "near", VportKind::Netdev),
        (host.far, "far", VportKind::Netdev),
        (ports[0], "vxlan-6784", VportKind::Vxlan { udp_port: 6784 }),
        (ports[1], "inside", VportKind::Internal),
    ];
    assert_eq!(listed, expected);
    let show = sh("ovs-dpctl show");
    for line in [
        "port 0: weave (internal)",
        "port 1: near",
        "port 3: vxlan-6784 (vxlan: packet_type=ptap)",
    ] {
        assert!(show.contains(line), "{line}\nis not in\n{show}");
    }

    for port in [host.near, ports[0], ports[1]] {
        host.odp.del_vport(&host.dp, port).unwrap();
        host.odp.del_vport(&host.dp, port).unwrap();
    }
    assert_eq!(host.odp.vports(&host.dp).unwrap().len(), 2);
    let local = host.odp.del_vport(&host.dp, PortNo::LOCAL);
    assert!(matches!(local, Err(DelVportError::Local(PortNo(0)))));
    sh("ip link show near"); // a netdev port's device stays
    assert!(!sh("ip link").contains("vxlan-6784"));
}

pub(crate) fn a_port_that_cannot_be_says_why() {
    let mut host = Host::new();
    let mut add = |spec: &VportSpec| host.odp.add_vport(&host.dp, spec).unwrap_err();

    let error = add(&netdev("nowhere"));
    assert!(matches!(error, VportError::NoDevice { .. }), "{error:?}");
    let error = add(&netdev("lo"));
    assert!(matches!(error, VportError::Unsuitable { .. }), "{error:?}");
    let error = add(&VportSpec {
        name: "near".parse().unwrap(),
        kind: VportKind::Internal,
    });
    assert!(
        matches!(
            error,
            VportError::OtherKind {
                found: VportKind::Netdev,
                ..
            }
        ),
        "{error:?}"
    );

    sh("ip link add bridge0 type bridge; ip link add member type dummy; ip link set member master bridge0");
    let error = add(&netdev("member"));
    assert!(matches!(error, VportError::DeviceBusy { .. }), "{error:?}");

    sh("ip link add vxlan-6784 type dummy");
    let error = add(&vxlan());
    assert!(matches!(error, VportError::DeviceExists { .. }), "{error:?}");

    let _holder = std::net::UdpSocket::bind("0.0.0.0:6785").unwrap();
    let error = add(&VportSpec {
        name: "vx".parse().unwrap(),
        kind: VportKind::Vxlan { udp_port: 6785 },
    });
    assert!(
        matches!(error, VportError::PortInUse { udp_port: 6785 }),
        "{error:?}"
    );
    assert!(!sh("ip link").contains("vx:"), "nothing is left of it");

    sh("ip link del vxlan-6784; ovs-dpctl del-dp weave");
    let error = add(&netdev("near"));
    assert!(
        matches!(error, VportError::Request(odp::RequestError::DatapathGone)),
        "{error:?}"
    );
}

pub(crate) fn events_tell_of_ports_that_come_and_go() {
    let mut events = VportEvents::open().unwrap();
    let mut host = Host::new();
    let vx = host.odp.add_vport(&host.dp, &vxlan()).unwrap();
    host.odp.del_vport(&host.dp, vx).unwrap();
    sh("ip link del near"); // takes both ends with it

    let mut seen = vec![];
    while seen.len() < 6 {
        assert!(wait(&events), "only {seen:?}");
        events
            .recv_batch(|event| {
                assert_eq!(event.dp, host.dp.ifindex);
                seen.push(match event.change {
                    VportChange::Added(v) => ("added", v.port, v.name),
                    VportChange::Changed(v) => ("changed", v.port, v.name),
                    VportChange::Removed { port, name } => ("removed", port, name),
                });
            })
            .unwrap();
    }
    seen[4..].sort();
    let seen: Vec<_> = seen
        .iter()
        .map(|(what, port, name)| (*what, *port, name.as_str()))
        .collect();
    let expected = [
        ("added", host.near, "near"),
        ("added", host.far, "far"),
        ("added", vx, "vxlan-6784"),
        ("removed", vx, "vxlan-6784"),
        ("removed", host.near, "near"),
        ("removed", host.far, "far"),
    ];
    assert_eq!(seen, expected);
}
