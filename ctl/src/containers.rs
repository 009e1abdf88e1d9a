//! `attach`, `detach`, and `ps`.

mod by_hand;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use api::{AddressSpec, AddressSpecs, AttachRequest, Attachment, ContainerSpec, DetachRequest, routes};
use ipnetwork::IpNetwork;

pub(crate) use self::by_hand::specs_of;
use crate::cli::{AttachArgs, DetachArgs, PsArgs};
use crate::daemon::Daemon;
use crate::docker::Found;
use crate::exit::NotFound;
use crate::{docker, print, text};

/// weaved says after half a minute why there is no address.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

pub(crate) fn attach(args: &AttachArgs, daemon: &Daemon) -> Result<()> {
    let (addresses, container) = split(&args.args)?;
    let found = of_dockers(&container, daemon)?;
    if found.is_none() && (args.rewrite_hosts || !args.hosts.is_empty()) {
        bail!("{container} is no container of Docker's: --rewrite-hosts and --add-host are for these only");
    }
    let dns = match found {
        Some(_) if !args.without_dns => daemon.ask(&routes::STATUS)?.dns,
        Some(_) | None => None,
    };
    let (spec, id) = match &found {
        Some(found) => (found.spec.clone(), found.ids.first().cloned()),
        None => (container, None),
    };
    let own_name = || found.as_ref()?.name_in(&dns.as_ref()?.domain);
    let request = AttachRequest {
        container: spec,
        addresses: or_default(addresses)?,
        multicast_route: !args.no_multicast_route,
        dns: !args.without_dns,
        name: args.name.clone().or_else(own_name),
        id,
    };
    let attached = daemon.patient(PATIENCE)?.send(&routes::ATTACH, &request)?;
    if let Some(found) = found {
        by_hand::attached(args, &found, &attached.addresses, dns.as_ref());
    }
    print_addresses(&attached.granted)
}

pub(crate) fn detach(args: &DetachArgs, daemon: &Daemon) -> Result<()> {
    let (addresses, container) = split(&args.args)?;
    let found = of_dockers(&container, daemon)?;
    let taken = match &found {
        None => take(daemon, container, addresses)?,
        Some(found) => by_hand::detach(found, addresses, daemon)?,
    };
    print_addresses(&taken)
}

/// Takes addresses from what weaved knows as one container; those that it had
fn take(daemon: &Daemon, container: ContainerSpec, addresses: AddressSpecs) -> Result<Vec<IpNetwork>> {
    let request = DetachRequest { container, addresses };
    Ok(daemon.send(&routes::DETACH, &request)?.addresses)
}

pub(crate) fn ps(args: &PsArgs, daemon: &Daemon) -> Result<()> {
    let all = daemon.ask(&routes::CONTAINERS)?;
    let (_shown, missing) = select(all.clone(), &args.containers);
    let names = args
        .containers
        .iter()
        .flat_map(|name| match missing.contains(name) {
            true => of_docker(name, &all),
            false => vec![name.clone()],
        });
    let names: Vec<String> = names.collect();
    let (shown, missing) = select(all, &names);
    print::answer(&shown, args.format, |shown| text::Containers(shown))?;
    match missing.as_slice() {
        [] => Ok(()),
        [one] => Err(NotFound(format!("container {one} is not attached")).into()),
        many => Err(NotFound(format!("containers {} are not attached", many.join(", "))).into()),
    }
}

/// The same name, or what weaved knows Docker's container of that name as
///
/// One that does not run, and one that Docker does not know either, has no addresses to be shown.
fn of_docker(name: &str, attached: &[Attachment]) -> Vec<String> {
    let is_attached = |id: &String| attached.iter().any(|one| one.container.as_str() == id);
    let spec = name.parse().ok();
    let found = spec.and_then(|spec| docker::find(&spec, || Ok(attached.to_vec())).ok().flatten());
    let ids = found.iter().flat_map(|found| &found.ids).map(ToString::to_string);
    let ids: Vec<String> = ids.filter(is_attached).collect();
    match ids.is_empty() {
        true => vec![name.to_owned()],
        false => ids,
    }
}

/// The container, if it is Docker's
pub(crate) fn of_dockers(container: &ContainerSpec, daemon: &Daemon) -> Result<Option<Found>> {
    docker::find(container, || Ok(daemon.ask(&routes::CONTAINERS)?))
}

/// `[ADDRESS]... CONTAINER` as its two parts
fn split(args: &[String]) -> Result<(AddressSpecs, ContainerSpec)> {
    let (container, addresses) = args.split_last().context("no container given")?;
    if container.parse::<AddressSpec>().is_ok() {
        bail!("no container given: {container:?} is an address");
    }
    let container = container.parse()?;
    Ok((specs(addresses)?, container))
}

/// Addresses as they are given on the command line
pub(crate) fn specs(texts: &[String]) -> Result<AddressSpecs> {
    let specs: Vec<AddressSpec> = texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    Ok(AddressSpecs::try_from(specs)?)
}

/// One of the default subnet where nothing else is asked for
pub(crate) fn or_default(specs: AddressSpecs) -> Result<AddressSpecs> {
    if specs.is_empty() {
        return Ok(AddressSpecs::try_from(vec![AddressSpec::DefaultSubnet])?);
    }
    Ok(specs)
}

