//! An address goes from one container to the next: its name follows, and so do packets.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, ask, attach_one, set, wait_set};
use crate::judge::ping::Ping;
use crate::topology::{Container, Host, Lab};
use crate::wait::{Look, wait_for};

const CIDR: &str = "10.40.0.5/24";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 40, 0, 5);

pub(super) fn act(lab: &mut Lab, hosts: [&Host; 3]) -> Result<()> {
    let [one, two, three] = hosts;
    let asker = lab.container("asker")?;
    three.attach(&asker, &["--without-dns", "10.40.0.9/24"])?;

    let first = lab.container("first")?;
    attach_one(one, &first, "first-owner", &[CIDR])?;
    is_at(hosts, &asker, "first-owner")?;

    // It ends, and a container of another host gets the address.
    first.end()?;
    let second = lab.container("second")?;
    attach_one(two, &second, "second-owner", &[CIDR])?;
    is_at(hosts, &asker, "second-owner")?;
    is_nobody(hosts, "first-owner")?;

    // It gives the address up, and one of the asker's own host gets it.
    two.weavectl(&["detach", CIDR, second.namespace().name()])?.ok()?;
    let third = lab.container("third")?;
    attach_one(three, &third, "third-owner", &[CIDR])?;
    is_at(hosts, &asker, "third-owner")?;
    is_nobody(hosts, "second-owner")?;
    Ok(())
}

/// The address has this name on all hosts, and the first packet to it arrives
fn is_at(hosts: [&Host; 3], asker: &Container, name: &str) -> Result<()> {
    let pings = Ping::to(ADDRESS)
        .patience(Duration::from_secs(1))
        .run(asker.namespace())?;
    pings
        .all_answered()
        .with_context(|| format!("{ADDRESS} went to {name}"))?;
    wait_set(
        &hosts,
        &format!("{name}.weave.local"),
        &BTreeSet::from([ADDRESS]),
        AT_ONCE,
    )?;
    let whole = format!("{name}.weave.local.");
    wait_for(&format!("{ADDRESS} is {name} everywhere"), AT_ONCE, || {
        for host in hosts {
            let answer = ask(host, &["-x", &ADDRESS.to_string()])?.expect("NOERROR")?;
            let names: Vec<&String> = answer.records.iter().filter_map(|record| record.last()).collect();
            if names != [&whole] {
                return Ok(Look::NotYet(format!("{host} says {names:?}")));
            }
        }
        Ok(Look::Done(()))
    })?;
    Ok(())
}

fn is_nobody(hosts: [&Host; 3], name: &str) -> Result<()> {
    for host in hosts {
        let found = set(host, &format!("{name}.weave.local"))?;
        ensure!(found.is_empty(), "{host} still has {name} at {found:?}");
    }
    Ok(())
}
