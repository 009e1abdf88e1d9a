use super::setup::{Peer, Setup};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// Both ways at once, more than any buffer, then each end by itself
async fn are_joined(mut client: Peer, mut docker: Peer) {
    const SIZE: usize = 3 << 20;
    let ask = vec![b'a'; SIZE];
    let tell = vec![b'b'; SIZE];
    let asking = tokio::spawn(async move {
        client.write(&ask).await;
        client.end().await;
        client
    });
    assert!(docker.rest().await == (vec![b'a'; SIZE], true));
    let mut client = asking.await.unwrap();
    // The other direction goes on after the client's has ended.
    let telling = tokio::spawn(async move { docker.write(&tell).await });
    assert!(client.rest().await == (vec![b'b'; SIZE], true));
    telling.await.unwrap();
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client
        .write(format!(
            "POST /v1.41/exec/e1/start HTTP/1.1\r\nHost: d\r\n{UPGRADE}Content-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut docker = setup.docker().await;
    let head = docker.head().await;
    assert!(head.contains("Upgrade: tcp\r\n"), "{head}");
    docker.expect("{}").await;
    // What Docker says at once after its head is not lost.
    let answer = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst";
    docker.write(answer).await;
    client.expect(answer).await;
    are_joined(client, docker).await;
}

#[tokio::test]
async fn a_connection_that_is_not_upgraded_stays_one_of_requests() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    let ask = format!("POST /containers/c/attach HTTP/1.1\r\nHost: d\r\n{UPGRADE}Content-Length: 0\r\n\r\n");
    client.write(&ask).await;
    let mut docker = setup.docker().await;
    docker.head().await;
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    docker.write(answer).await;
    client.expect(answer).await;
    client.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert!(docker.head().await.starts_with("GET /_ping "));
}

#[tokio::test]
async fn a_client_that_takes_over_without_asking_gets_bytes() {
    let setup = Setup::new().await;
    for (path, body) in [
        ("/containers/c/attach?stdin=1", ""),
        ("/v1.18/exec/e/start", "{\"Tty\":false}"),
    ] {
        let mut client = setup.client().await;
        client.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").await;
        let mut first = setup.docker().await;
        first.head().await;
        first
            .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
            .await;
        client.head().await;
        client.expect("OK").await;
        let length = body.len();
        client
            .write(format!(
                "POST {path} HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n{body}early"
            ))
            .await;
        let mut docker = setup.docker().await;
        let head = docker.head().await.to_lowercase();
        assert!(head.starts_with(&format!("post {path} http/1.1\r\n")), "{head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
        docker.expect(&format!("{body}early")).await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nraw";
        docker.write(answer).await;
        client.expect(answer).await;
        are_joined(client, docker).await;
    }
}

#[tokio::test]
async fn an_open_stream_is_cut_off_after_its_grace() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client
        .write("POST /containers/c/attach HTTP/1.1\r\nHost: d\r\n\r\n")
        .await;
    let mut docker = setup.docker().await;
    docker.head().await;
    docker.write("HTTP/1.1 200 OK\r\n\r\n").await;
    client.head().await;
    setup.stop.cancel();
    // Within it, the stream goes on.
    docker.write("more").await;
    client.expect("more").await;
    crate::testing::in_time("the end", setup.serving).await.unwrap();
}
