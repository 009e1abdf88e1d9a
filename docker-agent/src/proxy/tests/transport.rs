use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout};

use super::setup::{Peer, Setup};
use crate::proxy::connection::HEAD_PATIENCE;
use crate::testing::in_time;

/// What a proxy may not touch: one chunk of each kind of size
const CHUNKED: &str = "5\r\nhello\r\n1\r\n \r\n";

#[tokio::test]
async fn a_connection_to_docker_is_kept_as_long_as_the_clients() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let mut docker = setup.docker().await;
    for turn in 0..3 {
        assert!(docker.head().await.starts_with("GET /_ping HTTP/1.1\r\n"));
        docker
            .write(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{turn}"))
            .await;
        client.head().await;
        client.expect(&turn.to_string()).await;
        if turn < 2 {
            client.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").await;
        }
    }
    drop(client);
    assert_eq!(docker.rest().await, (Vec::new(), true));
}

#[tokio::test]
async fn a_head_passes_with_its_spelling_and_its_reason() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client
        .write("GET //v1.41/a%2Fb?x={\"y\":1}&z=%7B HTTP/1.1\r\nHOST: /var/run/docker.sock\r\nX-Registry-AUTH: abc\r\n\r\n")
        .await;
    let mut docker = setup.docker().await;
    let head = docker.head().await;
    assert!(
        head.starts_with("GET //v1.41/a%2Fb?x={%22y%22:1}&z=%7B HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("HOST: docker\r\nX-Registry-AUTH: abc\r\n"),
        "{head}"
    );
    let answer = "HTTP/1.1 404 Not There\r\nApi-VERSION: 1.41\r\nContent-Length: 2\r\n\r\nno";
    docker.write(answer).await;
    client.expect(answer).await;
}

#[tokio::test]
async fn answers_without_a_body_pass() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client.write("HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let mut docker = setup.docker().await;
    for (next, answer) in [
        ("GET /x", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),
        ("POST /y", "HTTP/1.1 304 Not Modified\r\nEtag: a\r\n\r\n"),
        ("GET /z", "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n"),
    ] {
        docker.head().await;
        docker.write(answer).await;
        client.expect(answer).await;
        client.write(format!("{next} HTTP/1.1\r\nHost: d\r\n\r\n")).await;
    }
    assert!(docker.head().await.starts_with("GET /z "));
}

#[tokio::test]
async fn chunks_pass_as_they_come() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client.write("GET /events HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let mut docker = setup.docker().await;
    docker.head().await;
    docker
        .write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    // Before there is anything to tell: clients wait for it.
    client
        .expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for chunk in ["5\r\nhello\r\n", "1\r\n!\r\n", "0\r\n\r\n"] {
        docker.write(chunk).await;
        client.expect(chunk).await;
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways_and_are_not_held() {
    const SIZE: usize = 20 << 20;
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client
        .write(format!(
            "POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: {SIZE}\r\n\r\n"
        ))
        .await;
    let mut docker = setup.docker().await;
    docker.head().await;
    // Docker does not read: what passes is what is under way, and the client has to wait.
    let mut sent = tokio::spawn(async move {
        client.write(expected(SIZE)).await;
        client
    });
    assert!(
        timeout(std::time::Duration::from_millis(200), &mut sent)
            .await
            .is_err()
    );
    assert!(docker.read(SIZE).await == expected(SIZE));
    let mut client = in_time("the client", sent).await.unwrap();
    docker
        .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
        .await;
    let writing = tokio::spawn(async move {
        docker.write(expected(SIZE)).await;
        docker
    });
    client.head().await;
    assert!(client.read(SIZE).await == expected(SIZE));
    in_time("Docker", writing).await.unwrap();
}

fn expected(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 % 251) as u8).collect()
}

#[tokio::test]
async fn a_docker_that_ends_in_the_middle_ends_the_answer_in_the_middle() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client.write("GET /events HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let mut docker = setup.docker().await;
    docker.head().await;
    docker
        .write(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}"
        ))
        .await;
    client.head().await;
    client.expect(CHUNKED).await;
    drop(docker);
    let (rest, _proper) = client.rest().await;
    assert!(rest.is_empty(), "no end of chunks was said: {rest:?}");
}

