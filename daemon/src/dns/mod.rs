//! The name server: questions come by UDP and TCP, and are answered from the published zone or by others.
//!
//! What is answered is decided in the crate `dns`; here are its sockets and its clock. There is one task
//! for each socket that is listened on, one for each connection, and one for each datagram that others
//! are asked about. Their numbers have bounds, of which each client has a share; beyond these the connection
//! that has been idle longest is closed, and a question that others would have to be asked is answered with
//! SERVFAIL. Clients that are neither on this host nor containers are answered with REFUSED, unless the operator
//! allowed their network.

mod answering;
mod clients;
mod listening;
mod places;
mod servers;
mod shares;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dns::{Authority, Zone};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::answering::Counters;
use self::answering::{Answering, Task};
pub(crate) use self::clients::Clients;
pub(crate) use self::listening::BindError;
use self::listening::Listening;
pub(crate) use self::places::Places;
pub(crate) use self::servers::Upstreams;

/// When an address that could not be bound is tried again
const RETRY: Duration = Duration::from_secs(5);

/// How the zone is answered, and who is asked for the rest
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How the zone is answered
    pub(crate) authority: Authority,
    /// Who is asked for the rest
    pub(crate) upstreams: Upstreams,
    /// Who is answered
    pub(crate) clients: Clients,
}

/// The name server, with its first sockets bound
#[derive(Debug)]
pub(crate) struct Server {
    answering: Arc<Answering>,
    wanted: watch::Receiver<Vec<SocketAddr>>,
    listening: Listening,
    rng: StdRng,
}

/// A server from outside
#[derive(Debug, Clone)]
pub(crate) struct View(Arc<Answering>);

impl View {
    /// Where it listens
    pub(crate) fn listening(&self) -> Vec<SocketAddr> {
        self.0.listening()
    }

    /// Who is asked about names of elsewhere
    pub(crate) fn upstreams(&self) -> Vec<SocketAddr> {
        self.0.upstreams()
    }

    /// For how many seconds answers may be kept
    pub(crate) fn ttl(&self) -> u32 {
        self.0.ttl()
    }

    /// How often what happened
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }
}

impl Server {
    /// Binds the addresses that are to be listened on at first
    ///
    /// They may change while it serves. One that this host does not have yet can be bound all the same.
    pub(crate) fn bind(
        settings: Settings,
        zone: watch::Receiver<Zone>,
        mut wanted: watch::Receiver<Vec<SocketAddr>>,
        rng: StdRng,
    ) -> Result<Self, BindError> {
        let mut listening = Listening::default();
        let errors = listening.bind(&wanted.borrow_and_update());
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
        Ok(Self {
            answering: Arc::new(Answering::new(settings, zone)),
            wanted,
            listening,
            rng,
        })
    }

    /// Where it is bound
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listening.addresses()
    }

    /// What can be seen of it while it serves
    pub(crate) fn view(&self) -> View {
        View(Arc::clone(&self.answering))
    }

    /// Serves until `stop`, on the addresses that are wanted at each time
    pub(crate) async fn serve(mut self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let mut errors = Vec::new();
        loop {
            self.answering.listens_on(self.listening.addresses());
            for (address, udp, tcp, closed) in self.listening.start(&stop) {
                log::info!("names are answered on {address}");
                tasks.spawn(udp::serve(self.task(&tasks, &closed), udp));
                tasks.spawn(tcp::serve(self.task(&tasks, &closed), tcp));
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = self.wanted.changed() => errors.clear(),
                () = tokio::time::sleep(RETRY), if !errors.is_empty() => {}
            }
            let wanted = self.wanted.borrow_and_update().clone();
            let still = self.listening.bind(&wanted);
            for error in still.iter().filter(|_| errors.is_empty()) {
                log::warn!("{error:#}; it is tried again every {} s", RETRY.as_secs());
            }
            errors = still;
        }
        tasks.close();
        tasks.wait().await;
    }

    fn task(&mut self, tasks: &TaskTracker, closed: &CancellationToken) -> Task {
        Task {
            answering: Arc::clone(&self.answering),
            tasks: tasks.clone(),
            closed: closed.clone(),
            rng: StdRng::from_rng(&mut self.rng),
        }
    }
}
