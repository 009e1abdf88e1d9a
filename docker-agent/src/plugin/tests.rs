//! The driver in front of a weaved that is played by the test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use docker::plugin::Call;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Driver;
use crate::body::hold;
use crate::memory::Memory;
use crate::testing::{Directory, in_time, play};

struct Setup {
    directory: Directory,
    driver: Driver,
}

impl Setup {
    fn new() -> Self {
        let directory = Directory::new();
        let driver = Driver::new(
            crate::weaved::client(&directory.path("weaved.sock")),
            Arc::new(Memory::default()),
            true,
            true,
            TaskTracker::new(),
            CancellationToken::new(),
        );
        Self { directory, driver }
    }

    async fn call(&self, call: Call, body: Value) -> Value {
        let response = self.driver.answer(call, body.to_string().as_bytes()).await;
        let body = hold(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// A weaved that answers everything; what it was asked comes back
    fn weaved(&self) -> mpsc::UnboundedReceiver<(String, Value)> {
        play(&self.directory.path("weaved.sock"), answer)
    }
}

fn answer(path: &str) -> Value {
    match path {
        "/v1/endpoints/create" => json!({
            "container": "key:1", "interface": "vc1", "mac": "02:00:00:00:00:01",
            "addresses": ["10.32.0.1/12", "10.2.1.1/24"], "mtu": 1376
        }),
        "/v1/endpoints/join" => json!({
            "container": "key:1", "interface": "ethwe0", "mac": "02:00:00:00:00:01", "addresses": []
        }),
        "/v1/ipam/reserve" => json!("10.32.5.129/25"),
        _no_answer => Value::Null,
    }
}

fn endpoint(options: Value) -> Value {
    json!({"NetworkID": "n1", "EndpointID": "e1", "Interface": {}, "Options": options})
}

#[tokio::test]
async fn a_container_gets_an_interface_and_leaves_it() {
    let setup = Setup::new();
    let mut questions = setup.weaved();
    let options = json!({
        "works.weave.container": "key:1",
        "works.weave.addresses": "net:default 10.2.1.1/24",
        "works.weave.name": "c1.weave.local",
    });
    let made = setup.call(Call::CreateEndpoint, endpoint(options)).await;
    let expected = json!({"Address": "10.32.0.1/12", "MacAddress": "02:00:00:00:00:01"});
    assert_eq!(made["Interface"], expected);
    let (path, question) = in_time("a question", questions.recv()).await.unwrap();
    assert_eq!(path, "/v1/endpoints/create");
    assert_eq!(question["addresses"], json!(["net:default", "10.2.1.1/24"]));
    assert_eq!(question["name"], "c1.weave.local");

    let netns = setup.directory.path("netns");
    let join = json!({"NetworkID": "n1", "EndpointID": "e1", "SandboxKey": netns});
    let joined = setup.call(Call::Join, join).await;
    assert_eq!(joined["InterfaceName"]["SrcName"], "vc1");
    assert_eq!(joined["StaticRoutes"][0]["Destination"], "224.0.0.0/4");
    assert_eq!(joined["DisableGatewayService"], true);
    // Not before the namespace is there.
    std::fs::write(&netns, "").unwrap();
    let (path, _question) = in_time("the joining", questions.recv()).await.unwrap();
    assert_eq!(path, "/v1/endpoints/join");

    let gone = json!({"NetworkID": "n1", "EndpointID": "e1"});
    for _ in 0..2 {
        assert_eq!(setup.call(Call::DeleteEndpoint, gone.clone()).await, json!({}));
    }
    let (path, question) = in_time("a question", questions.recv()).await.unwrap();
    assert_eq!(
        (path.as_str(), question),
        ("/v1/endpoints/delete", json!({"container": "key:1"}))
    );
    assert!(questions.try_recv().is_err(), "an unknown interface is nobody's");
}

#[tokio::test]
async fn docker_hears_of_an_interface_when_it_is_complete() {
    let setup = Setup::new();
    let netns = setup.directory.path("netns");
    let asked = json!({"NetworkID": "n1", "EndpointID": "e1", "SandboxKey": netns});
    let mut questions = setup.weaved();
    setup
        .call(
            Call::CreateEndpoint,
            endpoint(json!({"works.weave.container": "key:1"})),
        )
        .await;
    setup.call(Call::Join, asked.clone()).await;
    // There is no namespace yet: Docker makes it after this answer.
    setup.call(Call::EndpointOperInfo, asked.clone()).await;
    in_time("a question", questions.recv()).await.unwrap();
    assert!(questions.try_recv().is_err(), "completed without a namespace");
    std::fs::write(&netns, "").unwrap();
    setup.call(Call::EndpointOperInfo, asked).await;
    let (path, _question) = questions.try_recv().unwrap();
    assert_eq!(path, "/v1/endpoints/join", "completed before the answer");
}

#[tokio::test]
async fn what_docker_has_chosen_is_asked_for_and_not_answered() {
    let setup = Setup::new();
    let mut questions = setup.weaved();
    let asked = json!({
        "NetworkID": "n1", "EndpointID": "0123456789abcdef", "Options": null,
        "Interface": {"Address": "10.2.1.7/24", "MacAddress": "02:00:00:00:00:09"},
    });
    let made = setup.call(Call::CreateEndpoint, asked).await;
    assert_eq!(made["Interface"], json!({}));
    let (_path, question) = in_time("a question", questions.recv()).await.unwrap();
    assert_eq!(question["container"], "address:10.2.1.7");
    assert_eq!(question["addresses"], json!(["10.2.1.7/24"]));
}

#[tokio::test]
async fn addresses_of_the_range_are_reserved_and_given_back() {
    let setup = Setup::new();
    let mut questions = setup.weaved();
    let pool = setup
        .call(
            Call::RequestPool,
            json!({"Pool": "10.32.5.0/24", "SubPool": "10.32.5.128/25"}),
        )
        .await;
    assert_eq!(pool["Pool"], "10.32.5.0/24");
    let of = |more: Value| {
        let mut asked = json!({"PoolID": pool["PoolID"], "Address": ""});
        asked
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        asked
    };
    let gateway = json!({"Options": {"RequestAddressType": "com.docker.network.gateway"}});
    let answered = setup.call(Call::RequestAddress, of(gateway)).await;
    assert_eq!(answered["Address"], "10.32.5.0/24", "nobody's");
    let any = setup.call(Call::RequestAddress, of(json!({}))).await;
    assert_eq!(any["Address"], "10.32.5.129/24");
    let (path, question) = in_time("a question", questions.recv()).await.unwrap();
    assert_eq!(
        (path.as_str(), question),
        ("/v1/ipam/reserve", json!({"address": "net:10.32.5.128/25"}))
    );
    let elsewhere = setup
        .call(Call::RequestAddress, of(json!({"Address": "10.4.0.1"})))
        .await;
    assert!(
        elsewhere["Error"].as_str().unwrap().contains("10.4.0.1"),
        "{elsewhere}"
    );
    let given = json!({"PoolID": pool["PoolID"], "Address": "10.32.5.129"});
    assert_eq!(setup.call(Call::ReleaseAddress, given).await, json!({}));
    let (path, question) = in_time("a question", questions.recv()).await.unwrap();
    assert_eq!(
        (path.as_str(), question),
        ("/v1/ipam/release", json!({"container": "address:10.32.5.129"}))
    );
}

#[tokio::test]
async fn a_network_without_multicast_has_no_route_for_it() {
    let setup = Setup::new();
    let _questions = setup.weaved();
    let options = json!({"com.docker.network.generic": {"works.weave.multicast": "false"}});
    let network = json!({"NetworkID": "n1", "Options": options});
    assert_eq!(setup.call(Call::CreateNetwork, network).await, json!({}));
    setup.call(Call::CreateEndpoint, endpoint(json!({}))).await;
    let joined = setup
        .call(Call::Join, json!({"EndpointID": "e1", "SandboxKey": "/nowhere"}))
        .await;
    assert_eq!(joined["StaticRoutes"], Value::Null);
    assert_eq!(joined["DisableGatewayService"], false);
}

#[tokio::test]
async fn multicast_goes_by_the_next_interface_when_the_first_has_left() {
    let setup = Setup::new();
    let mut questions = setup.weaved();
    let netns = setup.directory.path("netns");
    for endpoint in ["e1", "e2"] {
        let options = json!({"works.weave.container": format!("key:{endpoint}")});
        let create = json!({"NetworkID": "n1", "EndpointID": endpoint, "Interface": {}, "Options": options});
        setup.call(Call::CreateEndpoint, create).await;
        let join = json!({"EndpointID": endpoint, "SandboxKey": netns});
        let joined = setup.call(Call::Join, join).await;
        let has_route = joined["StaticRoutes"] != Value::Null;
        assert_eq!(has_route, endpoint == "e1", "Docker refuses a second one");
    }
    setup
        .call(
            Call::DeleteEndpoint,
            json!({"NetworkID": "n1", "EndpointID": "e1"}),
        )
        .await;
    let expected = json!({"container": "key:e2", "netns": netns, "multicast_route": true});
    loop {
        let (path, question) = in_time("a question", questions.recv()).await.unwrap();
        if path == "/v1/endpoints/join" {
            assert_eq!(question, expected);
            break;
        }
    }
    setup
        .call(
            Call::DeleteEndpoint,
            json!({"NetworkID": "n1", "EndpointID": "e2"}),
        )
        .await;
    let (path, _question) = in_time("a question", questions.recv()).await.unwrap();
    assert_eq!(path, "/v1/endpoints/delete");
}

#[tokio::test]
async fn a_weaved_that_does_not_run_or_answer_is_told_in_time() {
    let setup = Setup::new();
    let told = setup.call(Call::CreateEndpoint, endpoint(json!({}))).await;
    assert_eq!(
        told["Err"],
        "weaved does not run on this host: start it with `weavectl launch`, then try again"
    );
    // It takes the question and says nothing.
    let _listener = UnixListener::bind(setup.directory.path("weaved.sock")).unwrap();
    let begin = Instant::now();
    let told = setup.call(Call::CreateEndpoint, endpoint(json!({}))).await;
    assert!(told["Err"].as_str().unwrap().contains("did not answer"), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn whatever_docker_calls_with_is_answered() {
    let setup = Setup::new();
    for call in Call::ALL {
        for body in ["", "{}", "null", "[]", "nonsense", r#"{"Options":7}"#, "\u{0}"] {
            let response = setup.driver.answer(*call, body.as_bytes()).await;
            assert!(response.status().is_success(), "{call:?} with {body:?}");
        }
    }
    let wrong = json!({"works.weave.addresses": "10.2"});
    let told = setup.call(Call::CreateEndpoint, endpoint(wrong)).await;
    assert!(told["Err"].as_str().unwrap().contains("10.2"), "{told}");
}
