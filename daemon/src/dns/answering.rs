//! What every task that answers needs, and what becomes of a question.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use dns::{Answer, Authority, Forward, Transport, Zone};
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::clients::{Client, Clients, account};
use super::servers::Servers;
use super::shares::{Own, Share, Shares};

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
    /// Questions of clients that are not answered
    pub(crate) refused: AtomicU64,
    /// Connections that were closed because there were too many
    pub(crate) unheard: AtomicU64,
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
    clients: Clients,
    asking: Shares,
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
    /// Others are asked; the share is held as long, and it ends if that is taken away
    Ask(Box<Forward>, Share),
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
            clients: settings.clients,
            asking: Shares::new(MAX_ASKING, Own::Refuse),
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

    /// Whether a client is answered at all
    pub(super) fn serves(&self, from: IpAddr) -> bool {
        match self.clients.kind(from, Instant::now()) {
            Client::ThisHost | Client::Container | Client::Allowed => true,
            Client::Stranger => false,
        }
    }

    /// What becomes of these bytes, which came from there
    pub(super) fn answer(
        &self,
        query: &[u8],
        from: IpAddr,
        transport: Transport,
        rng: &mut StdRng,
    ) -> Outcome {
        Counters::count(&self.counters.questions);
        if !self.serves(from) {
            Counters::count(&self.counters.refused);
            return dns::refused(query).map_or(Outcome::Drop, Outcome::Reply);
        }
        let answer = self.authority.answer(query, transport, &self.zone.borrow(), rng);
        match answer {
            Answer::Reply(reply) => Outcome::Reply(reply),
            Answer::Forward => self.ask(query, from, transport, rng),
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

    fn ask(&self, query: &[u8], from: IpAddr, transport: Transport, rng: &mut StdRng) -> Outcome {
        let now = Instant::now();
        let servers = self.servers.current(&self.listening.load(), now);
        let may_get_lost = transport == Transport::Udp;
        let forward = Forward::new(query, &servers, may_get_lost, rng, now);
        let asked = forward.and_then(|forward| Some((forward, self.asking.take(account(from), now)?)));
        match asked {
            Some((forward, share)) => {
                Counters::count(&self.counters.forwarded);
                Outcome::Ask(Box::new(forward), share)
            }
            None => self.failure(query).map_or(Outcome::Drop, Outcome::Reply),
        }
    }
}
