//! What is no question, at the control socket: it is refused or hung up on, and others are served.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::judge::transfer::pattern;
use crate::site::Site;
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::Launch;

const MEBIBYTE: usize = 1 << 20;
/// Connections that say half a word and stay
const SILENT: usize = 200;
/// What weaved may grow by, in kB, with all of them open
const GROWTH: u64 = 16 * 1024;
/// weaved hears a question out for ten seconds
const PATIENCE: Duration = Duration::from_secs(40);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let site = Site::create(lab, "host1")?;
    let peer = lab.host("host2")?;
    lab.link(&site.host, &peer, ETHERNET)?;
    let host = &site.host;
    host.launch(&Launch::plain())?;
    site.attach()?;
    let before = host.weaved_kilobytes()?;

    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let mut stream = open(host)?;
        stream.write_all(b"GET /v1/stat")?;
        silent.push(stream);
    }
    for question in questions() {
        let answer = question.ask(host).with_context(|| question.name)?;
        let line = answer.lines().next().unwrap_or_default();
        ensure!(
            line.is_empty() || line.starts_with("HTTP/1.1 4"),
            "{} is answered by {line:?}",
            question.name
        );
        println!(
            "{}: {}",
            question.name,
            if line.is_empty() { "hung up on" } else { line }
        );
        host.status()
            .with_context(|| format!("after {}", question.name))?;
    }
    let with_all = host.weaved_kilobytes()?;
    one_word_at_a_time(host)?;
    for stream in &mut silent {
        let answer = read_all(stream).context("a silent connection")?;
        ensure!(answer.is_empty(), "half a word is answered by {answer:?}");
    }
    host.status()?;
    println!("weaved went from {before} kB to {with_all} kB");
    ensure!(
        with_all <= before + GROWTH,
        "weaved has grown from {before} kB to {with_all} kB"
    );
    let listed = host.weavectl(&["ps"])?.ok()?;
    ensure!(listed.contains(&site.cidr()), "the container is gone: {listed:?}");
    Ok(())
}

/// Something sent, piece by piece
struct Question {
    name: &'static str,
    pieces: Vec<Vec<u8>>,
    /// The sender's half is closed after that
    half_closed: bool,
}

fn questions() -> Vec<Question> {
    let post = |rest: &str| {
        let head = "POST /v1/containers/attach HTTP/1.1\r\nHost: weave\r\n";
        format!("{head}{rest}\r\n\r\n").into_bytes()
    };
    let body = || vec![vec![b'x'; MEBIBYTE]; 64];
    let chunk = [b"100000\r\n".to_vec(), vec![b'x'; MEBIBYTE], b"\r\n".to_vec()].concat();
    let question = |name, pieces| Question {
        name,
        pieces,
        half_closed: false,
    };
    let half = |name, piece: Vec<u8>| Question {
        name,
        pieces: vec![piece],
        half_closed: true,
    };
    vec![
        question("noise", vec![pattern(5000)]),
        question("empty lines", vec![b"\r\n".repeat(5000), b"?\r\n\r\n".to_vec()]),
        question(
            "a header of 1 MiB",
            vec![b"GET /v1/status HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; MEBIBYTE]],
        ),
        question(
            "100,000 headers",
            vec![
                b"GET /v1/status HTTP/1.1\r\n".to_vec(),
                b"a: b\r\n".repeat(100_000),
            ],
        ),
        question("a path of 1 MiB", vec![b"GET /".to_vec(), vec![b'x'; MEBIBYTE]]),
        question(
            "a body of 64 MiB",
            [vec![post("Content-Length: 67108864")], body()].concat(),
        ),
        question(
            "a body without end",
            [vec![post("Content-Length: 99999999999999")], body()].concat(),
        ),
        question(
            "chunks without end",
            [vec![post("Transfer-Encoding: chunked")], vec![chunk; 64]].concat(),
        ),
        question("no JSON", vec![post("Content-Length: 9"), b"{{{{{{{{{".to_vec()]),
        question(
            "a body that does not come",
            vec![post("Content-Length: 100"), b"{".to_vec()],
        ),
        half("half a head, then the end", b"GET /v1/stat".to_vec()),
        half(
            "half a body, then the end",
            [post("Content-Length: 100"), b"{".to_vec()].concat(),
        ),
        half("the end at once", Vec::new()),
    ]
}

impl Question {
    /// Sends all of it, or what weaved takes, and tells the answer
    fn ask(&self, host: &Host) -> Result<String> {
        let mut stream = open(host)?;
        for piece in &self.pieces {
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        if self.half_closed {
            stream.shutdown(Shutdown::Write)?;
        }
        read_all(&mut stream)
    }
}

/// A head that goes on and on, a byte a look
fn one_word_at_a_time(host: &Host) -> Result<()> {
    let mut stream = open(host)?;
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nX: ")?;
    stream.set_nonblocking(true)?;
    let (_closed, took) = wait_for("a slow question is hung up on", PATIENCE, || {
        let mut answer = [0; 100];
        Ok(
            match stream.write_all(b"x").and_then(|()| stream.read(&mut answer)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Look::NotYet("it is heard".to_owned()),
                Err(_closed) => Look::Done(()),
                Ok(_answered) => Look::Done(()),
            },
        )
    })?;
    println!("a slow question: hung up on after {took:.0?}");
    Ok(())
}

fn open(host: &Host) -> Result<UnixStream> {
    let stream = UnixStream::connect(host.socket()).context("weaved does not listen")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What comes until weaved hangs up, be it in the midst of what it was sent
fn read_all(stream: &mut UnixStream) -> Result<String> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => {
            Err(error).context("weaved neither answers nor hangs up")
        }
        Ok(_) | Err(_) => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}
