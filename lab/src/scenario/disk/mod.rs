//! Disks that are slow, full or read-only, and kills while something is written.

mod full;
mod kills;
mod slow;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use api::{StoreReason, StoreState};

pub(super) use self::full::act as full;
pub(super) use self::kills::act as kill_loop;
pub(super) use self::slow::act as slow;
use crate::topology::{Container, Host};
use crate::wait::{Look, wait_for};

/// How often is pinged while a disk is bad
const OFTEN: Duration = Duration::from_millis(10);

/// Waits until the status says so of the state
fn wait_store(host: &Host, state: StoreState, reason: Option<StoreReason>, limit: Duration) -> Result<()> {
    let what = format!("the state of {host} is {state}, {reason:?}");
    wait_for(&what, limit, || {
        let store = host.status()?.store;
        Ok(match store {
            Some(store) if store.state == state && store.reason == reason => Look::Done(()),
            other => Look::NotYet(format!("{other:?}")),
        })
    })?;
    Ok(())
}

/// The containers' addresses: those that `weavectl ps` lists are those that they have
fn check_interfaces(host: &Host, containers: &[Container]) -> Result<()> {
    for container in containers {
        let listed = listed(host, container)?;
        let has = inside(container)?;
        ensure!(
            listed == has,
            "ps lists {listed:?} of {container}, which has {has:?}"
        );
    }
    Ok(())
}

/// The addresses that `weavectl ps` lists of a container
fn listed(host: &Host, container: &Container) -> Result<Vec<Ipv4Addr>> {
    let all = host.attachments()?.into_iter();
    let one = all.filter(|one| one.container.as_str() == container.namespace().name());
    let addresses = one.flat_map(|one| one.addresses).map(|address| address.ip());
    Ok(addresses.filter_map(ipv4).collect())
}

/// The addresses that a container has on the network
fn inside(container: &Container) -> Result<Vec<Ipv4Addr>> {
    if !container.namespace().devices()?.contains(Container::INTERFACE) {
        return Ok(Vec::new());
    }
    let links = container
        .namespace()
        .ip_json(&["-4", "address", "show", "dev", Container::INTERFACE])?;
    let infos = links[0]["addr_info"].as_array().cloned().unwrap_or_default();
    let addresses = infos
        .iter()
        .filter_map(|info| info["local"].as_str()?.parse().ok());
    Ok(addresses.collect())
}

fn ipv4(address: std::net::IpAddr) -> Option<Ipv4Addr> {
    match address {
        std::net::IpAddr::V4(address) => Some(address),
        std::net::IpAddr::V6(_) => None,
    }
}
