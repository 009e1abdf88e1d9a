//! What Docker's networks call a container: its name and its aliases, for its address there, on all hosts.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::{AT_ONCE, two_hosts, wait_name};
use crate::docker::{Client, Docker};
use crate::topology::Lab;
use crate::weave::{Launch, MEETING, usual_path};

/// In the range that weaved hands out of, and outside it
const NETWORKS: [(&str, &str); 2] = [("n1", "10.32.9.0/24"), ("n2", "10.3.0.0/24")];

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [mut one, two] = two_hosts(lab, &Launch::plain())?;
    let [here, there] = [one.direct(), two.direct()];
    for docker in [&one, &two] {
        for (name, subnet) in NETWORKS {
            docker.proxied().network(name, subnet)?;
        }
    }
    let dns = two.host().weavectl(&["dns-args"])?.ok()?;
    let dns: Vec<&str> = dns.split_whitespace().collect();
    let on = |network| [&["--net", network, "--network-alias=web"], &dns[..]].concat();
    here.sleeper("c1", &on("n1"))?;
    let first = on_network(&here, "c1", "n1")?;
    known(&one, &two, "web", &[first])?;
    there.sleeper("c2", &on("n1"))?;
    let second = on_network(&there, "c2", "n1")?;
    known(&one, &two, "web", &[first, second])?;
    for (name, address) in [("c1", first), ("c2", second)] {
        known(&one, &two, name, &[address])?;
    }
    let id = here.inspect("c1")?["Id"].as_str().context("no id")?.to_owned();
    known(&one, &two, id.get(..12).context("no id")?, &[])?;
    there.ping("c2", "c1.weave.local")?;

    // By a second network while it runs, as compose does it.
    here.run(&["network", "connect", "--alias=db", "--alias=db.two", "n2", "c1"])?
        .ok()?;
    let other = on_network(&here, "c1", "n2")?;
    let all_known = |one: &Docker, first, other| -> Result<()> {
        known(one, &two, "db", &[other])?;
        known(one, &two, "db.two", &[other])?;
        known(one, &two, "web", &[first, second])?;
        known(one, &two, "c1", &[first, other])
    };
    all_known(&one, first, other)?;

    for end in [crate::topology::Host::stop, crate::topology::Host::kill_weaved] {
        end(one.host())?;
        one.host().launch(&Launch::plain().peer(two.host().address()?))?;
        one.host().wait_path(two.host(), usual_path(), MEETING)?;
        all_known(&one, first, other).context("weaved was ended")?;
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        one.end_agent(signal)?;
        one.start_agent(&[])?;
        all_known(&one, first, other).context("weave-docker was ended")?;
    }
    here.run(&["restart", "-t0", "c1"])?.ok()?;
    let (first, other) = (on_network(&here, "c1", "n1")?, on_network(&here, "c1", "n2")?);
    all_known(&one, first, other).context("the container began anew")?;

    here.run(&["network", "disconnect", "n2", "c1"])?.ok()?;
    known(&one, &two, "db", &[])?;
    known(&one, &two, "db.two", &[])?;
    known(&one, &two, "c1", &[first])?;
    there.remove(&["c2"])?;
    known(&one, &two, "web", &[first])?;
    here.run(&["kill", "c1"])?.ok()?;
    known(&one, &two, "web", &[])?;
    known(&one, &two, "c1", &[])?;

    // Of one that the proxy has put on the network, too.
    let proxied = one.proxied();
    proxied.sleeper("c3", &[])?;
    let own = on_network(&proxied, "c3", "weave")?;
    proxied
        .run(&["network", "connect", "--alias=more", "n2", "c3"])?
        .ok()?;
    let other = on_network(&proxied, "c3", "n2")?;
    known(&one, &two, "more", &[other])?;
    known(&one, &two, "c3", &[own, other])?;
    proxied.remove(&["c3"])?;
    known(&one, &two, "more", &[])?;
    known(&one, &two, "c3", &[])
}

/// Both hosts say so of a name
fn known(one: &Docker, two: &Docker, name: &str, addresses: &[Ipv4Addr]) -> Result<()> {
    for docker in [one, two] {
        wait_name(docker.host(), name, addresses, AT_ONCE)?;
    }
    Ok(())
}

/// Its address on one of Docker's networks
fn on_network(client: &Client, container: &str, network: &str) -> Result<Ipv4Addr> {
    let told = &client.inspect(container)?["NetworkSettings"]["Networks"][network]["IPAddress"];
    let address = told.as_str().unwrap_or_default().parse();
    let address = address.with_context(|| format!("{container} is not on {network}: {told}"))?;
    let has = client.exec(container, &["ip", "-4", "address"])?;
    ensure!(has.contains(&format!("inet {address}/")), "{container} has {has}");
    Ok(address)
}
