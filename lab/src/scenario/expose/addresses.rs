//! Containers reach those of their subnets, and so does a host once it is exposed there.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::{addresses_of, reaches, reaches_not};
use crate::judge::nft;
use crate::namespace::Namespace;
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, launch_mesh, usual_path};

const ONE: Ipv4Addr = Ipv4Addr::new(10, 2, 1, 1);
const ONE_FAR: Ipv4Addr = Ipv4Addr::new(10, 2, 1, 2);
const TWO: Ipv4Addr = Ipv4Addr::new(10, 2, 2, 1);
const TWO_FAR: Ipv4Addr = Ipv4Addr::new(10, 2, 2, 2);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [near, far] = lab.hosts(["host1", "host2"])?;
    lab.segment(&[&near, &far], ETHERNET)?;
    launch_mesh(&[&near, &far], &Launch::plain(), usual_path())?;
    let one = attached(lab, "one", &near, ONE)?;
    let one_far = attached(lab, "one-far", &far, ONE_FAR)?;
    let two = attached(lab, "two", &near, TWO)?;
    let _two_far = attached(lab, "two-far", &far, TWO_FAR)?;

    apart(&one, &two)?;
    let before = State::of(&near)?;
    by_subnet(&near, &one_far)?;
    ensure!(
        State::of(&near)? == before,
        "hide leaves {:?}, before it was {before:?}",
        State::of(&near)?
    );
    chosen(lab, &near, &far)?;
    ensure!(
        State::of(&near)? == before,
        "hide leaves {:?}, before it was {before:?}",
        State::of(&near)?
    );
    Ok(())
}

fn attached(lab: &mut Lab, name: &str, host: &Host, address: Ipv4Addr) -> Result<Container> {
    let container = lab.container(name)?;
    host.attach(&container, &[&format!("{address}/24")])?;
    Ok(container)
}

/// What of an exposed host others can see
#[derive(Debug, PartialEq, Eq)]
struct State {
    addresses: Vec<String>,
    routes: String,
    tables: BTreeSet<String>,
    listed: String,
}

impl State {
    fn of(host: &Host) -> Result<Self> {
        Ok(Self {
            addresses: addresses_of(host.namespace(), "weave")?,
            routes: host.namespace().ip(&["route"])?,
            tables: nft::tables(host.namespace())?,
            listed: host.weavectl(&["ps", "--format", "json"])?.ok()?,
        })
    }
}

fn apart(one: &Container, two: &Container) -> Result<()> {
    for (from, own, other) in [(one, ONE_FAR, [TWO, TWO_FAR]), (two, TWO_FAR, [ONE, ONE_FAR])] {
        reaches(from.namespace(), own)?;
        for address in other {
            reaches_not(from.namespace(), address)?;
        }
    }
    Ok(())
}

fn expose(host: &Host, address: &str) -> Result<()> {
    let line = ["expose", "--without-masquerade", address];
    let printed = host.weavectl(&line)?.ok()?;
    let wanted = address.split('/').next().unwrap_or_default();
    ensure!(printed.trim() == wanted, "{line:?} printed {printed:?}");
    Ok(())
}

/// The host reaches a subnet while it has an address there, and no other subnet
fn by_subnet(host: &Host, one_far: &Container) -> Result<()> {
    let here = host.namespace();
    let all = [ONE, ONE_FAR, TWO, TWO_FAR];
    let can = |reached: &[Ipv4Addr]| -> Result<()> {
        for address in all {
            match reached.contains(&address) {
                true => reaches(here, address)?,
                false => reaches_not(here, address)?,
            }
        }
        Ok(())
    };
    can(&[])?;
    // Twice is as good as once.
    for _ in 0..2 {
        expose(host, "10.2.1.101/24")?;
        ensure!(
            addresses_of(here, "weave")? == ["10.2.1.101/24"],
            "one address is not there once"
        );
    }
    can(&[ONE, ONE_FAR])?;
    reaches(one_far.namespace(), Ipv4Addr::new(10, 2, 1, 101))?;
    expose(host, "10.2.2.101/24")?;
    can(&all)?;
    for _ in 0..2 {
        host.weavectl(&["hide", "10.2.1.101/24"])?.ok()?;
        ensure!(
            addresses_of(here, "weave")? == ["10.2.2.101/24"],
            "the wrong address is hidden"
        );
    }
    can(&[TWO, TWO_FAR])?;
    host.weavectl(&["hide", "10.2.2.101/24"])?.ok()?;
    can(&[])
}

/// An address that weaved chooses is the host's alone, through restarts and what others do to it
fn chosen(lab: &mut Lab, host: &Host, other: &Host) -> Result<()> {
    let here = host.namespace();
    let exposed = |printed: String| -> Result<Ipv4Addr> {
        printed
            .trim()
            .parse()
            .with_context(|| format!("expose printed {printed:?}"))
    };
    let options = ["expose", "--without-masquerade", "-h", "gate"];
    let address = exposed(host.weavectl(&options)?.ok()?)?;
    let again = exposed(host.weavectl(&options)?.ok()?)?;
    ensure!(again == address, "the host had {address}, and gets {again}");
    let cidr = format!("{address}/12");

    let container = lab.container("other")?;
    let name = container.namespace().name().to_owned();
    for host in [host, other] {
        let refused = host.weavectl(&["attach", &cidr, &name])?.refused()?;
        ensure!(refused.lines().count() == 1, "{refused}");
    }
    let got = host.attach_any(&container, &[])?;
    ensure!(!got.contains(&address), "a container got the host's {address}");
    reaches(container.namespace(), address)?;

    // Somebody takes the address away.
    here.ip(&["address", "del", &cidr, "dev", "weave"])?;
    let back = wait_until("the address is back", MEETING, || {
        Ok(addresses_of(here, "weave")? == [cidr.as_str()])
    })?;
    println!("an address that somebody took from the host is back after {back:.0?}");

    host.kill_weaved()?;
    host.launch(&Launch::plain().peer(other.address_for(host)?))?;
    ensure!(
        addresses_of(here, "weave")? == [cidr.as_str()],
        "the address is lost in a restart"
    );
    ensure!(
        host.exposed()? == [address],
        "the restarted weaved does not know the address"
    );
    host.wait_path(other, usual_path(), MEETING)?;
    let found = other.weavectl(&["dns-lookup", "gate"])?.ok()?;
    ensure!(
        found.trim() == address.to_string(),
        "gate is {found:?} after a restart"
    );
    let third = lab.container("third")?;
    let got = host.attach_any(&third, &[])?;
    ensure!(
        !got.contains(&address),
        "a container got the host's {address} after a restart"
    );
    given_back(host, other, [&container, &third], address)
}

/// Hidden, it is free for others
fn given_back(host: &Host, other: &Host, containers: [&Container; 2], address: Ipv4Addr) -> Result<()> {
    host.weavectl(&["hide"])?.ok()?;
    ensure!(host.exposed()?.is_empty(), "it is exposed after hide");
    let lookup = || -> Result<bool> {
        let finished = other.weavectl(&["dns-lookup", "gate"])?;
        Ok(finished.status.code() == Some(4))
    };
    wait_until("gate is nobody", MEETING, lookup)?;
    for container in containers {
        detach(host, container.namespace())?;
    }
    let [container, _third] = containers;
    let got = host.attach_any(container, &[&format!("{address}/12")])?;
    ensure!(got == [address], "a hidden address is not free: {got:?}");
    detach(host, container.namespace())
}

fn detach(host: &Host, container: &Namespace) -> Result<()> {
    host.weavectl(&["detach", container.name()])?.ok().map(drop)
}
