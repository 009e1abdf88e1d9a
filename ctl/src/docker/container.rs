//! A container of Docker, by its name, its id, or the first characters of that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ::docker::connected::{Connected, Network, Networks};
use ::docker::names::{Called, in_domain};
use anyhow::{Context as _, Result, bail};
use api::{Attachment, ContainerSpec};
use model::ContainerId;
use serde::Deserialize;

use super::files::Files;
use super::{CLIENT, SOCKET};

/// What Docker calls the driver of our networks
const DRIVER: &str = "weave";
/// The networks that Docker makes, of other drivers
const DOCKERS: [&str; 3] = ["bridge", "host", "none"];
/// Where `ip netns` keeps its names
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// What weaved is told of a container of Docker
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it is
    pub(crate) spec: ContainerSpec,
    /// What it is known as: once for each way by which it is on the network, or will be
    pub(crate) ids: Vec<ContainerId>,
    /// What Docker calls it
    name: String,
    /// What it knows of names
    pub(crate) files: Files,
}

impl Found {
    /// Its whole name in a domain, if it can have one
    pub(crate) fn name_in(&self, domain: &str) -> Option<String> {
        let called = Called {
            name: &self.name,
            hostname: &self.files.hostname,
            domainname: &self.files.domainname,
        };
        in_domain(called, domain)
    }
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
    let networks = networks(&inspected)?;
    inspected.found(name, &networks, &attached()?).map(Some)
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

/// What Docker says of the networks of our driver among these; none is asked for where there can be none
fn networks(of: &Inspected) -> Result<Networks> {
    let ids = of.others();
    if ids.is_empty() {
        return Ok(Networks::default());
    }
    let output = Command::new(CLIENT)
        .args(["network", "inspect", "--"])
        .args(&ids)
        .stdin(Stdio::null())
        .output()
        .context("cannot run docker")?;
    // Of one that was removed meanwhile it complains, and it says the others.
    let all: Vec<Network> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("docker network inspect {}: it says nothing of it", ids.join(" ")))?;
    Ok(Networks::of(DRIVER, all))
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
    #[serde(default)]
    hosts_path: PathBuf,
    #[serde(default)]
    resolv_conf_path: PathBuf,
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
    dns: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Option<Connected>>>,
}

