//! Following Docker: what there is when it begins to answer, and which containers are connected and removed.
//!
//! Docker tells its drivers no names: they are given right after the process of a container has started, which
//! is when Docker says of it what it is called.

mod forgotten;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{Client, ContainerRequest, ContainerSpec, NameRequest, routes};
use docker::connected::{Connected, Network, Networks};
use docker::names::alias_in_domain;
use model::ContainerId;
use serde::Deserialize;

use crate::body::line;
use crate::container::Container;
use crate::dockerd::{DockerError, Dockerd, Event, Events, encoded};
use crate::memory::{Endpoint, Memory};
use crate::network::{self, DRIVER};
use crate::policy::Policies;
use crate::weaved::told;

/// How long to wait for a Docker that does not answer, at first and at most
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often more a container is asked for that Docker does not show in time
const PATIENCE: u32 = 5;
/// What is listened to
const FILTERS: &str = r#"{"type":["container","network"],"event":["destroy","connect"]}"#;

/// Who follows Docker
#[derive(Debug)]
pub(crate) struct Follower {
    /// Whom it follows
    pub(crate) docker: Dockerd,
    /// Who is told
    pub(crate) weaved: Client,
    /// What is remembered of it
    pub(crate) memory: Arc<Memory>,
    /// What containers are called in
    pub(crate) policies: Arc<Policies>,
    /// The network that there is to be
    pub(crate) network: String,
}

