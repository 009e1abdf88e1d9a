//! Which interfaces are being completed, for Docker to wait for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long Docker may be kept waiting for one
const HOLD: Duration = Duration::from_secs(1);

/// The interfaces that are being completed
#[derive(Debug, Default)]
pub(super) struct Underway(Mutex<BTreeMap<String, Waited>>);

#[derive(Debug, Clone)]
struct Waited {
    netns: String,
    ended: CancellationToken,
}

/// One of them, as long as it is kept
#[derive(Debug)]
pub(super) struct Begun {
    all: Arc<Underway>,
    endpoint: String,
    ended: CancellationToken,
}

impl Underway {
    /// An interface is being completed from here on
    pub(super) fn begin(self: &Arc<Self>, endpoint: &str, netns: &str) -> Begun {
        let ended = CancellationToken::new();
        let waited = Waited {
            netns: netns.to_owned(),
            ended: ended.clone(),
        };
        self.known().insert(endpoint.to_owned(), waited);
        Begun {
            all: Arc::clone(self),
            endpoint: endpoint.to_owned(),
            ended,
        }
    }

    /// Waits, but not for long, until an interface is complete that Docker may have moved already
    ///
    /// Newer ones of Docker ask about an interface between its move and the start of the process: so all
    /// addresses are there when the process starts. Older ones ask before there is a namespace.
    pub(super) async fn wait(&self, endpoint: &str) {
        let waited = self.known().get(endpoint).cloned();
        if let Some(Waited { netns, ended }) = waited
            && Path::new(&netns).exists()
        {
            let _too_long = timeout(HOLD, ended.cancelled()).await;
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Waited>> {
        // Each change is one insertion or removal: there is no half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.all.known().remove(&self.endpoint);
        self.ended.cancel();
    }
}
