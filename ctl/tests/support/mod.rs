//! A weaved that gives the answers it was told to give, and remembers the questions.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a failure here fails the test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// weavectl with this socket, and nothing from the environment that it would read
pub fn weavectl(socket: &Path) -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_weavectl")), socket)
}

/// The same for a copy of weavectl
pub fn program(weavectl: &Path, socket: &Path) -> Command {
    let mut command = Command::new(weavectl);
    command.env_remove("WEAVE_PASSWORD").env("WEAVE_SOCKET", socket);
    // The Docker of this machine, if it has one, is none of the tests' business.
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    command
}

/// A directory of this test's own, removed at its end
#[derive(Debug)]
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weavectl-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// A question's method and path, and the status and body of its answer
pub type Answer<'a> = (&'a str, u16, &'a str);

pub struct Fake {
    dir: Directory,
    questions: Arc<Mutex<Vec<String>>>,
    server: Option<JoinHandle<()>>,
}

impl Fake {
    pub fn answering(name: &str, answers: &[Answer<'_>]) -> Self {
        let dir = Directory::new(name);
        let listener = UnixListener::bind(dir.0.join("weaved.sock")).unwrap();
        let questions = Arc::<Mutex<Vec<String>>>::default();
        let answers: Vec<(String, u16, String)> = answers
            .iter()
            .map(|(question, status, body)| ((*question).to_owned(), *status, (*body).to_owned()))
            .collect();
        let asked = Arc::clone(&questions);
        let server = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !serve(stream.unwrap(), &answers, &asked) {
                    return;
                }
            }
        });
        Self {
            dir,
            questions,
            server: Some(server),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.0.join("weaved.sock")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = weavectl(&self.socket());
        command.args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Method, path, and body of each
    pub fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let (Ok(mut stream), Some(server)) = (UnixStream::connect(self.socket()), self.server.take()) {
            stream.write_all(END.as_bytes()).unwrap();
            let _panicked = server.join();
        }
    }
}

/// Ends the server; no question that weavectl would ask
const END: &str = "END / HTTP/1.1\r\n\r\n";

/// Reads one question, notes it, and answers it; false for [`END`]
fn serve(stream: UnixStream, answers: &[(String, u16, String)], asked: &Mutex<Vec<String>>) -> bool {
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let question = line.trim_end().strip_suffix(" HTTP/1.1").unwrap().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    if question == "END /" {
        return false;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    // Before it is answered: after that the test looks.
    let noted = format!("{question} {body}").trim_end().to_owned();
    asked.lock().unwrap().push(noted);
    let unknown = ("".to_owned(), 404, "no such path".to_owned());
    let (_, status, answer) = answers
        .iter()
        .find(|(known, _, _)| *known == question)
        .unwrap_or(&unknown);
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", answer.len());
    let _client_may_be_gone = (&stream)
        .write_all(head.as_bytes())
        .and_then(|()| (&stream).write_all(answer.as_bytes()));
    true
}
