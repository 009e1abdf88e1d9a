//! Who asks: one question after the other, or as many as there is room for.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use super::question::{Question, id_of};
use crate::load::batch::{BATCH, Batch};
use crate::load::round_trips::RoundTrips;

/// Questions under way: more would only overflow the server's socket, where the kernel gives it no more
/// room than it gives everybody
const WINDOW: usize = 4 * BATCH;

/// How long an answer may take until it counts as lost
const PATIENCE: Duration = Duration::from_secs(2);

/// Single questions before anything is counted
const WARM_UP: usize = 100;

/// Room for the answers to a window, each of which the kernel counts as nearly 1 KB
const RECEIVE_BUFFER: usize = 1 << 20;

/// A socket that the server is asked by, and how far the questions are
pub(super) struct Asker {
    socket: UdpSocket,
    next: usize,
}

/// What came of asking
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answers: u64,
    pub(super) lost: u64,
    pub(super) took: Duration,
}

impl Asker {
    /// In this thread's namespace
    pub(super) fn connect(server: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)?;
        Ok(Self { socket, next: 0 })
    }

    fn question(&mut self) -> Question {
        self.next += 1;
        Question::new(self.next)
    }

    /// The round trips of single questions, for so long
    pub(super) fn one_by_one(&mut self, lasts: Duration) -> Result<RoundTrips> {
        for _time in 0..WARM_UP {
            self.round_trip()?;
        }
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < lasts {
            times.push(self.round_trip()?.as_secs_f64() * 1e6);
        }
        Ok(RoundTrips::new(times))
    }

    fn round_trip(&mut self) -> Result<Duration> {
        let question = self.question();
        let bytes = question.bytes();
        let mut answer = [0; 512];
        let begun = Instant::now();
        self.socket.send(&bytes)?;
        let length = self.socket.recv(&mut answer).context("no answer to a question")?;
        let took = begun.elapsed();
        question.check(&answer[..length])?;
        Ok(took)
    }

    /// Has [`WINDOW`] questions under way, for so long
    pub(super) fn always_another(&mut self, lasts: Duration) -> Result<Answered> {
        let mut under_way = BTreeMap::new();
        let (mut batch, mut answers, mut lost) = (Batch::new(), 0, 0);
        let begun = Instant::now();
        loop {
            let wants_more = begun.elapsed() < lasts;
            if !wants_more && under_way.is_empty() {
                break;
            }
            if wants_more && under_way.len() + BATCH <= WINDOW {
                self.send_some(&mut batch, &mut under_way)?;
                continue;
            }
            let mut checked = Ok(());
            let count = batch.receive(&self.socket, |answer| {
                let done = take(&mut under_way, answer);
                answers += u64::from(done.is_ok());
                if checked.is_ok() {
                    checked = done;
                }
            })?;
            checked?;
            if count == 0 {
                lost += under_way.len() as u64;
                under_way.clear();
                ensure!(answers > 0, "nobody answers");
            }
        }
        Ok(Answered {
            answers,
            lost,
            took: begun.elapsed(),
        })
    }

    fn send_some(&mut self, batch: &mut Batch, under_way: &mut BTreeMap<u16, Question>) -> Result<()> {
        let questions: Vec<Question> = (0..BATCH).map(|_question| self.question()).collect();
        let bytes: Vec<Vec<u8>> = questions.iter().map(|question| question.bytes()).collect();
        let sent = batch.send(&self.socket, bytes.iter().map(Vec::as_slice))?;
        under_way.extend(
            questions
                .into_iter()
                .take(sent)
                .map(|question| (question.id(), question)),
        );
        Ok(())
    }
}

/// Checks an answer off
fn take(under_way: &mut BTreeMap<u16, Question>, answer: &[u8]) -> Result<()> {
    match under_way.remove(&id_of(answer)?) {
        Some(question) => question.check(answer),
        None => bail!("nobody asked for the answer {answer:02x?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that repeats what it is asked, as long as it is asked anything
    fn parrot() -> (SocketAddr, std::thread::JoinHandle<()>) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let address = server.local_addr().unwrap();
        let repeats = std::thread::spawn(move || {
            let mut bytes = [0; 512];
            let (length, from) = server.recv_from(&mut bytes).unwrap();
            server.send_to(&bytes[..length], from).unwrap();
        });
        (address, repeats)
    }

    #[test]
    fn a_wrong_answer_ends_either_way_of_asking() {
        for is_single in [true, false] {
            let (address, server) = parrot();
            let mut asker = Asker::connect(address).unwrap();
            let lasts = Duration::from_secs(5);
            let error = match is_single {
                true => asker.one_by_one(lasts).unwrap_err(),
                false => asker.always_another(lasts).unwrap_err(),
            };
            assert!(error.to_string().contains("was answered with"), "{error:#}");
            server.join().unwrap();
        }
    }

    #[test]
    fn an_answer_counts_once() {
        let question = Question::new(7);
        let mut under_way = BTreeMap::from([(question.id(), question)]);
        let answer = question.bytes();
        assert!(take(&mut under_way, &answer).is_err());
        let again = take(&mut under_way, &answer).unwrap_err();
        assert!(again.to_string().contains("nobody asked"), "{again:#}");
    }
}
