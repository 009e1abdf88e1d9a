use proptest::prelude::*;

use super::*;
use crate::testing::{card, many_addresses, name, on_a_host, run};

#[test]
fn devices_addresses_and_routes_are_seen_coming_and_going() {
    on_a_host(|links| async move {
        let mut watch = links.watch().await.unwrap();
        card("d0", &[]);
        run("ip", &["link", "set", "d0", "up"]);
        run("ip", &["addr", "add", "10.1.0.1/24", "dev", "d0"]);
        run("ip", &["route", "add", "192.0.2.0/24", "via", "10.1.0.254"]);
        run("ip", &["route", "del", "192.0.2.0/24"]);
        run("ip", &["addr", "del", "10.1.0.1/24", "dev", "d0"]);
        run("ip", &["link", "set", "d0", "down"]);
        run("ip", &["link", "del", "d0"]);

        let d0 = name("d0");
        let address: IpNetwork = "10.1.0.1/24".parse().unwrap();
        let route = |r: &RouteState| r.destination == "192.0.2.0/24".parse().unwrap();
        seen(
            &mut watch,
            |e| matches!(e, LinkEvent::Link(l) if l.name == d0 && !l.up),
        )
        .await;
        seen(
            &mut watch,
            |e| matches!(e, LinkEvent::Link(l) if l.name == d0 && l.up),
        )
        .await;
        seen(
            &mut watch,
            |e| matches!(e, LinkEvent::Address { address: a, .. } if *a == address),
        )
        .await;
        seen(&mut watch, |e| matches!(e, LinkEvent::Route(r) if route(r))).await;
        seen(
            &mut watch,
            |e| matches!(e, LinkEvent::RouteRemoved(r) if route(r)),
        )
        .await;
        seen(
            &mut watch,
            |e| matches!(e, LinkEvent::AddressRemoved { address: a, .. } if *a == address),
        )
        .await;
        seen(
            &mut watch,
            |e| matches!(e, LinkEvent::Link(l) if l.name == d0 && !l.up),
        )
        .await;
        seen(
            &mut watch,
            |e| matches!(e, LinkEvent::LinkRemoved { name, .. } if *name == d0),
        )
        .await;
        assert_eq!(watch.lost(), 0);
    });
}

#[test]
fn a_changed_port_of_a_bridge_is_seen() {
    on_a_host(|links| async move {
        links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        card("d0", &["master", "weave"]);
        assert!(!links.link(&name("d0")).await.unwrap().unwrap().hairpin);
        let mut watch = links.watch().await.unwrap();
        run("bridge", &["link", "set", "dev", "d0", "hairpin", "on"]);
        let d0 = name("d0");
        seen(
            &mut watch,
            |e| matches!(e, LinkEvent::BridgePort { name } if *name == d0),
        )
        .await;
        assert!(links.link(&d0).await.unwrap().unwrap().hairpin);
        links.set_hairpin(&d0, false).await.unwrap();
        assert!(!links.link(&d0).await.unwrap().unwrap().hairpin);
    });
}

#[test]
fn leaving_a_bridge_is_not_the_end_of_a_device() {
    on_a_host(|links| async move {
        links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        card("d0", &["master", "weave"]);
        let mut watch = links.watch().await.unwrap();
        run("ip", &["link", "set", "d0", "nomaster"]);
        run("ip", &["link", "set", "d0", "up"]);
        loop {
            match watch.next().await.unwrap() {
                LinkEvent::Link(link) if link.name == name("d0") && link.up => break,
                LinkEvent::LinkRemoved { name, .. } => panic!("{name} is still there"),
                _ => {}
            }
        }
    });
}

