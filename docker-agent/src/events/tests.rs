use docker::create::HostnamePolicy;
use serde_json::{Value, json};

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
        docker: Dockerd::new(api::DockerHost::Unix(directory.path("docker.sock"))),
        weaved: weaved.clone(),
        memory: Arc::new(Memory::default()),
        policies: Arc::new(Policies::new(settings, weaved)),
        network: "weave".to_owned(),
    }
}

/// A Docker with one container by the proxy, and one without
fn docker(path: &str) -> Value {
    match path.split('?').next().unwrap() {
        "/networks" => json!([{"Id": "n1", "Driver": "weave"}]),
        "/containers/json" => json!([{"Id": "c1"}, {"Id": "c2"}]),
        "/containers/c1/json" => json!({
            "Name": "/a1", "NetworkSettings": {"Networks": {
                "bridge": {"NetworkID": "n0", "EndpointID": "e0", "DriverOpts": null},
                "weave": {"NetworkID": "n1", "EndpointID": "e1", "DriverOpts": {"works.weave.container": "c1"}},
            }},
        }),
        "/containers/c2/json" => json!({
            "Name": "/a2", "NetworkSettings": {"Networks": {
                "weave": {"NetworkID": "n1", "EndpointID": "0123456789abcdef"},
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
    ] {
        let known = follower.memory.endpoint_of(endpoint).unwrap();
        assert_eq!((known.container.as_str(), known.by_proxy), (key, by_proxy));
    }
    assert_eq!(follower.memory.endpoint_of("e0"), None);
    follower.happened(&event("container", "destroy", "c1", &[])).await;
    let asked = in_time("weaved is asked", weaved.recv()).await.unwrap();
    assert_eq!(
        asked,
        ("/v1/containers/forget".to_owned(), json!({"container": "c1"}))
    );
    assert!(weaved.try_recv().is_err());
}

#[tokio::test]
async fn a_container_that_is_connected_without_the_proxy_gets_its_name() {
    let directory = Directory::new();
    let _docker = play(&directory.path("docker.sock"), docker);
    let mut weaved = play(&directory.path("weaved.sock"), |_| json!([]));
    let follower = follower(&directory);
    for (container, kind) in [("c1", "weave"), ("c2", "bridge"), ("c2", "weave")] {
        let attributes = [("container", container), ("type", kind)];
        follower
            .happened(&event("network", "connect", "n1", &attributes))
            .await;
    }
    let (path, asked) = in_time("weaved is asked", weaved.recv()).await.unwrap();
    assert_eq!(path, "/v1/names/add");
    assert_eq!(asked["name"], "a2.weave.local");
    assert_eq!(asked["container"], "endpoint:0123456789ab");
    assert!(weaved.try_recv().is_err());
}
