use api::DockerHost;
use docker::create::HostnamePolicy;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::dockerd::Actor;
use crate::policy::Settings;
use crate::testing::{Directory, in_time, play};

fn follower(directory: &Directory) -> Follower {
    let weaved = crate::weaved::client(&directory.path("weaved.sock"));
    let settings = Settings {
        default_addresses: true,
        hostname: HostnamePolicy::default(),
        network: "weave".to_owned(),
        dns: true,
        dns_server: Some([10, 32, 0, 1].into()),
        dns_domain: Some("weave.local.".to_owned()),
    };
    Follower {
        docker: Dockerd::new(DockerHost::Unix(directory.path("docker.sock"))),
        weaved: weaved.clone(),
        memory: Arc::new(Memory::default()),
        policies: Arc::new(Policies::new(settings, weaved)),
        network: "weave".to_owned(),
    }
}

/// A Docker with one container by the proxy, and one without
fn docker(path: &str) -> Value {
    match path.split('?').next().unwrap() {
        "/networks" => json!([
            {"Id": "n1", "Driver": "weave", "IPAM": {"Driver": "null"}},
            {"Id": "n2", "Driver": "weave", "IPAM": {"Driver": "weave"},
             "Options": {"works.weave.multicast": "false"}},
        ]),
        "/containers/json" => json!([{"Id": "c1"}, {"Id": "c2"}]),
        "/containers/c1/json" => json!({
            "Name": "/a1", "NetworkSettings": {"Networks": {
                "bridge": {"NetworkID": "n0", "EndpointID": "e0", "DriverOpts": null},
                "weave": {"NetworkID": "n1", "EndpointID": "e1", "DriverOpts": {"works.weave.container": "c1"}},
            }},
        }),
        "/containers/c2/json" => json!({
            "Name": "/a2", "NetworkSettings": {"Networks": {
                "weave": {"NetworkID": "n1", "EndpointID": "0123456789abcdef", "IPAddress": "10.32.0.2"},
                "n2": {"NetworkID": "n2", "EndpointID": "e2", "IPAddress": "10.3.0.2", "Aliases": ["db", "no name"]},
            }},
        }),
        _other => Value::Null,
    }
}

fn event(kind: &str, action: &str, id: &str, attributes: &[(&str, &str)]) -> Event {
    let attributes = attributes.iter();
    Event {
        kind: kind.to_owned(),
        action: action.to_owned(),
        actor: Actor {
            id: id.to_owned(),
            attributes: attributes
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        },
    }
}

#[tokio::test]
async fn what_there_was_before_is_known_and_forgotten_when_it_goes() {
    let directory = Directory::new();
    let _docker = play(&directory.path("docker.sock"), docker);
    let mut weaved = play(&directory.path("weaved.sock"), |_| Value::Null);
    let follower = follower(&directory);
    follower.learn().await.unwrap();
    for (endpoint, key, by_proxy) in [
        ("e1", "c1", true),
        ("0123456789abcdef", "endpoint:0123456789ab", false),
        ("e2", "address:10.3.0.2", false),
    ] {
        let known = follower.memory.endpoint_of(endpoint).unwrap();
        assert_eq!((known.container.as_str(), known.by_proxy), (key, by_proxy));
    }
    assert_eq!(follower.memory.endpoint_of("e0"), None);
    let has_multicast = ["n1", "n2"].map(|network| follower.memory.has_multicast(network));
    assert_eq!(has_multicast, [true, false]);
    // What they are called may not have come through then.
    for (key, name) in [
        ("address:10.3.0.2", "a2.weave.local"),
        ("address:10.3.0.2", "db.weave.local"),
        ("endpoint:0123456789ab", "a2.weave.local"),
    ] {
        assert_eq!(next_name(&mut weaved).await, (key.to_owned(), name.to_owned()));
    }
    follower.happened(&event("container", "destroy", "c1", &[])).await;
    let asked = in_time("weaved is asked", weaved.recv()).await.unwrap();
    assert_eq!(
        asked,
        ("/v1/containers/forget".to_owned(), json!({"container": "c1"}))
    );
    assert!(weaved.try_recv().is_err());
}

