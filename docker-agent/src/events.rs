//! Following Docker: what there is when it begins to answer, and which containers are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{Client, ContainerRequest, routes};
use docker::create::option;
use docker::plugin::{CreateEndpoint, Wanted};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::dockerd::{DockerError, Dockerd, Event, Events, encoded};
use crate::memory::{Endpoint, Memory};
use crate::network::{self, DRIVER};
use crate::weaved::told;

/// How long to wait for a Docker that does not answer, at first and at most
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// What is listened to
const FILTERS: &str = r#"{"type":["container"],"event":["destroy"]}"#;

/// Who follows Docker
#[derive(Debug)]
pub(crate) struct Follower {
    /// Whom it follows
    pub(crate) docker: Dockerd,
    /// Who is told
    pub(crate) weaved: Client,
    /// What is remembered of it
    pub(crate) memory: Arc<Memory>,
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
                    log::info!("Docker at {} ended", self.docker.socket().display());
                    (pause, told) = (shortest, None);
                }
                Err(error) => {
                    let text = crate::body::line(&error);
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
        network::ensure(&self.docker, &self.network).await?;
        self.learn().await?;
        log::info!("following Docker at {}", self.docker.socket().display());
        while let Some(event) = events.next().await {
            self.happened(&event).await;
        }
        Ok(())
    }

    async fn happened(&self, event: &Event) {
        if (event.kind.as_str(), event.action.as_str()) != ("container", "destroy") {
            return;
        }
        let Some(container) = self.memory.forget_container(&event.actor.id) else {
            return;
        };
        let question = ContainerRequest { container };
        if let Err(error) = self.weaved.send(&routes::FORGET_CONTAINER, &question).await {
            // It does so by itself, a little later.
            log::debug!("weaved does not forget {}: {}", question.container, told(&error));
        }
    }

    /// Learns which containers and interfaces there are, of before this program ran
    async fn learn(&self) -> Result<(), DockerError> {
        let filters = encoded(&format!(r#"{{"driver":["{DRIVER}"]}}"#));
        let networks: Vec<Ided> = self.docker.get(&format!("/networks?filters={filters}")).await?;
        let networks: BTreeSet<String> = networks.into_iter().map(|network| network.id).collect();
        let containers: Vec<Ided> = self.docker.get("/containers/json?all=1").await?;
        for Ided { id } in containers {
            match self
                .docker
                .get::<Inspected>(&format!("/containers/{id}/json"))
                .await
            {
                Ok(inspected) => self.remember(&id, inspected, &networks),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn remember(&self, id: &str, inspected: Inspected, networks: &BTreeSet<String>) {
        for attached in inspected.network_settings.networks.into_values().flatten() {
            let by_proxy = attached.driver_opts.contains_key(option::CONTAINER);
            if !by_proxy && !networks.contains(&attached.network_id) {
                continue;
            }
            let request = CreateEndpoint {
                endpoint_id: attached.endpoint_id.clone(),
                options: attached.driver_opts,
                ..CreateEndpoint::default()
            };
            let Ok(container) = Wanted::from(&request).key.parse() else {
                continue;
            };
            let endpoint = Endpoint {
                container,
                interface: None,
                by_proxy,
                multicast: true,
            };
            if by_proxy {
                self.memory.container(id, endpoint.container.clone());
            }
            if !attached.endpoint_id.is_empty() {
                self.memory.endpoint_if_unknown(&attached.endpoint_id, endpoint);
            }
        }
    }
}

#[derive(Deserialize)]
struct Ided {
    #[serde(rename = "Id")]
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    #[serde(deserialize_with = "or_empty")]
    network_settings: Settings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    #[serde(deserialize_with = "or_empty")]
    networks: BTreeMap<String, Option<Attached>>,
}

/// A container on one of Docker's networks
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attached {
    #[serde(rename = "NetworkID", deserialize_with = "or_empty")]
    network_id: String,
    #[serde(rename = "EndpointID", deserialize_with = "or_empty")]
    endpoint_id: String,
    #[serde(deserialize_with = "or_empty")]
    driver_opts: Map<String, Value>,
}

/// A value, or the empty one for null
fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
