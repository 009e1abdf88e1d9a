//! Each way to ask for an address, and what is refused.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::{AGREED, attach_all, only, ping, wait_agreed};
use crate::site::on_one_network;
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, launch_mesh, usual_path};

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let hosts = sites.each_ref().map(|site| &site.host);
    let launch = Launch::plain().flag("--ipalloc-default-subnet=10.32.0.0/16");
    launch_mesh(&hosts, &launch, usual_path())?;

    let mut given = BTreeSet::new();
    for site in &sites {
        attach_all(&site.host, std::slice::from_ref(&site.container), &mut given)?;
    }
    ensure!(
        given.iter().all(|address| address.octets()[..2] == [10, 32]),
        "not of the default subnet: {given:?}"
    );
    wait_agreed(&hosts)?;
    for site in &sites {
        for address in &given {
            ping(&site.container, *address)?;
        }
    }
    let [one, two, _three] = &sites;
    the_same_again(&one.host, &one.container)?;
    ended_and_again(lab, &one.host, &two.container)?;
    of_a_subnet(lab, &one.host, &two.host)?;
    this_one(lab, &one.host, &two.host)?;
    refusals(lab, &one.host)
}

/// Who has an address is not given another one, and what was freed may be given again
fn the_same_again(host: &Host, container: &Container) -> Result<()> {
    let first = only(&host.attach_any(container, &[])?)?;
    let again = only(&host.attach_any(container, &["net:default"])?)?;
    ensure!(first == again, "{container} had {first}, and got {again}");
    let active = host.ipam()?.active;
    host.weavectl(&["detach", container.namespace().name()])?.ok()?;
    let left = host.ipam()?.active;
    ensure!(
        left + 1 == active,
        "{active} addresses were in use, and {left} after a detach"
    );
    let freed = only(&host.attach_any(container, &[])?)?;
    ensure!(
        freed == first,
        "{first} was free and is not the lowest that is: {freed}"
    );
    Ok(())
}

/// A container ends, and its address is kept for it; started again under its name and attached, it has the same
/// one
fn ended_and_again(lab: &mut Lab, host: &Host, witness: &Container) -> Result<()> {
    let container = lab.container("again")?;
    let address = only(&host.attach_any(&container, &[])?)?;
    ping(witness, address)?;
    let attached = host.weavectl(&["ps"])?.ok()?;
    ensure!(attached.contains(&address.to_string()), "{attached}");
    container.end()?;
    wait_until("its end is noticed", AGREED, || {
        Ok(!host.weavectl(&["ps"])?.ok()?.contains(&address.to_string()))
    })?;
    let newcomer = lab.container("newcomer")?;
    let other = only(&host.attach_any(&newcomer, &[])?)?;
    ensure!(other != address, "{newcomer} was given {address}, which is kept");
    // Who asks for it by itself has it all the same, until it is detached.
    let literal = format!("{address}/16");
    host.attach(&newcomer, &[&literal])?;
    host.weavectl(&["detach", &literal, newcomer.namespace().name()])?
        .ok()?;
    let container = lab.container("again")?;
    let again = only(&host.attach_any(&container, &[])?)?;
    ensure!(
        again == address,
        "{address} became {again}, though it is the lowest free one"
    );
    container.end()?;
    wait_until("its end is noticed again", AGREED, || {
        Ok(!host.weavectl(&["ps"])?.ok()?.contains(&address.to_string()))
    })?;
    let container = lab.container("again")?;
    let again = only(&host.attach_any(&container, &[])?)?;
    ensure!(again == address, "{address} became {again}");
    // Another interface has it, and is reached at once.
    ping(witness, again)
}

/// Containers of one subnet on two hosts reach each other; one can be in two
fn of_a_subnet(lab: &mut Lab, one: &Host, two: &Host) -> Result<()> {
    let (near, far) = (lab.container("sub1")?, lab.container("sub2")?);
    let [first, second] = one.attach_any(&near, &["net:default", "net:10.40.7.0/24"])?[..] else {
        anyhow::bail!("two addresses were asked for");
    };
    let other = only(&two.attach_any(&far, &["net:10.40.7.0/24"])?)?;
    let is_there = |address: Ipv4Addr| address.octets()[..3] == [10, 40, 7];
    ensure!(
        is_there(second) && is_there(other) && !is_there(first),
        "{first} {second} {other}"
    );
    ensure!(second != other, "{second} was given twice");
    ping(&near, other)?;
    ping(&far, second)?;
    let gone = one
        .weavectl(&["detach", "net:10.40.7.0/24", near.namespace().name()])?
        .ok()?;
    ensure!(
        gone.trim() == second.to_string(),
        "detached from {gone:?} instead of {second}"
    );
    Ok(())
}

