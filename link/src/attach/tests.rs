use std::process::Command;

use nix::errno::Errno;

use super::*;
use crate::links::Links;
use crate::testing::{
    Capture, Process, addresses_of, assert_same, attach, detach, has_ipv6, ip, name, named_container,
    on_a_host, run, snapshot, sysctl_in,
};

mod detaching;
mod failing;

#[test]
fn a_container_gets_its_interface_with_everything_set() {
    on_a_host(|links| async move {
        let mut wanted = attach(named_container("c1"), &["10.32.0.5/12", "10.48.0.5/24"]);
        wanted.mac = Some("7a:c0:00:12:34:56".parse().unwrap());
        let attached = wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();

        let inside = ip(&["-n", "c1", "-d", "addr"]);
        assert_eq!(addresses_of(&inside, "ethwe"), ["10.32.0.5/12", "10.48.0.5/24"]);
        let ethwe = &ip(&["-n", "c1", "link", "show", "ethwe"])[0];
        assert_eq!(ethwe["mtu"], 1400);
        assert_eq!(ethwe["address"], "7a:c0:00:12:34:56");
        assert_eq!(ethwe["ifindex"], attached.container_index);
        assert!(ethwe["flags"].as_array().unwrap().contains(&"LOWER_UP".into()));
        let routes = run("ip", &["-n", "c1", "route"]);
        assert!(routes.contains("224.0.0.0/4 dev ethwe"), "{routes}");
        let host = &ip(&["link", "show", "vethwepltest"])[0];
        assert_eq!(host["mtu"], 1400);
        assert_eq!(host["ifindex"], attached.host_index);
        assert!(host.get("master").is_none());
        assert!(host["flags"].as_array().unwrap().contains(&"UP".into()));

        for (path, value) in [
            ("ipv4/neigh/ethwe/base_reachable_time_ms", "5000"),
            ("ipv4/neigh/ethwe/delay_first_probe_time", "2"),
            ("ipv4/neigh/ethwe/ucast_solicit", "1"),
            ("ipv4/conf/ethwe/promote_secondaries", "1"),
        ] {
            assert_eq!(sysctl_in("c1", path), value, "{path}");
        }
        if has_ipv6() {
            assert_eq!(sysctl_in("c1", "ipv6/conf/ethwe/accept_ra"), "0");
            assert_eq!(
                run("cat", &["/proc/sys/net/ipv6/conf/vethwepltest/accept_ra"]),
                "0\n"
            );
        }
        assert!(attached.created && attached.warnings.is_empty());
        assert_eq!(attached.mac.to_string(), "7a:c0:00:12:34:56");
        assert_eq!(attached.added.len(), 2);
    });
}

#[test]
fn attaching_twice_is_attaching_once() {
    on_a_host(|links| async move {
        let bridge = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        let mut wanted = attach(named_container("c1"), &["10.32.0.5/12", "fd00::5/64"]);
        if !has_ipv6() {
            wanted.addresses.truncate(1);
        }
        wanted.master = Some(bridge.index);
        let plan = wanted.clone().plan(&links).await.unwrap();
        plan.apply(&links).await.unwrap();
        let once = snapshot(&["c1"]);

        let again = wanted.plan(&links).await.unwrap();
        assert_eq!(again.steps(), []);
        let attached = again.apply(&links).await.unwrap();
        assert!(!attached.created && attached.added.is_empty());
        assert_same(&snapshot(&["c1"]), &once, "in the end");
        assert!(attached.undo(&links).await.is_empty());
        assert_same(&snapshot(&["c1"]), &once, "in the end");
    });
}

#[test]
fn another_attach_only_adds_addresses() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        let first = attach(container.clone(), &["10.32.0.5/12"]);
        first.plan(&links).await.unwrap().apply(&links).await.unwrap();
        let before = snapshot(&["c1"]);

        let second = attach(container, &["10.48.0.5/24", "10.32.0.6/12"]);
        let plan = second.plan(&links).await.unwrap();
        let added = ["10.48.0.5/24", "10.32.0.6/12"].map(|a| Step::AddAddress(a.parse().unwrap()));
        assert_eq!(plan.steps(), [added[0], added[1], Step::Announce]);
        let attached = plan.apply(&links).await.unwrap();
        let inside = ip(&["-n", "c1", "addr"]);
        assert_eq!(
            addresses_of(&inside, "ethwe"),
            ["10.32.0.5/12", "10.48.0.5/24", "10.32.0.6/12"]
        );

        assert!(attached.undo(&links).await.is_empty());
        assert_same(&snapshot(&["c1"]), &before, "in the end");
    });
}

