//! Which changed records go to which neighbours.
//!
//! A peer tells its change to each of its neighbours. Who hears it passes it on only to those of its
//! neighbours that the record itself does not name: the writer reaches the others directly. In a full
//! mesh nobody passes on anything; what a broken connection swallows, the next digest mends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::{PeerName, later};

use crate::records::PeerRecord;

/// Changed records that wait for others to travel with them
#[derive(Debug, Default)]
pub(crate) struct Flood {
    /// By name, with the neighbours that have the change already
    changed: BTreeMap<PeerName, BTreeSet<PeerName>>,
    due: Option<Instant>,
}

impl Flood {
    /// A record changed, as this neighbour told, or here
    pub(crate) fn push(&mut self, name: PeerName, teller: Option<PeerName>, delay: Duration, now: Instant) {
        self.due.get_or_insert_with(|| later(now, delay));
        let knowing = self.changed.entry(name).or_default();
        knowing.clear();
        knowing.extend(teller);
    }

    /// A neighbour turned out to have this record too
    pub(crate) fn has(&mut self, name: PeerName, neighbour: PeerName) {
        if let Some(knowing) = self.changed.get_mut(&name) {
            knowing.insert(neighbour);
        }
    }

    /// The changes, if it is time
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Changes> {
        self.due.take_if(|due| *due <= now)?;
        Some(Changes(std::mem::take(&mut self.changed)))
    }

    pub(crate) const fn timeout(&self) -> Option<Instant> {
        self.due
    }
}

/// The changes of one flush
pub(crate) struct Changes(BTreeMap<PeerName, BTreeSet<PeerName>>);

impl Changes {
    /// The names of all
    pub(crate) fn names(&self) -> impl Iterator<Item = PeerName> {
        self.0.keys().copied()
    }

    /// Whether the neighbour has to be told of this record; `us` writes one of them
    pub(crate) fn concerns(&self, record: &PeerRecord, us: PeerName, neighbour: PeerName) -> bool {
        let told = self
            .0
            .get(&record.name)
            .is_some_and(|knowing| knowing.contains(&neighbour));
        let writer_tells = record.name != us && record.connections.contains_key(&neighbour);
        !told && !writer_tells && record.name != neighbour
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::{name, record};

    #[test]
    fn changes_wait_for_each_other_and_leave_together() {
        let start = Instant::now();
        let delay = Duration::from_millis(20);
        let mut flood = Flood::default();
        flood.push(name(1), None, delay, start);
        flood.push(name(2), None, delay, start + delay / 2);
        assert!(flood.take_due(start + delay / 2).is_none());
        let changes = flood.take_due(start + delay).unwrap();
        assert_eq!(changes.names().count(), 2);
        assert_eq!(flood.timeout(), None);
    }

    #[test]
    fn a_record_is_passed_on_to_whom_its_writer_does_not_reach() {
        let start = Instant::now();
        let mut flood = Flood::default();
        flood.push(name(1), Some(name(3)), Duration::ZERO, start);
        let changes = flood.take_due(start).unwrap();
        let heard = record(1, 1, &[0, 2]);
        let concerns = |neighbour| changes.concerns(&heard, name(0), name(neighbour));
        assert!(!concerns(1), "its writer");
        assert!(!concerns(2), "a neighbour of its writer");
        assert!(!concerns(3), "who told us");
        assert!(concerns(4));
    }

    #[test]
    fn our_own_record_goes_to_every_neighbour() {
        let start = Instant::now();
        let mut flood = Flood::default();
        flood.push(name(0), None, Duration::ZERO, start);
        let changes = flood.take_due(start).unwrap();
        assert!(changes.concerns(&record(0, 1, &[1]), name(0), name(1)));
    }
}