pub(crate) fn print_addresses(addresses: &[IpNetwork]) -> Result<()> {
    if addresses.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    print::text(&format_args!("{}\n", texts.join(" ")))
}

/// Those of the containers that are named, all if none is, and the names that stand for none
fn select(all: Vec<Attachment>, named: &[String]) -> (Vec<Attachment>, Vec<String>) {
    if named.is_empty() {
        return (all, Vec::new());
    }
    let (mut shown, mut missing): (Vec<Attachment>, _) = (Vec::new(), Vec::new());
    for name in named {
        let before = shown.len();
        for container in all.iter().filter(|container| goes_by(container, name)) {
            if !shown.contains(container) {
                shown.push(container.clone());
            }
        }
        if shown.len() == before && !shown.iter().any(|container| goes_by(container, name)) {
            missing.push(name.clone());
        }
    }
    (shown, missing)
}

/// By its id, by the first 12 or more characters of a long id, or by any form of its namespace
fn goes_by(container: &Attachment, name: &str) -> bool {
    let id = container.container.as_str();
    let netns = container.netns.as_deref();
    id == name
        || (name.len() >= text::SHORT_ID && id.starts_with(name))
        || netns == Some(name)
        || netns.is_some_and(|netns| {
            ["/run/netns/", "/var/run/netns/"]
                .iter()
                .any(|dir| netns.strip_prefix(dir) == Some(name))
                || netns == format!("/proc/{name}/ns/net")
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_arguments_are_split_or_an_error(args in prop::collection::vec(".{0,30}", 0..5)) {
            let _ = split(&args);
        }
    }

    fn args(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn the_last_argument_is_the_container() {
        for (given, addresses, container) in [
            (&["10.0.1.1/24", "c1"][..], &["10.0.1.1/24"][..], "c1"),
            (&["ip:10.2.1.2/24", "4711"], &["10.2.1.2/24"], "4711"),
            (
                &["10.0.1.1/24", "10.0.2.1/24", "/run/netns/c1"],
                &["10.0.1.1/24", "10.0.2.1/24"],
                "/run/netns/c1",
            ),
            (&["c1"], &[], "c1"),
            (
                &["net:default", "net:10.2.1.0/24", "c1"],
                &["net:default", "net:10.2.1.0/24"],
                "c1",
            ),
        ] {
            let (parsed, spec) = split(&args(given)).unwrap();
            let parsed: Vec<String> = parsed.iter().map(ToString::to_string).collect();
            assert_eq!(
                (parsed, spec.to_string()),
                (args(addresses), container.to_owned())
            );
        }
    }

    #[test]
    fn each_mistake_is_told() {
        for (given, told) in [
            (&["10.0.1.1", "c1"][..], "\"10.0.1.1\" is not a CIDR"),
            (&["10.0.1.1/33", "c1"], "\"10.0.1.1/33\" is not a CIDR"),
            (&["ip:c2", "c1"], "\"c2\" is not a CIDR"),
            (
                &["10.0.1.1/24"],
                "no container given: \"10.0.1.1/24\" is an address",
            ),
            (&["10.0.1.1/24", "ip:10.0.1.2/24"], "no container given"),
            (
                &["net:10.2.1.1/24", "c1"],
                "invalid subnet - bits after network prefix are not all zero: 10.2.1.1/24",
            ),
            (
                &["net:10.2.1.0/31", "c1"],
                "invalid subnet - smaller than minimum size 4: 10.2.1.0/31",
            ),
            (&["net:default"], "no container given"),
            (
                &["10.0.1.1/24", "10.0.2.2/16", "c1"],
                "networks of 10.0.1.1/24 and 10.0.2.2/16 overlap",
            ),
            (
                &["10.0.1.1/24", "10.0.1.1/24", "c1"],
                "address 10.0.1.1 is given twice",
            ),
            (&["10.0.1.1/24", "a/b"], "\"a/b\" is no container"),
            (&["10.0.1.1/24", ""], "\"\" is no container"),
        ] {
            let error = split(&args(given)).unwrap_err().to_string();
            assert!(error.contains(told), "{given:?}: {error}");
        }
    }

    #[test]
    fn containers_go_by_several_names() {
        let id = "0123456789abcdef0123456789abcdef";
        let all: Vec<Attachment> = serde_json::from_value(serde_json::json!([
            { "container": id, "mac": "02:00:00:00:00:01", "addresses": [], "netns": "/proc/4711/ns/net" },
            { "container": "c1", "mac": "02:00:00:00:00:02", "addresses": [], "netns": "/run/netns/c1" },
        ]))
        .unwrap();
        for (names, shown, missing) in [
            (&[][..], &[id, "c1"][..], &[][..]),
            (&["c1"], &["c1"], &[]),
            (&["/run/netns/c1", "c1"], &["c1"], &[]),
            (&["4711"], &[id], &[]),
            (&["0123456789ab", id], &[id], &[]),
            (&["0123"], &[], &["0123"]),
            (&["c2", "c1"], &["c1"], &["c2"]),
        ] {
            let (selected, absent) = select(all.clone(), &args(names));
            let selected: Vec<&str> = selected.iter().map(|c| c.container.as_str()).collect();
            assert_eq!((selected, absent), (shown.to_vec(), args(missing)), "{names:?}");
        }
    }
}
