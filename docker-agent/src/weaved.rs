//! Asking weaved, so fast that whoever asked Docker hears of it in time.

use std::path::Path;
use std::time::Duration;

use api::{Client, ClientError};

/// Docker is answered within five seconds.
const TIMEOUT: Duration = Duration::from_millis(4500);

/// Who asks weaved behind this socket
pub(crate) fn client(socket: &Path) -> Client {
    Client::new(socket).with_timeout(TIMEOUT)
}

/// What went wrong, in one line that says what to do
pub(crate) fn told(error: &ClientError) -> String {
    if error.is_not_running() {
        return "weaved does not run on this host: start it with `weavectl launch`, then try again"
            .to_owned();
    }
    crate::body::line(error)
}