#[tokio::test]
async fn a_docker_that_ends_before_its_answer_is_told() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client.write("GET /info HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let mut docker = setup.docker().await;
    docker.head().await;
    drop(docker);
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
    client.expect("{\"message\":\"Docker at ").await;
    // The client's connection goes on, with another one to Docker.
    let mut client = setup.client().await;
    client.write("GET /info HTTP/1.1\r\nHost: d\r\n\r\n").await;
    setup.docker().await.head().await;
}

#[tokio::test]
async fn a_docker_that_is_not_there_is_told() {
    let setup = Setup::with(false).await;
    let mut client = setup.client().await;
    client.write("GET /info HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 502 ") && head.contains("application/json"),
        "{head}"
    );
    client.expect("{\"message\":\"cannot reach Docker at ").await;
}

/// Asks, goes away after so much of the answer, and is seen to go
async fn goes_away(setup: &Setup, mut client: Peer, question: &str, answer: &str) {
    client
        .write(format!("{question} HTTP/1.1\r\nHost: d\r\n\r\n"))
        .await;
    let mut docker = setup.docker().await;
    docker.head().await;
    docker.write(answer).await;
    client.expect(answer).await;
    drop(client);
    assert!(docker.rest().await.0.is_empty(), "after {answer:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_is_seen_by_docker() {
    let setup = Setup::new().await;
    for answer in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
        let client = setup.client().await;
        goes_away(&setup, client, "POST /containers/c/wait", answer).await;
    }
}

/// Says that it will say no more, and gets the answer
async fn ends_its_own_way(setup: &Setup, mut client: Peer) {
    client.write("GET /info HTTP/1.1\r\nHost: d\r\n\r\n").await;
    client.end().await;
    let mut docker = setup.docker().await;
    docker.head().await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ninfo";
    docker.write(answer).await;
    assert_eq!(client.rest().await, (answer.into(), true));
}

#[tokio::test]
async fn a_client_that_only_ends_its_own_way_gets_the_answer() {
    let setup = Setup::new().await;
    let client = setup.client().await;
    ends_its_own_way(&setup, client).await;
}

#[tokio::test]
async fn clients_by_tcp_are_served_and_seen_to_go_as_others_are() {
    let setup = Setup::new().await;
    let client = setup.client_by_tcp().await;
    ends_its_own_way(&setup, client).await;

    for answer in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
        let client = setup.client_by_tcp().await;
        goes_away(&setup, client, "GET /events", answer).await;
    }
}

#[tokio::test]
async fn an_end_that_is_asked_for_lets_an_answer_finish_and_takes_the_socket_away() {
    let setup = Setup::new().await;
    let mut client = setup.client().await;
    client.write("GET /info HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let mut docker = setup.docker().await;
    docker.head().await;
    setup.stop.cancel();
    docker
        .write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ninfo")
        .await;
    client.head().await;
    client.expect("info").await;
    in_time("the end", setup.serving).await.unwrap();
    assert!(!setup.directory.path("proxy.sock").exists());
}

#[tokio::test]
async fn a_client_that_asks_nothing_more_loses_its_place() {
    for begun in ["", "GET /_ping HTTP/1.1\r\nHost: d\r\n"] {
        let setup = Setup::new().await;
        let mut client = setup.client_by_tcp().await;
        client.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").await;
        let mut docker = setup.docker().await;
        docker.head().await;
        docker.write("HTTP/1.1 204 No Content\r\n\r\n").await;
        client.head().await;
        client.write(begun).await;
        // Whenever all wait, the clock goes on to whatever is due next.
        tokio::time::pause();
        let since = Instant::now();
        let end = timeout(2 * HEAD_PATIENCE, client.0.read(&mut [0])).await;
        assert_eq!(end.expect("it is not waited for").unwrap(), 0);
        assert!(since.elapsed() >= HEAD_PATIENCE);
        tokio::time::resume();
    }
}
