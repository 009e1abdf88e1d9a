//! The cipher that this host's CPU computes fastest.

use std::sync::OnceLock;
use std::time::Instant;

use fallback_sleeve::Suite;

/// The sealing suite that this host receives with; tried once, a property of the CPU
pub(crate) fn fastest() -> Suite {
    static FASTEST: OnceLock<Suite> = OnceLock::new();
    *FASTEST.get_or_init(|| Suite::fastest_sealed(Instant::now))
}