#[tokio::test]
async fn a_container_that_is_connected_without_the_proxy_gets_its_names_there() {
    let directory = Directory::new();
    let _docker = play(&directory.path("docker.sock"), docker);
    let mut weaved = play(&directory.path("weaved.sock"), |_| json!([]));
    let follower = follower(&directory);
    for (container, kind, network) in [
        ("c1", "weave", "n1"),
        ("c2", "bridge", "n1"),
        ("c2", "weave", "n1"),
        ("c2", "weave", "n2"),
    ] {
        let attributes = [("container", container), ("type", kind)];
        follower
            .happened(&event("network", "connect", network, &attributes))
            .await;
    }
    for (key, name) in [
        ("endpoint:0123456789ab", "a2.weave.local"),
        ("address:10.3.0.2", "a2.weave.local"),
        ("address:10.3.0.2", "db.weave.local"),
    ] {
        assert_eq!(next_name(&mut weaved).await, (key.to_owned(), name.to_owned()));
    }
    assert!(weaved.try_recv().is_err());
}

/// Whom weaved is asked to give which name
async fn next_name(weaved: &mut mpsc::UnboundedReceiver<(String, Value)>) -> (String, String) {
    let (path, asked) = in_time("weaved is asked", weaved.recv()).await.unwrap();
    assert_eq!(path, "/v1/names/add");
    let text = |name: &str| asked[name].as_str().unwrap().to_owned();
    (text("container"), text("name"))
}

/// Docker's ids of containers that it has no more
const GONE: [&str; 2] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000001",
];

/// What weaved has: of this Docker, of what there is no more, and of others
fn attached(path: &str) -> Value {
    let one = |container: &str, netns: Option<&str>| json!({"container": container, "netns": netns, "mac": "02:00:00:00:00:01", "addresses": []});
    match path {
        "/v1/containers" => json!([
            one("endpoint:0123456789ab", Some("/var/run/docker/netns/2")),
            one("address:10.3.0.2", None),
            one(GONE[0], None),
            one(GONE[1], Some("/run/docker/netns/3")),
            one("endpoint:ffffffffffff", Some("/run/elsewhere/netns/4")),
            one("address:10.3.0.9", None),
            one(&GONE[0].replace('0', "f"), Some("/proc/1234/ns/net")),
            one("blue", Some("blue")),
            one("weave:expose", None),
        ]),
        _other => Value::Null,
    }
}

#[tokio::test]
async fn what_docker_does_not_know_is_taken_from_the_network() {
    let directory = Directory::new();
    let _docker = play(&directory.path("docker.sock"), docker);
    let mut weaved = play(&directory.path("weaved.sock"), attached);
    let follower = follower(&directory);
    let gone = [GONE[0], GONE[1], "address:10.3.0.9", "endpoint:ffffffffffff"];
    let strangers = follower.strangers().await.unwrap();
    let strangers: Vec<&str> = strangers.iter().map(|(id, _mac)| id.as_str()).collect();
    assert_eq!(strangers, gone);

    // Seen once, nothing is done yet.
    tokio::time::pause();
    let mut questions = Vec::new();
    let asked = async {
        while questions.len() < 3 + gone.len() {
            questions.push(weaved.recv().await.unwrap());
        }
    };
    tokio::select! {
        () = follower.sweep() => panic!("it ended with strangers there"),
        () = asked => {}
    }
    tokio::time::resume();
    let paths: Vec<&str> = questions.iter().map(|(path, _body)| path.as_str()).collect();
    assert_eq!(paths[..3], ["/v1/containers"; 3]);
    let removed: Vec<_> = gone
        .iter()
        .map(|gone| ("/v1/endpoints/abandon".to_owned(), json!({"container": gone})))
        .collect();
    assert_eq!(questions[3..], removed);
}