/// An address given by hand is asked of its owner, moves with its container, and is refused while it is in use
fn this_one(lab: &mut Lab, one: &Host, two: &Host) -> Result<()> {
    let [here, there] = [lab.container("hand1")?, lab.container("hand2")?];
    let [asked, other] = ["10.33.9.9/24", "10.33.9.10/24"];
    one.attach(&here, &[asked])?;
    let refused = two
        .weavectl(&["attach", asked, there.namespace().name()])?
        .refused()?;
    ensure!(
        refused.contains("10.33.9.9/24 is owned by other peer") && refused.contains("(host1)"),
        "{refused}"
    );
    two.attach(&there, &[&format!("ip:{other}")])?;
    ping(&here, Ipv4Addr::new(10, 33, 9, 10))?;
    let again = two.weavectl(&["attach", other, "hand3"])?.refused()?;
    ensure!(!again.contains("10.33.9.9"), "{again}");

    // It moves: from one container to another on the same host, then to the other host.
    one.weavectl(&["detach", here.namespace().name()])?.ok()?;
    let heir = lab.container("hand4")?;
    one.attach(&heir, &[asked])?;
    ping(&there, Ipv4Addr::new(10, 33, 9, 9))?;
    one.weavectl(&["detach", heir.namespace().name()])?.ok()?;
    let moved = lab.container("hand5")?;
    two.attach(&moved, &[asked])?;
    ping(&there, Ipv4Addr::new(10, 33, 9, 9))?;

    // Outside the range everybody is on his own.
    let [near, far] = [lab.container("out1")?, lab.container("out2")?];
    one.attach(&near, &["10.99.0.1/24"])?;
    two.attach(&far, &["10.99.0.2/24"])?;
    ping(&near, Ipv4Addr::new(10, 99, 0, 2))?;
    let taken = one
        .weavectl(&["attach", "10.99.0.1/24", moved.namespace().name()])?
        .refused()?;
    ensure!(
        taken.contains("10.99.0.1") && taken.contains("already"),
        "{taken}"
    );
    Ok(())
}

fn refusals(lab: &mut Lab, host: &Host) -> Result<()> {
    let container = lab.container("wrong")?;
    let name = container.namespace().name();
    let before = host.ipam()?;
    for (wanted, told) in [
        (
            "net:10.40.7.1/24",
            "invalid subnet - bits after network prefix are not all zero: 10.40.7.1/24",
        ),
        (
            "net:10.40.7.0/31",
            "invalid subnet - smaller than minimum size 4: 10.40.7.0/31",
        ),
        (
            "net:10.99.5.0/24",
            "range 10.99.5.0/24 out of bounds: 10.32.0.0/12",
        ),
        ("net:everywhere", "\"everywhere\" is not a CIDR"),
        (
            "10.40.7.0/24",
            "10.40.7.0/24 is not an address that a container can have",
        ),
    ] {
        let refused = host.weavectl(&["attach", wanted, name])?;
        ensure!(refused.status.code() == Some(1), "{refused}");
        let line = refused.refused()?;
        ensure!(
            line.contains(told) && line.trim().lines().count() == 1,
            "{wanted}: {line}"
        );
    }
    let unknown = host.weavectl(&["rmpeer", "nobody"])?;
    ensure!(unknown.status.code() == Some(4), "{unknown}");
    let itself = host.weavectl(&["rmpeer", host.name()])?.refused()?;
    ensure!(itself.contains("is this peer"), "{itself}");
    let running = host.weavectl(&["rmpeer", "host2"])?.refused()?;
    ensure!(running.contains("can be reached"), "{running}");
    let after = host.ipam()?;
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}
