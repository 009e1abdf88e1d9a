//! A container of Docker, by its name, its id, or the first characters of that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use api::{Attachment, ContainerSpec};
use model::ContainerId;
use serde::Deserialize;
use serde_json::Value;

use super::{CLIENT, SOCKET};

/// What weave-docker has Docker keep of a container
const KNOWN_AS: &str = "works.weave.container";
/// Where `ip netns` keeps its names
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// What weaved is told of a container of Docker
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it is
    pub(crate) spec: ContainerSpec,
    /// What it is known as
    pub(crate) id: ContainerId,
    /// What it is called
    pub(crate) name: Option<String>,
}

/// The container of Docker that this text means; none if it is a name of `ip netns`, or Docker has no such
pub(crate) fn find(
    spec: &ContainerSpec,
    attached: impl FnOnce() -> Result<Vec<Attachment>>,
) -> Result<Option<Found>> {
    let ContainerSpec::Name(name) = spec else {
        return Ok(None);
    };
    let is_named = NAMED.iter().any(|dir| Path::new(dir).join(name).exists());
    if is_named || !may_be_here() {
        return Ok(None);
    }
    let Some(text) = inspect(name)? else {
        return Ok(None);
    };
    let inspected: Inspected = serde_json::from_str(&text)
        .with_context(|| format!("cannot understand what Docker says of container {name}"))?;
    inspected.found(name, &attached()?).map(Some)
}

/// Whether `docker` would find a Docker: it takes its time to say no
fn may_be_here() -> bool {
    let is_told = ["DOCKER_HOST", "DOCKER_CONTEXT"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let config = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or(home);
    let has_contexts = config.is_some_and(|config| config.join("contexts").exists());
    is_told || has_contexts || Path::new(SOCKET).exists()
}

/// What Docker says of a container; none where there is no Docker, or no such container
fn inspect(name: &str) -> Result<Option<String>> {
    let output = Command::new(CLIENT)
        .args(["inspect", "--type=container", "--format={{json .}}", "--", name])
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("cannot run docker"),
    };
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let told = String::from_utf8_lossy(&output.stderr);
    if told.to_lowercase().contains("no such") || told.contains("Cannot connect to the Docker daemon") {
        return Ok(None);
    }
    bail!("docker inspect {name}: {}", told.trim())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: ContainerId,
    #[serde(default)]
    name: String,
    state: State,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default)]
    network_settings: NetworkSettings,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    running: bool,
    #[serde(default)]
    pid: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    hostname: String,
    domainname: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    driver_opts: Option<BTreeMap<String, Value>>,
}

impl Inspected {
    fn found(self, called: &str, attached: &[Attachment]) -> Result<Found> {
        if self.host_config.network_mode == "host" {
            bail!(
                "container {called} has the host's own network, which is not attached; \
                 weavectl expose gives the host addresses"
            );
        }
        if !self.state.running || self.state.pid == 0 {
            bail!("container {called} is not running; start it first");
        }
        let is_attached = |id: &ContainerId| attached.iter().any(|one| one.container == *id);
        let id = self.known_as().find(is_attached);
        Ok(Found {
            spec: ContainerSpec::Path(format!("/proc/{}/ns/net", self.state.pid)),
            id: id.unwrap_or_else(|| self.id.clone()),
            name: self.dns_name(),
        })
    }

    /// What weaved may know it as, if a network of Docker's has put it on the network
    fn known_as(&self) -> impl Iterator<Item = ContainerId> {
        let networks = self.network_settings.networks.iter().flatten();
        let endpoints = networks.filter_map(|(_name, endpoint)| endpoint.as_ref());
        let ids = endpoints.filter_map(|endpoint| {
            let options = endpoint.driver_opts.as_ref();
            let told = options
                .and_then(|options| options.get(KNOWN_AS))
                .and_then(Value::as_str);
            let short = endpoint.endpoint_id.get(..12);
            told.map(str::to_owned)
                .or_else(|| short.map(|short| format!("endpoint:{short}")))
        });
        ids.filter_map(|id| id.parse().ok())
    }

    /// Its full host name where it has a domain, else what Docker calls it
    fn dns_name(&self) -> Option<String> {
        let Config { hostname, domainname } = &self.config;
        let name = match domainname.trim_matches('.') {
            "" => self.name.trim_start_matches('/').to_owned(),
            domain => format!("{hostname}.{domain}."),
        };
        (!name.is_empty()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7e83f5abb7575f30440b528e72590664b1fb717a5843a59a09f6c819b87fd413";

    fn inspected(change: impl FnOnce(&mut Value)) -> Inspected {
        let mut value = serde_json::json!({
            "Id": ID,
            "Name": "/a1",
            "State": { "Running": true, "Pid": 4711 },
            "Config": { "Hostname": "7e83f5abb757", "Domainname": "" },
            "HostConfig": { "NetworkMode": "default" },
            "NetworkSettings": { "Networks": { "bridge": {
                "EndpointID": "5152e3a0e71a3b81c7fd4f8619de5188817c8ac3c20d383d9f53d9624f0eb017",
                "DriverOpts": null,
            } } },
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn attached(id: &str) -> Vec<Attachment> {
        serde_json::from_value(serde_json::json!([
            { "container": id, "mac": "02:00:00:00:00:01", "addresses": [] },
        ]))
        .unwrap()
    }

    #[test]
    fn a_container_that_runs_is_found_by_its_process_and_known_by_its_id() {
        let found = inspected(|_| {}).found("a1", &[]).unwrap();
        assert_eq!(found.spec, ContainerSpec::Path("/proc/4711/ns/net".to_owned()));
        assert_eq!((found.id.as_str(), found.name.as_deref()), (ID, Some("a1")));
    }

    #[test]
    fn a_host_name_with_a_domain_is_its_name() {
        let found = inspected(|value| {
            value["Config"] = serde_json::json!({ "Hostname": "web", "Domainname": "weave.local" });
        });
        let name = found.found("a1", &[]).unwrap().name;
        assert_eq!(name.as_deref(), Some("web.weave.local."));
    }

    #[test]
    fn one_that_docker_put_on_the_network_keeps_what_it_is_known_as() {
        let by_driver = |value: &mut Value| {
            value["NetworkSettings"]["Networks"]["weave"] = serde_json::json!({
                "EndpointID": "aaaaaaaaaaaabbbb", "DriverOpts": { KNOWN_AS: "key:1" },
            });
        };
        let found = inspected(by_driver).found("a1", &attached("key:1")).unwrap();
        assert_eq!(found.id.as_str(), "key:1");
        let left = inspected(by_driver).found("a1", &[]).unwrap();
        assert_eq!(left.id.as_str(), ID, "nothing goes by that any more");
        let by_plugin = inspected(|_| {}).found("a1", &attached("endpoint:5152e3a0e71a"));
        assert_eq!(by_plugin.unwrap().id.as_str(), "endpoint:5152e3a0e71a");
    }

    #[test]
    fn what_cannot_be_attached_is_told_why() {
        for (field, change, told) in [
            (
                "State",
                serde_json::json!({ "Running": false, "Pid": 0 }),
                "is not running",
            ),
            (
                "HostConfig",
                serde_json::json!({ "NetworkMode": "host" }),
                "the host's own network",
            ),
        ] {
            let error = inspected(|value| value[field] = change).found("a1", &[]);
            let error = error.unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
