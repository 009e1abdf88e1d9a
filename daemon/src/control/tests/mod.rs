//! Whole hosts on a virtual clock.

mod beats;
mod durability;
mod names;
mod paths;
mod restarts;

use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
