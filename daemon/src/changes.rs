//! Changes of this host's devices, addresses and routes, until weaved stops.

use std::time::Duration;

use link::{LinkEvent, Links, Watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// The changes from one moment on
pub(crate) struct Changes {
    watch: Watch,
    stop: CancellationToken,
}

impl Changes {
    /// Starts to watch; an error is logged with its effect, for a task that has nothing to do without
    pub(crate) async fn watch(links: &Links, stop: CancellationToken, effect: &str) -> Option<Self> {
        match links.watch().await {
            Ok(watch) => Some(Self { watch, stop }),
            Err(error) => {
                log::error!("{effect}: {:#}", anyhow::Error::from(error));
                None
            }
        }
    }

    /// Returns the next change; none once weaved stops
    pub(crate) async fn next(&mut self) -> Option<LinkEvent> {
        self.stop.run_until_cancelled(self.watch.next()).await.flatten()
    }

    /// Waits for a change that concerns the caller; false once weaved stops
    pub(crate) async fn wait_for(&mut self, concerns: impl Fn(&LinkEvent) -> bool) -> bool {
        while let Some(event) = self.next().await {
            if concerns(&event) {
                return true;
            }
        }
        false
    }

    /// Takes the rest of a burst, for as long as this
    pub(crate) async fn skip(&mut self, burst: Duration) {
        let end = Instant::now() + burst;
        while let Ok(Some(_event)) = timeout_at(end, self.watch.next()).await {}
    }
}
