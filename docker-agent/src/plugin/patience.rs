//! How long Docker may take, and how often is looked whether it is done.

use std::time::Duration;

/// What it takes at most where a container starts on a host that has the time for it
const USUAL: Duration = Duration::from_secs(2);
/// The same where many start at once, on a slow host
pub(super) const SLOW: Duration = Duration::from_secs(30);

/// How long until the next look, after so long a time
pub(super) fn pause(elapsed: Duration) -> Duration {
    Duration::from_millis(match elapsed {
        elapsed if elapsed < USUAL => 3,
        elapsed if elapsed < SLOW => 100,
        _long => 1000,
    })
}
