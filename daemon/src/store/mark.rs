//! A moment that can be told from others after a restart.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment by the clock that counts from the start of the kernel, which nobody sets and which goes on while
/// the machine sleeps
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Drawn by the kernel at its start
    boot: String,
    since_boot: Duration,
}

impl Mark {
    /// This moment
    pub(crate) fn now() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        Self {
            boot: boot.trim().to_owned(),
            since_boot: since_boot.unwrap_or_default(),
        }
    }

    /// How long it is ago; none if the kernel was started since, which leaves no way to know
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        let now = Self::now();
        let is_same = now.boot == self.boot && !now.boot.is_empty();
        is_same.then(|| now.since_boot.checked_sub(self.since_boot))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_start_of_the_kernel_leaves_no_way_to_know() {
        let mark = Mark::now();
        assert!(mark.elapsed().is_some_and(|ago| ago < Duration::from_secs(60)));
        let other = Mark {
            boot: "another".to_owned(),
            ..mark.clone()
        };
        assert_eq!(other.elapsed(), None);
        let ahead = Mark {
            since_boot: mark.since_boot + Duration::from_secs(9999),
            ..mark
        };
        assert_eq!(ahead.elapsed(), None);
    }
}
