//! Interfaces on the network of which Docker knows nothing: it was killed, or lost its state, after it had asked
//! for them, and never says that they go.

use std::collections::BTreeSet;
use std::time::Duration;

use api::{Attachment, ClientError, ContainerRequest, ErrorKind, routes};
use docker::connected::is_of_the_driver;
use model::{ContainerId, Mac};

use super::{Follower, Ided, key};

/// How long an interface has to be unknown to Docker: it shows those of a start when the start is over
const GRACE: Duration = Duration::from_secs(10);
/// How often is looked for what could not be removed
const SELDOM: Duration = Duration::from_secs(300);

/// How long Docker's ids of containers are, in characters
const ID: usize = 64;

/// Part of the files by which Docker knows its containers' namespaces
const NETNS: &str = "/docker/netns/";

impl Follower {
    /// Removes them; ends when there are none
    pub(super) async fn sweep(&self) {
        let mut before = BTreeSet::new();
        let mut pause = GRACE;
        loop {
            match self.strangers().await {
                Ok(strangers) if strangers.is_empty() => return,
                Ok(strangers) => {
                    for (container, _mac) in strangers.intersection(&before) {
                        self.remove(container).await;
                    }
                    before = strangers;
                }
                Err(error) => log::debug!("what Docker has forgotten is not known: {error:#}"),
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(SELDOM);
        }
    }

    /// What weaved has on the network for Docker, and Docker does not know
    pub(super) async fn strangers(&self) -> anyhow::Result<BTreeSet<(ContainerId, Mac)>> {
        // First: what Docker begins meanwhile is not among them.
        let attached = self.weaved.ask(&routes::CONTAINERS).await?;
        let mut strangers: BTreeSet<_> = attached
            .into_iter()
            .filter(is_dockers)
            .map(|one| (one.container, one.mac))
            .collect();
        let networks = self.networks().await?;
        let containers: Vec<Ided> = self.docker.get("/containers/json?all=1").await?;
        for Ided { id } in containers {
            if strangers.is_empty() {
                break;
            }
            strangers.retain(|(stranger, _mac)| stranger.as_str() != id);
            let Some(container) = self.container(&id).await? else {
                continue;
            };
            for known in container.connected().filter_map(|one| key(one, &networks)) {
                strangers.retain(|(stranger, _mac)| *stranger != known);
            }
        }
        Ok(strangers)
    }

    async fn remove(&self, container: &ContainerId) {
        let question = ContainerRequest {
            container: container.clone(),
        };
        match self.weaved.send(&routes::ABANDON_ENDPOINT, &question).await {
            Ok(()) => log::info!("{container} is taken from the network: Docker knows no such container"),
            // It runs on without its Docker, or is of another one.
            Err(ClientError::Refused(error)) if error.kind == ErrorKind::Conflict => {
                log::debug!("{}", error.message);
            }
            Err(error) => log::warn!(
                "{container} stays on the network, and Docker knows no such container: {}",
                crate::weaved::told(&error)
            ),
        }
    }
}

/// Whether Docker asked for it; who is attached by hand, or is no container, is none of its business
fn is_dockers(attachment: &Attachment) -> bool {
    let known_as = attachment.container.as_str();
    let is_its_id = known_as.len() == ID && known_as.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_in_its_place = |netns: &String| netns.contains(NETNS);
    is_of_the_driver(known_as) || (is_its_id && attachment.netns.as_ref().is_none_or(is_in_its_place))
}
