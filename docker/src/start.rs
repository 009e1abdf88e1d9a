//! The body of a container's start, where old clients say once more how its host is to treat it.
//!
//! To API versions before 1.24 a start may bring a whole `HostConfig`, in a field of that name or as the body
//! itself. It takes the place of what the creation said, and with it goes what put the container on the
//! network: its name servers, and with another network mode also its connections and what its driver is told.

use serde::de::IgnoredAny;

use crate::create::option;
use crate::object::{Object, json};

/// A start after which its container is where its creation put it
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// What Docker is asked instead
    pub body: Vec<u8>,
    /// The container's whole id
    pub container: String,
    /// The Docker networks that the container is to leave before, as it is asked to be on none beside ours
    pub leaves: Vec<String>,
}

/// Whether a start says anything of the host, as Docker reads it
pub fn says(body: &[u8]) -> bool {
    Said::parse(&String::from_utf8_lossy(body)).is_some()
}

/// What is made of the start of a container by what its inspection shows; nothing if it goes on as it came: the
/// container was not put on the network, or is asked to be elsewhere, or no harm is done
pub fn mend(body: &[u8], inspection: &[u8], network: &str) -> Option<Mended> {
    let text = String::from_utf8_lossy(body);
    let mut said = Said::parse(&text)?;
    let there = There::parse(str::from_utf8(inspection).ok()?, network)?;
    let mut leaves = Vec::new();
    let asked: String = said.host.read("NetworkMode")?;
    match asked.as_str() {
        "" | "default" | "bridge" => {}
        mode if mode == "none" || mode == network => {
            if there.mode != network {
                leaves.clone_from(&there.others);
            }
        }
        _elsewhere => return None,
    }
    let mode = if asked.is_empty() { "default" } else { &asked };
    let mut is_mended = !leaves.is_empty();
    if mode != there.mode {
        said.host.set("NetworkMode", json(&there.mode));
        is_mended = true;
    }
    for field in ["Dns", "DnsSearch"] {
        let is_open = |host: &Object| {
            host.read::<Vec<IgnoredAny>>(field)
                .is_some_and(|list| list.is_empty())
        };
        if is_open(&said.host)
            && !is_open(&there.host)
            && let Some(kept) = there.host.get(field)
        {
            said.host.set(field, kept.to_owned());
            is_mended = true;
        }
    }
    is_mended.then(|| Mended {
        body: said.into_body(),
        container: there.id,
        leaves,
    })
}

/// What a start says of the host
struct Said<'a> {
    host: Object,
    /// What it is a field of
    whole: Option<Object>,
    rest: &'a str,
}

impl<'a> Said<'a> {
    /// Nothing if it says nothing, or Docker would refuse it
    fn parse(text: &'a str) -> Option<Self> {
        let (body, rest) = Object::first(text)?;
        if let Some(host) = body.get(HOST) {
            return Some(Self {
                host: Object::parse(host)?,
                whole: Some(body),
                rest,
            });
        }
        let is_of_host = |key: &str| FIELDS.iter().any(|field| field.eq_ignore_ascii_case(key));
        let says = body.keys().any(is_of_host);
        says.then_some(Self {
            host: body,
            whole: None,
            rest,
        })
    }

    fn into_body(self) -> Vec<u8> {
        let host = self.host.to_string();
        let body = match self.whole {
            None => host,
            Some(mut whole) => {
                whole.set(HOST, host);
                whole.to_string()
            }
        };
        format!("{body}{}", self.rest).into_bytes()
    }
}

/// A container that its creation put on the network, and that does not run
struct There {
    id: String,
    host: Object,
    mode: String,
    /// The other networks that it is on
    others: Vec<String>,
}

impl There {
    fn parse(inspection: &str, network: &str) -> Option<Self> {
        let container = Object::parse(inspection)?;
        let host = container.object(HOST)?;
        let networks = container.object("NetworkSettings")?.object("Networks")?;
        let endpoint = Object::parse(networks.entry(network)?)?;
        let _ours = endpoint.object("DriverOpts")?.entry(option::CONTAINER)?;
        let runs: bool = container.object("State")?.read("Running")?;
        (!runs).then_some(())?;
        let others = networks.keys().filter(|other| *other != network);
        Some(Self {
            id: container.read("Id")?,
            mode: host.read("NetworkMode")?,
            others: others.map(str::to_owned).collect(),
            host,
        })
    }
}

/// The field, of a start as of an inspection
const HOST: &str = "HostConfig";

/// The fields of a `HostConfig`: one of them makes a body one
const FIELDS: [&str; 71] = [
    "AutoRemove",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeight",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Capabilities",
    "Cgroup",
    "CgroupParent",
    "CgroupnsMode",
    "ConsoleSize",
    "ContainerIDFile",
    "CpuCount",
    "CpuPercent",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IOMaximumBandwidth",
    "IOMaximumIOps",
    "Init",
    "IpcMode",
    "Isolation",
    "KernelMemory",
    "KernelMemoryTCP",
    "Links",
    "LogConfig",
    "MaskedPaths",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "MemorySwappiness",
    "Mounts",
    "NanoCpus",
    "NetworkMode",
    "OomKillDisable",
    "OomScoreAdj",
    "PidMode",
    "PidsLimit",
    "PortBindings",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyPaths",
    "ReadonlyRootfs",
    "RestartPolicy",
    "Runtime",
    "SecurityOpt",
    "ShmSize",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "UTSMode",
    "Ulimits",
    "UsernsMode",
    "VolumeDriver",
    "VolumesFrom",
];
