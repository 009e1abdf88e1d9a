//! Frames that the switch's rules dropped, counted from every thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use overlay::DropReason;

/// One counter for each reason
#[derive(Debug, Default)]
pub(crate) struct SwitchDrops([AtomicU64; DropReason::ALL.len()]);

impl SwitchDrops {
    /// Counts one
    pub(crate) fn count(&self, reason: DropReason) {
        let at = DropReason::ALL.iter().position(|known| *known == reason);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters that are not zero, by name
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        DropReason::ALL
            .iter()
            .zip(&self.0)
            .map(|(reason, counter)| {
                (
                    format!("switch: {}", reason.label()),
                    counter.load(Ordering::Relaxed),
                )
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
