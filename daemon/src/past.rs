//! What the last run of the daemon left for this one.

use std::net::SocketAddr;
use std::time::Duration;

use gossip::Held;
use model::{PeerName, Target};

use crate::store::{Slot, Store, StoreError};

/// The last run, as the state has it
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Past {
    /// Greater than at any start before, also where the state was lost
    pub(crate) epoch: u64,
    /// Neighbours that hold this host too, and are to be held until they are back
    pub(crate) held: Vec<Held>,
    /// Peers that were to be dialled, if this run goes on where the last one was cut off
    pub(crate) targets: Vec<Target>,
}

impl Past {
    /// Reads what there is, and notes that this run has begun; `now_ms` is Unix time
    pub(crate) fn take(
        store: &Store,
        resume: bool,
        grace: Duration,
        now_ms: u64,
    ) -> Result<Self, StoreError> {
        // Only a stop that was asked for says so; a kill, a signal or a crash does not.
        let was_cut_off = store.value::<bool>(Slot::STOPPED)? == Some(false);
        // Peers hold this host for as long after a stop, as for an update.
        let ended_at = store.value::<u64>(Slot::ENDED_AT)?.unwrap_or(0);
        let has_just_ended = u128::from(now_ms.saturating_sub(ended_at)) <= grace.as_millis();

        let held = if was_cut_off || has_just_ended {
            let neighbours: Vec<(PeerName, SocketAddr)> = store.value(Slot::NEIGHBOURS)?.unwrap_or_default();
            let held = neighbours.into_iter();
            held.map(|(peer, address)| Held { peer, address }).collect()
        } else {
            Vec::new()
        };
        let targets = if was_cut_off || resume {
            store.value(Slot::TARGETS)?.unwrap_or_default()
        } else {
            Vec::new()
        };
        let last = store.value::<u64>(Slot::EPOCH)?.unwrap_or(0);
        let epoch = last.saturating_add(1).max(now_ms);
        // Not waited for: the time of day grows by itself, should a kill come before the disk has it.
        store.put(Slot::EPOCH, &epoch).later();
        store.put(Slot::STOPPED, &false).later();
        Ok(Self { epoch, held, targets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    const GRACE: Duration = Duration::from_secs(5);
    const NOW: u64 = 1_000_000;

    #[test]
    fn how_the_last_run_ended_says_what_this_one_goes_on_with() {
        let stopped = |ago| Some((true, Some(NOW - ago)));
        // How and when it ended, `--resume`, and whether neighbours and targets are taken up.
        #[rustfmt::skip]
        let table = [
            ("never ran",             None,                          false, false, false),
            ("killed",                Some((false, None)),           false, true,  true),
            ("a signal, long ago",    Some((false, Some(1))),        false, true,  true),
            ("stopped just before",   stopped(4_900),                false, true,  false),
            ("stopped long before",   stopped(5_100),                false, false, false),
            ("stopped, to resume",    stopped(5_100),                true,  false, true),
            ("the clock went back",   Some((true, Some(NOW + 999))), false, true,  false),
        ];
        for (index, (what, end, resume, held, targets)) in table.into_iter().enumerate() {
            let dir = TempDir::new(&format!("past-{index}"));
            let store = Store::open(dir.path()).unwrap();
            let peer: PeerName = "7a:00:00:00:00:01".parse().unwrap();
            let address: SocketAddr = "192.0.2.1:6783".parse().unwrap();
            let target: Target = "host1".parse().unwrap();
            if let Some((stopped, ended_at)) = end {
                store.put(Slot::NEIGHBOURS, &[(peer, address)]).later();
                store.put(Slot::TARGETS, &[&target]).later();
                store.put(Slot::STOPPED, &stopped).later();
                if let Some(ended_at) = ended_at {
                    store.put(Slot::ENDED_AT, &ended_at).later();
                }
            }
            let past = Past::take(&store, resume, GRACE, NOW).unwrap();
            let expected = if held {
                vec![Held { peer, address }]
            } else {
                Vec::new()
            };
            assert_eq!(past.held, expected, "{what}");
            let expected = if targets { vec![target] } else { Vec::new() };
            assert_eq!(past.targets, expected, "{what}");
            let begun = store.value::<bool>(Slot::STOPPED).unwrap();
            assert_eq!(begun, Some(false), "{what}: a kill from here on is one");
        }
    }

    #[test]
    fn epochs_grow_whatever_clock_and_state_do() {
        let dir = TempDir::new("past-epochs");
        let store = Store::open(dir.path()).unwrap();
        let mut last = 0;
        for now_ms in [NOW, NOW, NOW - 500_000, NOW + 1] {
            let past = Past::take(&store, false, GRACE, now_ms).unwrap();
            assert!(past.epoch > last, "{} after {last}", past.epoch);
            last = past.epoch;
        }
        let dir = TempDir::new("past-lost");
        let lost = Store::open(dir.path()).unwrap();
        let past = Past::take(&lost, false, GRACE, NOW + 60_000).unwrap();
        assert!(past.epoch > last, "the state was lost, the clock was not");
    }
}
