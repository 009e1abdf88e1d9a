//! `weavectl dns-add` and `dns-remove`: of containers, of addresses, of what is outside.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::{Hosts, finds};

/// One address on the network that no container has, and one elsewhere
const OTHER: &str = "10.99.0.7";

pub(super) fn act(hosts: &Hosts, web: Ipv4Addr) -> Result<()> {
    let docker = &hosts.one;
    let id = docker.direct().inspect("web")?;
    let id = id["Id"].as_str().and_then(|id| id.get(..12));
    let id = id.context("an id that is too short")?;
    let other: Ipv4Addr = OTHER.parse()?;
    let outside = hosts.outside;
    let own = web.to_string();
    let printer = outside.to_string();
    let cases: [(&[&str], &str, &[Ipv4Addr]); 7] = [
        (&["web", "-h", "www"], "www", &[web]),
        (&[id, "-h", "www.corp.example"], "www", &[web]),
        (&[OTHER, "web", "-h", "more"], "more", &[other]),
        (&[OTHER, &own, "web", "-h", "more"], "more", &[other, web]),
        (&[OTHER, "web"], "web", &[other, web]),
        (&[&printer, "-h", "printer"], "printer", &[outside]),
        (
            &[&printer, OTHER, "-h", "Printer.Corp.Example."],
            "printer",
            &[outside, other],
        ),
    ];
    for (line, name, addresses) in cases {
        let typed = line.join(" ");
        let change = |verb: &str| docker.shell(&format!("weavectl {verb} {typed}"))?.ok();
        change("dns-add")?;
        hosts
            .known(name, addresses)
            .with_context(|| format!("dns-add {typed}"))?;
        if !addresses.contains(&other) {
            finds(&hosts.two.proxied(), "asker", name, addresses)?;
        }
        change("dns-remove")?;
        let left: &[Ipv4Addr] = if name == "web" { &[web] } else { &[] };
        hosts
            .known(name, left)
            .with_context(|| format!("dns-remove {typed}"))?;
    }
    of_the_nameless(hosts)?;
    with_its_container(hosts)?;
    for line in [
        "dns-add gone -h www",
        "dns-add 10.99.0.7",
        "dns-add web -h www.elsewhere.example",
    ] {
        let refused = docker.shell(&format!("weavectl {line}"))?.refused()?;
        ensure!(refused.lines().count() == 1, "{line}: {refused}");
    }
    hosts.known("web", &[web])
}

/// One that was attached without a name, and is given its own
fn of_the_nameless(hosts: &Hosts) -> Result<()> {
    let docker = &hosts.one;
    docker.direct().sleeper("late", &["--hostname=other"])?;
    docker.shell("weavectl attach --without-dns late")?.ok()?;
    hosts.known("late", &[])?;
    docker.shell("weavectl dns-add late")?.ok()?;
    let address = docker.direct().address("late")?;
    hosts.known("late", &[address])?;
    docker.shell("weavectl dns-remove late")?.ok()?;
    hosts.known("late", &[])?;
    docker.direct().remove(&["late"])
}

/// What a container was called by hand goes with it
fn with_its_container(hosts: &Hosts) -> Result<()> {
    let client = hosts.one.proxied();
    client.sleeper("short", &[])?;
    let address = client.address("short")?;
    for line in ["short -h by-hand", "10.99.0.8 short -h more"] {
        hosts.one.shell(&format!("weavectl dns-add {line}"))?.ok()?;
    }
    hosts.known("by-hand", &[address])?;
    hosts.known("more", &["10.99.0.8".parse()?])?;
    client.remove(&["short"])?;
    for name in ["short", "by-hand", "more"] {
        hosts.known(name, &[])?;
    }
    Ok(())
}
