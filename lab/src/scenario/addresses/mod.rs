//! Addresses that weaved chooses: one for each, never two for one, and none lost.

mod apart;
mod chosen;
mod first;
mod gone;
mod kept;
mod replaced;
mod seeds;
mod several;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::{AddressOwner, IpamState};

pub(super) use self::apart::{two_networks, while_apart};
pub(super) use self::chosen::act as chosen;
pub(super) use self::first::act as at_first;
pub(super) use self::gone::act as of_the_gone;
pub(super) use self::kept::{after_kills, after_loss};
pub(super) use self::replaced::act as of_the_replaced;
pub(super) use self::seeds::{act as of_seeds, of_one_owner};
pub(super) use self::several::act as several;
use crate::judge::ping::Ping;
use crate::topology::{Container, Host, Lab};
use crate::wait::{Look, wait_for};

/// How long peers may take to agree, and to hear of each other's agreements
const AGREED: Duration = Duration::from_secs(10);

/// The one address that attaching gave
fn only(addresses: &[Ipv4Addr]) -> Result<Ipv4Addr> {
    match addresses {
        [address] => Ok(*address),
        other => anyhow::bail!("one address was asked for, attach printed {other:?}"),
    }
}

/// Attaches containers with any addresses; none may be one that was given before
fn attach_all(
    host: &Host,
    containers: &[Container],
    given: &mut BTreeSet<Ipv4Addr>,
) -> Result<Vec<Ipv4Addr>> {
    let mut addresses = Vec::new();
    for container in containers {
        let address = only(&host.attach_any(container, &[])?)?;
        ensure!(
            given.insert(address),
            "{address} was given twice, the second time by {host}"
        );
        addresses.push(address);
    }
    Ok(addresses)
}

/// So many containers, with names that begin alike
fn containers(lab: &mut Lab, of: &str, count: usize) -> Result<Vec<Container>> {
    (0..count)
        .map(|number| lab.container(&format!("{of}-{number}")))
        .collect()
}

/// What a host knows of what another owns
fn share(host: &Host, of: &Host) -> Result<Option<AddressOwner>> {
    let owners = host.ipam()?.owners;
    Ok(owners
        .into_iter()
        .find(|owner| owner.peer.nickname.as_str() == of.name()))
}

/// Waits until these hosts say the same of who owns how many addresses, which are all there are
fn wait_agreed(hosts: &[&Host]) -> Result<()> {
    wait_for("all say the same of who owns what", AGREED, || {
        let mut said = Vec::new();
        for host in hosts {
            let status = host.ipam()?;
            // Who came after an owner was gone never heard its nickname.
            let mut owners: Vec<(String, u32)> = status
                .owners
                .iter()
                .map(|owner| (owner.peer.name.to_string(), owner.addresses))
                .filter(|(_, addresses)| *addresses > 0)
                .collect();
            owners.sort();
            let all: u64 = owners.iter().map(|(_, addresses)| u64::from(*addresses)).sum();
            if all != u64::from(status.range.size()) {
                return Ok(Look::NotYet(format!(
                    "{host} knows of owners of {all} addresses: {owners:?}"
                )));
            }
            said.push(owners);
        }
        Ok(match said.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Look::Done(()),
            false => Look::NotYet(format!("{said:?}")),
        })
    })?;
    Ok(())
}

/// Pings an address from a container
pub(super) fn ping(from: &Container, to: Ipv4Addr) -> Result<()> {
    let pings = Ping::to(to).run(from.namespace())?.all_answered();
    pings.with_context(|| format!("{from} pings {to}")).map(drop)
}

/// Waits until a host hands out
fn wait_ready(host: &Host) -> Result<()> {
    wait_for(&format!("{host} hands out addresses"), AGREED, || {
        let status = host.ipam()?;
        Ok(match status.state == IpamState::Ready {
            true => Look::Done(()),
            false => Look::NotYet(format!("{} {:?}", status.state, status.why)),
        })
    })?;
    Ok(())
}
