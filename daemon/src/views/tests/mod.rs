mod flows;

use model::PathKind;
use overlay::FastdpHere;
use serde_json::{Value, json};

use super::*;
use crate::control::world::{Setup, Wire, World};

const USUAL: Setup = Setup::USUAL;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Three hosts, all connected with each other
fn mesh() -> World {
    let mut world = World::new([USUAL, USUAL, USUAL]);
    world.connect(0, 1);
    world.connect(1, 2);
    let fastdp = Some(PathKind::Fastdp);
    world.wait("a full mesh", seconds(10), |world| {
        [(0, 1), (1, 2), (0, 2)].map(|(a, b)| world.path(a, b, fastdp)) == [true; 3]
    });
    world.run(seconds(1));
    world
}

fn json(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn names<const N: usize>(world: &World) -> [String; N] {
    std::array::from_fn(|host| world.hosts[host].name().to_string())
}

fn connections_of(world: &World, host: usize) -> Value {
    json(connections(world.hosts[host].plane(), world.now()))
}

#[test]
fn status_has_every_field_of_the_router() {
    let world = mesh();
    let plane = world.hosts[0].plane();
    let status = status(plane, &Keys::default(), world.now());
    assert_eq!(
        json(&status.router),
        json!({
            "protocol": { "min": Versions::OURS.min, "max": Versions::OURS.max },
            "name": names::<1>(&world)[0],
            "nickname": "host1",
            "uid": 100,
            "short_id": plane.mesh.short_id(),
            "port": 6783,
            "encryption": false,
            "peer_discovery": true,
            "targets": 1,
            "connections": {
                "established": 2, "held": 0, "pending": 0, "retrying": 0, "failed": 0, "connecting": 0,
            },
            "peers": { "total": 3, "established": 6, "pending": 0 },
            "trusted_subnets": [],
        })
    );
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(status.overlay_mtu, 1438);
    assert_eq!(status.drops, BTreeMap::new());
}

#[test]
fn each_state_of_a_connection_is_shown_with_what_belongs_to_it() {
    let mut world = World::new([USUAL, USUAL]);
    let [_, two] = names(&world);
    world.connect(0, 1);
    let connecting = json!([{
        "outbound": true, "address": "192.0.2.2", "state": "connecting", "traffic": no_traffic(),
    }]);
    assert_eq!(connections_of(&world, 0), connecting);

    world.run(seconds(3));
    let peer = json!({ "name": two, "nickname": "host2" });
    let established = json!([{
        "outbound": true, "address": "192.0.2.2:6783", "state": "established", "peer": peer,
        "path": "fastdp", "mtu": 1450, "rtt_us": 600, "traffic": no_traffic(),
    }]);
    assert_eq!(connections_of(&world, 0), established);

    world.kill(1);
    world.run(seconds(1));
    let mut held = established;
    held[0]["state"] = json!("held");
    held[0]["retry_in_ms"] = connections_of(&world, 0)[0]["retry_in_ms"].clone();
    assert_eq!(connections_of(&world, 0), held);
    let left = held[0]["retry_in_ms"].as_u64().unwrap();
    assert!((3900..=4100).contains(&left), "of the grace {left} ms are left");

    world.run(seconds(10));
    let failed = connections_of(&world, 0);
    let text = "connection refused";
    assert_eq!(failed[0]["error"], text);
    let state = failed[0]["state"].as_str().unwrap();
    assert!(["failed", "retrying"].contains(&state), "{failed}");
    assert_eq!(
        failed[0]["retry_in_ms"].is_u64(),
        state == "failed",
        "only what waits has a next time: {failed}"
    );
}

#[test]
fn a_connection_without_a_path_is_pending_and_says_why() {
    let mut world = World::new([USUAL, USUAL]);
    world.cut(0, 1, Wire::Vxlan);
    world.cut(0, 1, Wire::Sleeve);
    world.connect(0, 1);
    world.run(seconds(3));
    let [_, two] = names(&world);
    let pending = json!([{
        "outbound": true, "address": "192.0.2.2:6783", "state": "pending",
        "peer": { "name": two, "nickname": "host2" },
        "reason": "fastdp: no heartbeat yet (UDP 6784 blocked?)",
        "traffic": no_traffic(),
    }]);
    assert_eq!(connections_of(&world, 0), pending);
    let counts = status(world.hosts[0].plane(), &Keys::default(), world.now()).router;
    assert_eq!((counts.connections.pending, counts.connections.total()), (1, 1));
    assert_eq!((counts.peers.established, counts.peers.pending), (0, 2));
}

#[test]
fn encryption_is_shown_where_there_is_a_password() {
    let password = Setup {
        password: true,
        ..USUAL
    };
    for (setup, expected) in [(USUAL, Value::Null), (password, json!(true))] {
        let mut world = World::pair(setup.clone(), setup);
        world.run(seconds(3));
        let shown = connections_of(&world, 0);
        assert_eq!(shown[0]["state"], "established");
        assert_eq!(shown[0]["encrypted"], expected);
        let router = status(world.hosts[0].plane(), &Keys::default(), world.now()).router;
        assert_eq!(router.encryption, expected == true);
    }
}

#[test]
fn an_inbound_connection_has_the_address_that_it_came_from() {
    let mut world = World::pair(USUAL, USUAL);
    world.run(seconds(3));
    let shown = connections_of(&world, 1);
    assert_eq!(shown[0]["outbound"], false);
    assert_eq!(shown[0]["address"], "192.0.2.1:40000");
}

#[test]
fn peers_are_shown_with_both_ends_of_their_connections() {
    let mut world = World::pair(USUAL, USUAL);
    world.run(seconds(3));
    let [one, two] = names(&world);
    let shown: Vec<Value> = peers(world.hosts[0].plane()).into_iter().map(json).collect();
    let end = |peer: &str, nickname: &str, address: &str, outbound: bool| {
        json!([{
            "peer": { "name": peer, "nickname": nickname },
            "address": address, "outbound": outbound, "established": true,
        }])
    };
    for (name, nickname, connections) in [
        (&one, "host1", end(&two, "host2", "192.0.2.2:6783", true)),
        (&two, "host2", end(&one, "host1", "192.0.2.1:40000", false)),
    ] {
        let peer = shown.iter().find(|peer| peer["name"] == **name).unwrap();
        assert_eq!(peer["nickname"], nickname);
        assert_eq!(peer["connections"], connections);
    }
    assert_eq!(shown.len(), 2);
}

#[test]
fn routes_lead_over_the_host_in_the_middle() {
    let mut world = World::new([USUAL, USUAL, USUAL]);
    world.cut(0, 2, Wire::All);
    world.connect(0, 1);
    world.connect(1, 2);
    world.run(seconds(5));
    let directory = Directory::of(world.hosts[0].plane());
    let (unicast, broadcast) = routes(&directory);
    let by = |peer: &PeerRef| peer.nickname.to_string();
    let mut shown: Vec<_> = unicast
        .iter()
        .map(|route| (by(&route.destination), by(&route.via)))
        .collect();
    shown.sort();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(shown, [pair("host2", "host2"), pair("host3", "host2")]);
    let mut shown: Vec<_> = broadcast
        .iter()
        .map(|route| (by(&route.source), route.via.iter().map(by).collect::<Vec<_>>()))
        .collect();
    shown.sort();
    let on = |source: &str, via: &[&str]| {
        let via: Vec<String> = via.iter().map(|via| (*via).to_owned()).collect();
        (source.to_owned(), via)
    };
    assert_eq!(
        shown,
        [on("host1", &["host2"]), on("host2", &[]), on("host3", &[])]
    );
}

#[test]
fn connections_that_speak_something_else_are_counted_in_the_status() {
    let mut world = World::new([USUAL]);
    let now = world.now();
    let plane = world.hosts[0].plane.as_mut().unwrap();
    let conn = plane
        .accepted(
            "192.0.2.1:6783".parse().unwrap(),
            "192.0.2.9:1".parse().unwrap(),
            now,
        )
        .unwrap();
    plane.bytes(conn, b"GET / HTTP/1.1\r\nHost: weave\r\n\r\n", now);
    let drops = status(plane, &Keys::default(), now).drops;
    let expected = ("gossip: connections that speak something else".to_owned(), 1);
    assert_eq!(drops, BTreeMap::from([expected]));
}

#[test]
fn a_host_without_open_vswitch_says_so_of_itself_and_is_called_so_by_others() {
    let bridge = Setup {
        fastdp: FastdpHere::NoOpenVSwitch,
        ..USUAL
    };
    let mut world = World::pair(bridge, USUAL);
    world.run(seconds(3));
    let reason = |host| connections_of(&world, host)[0]["reason"].clone();
    assert_eq!(reason(0), "no openvswitch in this kernel");
    assert_eq!(reason(1), "peer has no openvswitch");
}

fn no_traffic() -> Value {
    json(api::Traffic::default())
}
