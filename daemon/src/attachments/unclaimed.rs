//! Containers that are on the network and not remembered: the state was lost while they ran on, or weaved
//! was killed before an attach was on disk.
//!
//! A host's end is named by its container's id, so the ids that there can be are tried: the names of `ip netns`
//! and the processes. Containers that were attached by other paths are not found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use api::ContainerSpec;
use link::{LinkKind, Links};
use model::IfName;

use super::container::container;
use super::{Record, container_if, name};

/// Where `ip netns` keeps its names
const NAMED: &str = "/run/netns";

/// Those that are there and in none of these records
pub(super) async fn unclaimed(links: &Links, known: &BTreeSet<IfName>) -> Vec<Record> {
    let mut ends = match links.list().await {
        Ok(devices) => host_ends(devices),
        Err(error) => {
            log::warn!(
                "containers that are not remembered go unnoticed: {:#}",
                anyhow::Error::from(error)
            );
            return Vec::new();
        }
    };
    ends.retain(|end| !known.contains(end));
    let mut found = Vec::new();
    if ends.is_empty() {
        return found;
    }
    let names = entries(Path::new(NAMED)).map(ContainerSpec::Name);
    let processes = entries(Path::new("/proc")).filter_map(|entry| entry.parse().ok());
    for spec in names.chain(processes.map(ContainerSpec::Pid)) {
        // What goes away meanwhile is no container any more.
        if let Some(record) = look(links, &mut ends, &spec).await {
            found.push(record);
        }
    }
    for end in ends {
        log::warn!("{end} belongs to a container that cannot be found: attach that again, or remove {end}");
    }
    found
}

fn host_ends(devices: Vec<link::LinkState>) -> BTreeSet<IfName> {
    let is_end = |device: &link::LinkState| {
        device.kind == LinkKind::Veth && device.name.as_str().starts_with(link::HOST_END_PREFIX)
    };
    let ends = devices.into_iter().filter(is_end);
    ends.map(|device| device.name).collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// The container that is called so, if one of the ends is its
async fn look(links: &Links, ends: &mut BTreeSet<IfName>, spec: &ContainerSpec) -> Option<Record> {
    let (reference, id) = container(spec).ok()?;
    let container_if = container_if();
    let host_if = link::host_end(&id, &container_if);
    if !ends.contains(&host_if) {
        return None;
    }
    let netns = reference.open_container(links.netns().id()).ok()?;
    let inside = Links::open_in(&netns).await.ok()?;
    let device = inside.link(&container_if).await.ok()??;
    let addresses: Vec<_> = device.addresses.iter().copied().filter(is_given).collect();
    if addresses.is_empty() {
        return None;
    }
    ends.remove(&host_if);
    Some(Record {
        id,
        netns: Some(reference.path().ok()?),
        host_if,
        container_if,
        mac: device.mac?,
        addresses,
        chosen: Vec::new(),
        name: name(spec),
    })
}

/// Not what the kernel gave the device by itself
fn is_given(address: &ipnetwork::IpNetwork) -> bool {
    match address.ip() {
        std::net::IpAddr::V4(_) => true,
        std::net::IpAddr::V6(address) => !address.is_unicast_link_local(),
    }
}