impl Inspected {
    fn found(self, called: &str, networks: &Networks, attached: &[Attachment]) -> Result<Found> {
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
        // By hand or by the proxy first: that is the same at every start.
        let by_networks = self
            .connected()
            .filter_map(|one| one.known_as(networks)?.parse().ok());
        let mut ids: Vec<ContainerId> = Vec::new();
        for id in std::iter::once(self.id.clone()).chain(by_networks) {
            if is_attached(&id) && !ids.contains(&id) {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            ids.push(self.id.clone());
        }
        let is_said = |list: Option<Vec<String>>| list.is_some_and(|list| !list.is_empty());
        Ok(Found {
            spec: ContainerSpec::Path(format!("/proc/{}/ns/net", self.state.pid)),
            ids,
            name: self.name,
            files: Files {
                hosts: self.hosts_path,
                resolv_conf: self.resolv_conf_path,
                hostname: self.config.hostname,
                domainname: self.config.domainname,
                has_own_dns: is_said(self.host_config.dns),
                has_own_search: is_said(self.host_config.dns_search),
                is_alone: self.host_config.network_mode == "none",
            },
        })
    }

    /// The networks that it is on
    fn connected(&self) -> impl Iterator<Item = &Connected> {
        let networks = self.network_settings.networks.iter().flatten();
        networks.filter_map(|(_name, connected)| connected.as_ref())
    }

    /// Docker's ids of those that Docker itself has not made
    fn others(&self) -> Vec<&str> {
        let networks = self.network_settings.networks.iter().flatten();
        let others = networks.filter(|(name, _connected)| !DOCKERS.contains(&name.as_str()));
        let ids = others.filter_map(|(_name, connected)| Some(connected.as_ref()?.network_id.as_str()));
        ids.filter(|id| !id.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "7e83f5abb7575f30440b528e72590664b1fb717a5843a59a09f6c819b87fd413";

    fn inspected(change: impl FnOnce(&mut Value)) -> Inspected {
        let mut value = json!({
            "Id": ID,
            "Name": "/a1",
            "State": { "Running": true, "Pid": 4711 },
            "Config": { "Hostname": "7e83f5abb757", "Domainname": "" },
            "HostConfig": { "NetworkMode": "default", "Dns": [], "DnsSearch": null },
            "NetworkSettings": { "Networks": { "bridge": {
                "NetworkID": "n0", "IPAddress": "172.17.0.2",
                "EndpointID": "5152e3a0e71a3b81c7fd4f8619de5188817c8ac3c20d383d9f53d9624f0eb017",
                "DriverOpts": null,
            } } },
            "HostsPath": "/d/hosts",
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn networks() -> Networks {
        let all = json!([
            { "Id": "n1", "Driver": "weave", "IPAM": { "Driver": "null" } },
            { "Id": "n2", "Driver": "weave", "IPAM": { "Driver": "weave" } },
        ]);
        Networks::of(DRIVER, serde_json::from_value::<Vec<Network>>(all).unwrap())
    }

    fn attached(ids: &[&str]) -> Vec<Attachment> {
        let one = |id: &&str| json!({ "container": id, "mac": "02:00:00:00:00:01", "addresses": [] });
        serde_json::from_value(ids.iter().map(one).collect()).unwrap()
    }

    fn ids(found: &Found) -> Vec<&str> {
        found.ids.iter().map(ContainerId::as_str).collect()
    }

    #[test]
    fn a_container_that_runs_is_found_by_its_process_and_known_by_its_id() {
        let found = inspected(|_| {}).found("a1", &networks(), &[]).unwrap();
        assert_eq!(found.spec, ContainerSpec::Path("/proc/4711/ns/net".to_owned()));
        assert_eq!(ids(&found), [ID]);
        assert_eq!(found.name_in("weave.local.").as_deref(), Some("a1.weave.local"));
        assert_eq!(found.files.hosts, Path::new("/d/hosts"));
        assert!(!found.files.has_own_dns && !found.files.is_alone);
        assert!(inspected(|_| {}).others().is_empty(), "nothing to ask Docker for");
    }

    #[test]
    fn a_host_name_in_the_domain_is_its_name() {
        for (hostname, domainname, name) in [
            ("web", "weave.local", "web.weave.local"),
            ("web.weave.local", "", "web.weave.local"),
            ("web", "example.org", "a1.weave.local"),
            ("web", "", "a1.weave.local"),
        ] {
            let found = inspected(|value| {
                value["Config"] = json!({ "Hostname": hostname, "Domainname": domainname });
            });
            let found = found.found("a1", &networks(), &[]).unwrap();
            assert_eq!(found.name_in("weave.local.").as_deref(), Some(name));
        }
    }

    #[test]
    fn one_that_docker_put_on_networks_keeps_what_it_is_known_as() {
        let on_both = || {
            inspected(|value| {
                let networks = &mut value["NetworkSettings"]["Networks"];
                networks["a"] = json!({ "NetworkID": "n1", "EndpointID": "aaaaaaaaaaaabbbb" });
                networks["b"] = json!({ "NetworkID": "n2", "EndpointID": "e2", "IPAddress": "10.3.0.2", "DriverOpts": {} });
            })
        };
        assert_eq!(on_both().others(), ["n1", "n2"]);
        for (weaved_has, known) in [
            (&[][..], &[ID][..]),
            (&["endpoint:aaaaaaaaaaaa"], &["endpoint:aaaaaaaaaaaa"]),
            (&["address:10.3.0.2"], &["address:10.3.0.2"]),
            (
                &["address:10.3.0.2", "endpoint:aaaaaaaaaaaa", ID, "other"],
                &[ID, "endpoint:aaaaaaaaaaaa", "address:10.3.0.2"],
            ),
            // Of Docker's bridge.
            (&["endpoint:5152e3a0e71a", "address:172.17.0.2"], &[ID]),
        ] {
            let found = on_both().found("a1", &networks(), &attached(weaved_has)).unwrap();
            assert_eq!(ids(&found), known, "{weaved_has:?}");
        }
    }

    #[test]
    fn what_cannot_be_attached_is_told_why() {
        for (field, change, told) in [
            ("State", json!({ "Running": false, "Pid": 0 }), "is not running"),
            (
                "HostConfig",
                json!({ "NetworkMode": "host" }),
                "the host's own network",
            ),
        ] {
            let error = inspected(|value| value[field] = change).found("a1", &networks(), &[]);
            let error = error.unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
