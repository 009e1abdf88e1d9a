//! Following Docker: what there is when it begins to answer, and which containers are connected and removed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{Client, ContainerRequest, ContainerSpec, NameRequest, reserved_for, routes};
use docker::create::option;
use docker::plugin::{CreateEndpoint, Wanted};
use model::ContainerId;
use serde::Deserialize;

use crate::body::line;
use crate::container::{Connected, Container};
use crate::dockerd::{DockerError, Dockerd, Event, Events, encoded};
use crate::memory::{Endpoint, Memory};
use crate::network::{self, DRIVER};
use crate::policy::Policies;
use crate::weaved::told;

/// How long to wait for a Docker that does not answer, at first and at most
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
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
        while let Some(event) = events.next().await {
            self.happened(&event).await;
        }
        Ok(())
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

    /// Gives a container its name that Docker put on the network without the proxy
    async fn name(&self, id: &str, network: &str) -> Result<(), DockerError> {
        let Some(domain) = self.policies.names_domain().await else {
            return Ok(());
        };
        let container = match Container::inspect(&self.docker, id).await {
            Ok(container) => container,
            // It has ended again.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(name) = container.name_in(&domain) else {
            return Ok(());
        };
        for connected in container.connected() {
            let by_proxy = connected.driver_opts.contains_key(option::CONTAINER);
            if by_proxy || connected.network_id != network || connected.endpoint_id.is_empty() {
                continue;
            }
            let Some(key) = self.known_as(&connected).await else {
                continue;
            };
            let question = NameRequest {
                container: Some(ContainerSpec::Name(key.to_string())),
                addresses: Vec::new(),
                name: Some(name.clone()),
            };
            if let Err(error) = self.weaved.send(&routes::ADD_NAMES, &question).await {
                log::warn!("{key} does not get the name {name}: {}", told(&error));
            }
        }
        Ok(())
    }

    /// Learns which containers and interfaces there are, of before this program ran
    async fn learn(&self) -> Result<(), DockerError> {
        let filters = encoded(&format!(r#"{{"driver":["{DRIVER}"]}}"#));
        let networks: Vec<Ided> = self.docker.get(&format!("/networks?filters={filters}")).await?;
        let networks: BTreeSet<String> = networks.into_iter().map(|network| network.id).collect();
        let containers: Vec<Ided> = self.docker.get("/containers/json?all=1").await?;
        for Ided { id } in containers {
            match Container::inspect(&self.docker, &id).await {
                Ok(container) => self.remember(container, &networks).await,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn remember(&self, container: Container, networks: &BTreeSet<String>) {
        for attached in container.connected() {
            let by_proxy = attached.driver_opts.contains_key(option::CONTAINER);
            if !by_proxy && !networks.contains(&attached.network_id) {
                continue;
            }
            let Some(key) = self.known_as(&attached).await else {
                continue;
            };
            let endpoint = Endpoint {
                container: key,
                interface: None,
                by_proxy,
                multicast: true,
                address: None,
            };
            if !attached.endpoint_id.is_empty() {
                self.memory.endpoint_if_unknown(&attached.endpoint_id, endpoint);
            }
        }
    }
}

impl Follower {
    /// What weaved knows a container as that is connected to a network
    async fn known_as(&self, connected: &Connected) -> Option<ContainerId> {
        if let Some(endpoint) = self.memory.endpoint_of(&connected.endpoint_id) {
            return Some(endpoint.container);
        }
        let reserved = connected.address.parse().ok().map(reserved_for);
        let Some(reserved) = reserved.filter(|_| !connected.driver_opts.contains_key(option::CONTAINER))
        else {
            return key_of(connected);
        };
        let attached = self.weaved.ask(&routes::CONTAINERS).await.unwrap_or_default();
        // By its address, if that was chosen before its interface was made.
        match attached.iter().any(|one| one.container == reserved) {
            true => Some(reserved),
            false => key_of(connected),
        }
    }
}

/// The same, where its driver chose the address
fn key_of(connected: &Connected) -> Option<ContainerId> {
    let request = CreateEndpoint {
        endpoint_id: connected.endpoint_id.clone(),
        options: connected.driver_opts.clone(),
        ..CreateEndpoint::default()
    };
    Wanted::from(&request).key.parse().ok()
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
