//! Whether a neighbour counts as connected.
//!
//! ```text
//!                       path up
//!         ┌─────────┐ ──────────► ┌─────────────┐
//!  hello  │         │  path down  │             │
//! ───────►│ Pending │ ◄────────── │ Established │
//!         └─┬───┬───┘             └──┬───────┬──┘
//!           │   ▲  hello            ▲ │       │
//!           │   └─────────┐   hello │ │ EOF, RST, "restart", silence
//!           │           ┌─┴─────────┴─▼─┐     │
//!  any loss │           │     Held      │     │ "leave", removed
//!           │           └───────┬───────┘     │
//!           │   grace over;     │             │
//!           │   silent and      │             │
//!           │   path down       │             │
//!           └──────────► Down ◄─┴─────────────┘
//! ```
//! A held neighbour is in our record as it was, so that routes and flows over it stay: a killed and
//! restarted peer costs nothing. A pending one has no traffic to preserve and goes at once; except
//! that one which gave up this connection for another keeps its place until that one is complete.

use std::time::Instant;

use crate::connection::Ended;
use crate::output::{ConnId, DownReason};

/// Where a neighbour is
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// TCP is up
    Up { conn: ConnId, established: bool },
    /// TCP is gone, the neighbour is expected back
    Held {
        until: Instant,
        established: bool,
        silent: bool,
    },
}

/// What happens to a neighbour
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It introduced itself on this connection
    Hello(ConnId),
    /// The daemon has, or has no, data path to it
    Path(bool),
    /// Its connection ended; it is expected back until then
    Lost { ended: Ended, until: Instant },
    /// The time it was held for is over
    GraceOver,
}

impl State {
    /// A data path is up, or was when the neighbour was held
    pub(crate) const fn established(self) -> bool {
        match self {
            Self::Up { established, .. } | Self::Held { established, .. } => established,
        }
    }

    pub(crate) const fn conn(self) -> Option<ConnId> {
        match self {
            Self::Up { conn, .. } => Some(conn),
            Self::Held { .. } => None,
        }
    }

    /// The state after the change, or why the neighbour is down
    pub(crate) fn next(self, change: Change) -> Result<Self, DownReason> {
        match (self, change) {
            (Self::Up { established, .. } | Self::Held { established, .. }, Change::Hello(conn)) => {
                Ok(Self::Up { conn, established })
            }

            (Self::Up { conn, .. }, Change::Path(established)) => Ok(Self::Up { conn, established }),
            (Self::Held { silent: true, .. }, Change::Path(false)) => Err(DownReason::Silent),
            (Self::Held { until, silent, .. }, Change::Path(established)) => Ok(Self::Held {
                until,
                established,
                silent,
            }),

            (Self::Up { established, .. }, Change::Lost { ended, until }) => match Loss::from(ended) {
                Loss::Final(reason) => Err(reason),
                Loss::Replaced => Ok(Self::Held {
                    until,
                    established,
                    silent: false,
                }),
                Loss::Passing { silent } if established => Ok(Self::Held {
                    until,
                    established,
                    silent,
                }),
                Loss::Passing { .. } => Err(DownReason::Ended(ended)),
            },
            (Self::Held { .. }, Change::Lost { .. }) | (Self::Up { .. }, Change::GraceOver) => Ok(self),
            (Self::Held { .. }, Change::GraceOver) => Err(DownReason::GraceOver),
        }
    }
}

/// What the end of a connection says about the neighbour
enum Loss {
    Final(DownReason),
    Passing { silent: bool },
    Replaced,
}

impl From<Ended> for Loss {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Left => Self::Final(DownReason::Left),
            Ended::Removed => Self::Final(DownReason::Removed),
            Ended::Refused(_)
            | Ended::Rejected(_)
            | Ended::OutOfBounds
            | Ended::Unsigned
            | Ended::Banned
            | Ended::Ourselves => Self::Final(DownReason::Ended(ended)),
            Ended::Silence => Self::Passing { silent: true },
            Ended::Duplicate => Self::Replaced,
            // A forged or mangled byte says nothing about the peer, only about the connection.
            Ended::Disconnected(_)
            | Ended::DuringHandshake(_)
            | Ended::HandshakeTimeout
            | Ended::Foreign
            | Ended::Malformed
            | Ended::Oversized
            | Ended::Forged
            | Ended::RefusedInClear(_)
            | Ended::Crowded
            | Ended::Restarting => Self::Passing { silent: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::output::Disconnect;

    #[test]
    fn every_change_in_every_state() {
        let until = Instant::now();
        let later = until + Duration::from_secs(1);
        let (old, new) = (ConnId(1), ConnId(2));
        let pending = State::Up {
            conn: old,
            established: false,
        };
        let up = State::Up {
            conn: old,
            established: true,
        };
        let held = |established, silent| State::Held {
            until,
            established,
            silent,
        };
        let moved = |established| State::Up {
            conn: new,
            established,
        };
        let hello = Change::Hello(new);
        let lost = |ended| Change::Lost { ended, until };
        let eof = Ended::Disconnected(Disconnect::Eof);
        let later_lost = Change::Lost {
            ended: eof,
            until: later,
        };
        let down = |ended| Err(DownReason::Ended(ended));
        #[rustfmt::skip]
        let table = [
            (pending,            hello,                   Ok(moved(false))),
            (pending,            Change::Path(true),      Ok(up)),
            (pending,            Change::Path(false),     Ok(pending)),
            (pending,            lost(eof),               down(eof)),
            (pending,            lost(Ended::Restarting), down(Ended::Restarting)),
            (pending,            lost(Ended::Silence),    down(Ended::Silence)),
            (pending,            lost(Ended::Left),       Err(DownReason::Left)),
            (pending,            lost(Ended::Duplicate),  Ok(held(false, false))),
            (pending,            Change::GraceOver,       Ok(pending)),
            (up,                 hello,                   Ok(moved(true))),
            (up,                 Change::Path(true),      Ok(up)),
            (up,                 Change::Path(false),     Ok(pending)),
            (up,                 lost(eof),               Ok(held(true, false))),
            (up,                 lost(Ended::Restarting), Ok(held(true, false))),
            (up,                 lost(Ended::Forged),     Ok(held(true, false))),
            (up,                 lost(Ended::Silence),    Ok(held(true, true))),
            (up,                 lost(Ended::Left),       Err(DownReason::Left)),
            (up,                 lost(Ended::Removed),    Err(DownReason::Removed)),
            (up,                 lost(Ended::Duplicate),  Ok(held(true, false))),
            (up,                 Change::GraceOver,       Ok(up)),
            (held(true, false),  hello,                   Ok(moved(true))),
            (held(false, false), hello,                   Ok(moved(false))),
            (held(false, false), Change::Path(true),      Ok(held(true, false))),
            (held(true, false),  Change::Path(false),     Ok(held(false, false))),
            (held(true, true),   Change::Path(true),      Ok(held(true, true))),
            (held(true, true),   Change::Path(false),     Err(DownReason::Silent)),
            (held(true, false),  later_lost,              Ok(held(true, false))),
            (held(true, false),  Change::GraceOver,       Err(DownReason::GraceOver)),
        ];
        for (state, change, expected) in table {
            assert_eq!(state.next(change), expected, "{state:?} {change:?}");
        }
    }
}