#[test]
fn a_slow_reader_is_told_to_read_anew_and_hears_what_follows() {
    on_a_host(|links| async move {
        card("d0", &["up"]);
        let mut watch = links.watch().await.unwrap();
        let addresses: Vec<String> = many_addresses(QUEUE_DEPTH as u32 + 1).collect();
        for some in addresses.chunks(100) {
            add_all(some, "d0");
            // Lets the events cross to the queue, where nobody takes them.
            for _ in 0..500 {
                tokio::task::yield_now().await;
            }
        }
        assert!(watch.lost() > 0);
        seen(&mut watch, |e| *e == LinkEvent::Overrun).await;
        still_hears(&mut watch).await;
    });
}

#[test]
fn an_overflow_of_the_kernels_queue_is_told() {
    on_a_host(|links| async move {
        card("d0", &["up"]);
        let mut watch = links.watch().await.unwrap();
        // More than the kernel keeps, while nothing here runs.
        let addresses: Vec<String> = many_addresses(8 * QUEUE_DEPTH as u32).collect();
        add_all(&addresses, "d0");
        seen(&mut watch, |e| *e == LinkEvent::Overrun).await;
        still_hears(&mut watch).await;
    });
}

async fn still_hears(watch: &mut Watch) {
    card("d1", &[]);
    let d1 = name("d1");
    seen(watch, |e| matches!(e, LinkEvent::Link(l) if l.name == d1)).await;
}

fn add_all(addresses: &[String], device: &str) {
    let batch: String = addresses
        .iter()
        .map(|a| format!("addr add {a} dev {device}\n"))
        .collect();
    std::fs::write("/run/batch", batch).unwrap();
    run("ip", &["-batch", "/run/batch"]);
}

/// Takes events until the one that is meant
async fn seen(watch: &mut Watch, meant: impl Fn(&LinkEvent) -> bool) {
    while !meant(&watch.next().await.expect("the watch goes on")) {}
}

/// `RTM_DELLINK` for a port that leaves its bridge, as the kernel sends it (Linux 6.18)
#[test]
fn a_bridge_port_message_is_no_event() {
    #[rustfmt::skip]
    let datagram = [
        0x2c, 0, 0, 0,  17, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,    // length, RTM_DELLINK, flags, seq, port
        7, 0,  1, 0,  3, 0, 0, 0,  0x82, 0, 0, 0,  0, 0, 0, 0,     // AF_BRIDGE, ARPHRD_ETHER, index 3, flags
        7, 0,  3, 0,  b'd', b'0', 0, 0,                            // IFLA_IFNAME d0, padded
        4, 0, 0, 0,                                                // an empty attribute
    ];
    let mut events = Vec::new();
    assert!(decode(&datagram, &mut events));
    assert_eq!(events, []);
    // The same for the device itself is its end.
    let mut own = datagram;
    own[16] = 0;
    assert!(decode(&own, &mut events));
    assert_eq!(
        events,
        [LinkEvent::LinkRemoved {
            index: 3,
            name: name("d0")
        }]
    );
}

#[test]
fn a_datagram_cut_short_is_a_loss() {
    let mut events = Vec::new();
    assert!(!decode(&[0x2c, 0, 0, 0, 17, 0, 0, 0], &mut events));
    assert!(!decode(&[1], &mut events));
    assert!(decode(&[], &mut events));
    assert_eq!(events, []);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        decode(&bytes, &mut Vec::new());
    }

    #[test]
    fn any_attributes_never_panic(
        kind in prop::sample::select(vec![16u16, 17, 20, 21, 24, 25]),
        family in prop::sample::select(vec![0u8, 2, 7, 10]),
        attributes in prop::collection::vec((0u16..70, prop::collection::vec(any::<u8>(), 0..24)), 0..6),
    ) {
        let header = if kind < 20 { 16 } else if kind < 24 { 8 } else { 12 };
        let mut body = vec![0; header];
        body[0] = family;
        for (number, value) in &attributes {
            body.extend((value.len() as u16 + 4).to_ne_bytes());
            body.extend(number.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut datagram = (body.len() as u32 + 16).to_ne_bytes().to_vec();
        datagram.extend(kind.to_ne_bytes());
        datagram.resize(16, 0);
        datagram.extend(body);
        decode(&datagram, &mut Vec::new());
    }
}