impl Follower {
    /// Follows for ever; each time that Docker begins to answer anew, the network is made if there is none
    ///
    /// Cancel-safe: whatever was begun is begun again by the next that follows.
    pub(crate) async fn follow(self) {
        let (shortest, longest) = PAUSES;
        let mut pause = shortest;
        let mut told = None;
        loop {
            match self.listen().await {
                Ok(()) => {
                    log::info!("Docker at {} ended", self.docker.host());
                    (pause, told) = (shortest, None);
                }
                Err(error) => {
                    let text = line(&error);
                    if told.as_ref() != Some(&text) {
                        log::warn!("{text}");
                        told = Some(text);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// As long as Docker answers
    async fn listen(&self) -> Result<(), DockerError> {
        // Before what there is is read, so that nothing is missed between the two.
        let mut events = Events::open(&self.docker, FILTERS).await?;
        let info: Info = self.docker.get("/info").await?;
        self.memory.docker_root(info.docker_root);
        network::ensure(&self.docker, &self.network).await?;
        self.learn().await?;
        log::info!("following Docker at {}", self.docker.host());
        let happen = async {
            while let Some(event) = events.next().await {
                self.happened(&event).await;
            }
        };
        let sweep = async {
            self.sweep().await;
            std::future::pending().await
        };
        tokio::select! {
            () = happen => Ok(()),
            ended = sweep => ended,
        }
    }

    async fn happened(&self, event: &Event) {
        let attribute = |name| event.actor.attributes.get(name).map_or("", String::as_str);
        match (event.kind.as_str(), event.action.as_str()) {
            ("container", "destroy") => self.removed(&event.actor.id).await,
            ("network", "connect") if attribute("type") == DRIVER => {
                if let Err(error) = self.name(attribute("container"), &event.actor.id).await {
                    log::warn!(
                        "container {} gets no name: {}",
                        attribute("container"),
                        line(&error)
                    );
                }
            }
            _other => {}
        }
    }

    /// A container is no more: what was kept for it is free
    async fn removed(&self, id: &str) {
        let Ok(container) = id.parse() else {
            return;
        };
        let question = ContainerRequest { container };
        if let Err(error) = self.weaved.send(&routes::FORGET_CONTAINER, &question).await {
            // It does so by itself, a little later.
            log::debug!("weaved does not forget {}: {}", question.container, told(&error));
        }
    }

    /// Gives a container its names that Docker put on a network
    async fn name(&self, id: &str, network: &str) -> Result<(), DockerError> {
        let Some(domain) = self.policies.names_domain().await else {
            return Ok(());
        };
        let Some(container) = self.container(id).await? else {
            return Ok(());
        };
        let there = container.connected().filter(|one| one.network_id == network);
        for connected in there {
            let key = match self.memory.endpoint_of(&connected.endpoint_id) {
                Some(endpoint) => Some(endpoint.container),
                // Of before this program ran.
                None => key(connected, &self.networks().await?),
            };
            if let Some(key) = key {
                self.give_names(&key, names(id, &container, connected, &domain))
                    .await;
            }
        }
        Ok(())
    }

    /// What Docker shows of a container; none if it has ended again
    async fn container(&self, id: &str) -> Result<Option<Container>, DockerError> {
        let mut patience = PATIENCE;
        loop {
            match Container::inspect(&self.docker, id).await {
                Ok(container) => return Ok(Some(container)),
                Err(error) if error.is_not_found() => return Ok(None),
                // Docker shows no container whose start has not ended, which takes a slow host long.
                Err(error) if error.is_late() && patience > 0 => patience -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn give_names(&self, key: &ContainerId, names: Vec<String>) {
        for name in names {
            let question = NameRequest {
                container: Some(ContainerSpec::Name(key.to_string())),
                addresses: Vec::new(),
                name: Some(name),
            };
            if let Err(error) = self.weaved.send(&routes::ADD_NAMES, &question).await {
                let name = question.name.unwrap_or_default();
                log::warn!("{key} does not get the name {name}: {}", told(&error));
            }
        }
    }

    /// The networks of this driver
    async fn networks(&self) -> Result<Networks, DockerError> {
        let filters = encoded(&format!(r#"{{"driver":["{DRIVER}"]}}"#));
        let all: Vec<Network> = self.docker.get(&format!("/networks?filters={filters}")).await?;
        for network in &all {
            self.memory.network(network.id(), network.has_multicast());
        }
        Ok(Networks::of(DRIVER, all))
    }

    /// Learns which containers and interfaces there are, of before this program ran, and gives them the names
    /// that they may not have got then
    async fn learn(&self) -> Result<(), DockerError> {
        let networks = self.networks().await?;
        let containers: Vec<Ided> = self.docker.get("/containers/json?all=1").await?;
        let domain = self.policies.names_domain().await;
        for Ided { id } in containers {
            let Some(container) = self.container(&id).await? else {
                continue;
            };
            for connected in container.connected() {
                let Some(key) = key(connected, &networks) else {
                    continue;
                };
                if connected.endpoint_id.is_empty() {
                    continue;
                }
                self.remember(connected, &key);
                if !container.netns().is_empty() && self.memory.has_multicast(&connected.network_id) {
                    self.memory
                        .takes_multicast(&connected.endpoint_id, container.netns());
                }
                if let Some(domain) = &domain {
                    self.give_names(&key, names(&id, &container, connected, domain))
                        .await;
                }
            }
        }
        Ok(())
    }

    fn remember(&self, connected: &Connected, key: &ContainerId) {
        let endpoint = Endpoint {
            container: key.clone(),
            interface: None,
            by_proxy: connected.is_by_proxy(),
            multicast: self.memory.has_multicast(&connected.network_id),
            address: None,
        };
        self.memory.endpoint_if_unknown(&connected.endpoint_id, endpoint);
    }
}

/// What weaved knows a container as on a network
fn key(connected: &Connected, networks: &Networks) -> Option<ContainerId> {
    connected.known_as(networks)?.parse().ok()
}

/// What a container is called on a network: its name, unless the proxy told it, and its aliases
fn names(id: &str, container: &Container, connected: &Connected, domain: &str) -> Vec<String> {
    let own = (!connected.is_by_proxy())
        .then(|| container.name_in(domain))
        .flatten();
    let aliases = connected.aliases(id).filter_map(|alias| {
        let name = alias_in_domain(alias, domain);
        if name.is_none() {
            log::debug!("{} can be no name", alias.escape_debug());
        }
        name
    });
    own.into_iter().chain(aliases).collect()
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "DockerRootDir", default)]
    docker_root: PathBuf,
}

#[derive(Deserialize)]
struct Ided {
    #[serde(rename = "Id")]
    id: String,
}

#[cfg(test)]
mod tests;
