//! Docker's own networks of the driver `weave`, without the proxy.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::{PATIENCE, two_hosts};
use crate::docker::{Client, IMAGE};
use crate::topology::Lab;
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::Launch;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [one, two] = two_hosts(lab, &Launch::plain())?;
    let [here, there] = [one.direct(), two.direct()];
    for client in [&here, &there] {
        wait_until("Docker has the network weave", PATIENCE, || {
            let listed = client.run(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"])?;
            Ok(listed.ok()?.lines().any(|line| line == "weave weave"))
        })?;
    }
    here.sleeper("a1", &["--net=weave"])?;
    there.sleeper("a2", &["--net=weave"])?;
    let [first, second] = [here.address("a1")?, there.address("a2")?];
    ensure!(first != second, "{first} twice");
    let told = here.inspect("a1")?;
    let told = &told["NetworkSettings"]["Networks"]["weave"]["IPAddress"];
    ensure!(
        told.as_str() == Some(&first.to_string()),
        "{told}, and not {first}"
    );
    here.ping("a1", &second.to_string())?;
    there.ping("a2", &first.to_string())?;
    here.ping("a1", "127.0.0.1")?;

    // One that was made by hand, and a container that joins while it runs, and leaves.
    let line = [
        "network",
        "create",
        "--driver=weave",
        "--ipam-driver=null",
        "mine",
    ];
    here.run(&line)?.ok()?;
    here.sleeper("b1", &[])?;
    here.run(&["network", "connect", "mine", "b1"])?.ok()?;
    here.address("b1")?;
    here.ping("b1", &second.to_string())?;
    here.run(&["network", "disconnect", "mine", "b1"])?.ok()?;
    let left = here.interfaces("b1")?;
    ensure!(left == ["eth0"], "after disconnect: {left:?}");

    multicast_goes_on(&here, "a1")?;

    here.remove(&["a1", "b1"])?;
    here.run(&["network", "rm", "mine"])?.ok()?;
    // Another may have its address at once only if it asks for it.
    let line = ["run", "--rm", "--net=weave", IMAGE, "ip", "-o", "-4", "address"];
    let printed = here.run(&line)?.ok()?;
    let other = printed.lines().find(|line| line.contains("ethwe0"));
    let other = other.and_then(|line| line.split_whitespace().nth(3)?.split('/').next()?.parse().ok());
    let other: Option<Ipv4Addr> = other;
    ensure!(
        other.is_some() && other != Some(second),
        "a new container has {printed}"
    );
    Ok(())
}

/// Of two networks one has a container's multicast, and the other takes it over
fn multicast_goes_on(client: &Client, container: &str) -> Result<()> {
    let line = [
        "network",
        "create",
        "--driver=weave",
        "--ipam-driver=weave",
        "--subnet=10.3.0.0/24",
        "far",
    ];
    client.run(&line)?.ok()?;
    // Older ones of Docker give no number to an interface twice, newer ones do.
    let way = |others: &[&str]| {
        wait_for("multicast goes by one interface", PATIENCE, || {
            let routes = client.exec(container, &["ip", "route"])?;
            let ways = routes
                .lines()
                .filter(|route| route.starts_with("224.0.0.0/4 dev "));
            let ways: Vec<&str> = ways.filter_map(|route| route.split(' ').nth(2)).collect();
            Ok(match *ways.as_slice() {
                [way] if !others.contains(&way) => Look::Done(way.to_owned()),
                [] | [_, ..] => Look::NotYet(routes),
            })
        })
        .map(|(way, _took)| way)
    };
    let first = way(&[])?;
    client.run(&["network", "connect", "far", container])?.ok()?;
    ensure!(way(&[])? == first, "multicast goes by another network already");
    client.run(&["network", "disconnect", "weave", container])?.ok()?;
    let second = way(&[&first])?;
    client.run(&["network", "connect", "weave", container])?.ok()?;
    ensure!(way(&[])? == second, "multicast goes by another network already");
    client.run(&["network", "disconnect", "far", container])?.ok()?;
    way(&[&second])?;
    client.run(&["network", "rm", "far"])?.ok()?;
    Ok(())
}
