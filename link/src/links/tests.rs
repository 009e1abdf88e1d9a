use super::*;
use crate::testing::{
    addresses_of, assert_same, card, has_ipv6, ip, name, named_container, on_a_host, run, snapshot,
};

#[test]
fn a_bridge_is_made_once_and_keeps_its_mtu_and_address() {
    on_a_host(|links| async move {
        for mtu in [1376, 1500, 65535] {
            let mac = "7a:c0:00:12:34:56".parse().unwrap();
            let bridge = name("weave");
            links.ensure_bridge(&bridge, mtu, Some(mac)).await.unwrap();
            let once = snapshot(&[]);
            let state = links.ensure_bridge(&bridge, mtu, Some(mac)).await.unwrap();
            assert_same(&snapshot(&[]), &once, "in the end");
            // A narrower port with a lower address pulls down both where they are not fixed.
            run(
                "ip",
                &[
                    "link",
                    "add",
                    "p0",
                    "address",
                    "02:00:00:00:00:01",
                    "mtu",
                    "1280",
                    "type",
                    "veth",
                    "peer",
                    "p1",
                ],
            );
            links.set_master(&name("p0"), Some(state.index)).await.unwrap();
            let judged = &ip(&["-d", "link", "show", "weave"])[0];
            assert_eq!(judged["mtu"], mtu);
            assert_eq!(judged["address"], "7a:c0:00:12:34:56");
            assert_eq!(judged["linkinfo"]["info_kind"], "bridge");
            assert_eq!(judged["linkinfo"]["info_data"]["mcast_snooping"], 0);
            assert_eq!(judged["linkinfo"]["info_data"]["stp_state"], 0);
            assert_eq!(ip(&["link", "show", "p0"])[0]["master"], "weave");
            links.set_master(&name("p0"), None).await.unwrap();
            assert!(ip(&["link", "show", "p0"])[0].get("master").is_none());
            for device in ["weave", "p0"] {
                assert!(links.delete(&name(device)).await.unwrap());
            }
        }
    });
}

#[test]
fn a_bridge_without_a_given_address_keeps_the_one_it_was_born_with() {
    on_a_host(|links| async move {
        let state = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        card("p0", &["address", "02:00:00:00:00:01", "master", "weave"]);
        assert_eq!(
            ip(&["link", "show", "weave"])[0]["address"],
            state.mac.unwrap().to_string()
        );
    });
}

#[test]
fn a_device_of_another_kind_is_left_alone() {
    on_a_host(|links| async move {
        card("weave", &[]);
        let before = snapshot(&[]);
        let error = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap_err();
        assert_eq!(error.to_string(), "device weave exists and is a veth device");
        assert_same(&snapshot(&[]), &before, "in the end");
    });
}

#[test]
fn addresses_come_and_go_and_twice_is_once() {
    on_a_host(|links| async move {
        let bridge = name("weave");
        links.ensure_bridge(&bridge, 1400, None).await.unwrap();
        let address: IpNetwork = "10.32.0.1/12".parse().unwrap();
        assert!(links.add_address(&bridge, address).await.unwrap());
        assert!(!links.add_address(&bridge, address).await.unwrap());
        let judged = ip(&["addr", "show", "weave"]);
        assert_eq!(addresses_of(&judged, "weave"), ["10.32.0.1/12"]);
        assert_eq!(judged[0]["addr_info"][0]["broadcast"], "10.47.255.255");
        if has_ipv6() {
            let v6: IpNetwork = "fd00::1/64".parse().unwrap();
            assert!(links.add_address(&bridge, v6).await.unwrap());
            assert!(!run("ip", &["-6", "addr", "show", "weave", "scope", "global"]).contains("tentative"));
            assert!(links.addresses(&bridge).await.unwrap().contains(&v6));
        }
        assert!(links.addresses(&bridge).await.unwrap().contains(&address));
        assert!(links.remove_address(&bridge, address).await.unwrap());
        assert!(!links.remove_address(&bridge, address).await.unwrap());
        assert!(!addresses_of(&ip(&["addr"]), "weave").contains(&"10.32.0.1/12".to_owned()));
    });
}

#[test]
fn what_is_not_there_is_deleted_already_and_cannot_be_set_up() {
    on_a_host(|links| async move {
        let absent = name("nosuch0");
        assert_eq!(links.index(&absent).await, Ok(None));
        assert_eq!(links.delete(&absent).await, Ok(false));
        assert_eq!(
            links.remove_address(&absent, "10.0.0.1/8".parse().unwrap()).await,
            Ok(false)
        );
        let error = NetlinkError::NoDevice("nosuch0".to_owned());
        assert_eq!(links.ensure_up(&absent).await, Err(error.clone()));
        assert_eq!(links.set_mtu(&absent, 1400).await, Err(error));
    });
}

