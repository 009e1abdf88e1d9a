//! `docker run` by weave-docker's socket: names, addresses that are asked for, none.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, PATIENCE, two_hosts, wait_name};
use crate::docker::{Client, Docker, IMAGE, clients};
use crate::topology::{Container, Lab};
use crate::wait::wait_until;
use crate::weave::Launch;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [one, two] = two_hosts(lab, &Launch::plain())?;
    for program in clients() {
        let clients = [&one, &two].map(|docker| docker.proxied().version(&program));
        by_name(&one, &two, &clients).with_context(|| format!("with {}", program.display()))?;
    }
    one_address(&one, &two)?;
    several_addresses(&one, &two)?;
    none(&one, &two)?;
    left_alone(&one)?;
    refused(&one)
}

/// The first steps of everybody
fn by_name(one: &Docker, two: &Docker, [here, there]: &[Client; 2]) -> Result<()> {
    here.sleeper("a1", &[])?;
    let address = here.address("a1")?;
    there
        .run(&["run", "--rm", IMAGE, "ping", "-c1", "-W3", "a1"])?
        .ok()?;
    there
        .run(&[
            "run",
            "--rm",
            "--name",
            "a2",
            IMAGE,
            "ping",
            "-c1",
            "-W3",
            "a1.weave.local",
        ])?
        .ok()?;
    for docker in [one, two] {
        wait_name(docker.host(), "a1", &[address], AT_ONCE)?;
        wait_name(docker.host(), "a2", &[], AT_ONCE)?;
    }
    // What Docker says is what the kernel has.
    let told = here.inspect("a1")?;
    let told = &told["NetworkSettings"]["Networks"]["weave"]["IPAddress"];
    ensure!(
        told.as_str() == Some(&address.to_string()),
        "{told} by docker inspect, {address} in the container"
    );
    let routes = here.exec("a1", &["ip", "route"])?;
    ensure!(
        routes.contains("224.0.0.0/4 dev ethwe0") && routes.contains("default via 172."),
        "the routes are {routes}"
    );
    wait_until("a1 has its interface under the usual name, too", PATIENCE, || {
        let links = here.links("a1")?;
        Ok(links
            .iter()
            .any(|link| link["altnames"][0] == Container::INTERFACE))
    })?;
    let hosts = here.exec("a1", &["cat", "/etc/hosts"])?;
    ensure!(hosts.contains(&address.to_string()), "/etc/hosts has {hosts}");
    here.remove(&["a1"])?;
    for docker in [one, two] {
        wait_name(docker.host(), "a1", &[], AT_ONCE)?;
    }
    Ok(())
}

/// It is there before the container's program runs
fn one_address(one: &Docker, two: &Docker) -> Result<()> {
    let asked = [
        "run",
        "--rm",
        "-e",
        "WEAVE_CIDR=10.2.1.9/24",
        IMAGE,
        "ip",
        "address",
    ];
    let printed = one.proxied().run(&asked)?.ok()?;
    let interface = printed.lines().find(|line| line.contains(": ethwe0"));
    ensure!(
        printed.contains("inet 10.2.1.9/24") && interface.is_some_and(|line| line.contains("UP,LOWER_UP")),
        "a container's first program sees {printed}"
    );
    one.proxied().sleeper("b1", &["-e", "WEAVE_CIDR=10.2.1.1/24"])?;
    two.proxied().sleeper("b2", &["-e", "WEAVE_CIDR=10.2.1.2/24"])?;
    let has = two.proxied().addresses("b2")?;
    ensure!(has == [(Ipv4Addr::new(10, 2, 1, 2), 24)], "b2 has {has:?}");
    one.proxied().ping("b1", "10.2.1.2")?;
    two.proxied().ping("b2", "b1")?;
    one.proxied().remove(&["b1"])?;
    two.proxied().remove(&["b2"])
}