#[test]
fn undoing_leaves_all_as_before() {
    on_a_host(|links| async move {
        let bridge = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        let mut wanted = attach(named_container("c1"), &["10.32.0.5/12"]);
        wanted.master = Some(bridge.index);
        let before = snapshot(&["c1"]);
        let attached = wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        assert_ne!(snapshot(&["c1"]), before);
        assert!(attached.undo(&links).await.is_empty());
        assert_same(&snapshot(&["c1"]), &before, "in the end");
    });
}

#[test]
fn a_bridge_port_may_send_a_frame_back() {
    on_a_host(|links| async move {
        let bridge = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        let container = named_container("c1");
        for hairpin in [true, false] {
            let mut wanted = attach(container.clone(), &["10.32.0.5/12"]);
            wanted.master = Some(bridge.index);
            wanted.hairpin = hairpin;
            let attached = wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
            let port = &ip(&["-d", "link", "show", "vethwepltest"])[0];
            assert_eq!(port["master"], "weave");
            assert_eq!(port["linkinfo"]["info_slave_data"]["hairpin"], hairpin);
            assert!(attached.undo(&links).await.is_empty());
        }
    });
}

#[test]
fn the_neighbours_hear_of_every_new_address() {
    on_a_host(|links| async move {
        let bridge = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        let capture = Capture::start("weave", "arp or (icmp6 and icmp6[0] == 136)", 2);
        let mut wanted = attach(named_container("c1"), &["10.32.0.5/12", "fd00::5/64"]);
        wanted.mac = Some("7a:c0:00:12:34:56".parse().unwrap());
        wanted.master = Some(bridge.index);
        let attached = wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        assert!(attached.warnings.is_empty(), "{:?}", attached.warnings);
        let heard = capture.text();
        assert!(heard.contains("7a:c0:00:12:34:56 > ff:ff:ff:ff:ff:ff"), "{heard}");
        assert!(
            heard.contains("Announcement 10.32.0.5") || heard.contains("who-has 10.32.0.5 tell 10.32.0.5"),
            "{heard}"
        );
        assert!(heard.contains("7a:c0:00:12:34:56 > 33:33:00:00:00:01"), "{heard}");
        assert!(heard.contains("neighbor advertisement"), "{heard}");
        assert!(heard.contains("tgt is fd00::5, Flags [override]"), "{heard}");
        assert!(!heard.contains("bad icmp6 cksum"), "{heard}");
    });
}

#[test]
fn the_caller_announces_where_it_made_the_port() {
    on_a_host(|links| async move {
        let wanted = attach(named_container("c1"), &["10.32.0.5/12"]);
        let plan = wanted.plan(&links).await.unwrap();
        assert!(!plan.steps().contains(&Step::Announce));
        let attached = plan.apply(&links).await.unwrap();
        let capture = Capture::start("vethwepltest", "arp", 1);
        attached.announce().await.unwrap();
        let heard = capture.text();
        assert!(heard.contains("10.32.0.5"), "{heard}");
    });
}

#[test]
fn a_process_is_attached_and_its_pair_goes_with_it() {
    on_a_host(|links| async move {
        let process = Process::start();
        let wanted = attach(process.netns(), &["10.32.0.5/12"]);
        let attached = wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        assert!(run("ip", &["link"]).contains("vethwepltest"));
        let mut events = links.watch().await.unwrap();
        drop(process);
        // Nothing here keeps the namespace alive.
        loop {
            if let Some(crate::LinkEvent::LinkRemoved { name, .. }) = events.next().await {
                assert_eq!(name, attached.host_if);
                break;
            }
        }
        assert!(attached.announce().await.is_err());
        assert!(attached.undo(&links).await.is_empty());
    });
}

