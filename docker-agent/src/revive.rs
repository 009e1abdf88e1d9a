//! Containers that Docker was to start by itself, and could not because weaved or this program was not there:
//! they are started as soon as both are.
//!
//! Docker tries once when it begins itself, and once when a container's process has ended; what fails then it
//! leaves for people to start.

use std::sync::Arc;
use std::time::Duration;

use api::{Client, routes};
use hyper::Method;
use serde::Deserialize;

use crate::body::line;
use crate::dockerd::{DockerError, Dockerd, encoded};
use crate::memory::Memory;
use crate::network::DRIVER;

/// How often those are asked that do not answer
const PAUSE: Duration = Duration::from_millis(500);
/// Containers that have run
const ENDED: &str = r#"{"status":["exited"]}"#;

/// Who starts them
#[derive(Debug)]
pub(crate) struct Reviver {
    /// Who starts containers
    pub(crate) docker: Dockerd,
    /// Who is to be there
    pub(crate) weaved: Client,
    /// Knows when one was missed
    pub(crate) memory: Arc<Memory>,
}

impl Reviver {
    /// Looks once at first, and then whenever weaved has been missed and is there again
    ///
    /// Cancel-safe: a container that was to be started is found again by the next that looks.
    pub(crate) async fn follow(self) {
        loop {
            while !self.weaved_is_there().await {
                tokio::time::sleep(PAUSE).await;
            }
            while let Err(error) = self.start_all().await {
                log::debug!("which containers were to start is not known: {}", line(&error));
                tokio::time::sleep(PAUSE).await;
            }
            self.memory.weaved_is_missed().await;
        }
    }

    async fn weaved_is_there(&self) -> bool {
        let health = self.weaved.ask(&routes::HEALTH).await;
        health.is_ok_and(|health| health.ready)
    }

    async fn start_all(&self) -> Result<(), DockerError> {
        let path = format!("/containers/json?all=1&filters={}", encoded(ENDED));
        let ended: Vec<Listed> = self.docker.get(&path).await?;
        for Listed { id } in ended {
            let inspected = self.docker.get(&format!("/containers/{id}/json")).await;
            let container: Container = match inspected {
                Ok(container) => container,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            if !container.was_to_start() {
                continue;
            }
            let start = format!("/containers/{id}/start");
            match self.docker.ask(Method::POST, &start, None).await {
                Ok(_nothing) => log::info!("container {id}, which Docker could not start, is started"),
                Err(error) => log::warn!("container {id} is not started: {}", line(&error)),
            }
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
}

/// What tells whether a container was to start
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    state: State,
    host_config: HostConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    /// Why the last start failed, if it did
    #[serde(default)]
    error: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    restart_policy: RestartPolicy,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RestartPolicy {
    #[serde(default)]
    name: String,
}

impl Container {
    /// Docker is to start it, and its driver was not there or had no weaved
    fn was_to_start(&self) -> bool {
        let is_to = matches!(
            self.host_config.restart_policy.name.as_str(),
            "always" | "unless-stopped" | "on-failure"
        );
        let no_driver = format!("plugin \"{DRIVER}\"");
        let error = &self.state.error;
        is_to && (error.contains("weaved ") || error.contains(&no_driver))
    }
}

#[cfg(test)]
mod tests {
    use api::DockerHost;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Directory, in_time, play};

    const WITHOUT_WEAVED: &str = "failed to create endpoint a1 on network weave: NetworkDriver.CreateEndpoint: \
        weaved does not run on this host: start it with `weavectl launch`, then try again";

    fn inspected(policy: &str, error: &str) -> Value {
        json!({
            "State": {"Status": "exited", "Error": error},
            "HostConfig": {"RestartPolicy": {"Name": policy, "MaximumRetryCount": 0}},
        })
    }

    fn was_to_start(policy: &str, error: &str) -> bool {
        let container: Container = serde_json::from_value(inspected(policy, error)).unwrap();
        container.was_to_start()
    }

    #[test]
    fn only_what_was_to_start_and_could_not_for_want_of_us_is_started() {
        for policy in ["always", "unless-stopped", "on-failure"] {
            assert!(was_to_start(policy, WITHOUT_WEAVED), "{policy}");
        }
        for policy in ["no", ""] {
            assert!(!was_to_start(policy, WITHOUT_WEAVED), "{policy}");
        }
        for error in ["", "driver failed programming external connectivity"] {
            assert!(!was_to_start("always", error), "{error}");
        }
    }

    fn docker(path: &str) -> Value {
        match path.split('?').next().unwrap() {
            "/containers/json" => json!([{"Id": "c1"}, {"Id": "c2"}]),
            "/containers/c1/json" => inspected("no", WITHOUT_WEAVED),
            "/containers/c2/json" => inspected("always", WITHOUT_WEAVED),
            _other => Value::Null,
        }
    }

    #[tokio::test]
    async fn containers_are_started_whenever_weaved_is_there_again() {
        let directory = Directory::new();
        let memory = Arc::new(Memory::default());
        let reviver = Reviver {
            docker: Dockerd::new(DockerHost::Unix(directory.path("docker.sock"))),
            weaved: crate::weaved::client(&directory.path("weaved.sock")),
            memory: Arc::clone(&memory),
        };
        let mut asked = play(&directory.path("docker.sock"), docker);
        let _health = play(
            &directory.path("weaved.sock"),
            |_path| json!({"ready": true, "pid": 1, "version": "1"}),
        );
        let following = tokio::spawn(reviver.follow());
        for _time in 0..2 {
            loop {
                let (path, _body) = in_time("Docker is asked", asked.recv()).await.unwrap();
                assert_ne!(path, "/containers/c1/start");
                if path == "/containers/c2/start" {
                    break;
                }
            }
            memory.weaved_missed();
        }
        following.abort();
    }
}
