//! Several addresses for one, in every form, and a host whose routes lead where addresses would be.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::{only, ping};
use crate::namespace::Namespace;
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::weave::Launch;

/// What is asked for, and where what is given has to be
const ASKED: [(&str, &str); 4] = [
    ("10.99.1.1/24", "10.99.1.1/24"),
    ("ip:10.99.2.1/24", "10.99.2.1/24"),
    ("net:10.40.8.0/24", "10.40.8."),
    ("net:default", "10.32."),
];

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let host = lab.host("host1")?;
    host.launch(&Launch::plain().flag("--ipalloc-default-subnet=10.32.0.0/16"))?;
    let container = lab.container("c1")?;
    let forms = ASKED.map(|(asked, _)| asked);

    let attached = host.attach_any(&container, &forms)?;
    let inside = given(container.namespace(), Container::INTERFACE)?;
    as_asked(&inside)?;
    told_alike(&host, &container, &attached, &inside)?;
    ensure!(
        attached == host.attach_any(&container, &forms)?,
        "asked for again, they are others than {attached:?}"
    );

    let exposed = exposed(&host, &forms)?;
    let own = given(host.namespace(), "weave")?;
    ensure!(own.len() == 4, "exposed are {own:?}");
    ensure!(
        exposed.iter().all(|address| !attached.contains(address)),
        "{exposed:?} and {attached:?}"
    );
    for address in &exposed {
        ping(&container, *address)?;
    }

    // One by one, and then the rest.
    for (asked, gone) in [("net:10.40.8.0/24", 2), ("10.99.1.1/24", 0)] {
        let name = container.namespace().name();
        let printed = host.weavectl(&["detach", asked, name])?.ok()?;
        ensure!(
            printed.trim() == attached[gone].to_string(),
            "{asked}: {printed}, not {}",
            attached[gone]
        );
    }
    ensure!(
        given(container.namespace(), Container::INTERFACE)?.len() == 2,
        "of four two were taken"
    );
    let hidden = host.weavectl(&["hide", "net:default"])?.ok()?;
    ensure!(hidden.trim() == exposed[3].to_string(), "{hidden}");
    host.weavectl(&["hide"])?.ok()?;
    ensure!(
        host.exposed()?.is_empty() && given(host.namespace(), "weave")?.is_empty(),
        "not hidden"
    );
    host.weavectl(&["detach", container.namespace().name()])?.ok()?;
    ensure!(
        !container.namespace().devices()?.contains(Container::INTERFACE),
        "the interface outlived its last address"
    );
    ensure!(host.ipam()?.active == 0, "{:?}", host.ipam()?);

    // What was given is given again, to somebody else.
    let heir = lab.container("heir")?;
    let again = host.attach_any(&heir, &["net:10.40.8.0/24", "net:default"])?;
    ensure!(
        again == attached[2..],
        "{:?} were free, {again:?} were given",
        &attached[2..]
    );
    beside_routes(lab)
}

fn as_asked(given: &BTreeSet<String>) -> Result<()> {
    for (asked, place) in ASKED {
        ensure!(
            given.iter().filter(|address| address.starts_with(place)).count() == 1,
            "{asked} was asked for, the container has {given:?}"
        );
    }
    ensure!(given.len() == ASKED.len(), "{given:?}");
    Ok(())
}

/// `attach`, `ps` and the kernel say the same
fn told_alike(
    host: &Host,
    container: &Container,
    attached: &[Ipv4Addr],
    inside: &BTreeSet<String>,
) -> Result<()> {
    let kernel: BTreeSet<&str> = inside
        .iter()
        .filter_map(|address| address.split('/').next())
        .collect();
    let printed: Vec<String> = attached.iter().map(ToString::to_string).collect();
    ensure!(
        printed.iter().map(String::as_str).collect::<BTreeSet<_>>() == kernel,
        "attach printed {printed:?}, the kernel has {inside:?}"
    );
    let link = container
        .namespace()
        .ip_json(&["link", "show", Container::INTERFACE])?;
    let mac = link[0]["address"].as_str().unwrap_or_default().to_owned();
    let name = container.namespace().name();
    let line = host.weavectl(&["ps", name])?.ok()?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let told: BTreeSet<String> = words.iter().skip(2).map(|word| (*word).to_owned()).collect();
    ensure!(
        words.starts_with(&[name, &mac]) && told == *inside,
        "{line}, and not {name} {mac} {inside:?}"
    );
    Ok(())
}

fn exposed(host: &Host, forms: &[&str]) -> Result<Vec<Ipv4Addr>> {
    let others = forms
        .iter()
        .map(|form| form.replace(".1/24", ".2/24"))
        .collect::<Vec<_>>();
    let mut line = vec!["expose", "--without-masquerade"];
    line.extend(others.iter().map(String::as_str));
    let printed = host.weavectl(&line)?.ok()?;
    let addresses = printed
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<_>, _>>()?;
    // Idempotent.
    ensure!(
        host.weavectl(&line)?.ok()? == printed,
        "exposed again, they are others than {printed}"
    );
    Ok(addresses)
}

/// The IPv4 addresses of a device, with the lengths of their networks, as `ip` tells
fn given(namespace: &Namespace, device: &str) -> Result<BTreeSet<String>> {
    let links = namespace.ip_json(&["-4", "address", "show", "dev", device])?;
    let addresses = links[0]["addr_info"].as_array().into_iter().flatten();
    Ok(addresses
        .filter_map(|info| Some(format!("{}/{}", info["local"].as_str()?, info["prefixlen"])))
        .collect())
}

/// Where a route leads to the usual range, a launch says which other one is free, and `auto` takes that
fn beside_routes(lab: &mut Lab) -> Result<()> {
    let host = lab.host("routed")?;
    let other = lab.host("other")?;
    lab.link(&host, &other, ETHERNET)?;
    let via = other.address()?.to_string();
    host.namespace()
        .ip(&["route", "add", "10.0.0.0/8", "via", &via])?;
    let refused = host.try_launch(&Launch::plain())?;
    ensure!(refused.status.code() == Some(1), "{refused}");
    let line = refused.refused()?;
    ensure!(
        line.trim().lines().count() == 1
            && ["10.0.0.0/8", "eth0", "--ipalloc-range=172.20.0.0/14", "auto"]
                .iter()
                .all(|word| line.contains(word)),
        "{line}"
    );
    host.launch(&Launch::plain().flag("--ipalloc-range=auto"))?;
    let container = lab.container("beside")?;
    let address = only(&host.attach_any(&container, &[])?)?;
    ensure!(address.octets()[..2] == [172, 20], "{address} of 172.20.0.0/14");
    // Its own choice stays, though it is a route of this host by then.
    host.weavectl(&["expose", "--without-masquerade"])?.ok()?;
    let range = host.ipam()?.range;
    host.stop()?;
    host.launch(&Launch::plain().flag("--ipalloc-range=auto"))?;
    ensure!(
        host.ipam()?.range == range,
        "{range} became {}",
        host.ipam()?.range
    );
    let again = only(&host.attach_any(&container, &[])?)?;
    ensure!(again == address, "{address} became {again}");
    Ok(())
}
