//! What every task that answers needs, and what becomes of a question.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use dns::{Answer, Authority, Forward, Transport, Zone};
use rand::rngs::StdRng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::servers::Servers;

/// The most questions that others are asked about at once: each takes a descriptor for each server that
/// was asked, and a process may have 1024 of them
const MAX_ASKING: usize = 128;

/// How often what happened
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Questions that came
    pub(crate) questions: AtomicU64,
    /// Those that others were asked about
    pub(crate) forwarded: AtomicU64,
    /// Those that nobody answered, or that were too many
    pub(crate) failed: AtomicU64,
    /// What was no question, and answers that found no room in a socket
    pub(crate) dropped: AtomicU64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What all tasks share
#[derive(Debug)]
pub(super) struct Answering {
    authority: Authority,
    zone: watch::Receiver<Zone>,
    servers: Servers,
    listening: ArcSwap<Vec<SocketAddr>>,
    asking: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
}

/// What one task has for itself
#[derive(Debug)]
pub(super) struct Task {
    pub(super) answering: Arc<Answering>,
    /// Where tasks are started, that the end waits for
    pub(super) tasks: TaskTracker,
    /// The socket is to be closed, with all that came by it
    pub(super) closed: CancellationToken,
    pub(super) rng: StdRng,
}

/// What becomes of a question
#[derive(Debug)]
pub(super) enum Outcome {
    /// It has this answer
    Reply(Vec<u8>),
    /// Others are asked; the permit is held as long
    Ask(Box<Forward>, OwnedSemaphorePermit),
    /// There is nothing to say
    Drop,
}

impl Answering {
    pub(super) fn new(settings: Settings, zone: watch::Receiver<Zone>) -> Self {
        Self {
            authority: settings.authority,
            zone,
            servers: Servers::new(settings.upstreams),
            listening: ArcSwap::default(),
            asking: Arc::new(Semaphore::new(MAX_ASKING)),
            counters: Arc::default(),
        }
    }

    /// Where questions come from now: those who are asked must not be us
    pub(super) fn listens_on(&self, addresses: Vec<SocketAddr>) {
        self.listening.store(Arc::new(addresses));
    }

    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        self.listening.load().to_vec()
    }

    pub(super) fn upstreams(&self) -> Vec<SocketAddr> {
        self.servers.current(&self.listening(), Instant::now())
    }

    pub(super) const fn ttl(&self) -> u32 {
        self.authority.ttl
    }

    /// What becomes of these bytes
    pub(super) fn answer(&self, query: &[u8], transport: Transport, rng: &mut StdRng) -> Outcome {
        Counters::count(&self.counters.questions);
        let answer = self.authority.answer(query, transport, &self.zone.borrow(), rng);
        match answer {
            Answer::Reply(reply) => Outcome::Reply(reply),
            Answer::Forward => self.ask(query, transport, rng),
            Answer::Drop => {
                Counters::count(&self.counters.dropped);
                Outcome::Drop
            }
        }
    }

    /// What is said when nobody answered these bytes
    pub(super) fn failure(&self, query: &[u8]) -> Option<Vec<u8>> {
        Counters::count(&self.counters.failed);
        dns::servfail(query)
    }

    fn ask(&self, query: &[u8], transport: Transport, rng: &mut StdRng) -> Outcome {
        let now = Instant::now();
        let servers = self.servers.current(&self.listening.load(), now);
        let may_get_lost = transport == Transport::Udp;
        let forward = Forward::new(query, &servers, may_get_lost, rng, now);
        match (forward, Arc::clone(&self.asking).try_acquire_owned()) {
            (Some(forward), Ok(permit)) => {
                Counters::count(&self.counters.forwarded);
                Outcome::Ask(Box::new(forward), permit)
            }
            (None, _) | (_, Err(_)) => self.failure(query).map_or(Outcome::Drop, Outcome::Reply),
        }
    }
}
