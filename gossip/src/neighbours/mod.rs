//! Those whom we are connected to, or were a moment ago.

mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::{NickName, PeerName, Uid, later};

use crate::config::{Held, Timers};
use crate::identity::IdentityKey;
use crate::message::Hello;
use crate::output::{ConnId, DownReason};
use crate::records::Link;

pub(crate) use state::{Change, State};

/// A peer with which we have, or hold, a connection
#[derive(Debug)]
pub(crate) struct Neighbour {
    pub(crate) state: State,
    /// What it said of itself; nothing yet in this run if it was held through our restart
    pub(crate) greeting: Option<Greeting>,
    /// Its end of the connection
    pub(crate) remote: SocketAddr,
    /// Where it can be dialled
    pub(crate) dial: SocketAddr,
    pub(crate) outbound: bool,
    /// The path was up before our restart and has to be seen again by then
    confirm: Option<Instant>,
}

/// What a neighbour said of itself, and on which connection
#[derive(Debug, Clone)]
pub(crate) struct Greeting {
    pub(crate) key: IdentityKey,
    pub(crate) nickname: NickName,
    pub(crate) uid: Uid,
    pub(crate) epoch: u64,
    pub(crate) encrypted: bool,
    /// Both random ids of the connection, XORed: the lowest stays
    pub(crate) connection: u64,
    /// Where we may be reached, by what both ends of the connection see
    pub(crate) our_addresses: [SocketAddr; 2],
}

/// A connection on which a peer introduced itself
pub(crate) struct Arrival<'a> {
    pub(crate) conn: ConnId,
    pub(crate) hello: &'a Hello,
    pub(crate) greeting: Greeting,
    pub(crate) remote: SocketAddr,
    pub(crate) outbound: bool,
}

/// All of them
#[derive(Debug, Default)]
pub(crate) struct Neighbours(BTreeMap<PeerName, Neighbour>);

impl Neighbours {
    /// Those of the time before a restart
    pub(crate) fn held(before: &[Held], timers: &Timers, now: Instant) -> Self {
        let hold = |held: &Held| {
            let neighbour = Neighbour {
                state: State::Held {
                    until: later(now, timers.restart_grace),
                    established: true,
                    silent: false,
                },
                greeting: None,
                remote: held.address,
                dial: held.address,
                outbound: true,
                confirm: None,
            };
            (held.peer, neighbour)
        };
        Self(before.iter().map(hold).collect())
    }

    /// A peer introduced itself and is welcome; whether it was a neighbour already
    pub(crate) fn arrive(&mut self, arrival: Arrival<'_>, timers: &Timers, now: Instant) -> bool {
        let Arrival {
            conn,
            hello,
            greeting,
            remote,
            outbound,
        } = arrival;
        let dial = if outbound {
            remote
        } else {
            SocketAddr::new(remote.ip(), hello.control_port)
        };
        let before = self.0.remove(&hello.name);
        let fresh = State::Up {
            conn,
            established: false,
        };
        let confirm = match &before {
            Some(Neighbour {
                greeting: None,
                state,
                ..
            }) => state.established().then(|| later(now, timers.restart_grace)),
            Some(Neighbour { confirm, .. }) => *confirm,
            None => None,
        };
        let state = match &before {
            Some(neighbour) => neighbour.state.next(Change::Hello(conn)).unwrap_or(fresh),
            None => fresh,
        };
        self.0.insert(
            hello.name,
            Neighbour {
                state,
                greeting: Some(greeting),
                remote,
                dial,
                outbound,
                confirm,
            },
        );
        before.is_some()
    }

    /// Applies a change; tells the states before and after, or why the neighbour is down
    pub(crate) fn change(
        &mut self,
        peer: PeerName,
        change: Change,
    ) -> Option<(State, Result<State, DownReason>)> {
        let neighbour = self.0.get_mut(&peer)?;
        let before = neighbour.state;
        if matches!(change, Change::Path(_)) {
            neighbour.confirm = None;
        }
        let after = before.next(change);
        match after {
            Ok(state) => neighbour.state = state,
            Err(_) => {
                self.0.remove(&peer);
            }
        }
        Some((before, after))
    }

    pub(crate) fn remove(&mut self, peer: PeerName) -> Option<Neighbour> {
        self.0.remove(&peer)
    }

    /// Whatever is due: whose grace is over, whose path was not seen again after our restart
    pub(crate) fn due(&self, now: Instant) -> Vec<(PeerName, Change)> {
        let due = |(peer, neighbour): (&PeerName, &Neighbour)| {
            let change = match (neighbour.state, neighbour.confirm) {
                (State::Held { until, .. }, _) if until <= now => Change::GraceOver,
                (State::Up { .. }, Some(confirm)) if confirm <= now => Change::Path(false),
                (State::Held { .. } | State::Up { .. }, _) => return None,
            };
            Some((*peer, change))
        };
        self.0.iter().filter_map(due).collect()
    }

    pub(crate) fn timeout(&self) -> Option<(Instant, &'static str)> {
        let due = |neighbour: &Neighbour| match (neighbour.state, neighbour.confirm) {
            (State::Held { until, .. }, _) => Some((until, "restart grace")),
            (State::Up { .. }, Some(confirm)) => Some((confirm, "path after restart")),
            (State::Up { .. }, None) => None,
        };
        self.0.values().filter_map(due).min()
    }

    /// This process did not run for so long, and could not see anybody come back
    pub(crate) fn excuse(&mut self, late: Duration) {
        for neighbour in self.0.values_mut() {
            if let State::Held { until, .. } = &mut neighbour.state {
                *until = later(*until, late);
            }
            if let Some(confirm) = &mut neighbour.confirm {
                *confirm = later(*confirm, late);
            }
        }
    }

    pub(crate) fn get(&self, peer: PeerName) -> Option<&Neighbour> {
        self.0.get(&peer)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerName, &Neighbour)> {
        self.0.iter().map(|(peer, neighbour)| (*peer, neighbour))
    }

    /// Those that can be spoken to
    pub(crate) fn up(&self) -> impl Iterator<Item = (PeerName, ConnId)> {
        self.iter()
            .filter_map(|(peer, neighbour)| Some((peer, neighbour.state.conn()?)))
    }

    /// Whether the peer can be spoken to
    pub(crate) fn is_up(&self, peer: PeerName) -> bool {
        self.get(peer)
            .is_some_and(|neighbour| neighbour.state.conn().is_some())
    }
}

impl Neighbour {
    /// The neighbour as our record tells it
    pub(crate) const fn link(&self) -> Link {
        Link {
            address: self.remote,
            outbound: self.outbound,
            established: self.state.established(),
        }
    }
}