#[test]
fn what_was_left_half_done_is_completed() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        run(
            "ip",
            &[
                "link",
                "add",
                "vethwepltest",
                "type",
                "veth",
                "peer",
                "name",
                "ethwe",
                "netns",
                "c1",
            ],
        );
        let wanted = attach(container, &["10.32.0.5/12"]);
        let plan = wanted.clone().plan(&links).await.unwrap();
        assert!(!plan.steps().contains(&Step::CreatePair));
        let before = snapshot(&["c1"]);
        let attached = plan.apply(&links).await.unwrap();
        assert!(attached.undo(&links).await.is_empty());
        assert_same(&snapshot(&["c1"]), &before, "in the end");

        plan.apply(&links).await.unwrap();
        assert_eq!(ip(&["-n", "c1", "link", "show", "ethwe"])[0]["mtu"], 1400);
        assert_eq!(ip(&["link", "show", "vethwepltest"])[0]["mtu"], 1400);
        assert_eq!(sysctl_in("c1", "ipv4/neigh/ethwe/ucast_solicit"), "1");
        assert!(wanted.plan(&links).await.unwrap().steps().is_empty());
    });
}

#[test]
fn sysctls_that_cannot_be_written_are_warnings() {
    on_a_host(|links| async move {
        run("mount", &["-o", "bind", "/proc/sys", "/proc/sys"]);
        run("mount", &["-o", "remount,bind,ro", "/proc/sys"]);
        let wanted = attach(named_container("c1"), &["10.32.0.5/12"]);
        let attached = wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        assert!(!attached.warnings.is_empty());
        assert!(
            attached.warnings.iter().all(|w| matches!(w, Warning::Sysctl(_))),
            "{:?}",
            attached.warnings
        );
        assert_eq!(
            addresses_of(&ip(&["-n", "c1", "addr"]), "ethwe"),
            ["10.32.0.5/12"]
        );
    });
}

#[test]
fn another_multicast_route_stays_and_is_a_warning() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        run("ip", &["-n", "c1", "link", "add", "eth0", "type", "bridge"]);
        run("ip", &["-n", "c1", "link", "set", "eth0", "up"]);
        run("ip", &["-n", "c1", "route", "add", "224.0.0.0/4", "dev", "eth0"]);
        let wanted = attach(container, &["10.32.0.5/12"]);
        let attached = wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        assert!(
            matches!(attached.warnings[..], [Warning::OtherMulticastRoute]),
            "{:?}",
            attached.warnings
        );
        assert!(run("ip", &["-n", "c1", "route"]).contains("224.0.0.0/4 dev eth0"));
    });
}

#[test]
fn ipv6_is_turned_on_for_an_ipv6_address() {
    if !has_ipv6() {
        println!("not run: needs IPv6");
        return;
    }
    on_a_host(|links| async move {
        let container = named_container("c1");
        for which in ["all", "default"] {
            let path = format!("net.ipv6.conf.{which}.disable_ipv6=1");
            run("ip", &["netns", "exec", "c1", "sysctl", "-qw", &path]);
        }
        attach(container.clone(), &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap();
        assert_eq!(sysctl_in("c1", "ipv6/conf/ethwe/disable_ipv6"), "1");
        attach(container, &["fd00::5/64"])
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap();
        assert_eq!(
            addresses_of(&ip(&["-n", "c1", "addr"]), "ethwe"),
            ["10.32.0.5/12", "fd00::5/64"]
        );
    });
}

#[test]
fn attached_containers_reach_each_other_over_a_bridge() {
    on_a_host(|links| async move {
        let bridge = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        for (container, address) in [("c1", "10.32.0.1/12"), ("c2", "10.32.0.2/12")] {
            let mut wanted = attach(named_container(container), &[address]);
            wanted.host_if = crate::host_end(&container.parse().unwrap(), &wanted.container_if);
            wanted.master = Some(bridge.index);
            wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        }
        run(
            "ip",
            &[
                "netns",
                "exec",
                "c1",
                "ping",
                "-q",
                "-c",
                "1",
                "-W",
                "5",
                "10.32.0.2",
            ],
        );
        // Full-sized and unfragmented: both ends have the MTU that was asked for.
        run(
            "ip",
            &[
                "netns",
                "exec",
                "c1",
                "ping",
                "-q",
                "-c",
                "1",
                "-W",
                "5",
                "-M",
                "do",
                "-s",
                "1372",
                "10.32.0.2",
            ],
        );
        let too_big = [
            "netns",
            "exec",
            "c1",
            "ping",
            "-q",
            "-c",
            "1",
            "-W",
            "1",
            "-M",
            "do",
            "-s",
            "1373",
            "10.32.0.2",
        ];
        assert!(
            !Command::new("ip")
                .args(too_big)
                .output()
                .unwrap()
                .status
                .success()
        );
    });
}

fn kernel(errno: Errno) -> StepError {
    StepError::Netlink(NetlinkError::Kernel(errno))
}
