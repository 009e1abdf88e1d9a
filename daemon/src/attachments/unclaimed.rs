//! Containers that are on the network and not remembered: the state was lost while they ran on, or weaved
//! was killed before an attach was on disk.
//!
//! A host's end is named by its container's id, so the ids that there can be are tried: the names of `ip netns`
//! and the processes. The rest is looked for from the other side, in the namespaces of all processes: what a
//! container runtime attached has an id that only the runtime knows. It is taken on by the id that Docker gives
//! its control group, if any, else by a process. Containers without a process are not found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use api::ContainerSpec;
use link::{LinkKind, LinkState, Links, NetnsRef};
use model::IfName;

use super::container::container;
use super::{Record, container_if, name};

/// Where `ip netns` keeps its names
const NAMED: &str = "/run/netns";

/// Those that are there and in none of these records
pub(super) async fn unclaimed(links: &Links, known: &BTreeSet<IfName>) -> Vec<Record> {
    let devices = match links.list().await {
        Ok(devices) => devices,
        Err(error) => {
            log::warn!(
                "containers that are not remembered go unnoticed: {:#}",
                anyhow::Error::from(error)
            );
            return Vec::new();
        }
    };
    let mut ends = host_ends(&devices);
    ends.retain(|end| !known.contains(end));
    let mut found = Vec::new();
    if ends.is_empty() {
        return found;
    }
    let names = entries(Path::new(NAMED)).map(ContainerSpec::Name);
    for spec in names.chain(processes().map(ContainerSpec::Pid)) {
        // What goes away meanwhile is no container any more.
        if let Some(record) = look(links, &mut ends, &spec).await {
            found.push(record);
        }
    }
    if !ends.is_empty() {
        found.extend(from_inside(links, &mut ends, &devices).await);
    }
    for end in ends {
        log::warn!("{end} belongs to a container that cannot be found: attach that again, or remove {end}");
    }
    found
}

fn host_ends(devices: &[LinkState]) -> BTreeSet<IfName> {
    let is_end = |device: &&LinkState| {
        device.kind == LinkKind::Veth && device.name.as_str().starts_with(link::HOST_END_PREFIX)
    };
    devices
        .iter()
        .filter(is_end)
        .map(|device| device.name.clone())
        .collect()
}

/// The ids of all processes
pub(super) fn processes() -> impl Iterator<Item = u32> {
    entries(Path::new("/proc")).filter_map(|entry| entry.parse().ok())
}

/// The names in a directory
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
    // Whoever it is without an address, it is nobody else's: not one to be taken on by another id.
    ends.remove(&host_if);
    if addresses.is_empty() {
        log::info!("container {id} was being attached, or detached, when weaved ended: it has no address");
        return None;
    }
    Some(Record {
        id,
        netns: Some(reference.path().ok()?),
        host_if,
        container_if,
        mac: device.mac?,
        addresses,
        chosen: Vec::new(),
        name: name(spec),
        names: None,
    })
}

/// The containers that have the other ends, by the namespaces of all processes
async fn from_inside(links: &Links, ends: &mut BTreeSet<IfName>, devices: &[LinkState]) -> Vec<Record> {
    let mut seen = BTreeSet::from([links.netns().id()]);
    let mut found = Vec::new();
    for pid in processes() {
        let reference = NetnsRef::Pid(pid);
        let Ok(netns) = reference.open_container(links.netns().id()) else {
            continue;
        };
        if !seen.insert(netns.id()) || ends.is_empty() {
            continue;
        }
        let Ok(inside) = Links::open_in(&netns).await else {
            continue;
        };
        for device in inside.list().await.unwrap_or_default() {
            let other = devices
                .iter()
                .find(|other| ends.contains(&other.name) && other.peer == Some(device.index));
            let Some(end) = other else { continue };
            let addresses: Vec<_> = device.addresses.iter().copied().filter(is_given).collect();
            let is_pair = link::are_pair(links, &netns, end, &device).await;
            let (Ok(true), Some(mac), Ok(path)) = (is_pair, device.mac, reference.path()) else {
                continue;
            };
            let mut id = runtimes_id(pid).unwrap_or_else(|| pid.to_string());
            if found.iter().any(|other: &Record| other.id.as_str() == id) {
                // It has several.
                id = format!("{id}:{}", device.name);
            }
            let Ok(id) = id.parse() else { continue };
            ends.remove(&end.name);
            found.push(Record {
                id,
                netns: Some(path),
                host_if: end.name.clone(),
                container_if: device.name.clone(),
                mac,
                addresses,
                chosen: Vec::new(),
                name: None,
                names: None,
            });
        }
    }
    found
}

/// What a container runtime calls the container of a process: 64 hexadecimal digits in its control group
fn runtimes_id(pid: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    id_in(&groups)
}

fn id_in(groups: &str) -> Option<String> {
    let words = groups.split(|c: char| !c.is_ascii_hexdigit());
    let mut ids = words.filter(|word| word.len() == 64);
    ids.next_back().map(str::to_owned)
}

/// Not what the kernel gave the device by itself
fn is_given(address: &ipnetwork::IpNetwork) -> bool {
    match address.ip() {
        std::net::IpAddr::V4(_) => true,
        std::net::IpAddr::V6(address) => !address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_id_is_in_the_control_group() {
        let id = "7e83f5abb7575f30440b528e72590664b1fb717a5843a59a09f6c819b87fd413";
        for groups in [
            format!("0::/system.slice/docker-{id}.scope\n"),
            format!("9:name=systemd:/docker/{id}\n8:pids:/docker/{id}\n0::/\n"),
        ] {
            assert_eq!(id_in(&groups).as_deref(), Some(id));
        }
        assert_eq!(id_in("0::/user.slice/session-1.scope\n"), None);
    }
}
