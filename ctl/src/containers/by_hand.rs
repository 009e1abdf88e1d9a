//! Containers of Docker's that are attached and detached by hand: what is done beside what weaved does, and for
//! each of the networks by which one is known.

use std::net::IpAddr;

use ::docker::create::Dns;
use anyhow::Result;
use api::{AddressSpecs, ClientError, ContainerSpec, DnsStatus, ErrorKind, routes};
use ipnetwork::IpNetwork;

use super::take;
use crate::cli::AttachArgs;
use crate::daemon::Daemon;
use crate::docker::Found;
use crate::exit::one_line;
use crate::print;

/// Has a container that is attached know names; what does not work is told, since the container is attached all
/// the same
///
/// `dns`: whom it is to ask, if anybody.
pub(super) fn attached(args: &AttachArgs, found: &Found, addresses: &[IpNetwork], dns: Option<&DnsStatus>) {
    if let Some(dns) = dns {
        warn(ask_for_names(found, dns));
    }
    if args.rewrite_hosts || !args.hosts.is_empty() {
        let own = if args.rewrite_hosts {
            ips(addresses)
        } else {
            Vec::new()
        };
        warn(found.files.name(&own, &args.hosts));
    }
}

fn ask_for_names(found: &Found, dns: &DnsStatus) -> Result<()> {
    // Said when they are asked for: `weavectl dns-args`.
    let Some(server) = dns.for_containers else {
        return Ok(());
    };
    found.files.ask(&Dns {
        server,
        domain: dns.domain.clone(),
    })
}

/// Takes addresses from a container, all if none is said; those that it had
pub(super) fn detach(found: &Found, addresses: AddressSpecs, daemon: &Daemon) -> Result<Vec<IpNetwork>> {
    let known = specs_of(found);
    let taken = match known.as_slice() {
        [one] => take(daemon, one.clone(), addresses)?,
        all if addresses.is_empty() => {
            let mut taken = Vec::new();
            for one in all {
                taken.extend(take(daemon, one.clone(), AddressSpecs::default())?);
            }
            taken
        }
        all => {
            let mut taken = Vec::new();
            for spec in addresses.iter() {
                let spec = AddressSpecs::try_from(vec![*spec])?;
                taken.extend(take_from_any(all, &spec, daemon)?);
            }
            taken
        }
    };
    let left = daemon.ask(&routes::CONTAINERS)?;
    let is_left = left.iter().any(|one| found.ids.contains(&one.container));
    warn(match is_left {
        true => found.files.unname(&ips(&taken)),
        false => found.files.restore(),
    });
    Ok(taken)
}

/// Takes addresses where they are; fails if they are nowhere
fn take_from_any(all: &[ContainerSpec], spec: &AddressSpecs, daemon: &Daemon) -> Result<Vec<IpNetwork>> {
    let mut last = None;
    for one in all {
        match take(daemon, one.clone(), spec.clone()) {
            Err(error) if is_elsewhere(&error) => last = Some(error),
            other => return other,
        }
    }
    last.map_or_else(|| Ok(Vec::new()), Err)
}

fn is_elsewhere(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<ClientError>();
    matches!(refused, Some(ClientError::Refused(refusal)) if refusal.kind == ErrorKind::NotFound)
}

/// What weaved knows it as: more than one thing if it is on several networks
pub(crate) fn specs_of(found: &Found) -> Vec<ContainerSpec> {
    let ids = found.ids.iter();
    ids.map(|id| ContainerSpec::Name(id.to_string())).collect()
}

fn ips(addresses: &[IpNetwork]) -> Vec<IpAddr> {
    addresses.iter().map(IpNetwork::ip).collect()
}

/// Tells what did not work
fn warn(done: Result<()>) {
    if let Err(error) = done {
        print::warning(&one_line(&error));
    }
}
