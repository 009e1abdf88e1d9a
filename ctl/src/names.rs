//! `dns-add`, `dns-remove` and `dns-lookup`.

use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use api::{ContainerSpec, LookupRequest, NameRequest, routes};

use crate::cli::{LookupArgs, NameArgs};
use crate::containers::{of_dockers, specs_of};
use crate::daemon::Daemon;
use crate::docker::Found;
use crate::exit::NotFound;
use crate::print;

pub(crate) fn add(args: &NameArgs, daemon: &Daemon) -> Result<()> {
    let mut request = request(args)?;
    let found = found(&request, daemon)?;
    if let (None, Some(found)) = (&request.name, &found) {
        // weaved knows it by an id.
        let dns = daemon.ask(&routes::STATUS)?.dns;
        request.name = dns.and_then(|dns| found.name_in(&dns.domain));
    }
    for request in of_each_network(request, found.as_ref()) {
        daemon.send(&routes::ADD_NAMES, &request)?;
    }
    Ok(())
}

pub(crate) fn remove(args: &NameArgs, daemon: &Daemon) -> Result<()> {
    let request = request(args)?;
    let found = found(&request, daemon)?;
    for request in of_each_network(request, found.as_ref()) {
        daemon.send(&routes::REMOVE_NAMES, &request)?;
    }
    Ok(())
}

pub(crate) fn lookup(args: &LookupArgs, daemon: &Daemon) -> Result<()> {
    let request = LookupRequest {
        name: args.name.clone(),
    };
    let addresses = daemon.send(&routes::LOOKUP, &request)?;
    if addresses.is_empty() {
        return Err(NotFound(format!("nothing is called {:?}", args.name)).into());
    }
    let lines: Vec<String> = addresses.iter().map(|address| format!("{address}\n")).collect();
    print::text(&lines.concat())
}

/// Docker's container that is meant, if one is
fn found(request: &NameRequest, daemon: &Daemon) -> Result<Option<Found>> {
    match &request.container {
        Some(container) => of_dockers(container, daemon),
        None => Ok(None),
    }
}

/// The same with the container as weaved knows it, which is one of Docker's for each of its networks
fn of_each_network(request: NameRequest, found: Option<&Found>) -> Vec<NameRequest> {
    let Some(found) = found else {
        return vec![request];
    };
    let known = specs_of(found).into_iter();
    let requests = known.map(|container| NameRequest {
        container: Some(container),
        ..request.clone()
    });
    requests.collect()
}

/// `[ADDRESS]... [CONTAINER]`: what is no address, and comes last, is the container
fn request(args: &NameArgs) -> Result<NameRequest> {
    let mut addresses: Vec<Ipv4Addr> = Vec::new();
    let mut container: Option<ContainerSpec> = None;
    for (at, text) in args.args.iter().enumerate() {
        match text.parse() {
            Ok(address) => addresses.push(address),
            Err(_no_address) if at + 1 == args.args.len() => container = Some(text.parse()?),
            Err(_no_address) => bail!("{text:?} is not an IPv4 address"),
        }
    }
    if container.is_none() && args.name.is_none() {
        bail!("no container given: without one, give a name with -h");
    }
    Ok(NameRequest {
        container,
        addresses,
        name: args.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(texts: &[&str], name: Option<&str>) -> NameArgs {
        NameArgs {
            args: texts.iter().map(|&text| text.to_owned()).collect(),
            name: name.map(str::to_owned),
            help: None,
        }
    }

    #[test]
    fn addresses_come_first_and_the_container_last() {
        let asked = request(&args(&["10.2.1.1", "10.2.1.2", "c1"], None)).unwrap();
        assert_eq!(asked.addresses.len(), 2);
        assert_eq!(asked.container, Some(ContainerSpec::Name("c1".to_owned())));
        let outside = request(&args(&["192.0.2.1"], Some("printer"))).unwrap();
        assert_eq!((outside.container, outside.addresses.len()), (None, 1));
    }

    #[test]
    fn each_mistake_is_told() {
        for (texts, name, told) in [
            (&["10.2.1.1"][..], None, "no container given"),
            (&["c1", "10.2.1.1"], None, "\"c1\" is not an IPv4 address"),
            (
                &["10.2.1.1/24", "c1"],
                None,
                "\"10.2.1.1/24\" is not an IPv4 address",
            ),
            (&["a/b"], None, "\"a/b\" is no container"),
        ] {
            let error = request(&args(texts, name)).unwrap_err().to_string();
            assert!(error.contains(told), "{texts:?}: {error}");
        }
    }
}
