//! The client against a server of a few lines, and against any bytes.

use std::fs;
use std::os::unix::net::UnixListener as StdListener;

use ipnetwork::IpNetwork;
use model::Target;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::{
    AttachRequest, Attached, Attachment, ConnectRequest, Connection, DetachRequest, Detached, ErrorKind,
    Flow, ForgetRequest, Health, Peer, Report, StatusReport, Stopping, routes,
};

#[tokio::test]
async fn a_question_without_a_body_is_a_plain_get() {
    let server = Server::start("plain-get");
    let client = server.client();

    let serving = server.answer_json(200, r#"["host1","h2:6784"]"#);
    let (targets, question) = tokio::join!(client.ask(&routes::TARGETS), serving);

    assert_eq!(
        targets.unwrap(),
        ["host1", "h2:6784"].map(|text| text.parse::<Target>().unwrap())
    );
    assert!(question.starts_with("GET /v1/targets HTTP/1.1\r\n"), "{question}");
    assert!(question.ends_with("\r\n\r\n"), "{question}");
}

#[tokio::test]
async fn a_question_with_a_body_is_json() {
    let server = Server::start("json");
    let client = server.client();
    let question = ConnectRequest {
        peers: vec!["host1:6783".parse().unwrap()],
        replace: true,
    };

    let serving = server.answer_json(200, r#"["host1:6783"]"#);
    let (targets, asked) = tokio::join!(client.send(&routes::CONNECT, &question), serving);

    assert_eq!(targets.unwrap(), question.peers);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/connect HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(serde_json::from_str::<ConnectRequest>(body).unwrap(), question);
}

#[tokio::test]
async fn an_error_of_weaved_keeps_its_kind_and_words() {
    let server = Server::start("refused");
    let client = server.client();

    let serving = server.answer_json(404, r#"{"message":"no container c1","kind":"not_found"}"#);
    let (answer, _) = tokio::join!(client.ask(&routes::CONTAINERS), serving);

    let Err(ClientError::Refused(error)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(error.to_string(), "no container c1");
}

#[tokio::test]
async fn an_error_of_another_form_is_told_with_its_status() {
    let server = Server::start("status");
    let client = server.client();

    let serving = server.answer_json(405, "Method Not Allowed");
    let (answer, _) = tokio::join!(client.ask(&routes::PEERS), serving);

    let told = answer.unwrap_err().to_string();
    assert_eq!(
        told,
        "weaved answers 405 Method Not Allowed at /v1/peers: Method Not Allowed"
    );
}

#[tokio::test]
async fn an_answer_of_another_type_is_told_as_such() {
    let server = Server::start("type");
    let client = server.client();

    let serving = server.answer_json(200, r#"{"no":"list"}"#);
    let (answer, _) = tokio::join!(client.ask(&routes::PEERS), serving);

    let told = answer.unwrap_err().to_string();
    assert!(
        told.starts_with("weaved's answer at /v1/peers is not understood"),
        "{told}"
    );
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_read() {
    let server = Server::start("limit");
    let client = server.client().with_answer_limit(100);

    let long = format!("[{}\"host1\"]", "\"host1\",".repeat(100));
    let serving = server.answer_json(200, &long);
    let (answer, _) = tokio::join!(client.ask(&routes::TARGETS), serving);

    assert!(
        matches!(answer, Err(ClientError::TooLarge { limit: 100 })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn bytes_that_are_no_http_are_no_proper_answer() {
    for (name, bytes) in [
        ("garbage", &b"220 mail.example ESMTP\r\n"[..]),
        ("silence", b""),
        ("cut", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[\"host1\""),
    ] {
        let server = Server::start(name);
        let client = server.client();
        let (answer, _) = tokio::join!(client.ask(&routes::TARGETS), server.answer(bytes));
        assert!(
            matches!(answer, Err(ClientError::Exchange(_) | ClientError::Body(_))),
            "{name}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_given_up() {
    let server = Server::start("timeout");
    let client = server.client().with_timeout(Duration::from_millis(20));

    let answer = client.ask(&routes::HEALTH).await;

    let told = answer.unwrap_err().to_string();
    assert!(told.ends_with("did not answer within 20ms"), "{told}");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_told_with_the_way_to_start_it() {
    let dir = Directory::new("absent");
    let socket = dir.0.join("weaved.sock");
    let told = |error: &ClientError| error.to_string();

    let absent = Client::new(&socket).ask(&routes::HEALTH).await.unwrap_err();
    assert!(absent.is_not_running());
    assert_eq!(
        told(&absent),
        format!(
            "weaved is not running (no socket at {}); start it with: weavectl launch",
            socket.display()
        )
    );

    drop(StdListener::bind(&socket).unwrap());
    let dead = Client::new(&socket).ask(&routes::HEALTH).await.unwrap_err();
    assert!(dead.is_not_running());
    assert!(
        told(&dead).starts_with("weaved is not running (nobody answers at"),
        "{dead}"
    );
}

#[test]
fn a_socket_of_others_is_told_with_the_group_to_join() {
    let denied = |group: Option<&str>| ClientError::Denied {
        socket: "/run/weaved.sock".into(),
        group: group.map(ToOwned::to_owned),
    };

    assert_eq!(
        denied(None).to_string(),
        "permission denied at /run/weaved.sock; run as root"
    );
    assert_eq!(
        denied(Some("weave")).to_string(),
        "permission denied at /run/weaved.sock; run as root or join group weave"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes: Vec<u8>, status in 100..600u16) {
        understood(status, &bytes);
    }

    #[test]
    fn any_json_is_an_answer_or_an_error(json in json(), status in 100..600u16) {
        understood(status, json.to_string().as_bytes());
    }

    #[test]
    fn an_answer_with_one_value_changed_is_an_answer_or_an_error(at: prop::sample::Index, value in json()) {
        let mut report = serde_json::to_value(sample()).unwrap();
        let mut paths = Vec::new();
        places(&report, String::new(), &mut paths);
        if let Some(place) = report.pointer_mut(at.get::<String>(&paths)) {
            *place = value;
        }
        let bytes = report.to_string();
        let _ = understand::<Report>("/", StatusCode::OK, bytes.as_bytes());
    }
}

#[test]
fn a_report_reads_back_as_it_was_written() {
    let report = sample();
    let json = serde_json::to_vec(&report).unwrap();
    let read: Report = understand("/", StatusCode::OK, &json).unwrap();
    assert_eq!(read, report);
}

#[test]
fn an_answer_may_gain_fields() {
    let mut json = serde_json::to_value(sample()).unwrap();
    json["status"]["router"]["colour"] = "blue".into();
    let read: Report = serde_json::from_value(json).unwrap();
    assert_eq!(read, sample());
}

/// Reads the bytes as every type that there is
fn understood(status: u16, bytes: &[u8]) {
    let status = StatusCode::from_u16(status).unwrap();
    let _ = understand::<Health>("/", status, bytes);
    let _ = understand::<StatusReport>("/", status, bytes);
    let _ = understand::<Vec<Connection>>("/", status, bytes);
    let _ = understand::<Vec<Peer>>("/", status, bytes);
    let _ = understand::<Vec<Target>>("/", status, bytes);
    let _ = understand::<Vec<Flow>>("/", status, bytes);
    let _ = understand::<Vec<Attachment>>("/", status, bytes);
    let _ = understand::<Attached>("/", status, bytes);
    let _ = understand::<Detached>("/", status, bytes);
    let _ = understand::<Report>("/", status, bytes);
    let _ = understand::<Stopping>("/", status, bytes);
    let _ = understand::<AttachRequest>("/", status, bytes);
    let _ = understand::<DetachRequest>("/", status, bytes);
    let _ = understand::<ConnectRequest>("/", status, bytes);
    let _ = understand::<ForgetRequest>("/", status, bytes);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-z_]{1,10}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The JSON pointers of every value in `value`
fn places(value: &serde_json::Value, at: String, into: &mut Vec<String>) {
    if let Some(map) = value.as_object() {
        for (key, inner) in map {
            places(inner, format!("{at}/{key}"), into);
        }
    } else if let Some(list) = value.as_array() {
        for (index, inner) in list.iter().enumerate() {
            places(inner, format!("{at}/{index}"), into);
        }
    }
    into.push(at);
}

fn sample() -> Report {
    serde_json::from_str(include_str!("tests/report.json")).unwrap()
}

#[test]
fn the_sample_has_something_of_everything() {
    let report = sample();
    let addresses: Vec<&IpNetwork> = report.containers.iter().flat_map(|c| &c.addresses).collect();
    assert!(!addresses.is_empty() && !report.flows.is_empty() && !report.connections.is_empty());
    assert!(!report.peers.is_empty() && !report.targets.is_empty() && !report.macs.is_empty());
    assert!(!report.unicast_routes.is_empty() && !report.broadcast_routes.is_empty());
}

/// A directory of this test's own, removed at its end
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weave-api-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// Answers one question with bytes that are given
struct Server {
    dir: Directory,
    listener: UnixListener,
}

impl Server {
    fn start(name: &str) -> Self {
        let dir = Directory::new(name);
        let listener = UnixListener::bind(dir.0.join("weaved.sock")).unwrap();
        Self { dir, listener }
    }

    fn client(&self) -> Client {
        Client::new(self.dir.0.join("weaved.sock"))
    }

    async fn answer_json(&self, status: u16, body: &str) -> String {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}");
        self.answer(answer.as_bytes()).await
    }

    /// The question, as far as its own content-length says
    async fn answer(&self, bytes: &[u8]) -> String {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut question = String::new();
        let mut buffer = [0; 4096];
        while !is_whole(&question) {
            let len = stream.read(&mut buffer).await.unwrap();
            assert_ne!(len, 0, "the client went away after {question:?}");
            question.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
        }
        stream.write_all(bytes).await.unwrap();
        question
    }
}

fn is_whole(question: &str) -> bool {
    let Some((head, body)) = question.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

#[tokio::test]
async fn a_daemon_that_ends_while_it_is_asked_is_told_from_one_that_talks_nonsense() {
    for (said, is_cut_off) in [
        (&b""[..], true),
        (b"HTTP/1.1 200 OK\r\n", true),
        (b"nonsense\r\n", false),
    ] {
        let dir = Directory::new("cut-off");
        let socket = dir.0.join("weaved.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let ends = tokio::spawn(async move {
            let (mut stream, _address) = listener.accept().await.unwrap();
            stream.write_all(said).await.unwrap();
        });
        let error = Client::new(&socket).ask(&routes::HEALTH).await.unwrap_err();
        assert_eq!(error.is_cut_off(), is_cut_off, "{said:?}: {error:?}");
        assert!(!error.is_not_running());
        ends.await.unwrap();
    }
}
