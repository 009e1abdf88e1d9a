//! A container as Docker shows it, as far as that is needed.

use std::collections::BTreeMap;

use docker::connected::Connected;
use docker::names::{Called, in_domain};
use serde::{Deserialize, Deserializer};

use crate::dockerd::{DockerError, Dockerd};

/// An inspection
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Container {
    #[serde(deserialize_with = "or_empty")]
    name: String,
    #[serde(deserialize_with = "or_empty")]
    config: Config,
    #[serde(deserialize_with = "or_empty")]
    network_settings: Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    #[serde(deserialize_with = "or_empty")]
    hostname: String,
    #[serde(deserialize_with = "or_empty")]
    domainname: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    #[serde(deserialize_with = "or_empty")]
    sandbox_key: String,
    #[serde(deserialize_with = "or_empty")]
    networks: BTreeMap<String, Option<Connected>>,
}

impl Container {
    /// Asks Docker
    pub(crate) async fn inspect(docker: &Dockerd, id: &str) -> Result<Self, DockerError> {
        docker.get(&format!("/containers/{id}/json")).await
    }

    /// Its whole name in a domain, if it can have one
    pub(crate) fn name_in(&self, domain: &str) -> Option<String> {
        let called = Called {
            name: &self.name,
            hostname: &self.config.hostname,
            domainname: &self.config.domainname,
        };
        in_domain(called, domain)
    }

    /// The file that its namespace is known by, while it runs
    pub(crate) fn netns(&self) -> &str {
        &self.network_settings.sandbox_key
    }

    /// The networks that it is on
    pub(crate) fn connected(&self) -> impl Iterator<Item = &Connected> {
        self.network_settings.networks.values().flatten()
    }
}

/// A value, or the empty one for null
fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_empty() {
        for text in [
            "{}",
            r#"{"Name":null,"Config":null,"NetworkSettings":null}"#,
            r#"{"NetworkSettings":{"Networks":null}}"#,
            r#"{"NetworkSettings":{"Networks":{"weave":null}}}"#,
        ] {
            let container: Container = serde_json::from_str(text).unwrap();
            assert_eq!(container.name_in("weave.local"), None);
            assert_eq!(container.connected().count(), 0, "{text}");
        }
    }

    #[test]
    fn a_container_is_called_as_docker_calls_it() {
        let text = r#"{"Name":"/c1","Config":{"Hostname":"0123456789ab","Domainname":""},
            "NetworkSettings":{"Networks":{"weave":{"EndpointID":"e1","NetworkID":"n1","DriverOpts":null}}}}"#;
        let container: Container = serde_json::from_str(text).unwrap();
        assert_eq!(
            container.name_in("weave.local.").as_deref(),
            Some("c1.weave.local")
        );
        let connected: Vec<_> = container.connected().map(|one| &one.endpoint_id).collect();
        assert_eq!(connected, ["e1"]);
    }
}