fn several_addresses(one: &Docker, two: &Docker) -> Result<()> {
    let asked = "WEAVE_CIDR=10.2.1.1/24 net:10.32.2.0/24 ip:10.2.2.1/24";
    for _ in 0..5 {
        let line = ["run", "--rm", "-e", asked, IMAGE, "ip", "-o", "-4", "address"];
        let printed = one.proxied().run(&line)?.ok()?;
        ensure!(
            printed.matches(": ethwe0").count() == 3,
            "a container's first program sees {printed}"
        );
    }
    one.proxied().sleeper("c1", &["-e", asked])?;
    let all = one.proxied().addresses("c1")?;
    ensure!(all.len() == 3, "c1 has {all:?}");
    for wanted in [[10, 2, 1, 1], [10, 2, 2, 1]].map(Ipv4Addr::from) {
        ensure!(all.contains(&(wanted, 24)), "c1 has {all:?}");
    }
    let chosen = all
        .iter()
        .find(|(address, _)| address.octets()[..3] == [10, 32, 2]);
    ensure!(chosen.is_some_and(|(_, length)| *length == 24), "c1 has {all:?}");
    for (near, far) in [("10.2.1.2/24", "10.2.1.1"), ("10.2.2.2/24", "10.2.2.1")] {
        let asked = format!("WEAVE_CIDR={near}");
        let line = ["run", "--rm", "-e", &asked, IMAGE, "ping", "-c1", "-W3", far];
        two.proxied().run(&line)?.ok()?;
    }
    let names: Vec<Ipv4Addr> = all.iter().map(|(address, _)| *address).collect();
    wait_name(two.host(), "c1", &names, AT_ONCE)?;
    one.proxied().remove(&["c1"])
}

/// Not on the network, until somebody attaches it
fn none(one: &Docker, two: &Docker) -> Result<()> {
    let client = one.proxied();
    client.sleeper("d1", &["-e", "WEAVE_CIDR=none"])?;
    let interfaces = client.interfaces("d1")?;
    ensure!(interfaces == ["eth0"], "d1 has {interfaces:?}");
    one.host().weavectl(&["attach", "d1"])?.ok()?;
    let address = client.address("d1")?;
    let listed = one.host().weavectl(&["ps"])?.ok()?;
    ensure!(listed.contains(&address.to_string()), "weavectl ps: {listed}");
    two.proxied()
        .run(&["run", "--rm", IMAGE, "ping", "-c1", "-W3", &address.to_string()])?
        .ok()?;
    one.host().weavectl(&["detach", "d1"])?.ok()?;
    wait_until("d1 is off the network", AT_ONCE, || {
        Ok(client.interfaces("d1")? == ["eth0"])
    })?;
    client.remove(&["d1"])
}

/// Containers that share the network of somebody else, or are on one that was asked for
fn left_alone(one: &Docker) -> Result<()> {
    let client = one.proxied();
    client.sleeper("e1", &["--net=none"])?;
    let alone = client.interfaces("e1")?;
    ensure!(alone == ["ethwe0"], "--net=none has {alone:?}");
    client.sleeper("e2", &["--net=container:e1"])?;
    let shared = client.interfaces("e2")?;
    ensure!(shared == ["ethwe0"], "--net=container has {shared:?}");
    client.sleeper("e3", &["--net=host"])?;
    let of_the_host = client.interfaces("e3")?;
    ensure!(
        of_the_host.iter().any(|name| name == "docker0") && !of_the_host.iter().any(|name| name == "ethwe0"),
        "--net=host has {of_the_host:?}"
    );
    client.run(&["network", "create", "other"])?.ok()?;
    client.sleeper("e4", &["--net=other"])?;
    let other = client.interfaces("e4")?;
    ensure!(other == ["eth0"], "--net=other has {other:?}");
    client.remove(&["e1", "e2", "e3", "e4"])
}

fn refused(one: &Docker) -> Result<()> {
    let client = one.proxied();
    for wrong in ["10.2.1.300/24", "10.2.1.1", "net:", "nonsense"] {
        let asked = format!("WEAVE_CIDR={wrong}");
        let line = ["run", "--name", "f1", "-e", &asked, IMAGE, "true"];
        let told = client.run(&line)?.refused()?;
        let first = told.lines().next().unwrap_or_default();
        ensure!(first.contains(wrong), "of {asked}: {told}");
    }
    let listed = client.run(&["ps", "-a", "-q", "--filter", "name=f1"])?.ok()?;
    ensure!(
        listed.is_empty(),
        "a container is left of what was refused: {listed}"
    );
    // Docker's own complaints come through.
    let told = client.run(&["run", "no-such-image"])?.refused()?;
    ensure!(
        told.contains("no-such-image"),
        "of an image that is not there: {told}"
    );
    Ok(())
}