#[test]
fn the_list_is_what_ip_lists() {
    on_a_host(|links| async move {
        links.ensure_veth(&name("a0"), &name("b0"), 1300).await.unwrap();
        links.ensure_veth(&name("a0"), &name("b0"), 1300).await.unwrap();
        run(
            "ip",
            &[
                "link", "add", "vx0", "type", "vxlan", "external", "dstport", "6784",
            ],
        );
        run("ip", &["tuntap", "add", "tap0", "mode", "tap"]);
        run("ip", &["addr", "add", "10.1.2.3/24", "dev", "a0"]);
        let list = links.list().await.unwrap();
        let judged = ip(&["-d", "addr"]);
        let judged = judged.as_array().unwrap();
        assert_eq!(list.len(), judged.len());
        for (ours, theirs) in list.iter().zip(judged) {
            assert_eq!(ours.name.as_str(), theirs["ifname"]);
            assert_eq!(ours.index, theirs["ifindex"]);
            assert_eq!(ours.mtu, theirs["mtu"]);
            assert_eq!(ours.mac.unwrap().to_string(), theirs["address"]);
            let flags = theirs["flags"].as_array().unwrap();
            assert_eq!(ours.up, flags.contains(&"UP".into()));
            assert_eq!(ours.running, ours.up && flags.contains(&"LOWER_UP".into()));
            assert_eq!(
                ours.addresses.len(),
                theirs["addr_info"].as_array().unwrap().len()
            );
        }
        let by_name = |text: &str| list.iter().find(|l| l.name == name(text)).unwrap();
        assert_eq!(by_name("lo").kind, LinkKind::Loopback);
        assert_eq!(by_name("a0").kind, LinkKind::Veth);
        assert_eq!(by_name("a0").peer, Some(by_name("b0").index));
        assert_eq!(by_name("vx0").kind, LinkKind::Vxlan);
        assert_eq!(by_name("tap0").kind, LinkKind::Tun);
        assert!(by_name("a0").addresses.contains(&"10.1.2.3/24".parse().unwrap()));
    });
}

#[test]
fn many_readers_share_one_socket() {
    on_a_host(|links| async move {
        let readers: Vec<_> = (0..20)
            .map(|_| {
                let links = links.clone();
                tokio::spawn(async move { links.list().await })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap().unwrap().len(), 1);
        }
    });
}

#[test]
fn the_underlay_is_where_the_default_route_goes() {
    on_a_host(|links| async move {
        assert_eq!(links.underlay_mtu(&[]).await, Ok(None));
        card("eth0", &["mtu", "1414"]);
        run("ip", &["addr", "add", "192.0.2.1/24", "dev", "eth0"]);
        run("ip", &["link", "set", "eth0", "up"]);
        card("eth1", &["mtu", "9000"]);
        run("ip", &["addr", "add", "198.51.100.1/24", "dev", "eth1"]);
        run("ip", &["link", "set", "eth1", "up"]);
        assert_eq!(links.underlay_mtu(&[]).await, Ok(Some(9000)));
        assert_eq!(links.underlay_mtu(&[name("eth1")]).await, Ok(Some(1414)));
        run("ip", &["route", "add", "default", "via", "192.0.2.254"]);
        assert_eq!(links.underlay_mtu(&[]).await, Ok(Some(1414)));

        let routes = links.routes().await.unwrap();
        let default = routes.iter().find(|r| r.is_default()).unwrap();
        assert_eq!(default.gateway, Some("192.0.2.254".parse().unwrap()));
        let v4 = routes.iter().filter(|r| r.destination.is_ipv4()).count();
        assert_eq!(Some(v4), ip(&["-4", "route"]).as_array().map(Vec::len));
    });
}

#[test]
fn links_of_another_namespace_stay_there() {
    on_a_host(|links| async move {
        let netns = named_container("c1").open().unwrap();
        let inside = Links::open_in(&netns).await.unwrap();
        assert!(inside.is_in(netns.id()) && !links.is_in(netns.id()));
        inside.ensure_bridge(&name("br0"), 1400, None).await.unwrap();
        assert!(run("ip", &["-n", "c1", "link"]).contains("br0"));
        assert!(!run("ip", &["link"]).contains("br0"));
    });
}

#[test]
fn transmit_checksums_are_turned_off() {
    on_a_host(|links| async move {
        let device = name("a0");
        assert_eq!(
            crate::disable_tx_checksum(&device),
            Err(crate::OffloadError::NoDevice(device.clone()))
        );
        links.ensure_veth(&device, &name("b0"), 1400).await.unwrap();
        assert!(run("ethtool", &["-k", "a0"]).contains("tx-checksumming: on"));
        crate::disable_tx_checksum(&device).unwrap();
        crate::disable_tx_checksum(&device).unwrap();
        assert!(run("ethtool", &["-k", "a0"]).contains("tx-checksumming: off"));
    });
}
