//! Who may connect to the control port, by the addresses of both ends.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Inside;

/// Containers that try are told of this often
const TELL: Duration = Duration::from_secs(60);

/// Refuses connections from containers, and counts them
#[derive(Debug, Clone)]
pub(crate) struct Door {
    inside: watch::Receiver<Arc<Inside>>,
    refused: Arc<AtomicU64>,
    told: Arc<Mutex<Option<Instant>>>,
}

impl Door {
    /// A door for the containers' side as it is at each time
    pub(crate) fn new(inside: watch::Receiver<Arc<Inside>>) -> Self {
        Self {
            inside,
            refused: Arc::default(),
            told: Arc::default(),
        }
    }

    /// Whether a connection with these ends may go on
    pub(crate) fn lets_in(&self, local: SocketAddr, remote: SocketAddr, now: Instant) -> bool {
        if !self.inside.borrow().refuses(local, remote) {
            return true;
        }
        let count = self.refused.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if self.is_to_be_told(now) {
            let (from, to): (IpAddr, IpAddr) = (remote.ip().to_canonical(), local.ip().to_canonical());
            log::warn!("a connection to {to} from a container, {from}, was refused; {count} in all");
        }
        false
    }

    /// How many connections were refused
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn is_to_be_told(&self, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_none_or(|last| now.saturating_duration_since(last) >= TELL);
        if is_due {
            *told = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::logged;

    #[test]
    fn refused_connections_are_counted_and_told_once_a_minute() {
        let inside = Inside {
            addresses: ["10.32.0.1".parse().unwrap()].into(),
            ..Inside::default()
        };
        let (_sender, receiver) = watch::channel(Arc::new(inside));
        let door = Door::new(receiver);
        let now = Instant::now();
        let remote = "10.32.0.9:4000".parse().unwrap();
        let knock = |local: &str, after: u64| {
            door.lets_in(local.parse().unwrap(), remote, now + Duration::from_secs(after))
        };
        let lines = logged(|| {
            assert!(knock("192.168.77.1:6783", 0));
            for after in [0, 1, 59, 60, 61] {
                assert!(!knock("10.32.0.1:6783", after));
            }
        });
        assert_eq!(door.refused(), 5);
        assert_eq!(
            lines,
            [1, 4].map(|count| format!(
                "WARN a connection to 10.32.0.1 from a container, 10.32.0.9, was refused; {count} in all"
            ))
        );
    }
}
