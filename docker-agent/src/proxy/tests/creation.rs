use hyper::header::CONTENT_LENGTH;
use serde_json::Value;

use super::setup::{Peer, Setup};

/// Reads a request's body by its length
async fn body(peer: &mut Peer, head: &str) -> Value {
    let field = format!("{}: ", CONTENT_LENGTH.as_str());
    let length = head.to_lowercase().lines().find_map(|line| {
        line.strip_prefix(&field)
            .map(|length| length.parse::<usize>().unwrap())
    });
    serde_json::from_slice(&peer.read(length.unwrap()).await).unwrap()
}

async fn answer(peer: &mut Peer, status: &str, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    peer.write(head + body).await;
}

async fn create(setup: &Setup, asked: &str) -> Peer {
    let mut client = setup.client().await;
    let length = asked.len();
    client
        .write(format!(
            "POST /v1.41/containers/create?name=c HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n{asked}"
        ))
        .await;
    client
}

#[tokio::test]
async fn a_container_is_connected_before_its_client_hears_of_it() {
    let setup = Setup::new().await;
    let mut client = create(&setup, r#"{"Image":"i","Env":["WEAVE_CIDR=10.2.1.1/24"]}"#).await;
    let mut docker = setup.docker().await;
    docker.head().await;
    docker.read(2).await;
    let created = "{\"Id\":\"c1\",\"Warnings\":[]}\n";
    answer(&mut docker, "201 Created", created).await;
    let mut connecting = setup.docker().await;
    let head = connecting.head().await;
    assert!(head.starts_with("POST /networks/weave/connect "), "{head}");
    let asked = body(&mut connecting, &head).await;
    assert_eq!(asked["Container"], "c1");
    let options = &asked["EndpointConfig"]["DriverOpts"];
    assert_eq!(options["works.weave.addresses"], "10.2.1.1/24");
    assert_eq!(options["works.weave.container"], "c1");
    answer(&mut connecting, "200 OK", "").await;
    assert!(client.head().await.starts_with("HTTP/1.1 201 Created\r\n"));
    client.expect(created).await;
}

#[tokio::test]
async fn one_that_its_creation_connects_is_connected_anew_so_that_the_driver_is_told_its_id() {
    let setup = Setup::new().await;
    let mut client = create(&setup, r#"{"Image":"i","HostConfig":{"NetworkMode":"none"}}"#).await;
    let mut docker = setup.docker().await;
    let head = docker.head().await;
    let asked = body(&mut docker, &head).await;
    assert_eq!(asked["HostConfig"]["NetworkMode"], "weave");
    let created = "{\"Id\":\"c1\"}";
    answer(&mut docker, "201 Created", created).await;
    for path in ["disconnect", "connect"] {
        let mut connecting = setup.docker().await;
        let head = connecting.head().await;
        assert!(
            head.starts_with(&format!("POST /networks/weave/{path} ")),
            "{head}"
        );
        let asked = body(&mut connecting, &head).await;
        assert_eq!(asked["Container"], "c1");
        if path == "connect" {
            let options = &asked["EndpointConfig"]["DriverOpts"];
            assert_eq!(options["works.weave.container"], "c1");
        }
        answer(&mut connecting, "200 OK", "").await;
    }
    assert!(client.head().await.starts_with("HTTP/1.1 201 Created\r\n"));
    client.expect(created).await;
}

#[tokio::test]
async fn a_container_that_cannot_be_connected_is_removed_and_the_client_told() {
    let setup = Setup::new().await;
    let mut client = create(&setup, r#"{"Image":"i"}"#).await;
    let mut docker = setup.docker().await;
    docker.head().await;
    answer(&mut docker, "201 Created", "{\"Id\":\"c1\"}").await;
    let mut connecting = setup.docker().await;
    connecting.head().await;
    answer(
        &mut connecting,
        "500 Internal Server Error",
        "{\"message\":\"because\"}",
    )
    .await;
    let mut removing = setup.docker().await;
    assert!(
        removing
            .head()
            .await
            .starts_with("DELETE /containers/c1?force=1&v=1 ")
    );
    removing.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    let told = body(&mut client, &head).await;
    assert_eq!(
        told["message"],
        "the container cannot be put on the network: because"
    );
}

#[tokio::test]
async fn what_docker_refuses_and_what_is_left_alone_pass_as_they_are() {
    let setup = Setup::new().await;
    for asked in [
        r#"{"Image":"i","HostConfig":{"NetworkMode":"host"}}"#,
        "no JSON",
        "{}",
    ] {
        let mut client = create(&setup, asked).await;
        let mut docker = setup.docker().await;
        docker.head().await;
        if asked != "{}" {
            docker.expect(asked).await;
        }
        let answered = "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad";
        docker.write(answered).await;
        client.expect(answered).await;
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_asking_docker() {
    let setup = Setup::new().await;
    let mut client = create(&setup, r#"{"Env":["WEAVE_CIDR=10.2.1.1/24 10.2"]}"#).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let told = body(&mut client, &head).await;
    assert!(told["message"].as_str().unwrap().contains("\"10.2\""), "{told}");
}

#[tokio::test]
async fn a_creation_that_is_too_large_is_refused() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    let length = (16 << 20) + 1;
    client
        .write(format!(
            "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn an_inspection_shows_the_networks_address() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client
        .write("GET /containers/c1/json HTTP/1.1\r\nHost: d\r\n\r\n")
        .await;
    let mut docker = setup.docker().await;
    docker.head().await;
    let inspected = r#"{"NetworkSettings":{"IPAddress":"172.17.0.2","IPPrefixLen":16,"MacAddress":"a","Networks":{"weave":{"IPAddress":"10.32.0.1","IPPrefixLen":12,"MacAddress":"b"}}}}"#;
    answer(&mut docker, "200 OK", inspected).await;
    let head = client.head().await;
    let shown = body(&mut client, &head).await;
    assert_eq!(shown["NetworkSettings"]["IPAddress"], "10.32.0.1");
    assert_eq!(shown["NetworkSettings"]["IPPrefixLen"], 12);
}

#[tokio::test]
async fn an_old_clients_start_takes_nothing_of_the_network_away() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    let asked = r#"{"HostConfig":{"NetworkMode":"none"}}"#;
    let length = asked.len();
    client
        .write(format!(
            "POST /v1.18/containers/c/start HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n{asked}"
        ))
        .await;
    let mut inspecting = setup.docker().await;
    let head = inspecting.head().await;
    assert!(head.starts_with("GET /containers/c/json "), "{head}");
    let inspected = r#"{"Id":"c1","State":{"Running":false},"HostConfig":{"NetworkMode":"default","Dns":["10.0.0.1"]},"NetworkSettings":{"Networks":{"bridge":{},"weave":{"DriverOpts":{"works.weave.container":"c1"}}}}}"#;
    answer(&mut inspecting, "200 OK", inspected).await;
    let mut leaving = setup.docker().await;
    let head = leaving.head().await;
    assert!(head.starts_with("POST /networks/bridge/disconnect "), "{head}");
    assert_eq!(body(&mut leaving, &head).await["Container"], "c1");
    answer(&mut leaving, "200 OK", "").await;
    let mut docker = setup.docker().await;
    let head = docker.head().await;
    assert!(head.starts_with("POST /v1.18/containers/c/start "), "{head}");
    let host = &body(&mut docker, &head).await["HostConfig"];
    assert_eq!(
        (&host["NetworkMode"], &host["Dns"][0]),
        (&"default".into(), &"10.0.0.1".into())
    );
    docker.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    // What says nothing of the host goes on, as it came, over the same connection.
    for asked in ["", "null"] {
        let length = asked.len();
        client
            .write(format!(
                "POST /containers/c/start HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n{asked}"
            ))
            .await;
        docker.head().await;
        docker.expect(asked).await;
        docker.write("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    }
}
