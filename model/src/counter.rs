//! Counters.

/// One more, unless the counter is full
pub const fn bump(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
