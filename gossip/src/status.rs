//! What an operator is shown.

use std::time::{Duration, Instant};

use model::{NickName, PeerName, Target};

use crate::neighbours::{Neighbour, State as NeighbourState};
use crate::targets::{Entry, State as TargetState};

/// One connection that there is, was, or should be
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// We dial, or dialled
    pub outbound: bool,
    /// The other end, or the target as the operator named it
    pub address: Target,
    /// How it stands
    pub state: ConnectionState,
    /// Who is there, once that is known
    pub peer: Option<PeerName>,
    /// What people call it
    pub nickname: Option<NickName>,
    /// Data to it is to be sealed
    pub encrypted: bool,
}

/// How a connection stands
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Dialled for the first time
    Connecting,
    /// Dialled again
    Retrying {
        /// What went wrong before
        error: String,
    },
    /// To be dialled again
    Failed {
        /// What went wrong
        error: String,
        /// How long from now; never, if it cannot succeed until somebody changes something
        retry_in: Option<Duration>,
    },
    /// Connected, without a data path
    Pending,
    /// Connected, with a data path
    Established,
    /// Away without a goodbye; its routes and flows are kept
    Held {
        /// For how long from now
        left: Duration,
    },
}

impl ConnectionStatus {
    pub(crate) fn of_neighbour(peer: PeerName, neighbour: &Neighbour, now: Instant) -> Self {
        let state = match neighbour.state {
            NeighbourState::Up {
                established: true, ..
            } => ConnectionState::Established,
            NeighbourState::Up {
                established: false, ..
            } => ConnectionState::Pending,
            NeighbourState::Held { until, .. } => ConnectionState::Held {
                left: until.saturating_duration_since(now),
            },
        };
        let greeting = neighbour.greeting.as_ref();
        Self {
            outbound: neighbour.outbound,
            address: Target::from(neighbour.remote),
            state,
            peer: Some(peer),
            nickname: greeting.map(|greeting| greeting.nickname.clone()),
            encrypted: greeting.is_some_and(|greeting| greeting.encrypted),
        }
    }

    /// Nothing for a target that leads to a neighbour: that has a line of its own
    pub(crate) fn of_target(target: &Target, entry: &Entry, now: Instant) -> Option<Self> {
        let error = entry.error.clone();
        let state = match (entry.state, error) {
            (TargetState::Connected { .. }, _) => return None,
            (TargetState::Dialling { .. } | TargetState::Greeting { .. }, Some(error)) => {
                ConnectionState::Retrying { error }
            }
            (TargetState::Waiting { due }, Some(error)) => ConnectionState::Failed {
                error,
                retry_in: Some(due.saturating_duration_since(now)),
            },
            (TargetState::Never, error) => ConnectionState::Failed {
                error: error.unwrap_or_default(),
                retry_in: None,
            },
            (
                TargetState::Dialling { .. } | TargetState::Greeting { .. } | TargetState::Waiting { .. },
                None,
            ) => ConnectionState::Connecting,
        };
        Some(Self {
            outbound: true,
            address: target.clone(),
            state,
            peer: entry.peer,
            nickname: None,
            encrypted: false,
        })
    }
}
