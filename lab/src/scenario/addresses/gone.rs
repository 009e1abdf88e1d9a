//! What becomes of the addresses of hosts that leave, and of those that die.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{attach_all, only, share, wait_agreed, wait_ready};
use crate::site::on_one_network;
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::{Launch, MEETING, launch_mesh, usual_path};

/// How long after rmpeer the addresses are there
const TAKEN: Duration = Duration::from_secs(5);

/// How long after its start a new host hands out
const SOON: Duration = Duration::from_secs(10);

const RANGE: &str = "--ipalloc-range=10.50.0.0/24";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let hosts = sites.each_ref().map(|site| &site.host);
    launch_mesh(&hosts, &Launch::plain().flag(RANGE), usual_path())?;
    let mut given = BTreeSet::new();
    for site in &sites {
        attach_all(&site.host, std::slice::from_ref(&site.container), &mut given)?;
    }
    wait_agreed(&hosts)?;

    // One dies. What it owns stays its own until somebody says that it is dead.
    let [one, two, three] = hosts;
    let had = share(one, three)?.context("host3 owns nothing")?.addresses;
    three.kill_weaved()?;
    wait_for("host3 is unreachable", Duration::from_secs(20), || {
        Ok(match share(one, three)? {
            Some(owner) if !owner.reachable => Look::Done(()),
            other => Look::NotYet(format!("{other:?}")),
        })
    })?;
    let text = one.weavectl(&["status", "ipam"])?.ok()?;
    ensure!(
        text.contains("(host3)") && text.contains("unreachable!"),
        "{text}"
    );
    let removed = one.weavectl(&["rmpeer", "host3"])?.ok()?;
    ensure!(
        removed == format!("{had} IPs taken over from host3\n"),
        "host3 had {had} addresses; rmpeer printed {removed:?}"
    );
    // All that is left can be given, by whichever host: 254, less the three in use.
    let took = wait_until("host2 has heard of it", TAKEN, || {
        Ok(share(two, three)?.is_none_or(|owner| owner.addresses == 0))
    })?;
    println!("{had} addresses taken over; the third host knew after {took:.1?}");
    let mut more = Vec::new();
    for number in 0..40 {
        more.push(lab.container(&format!("more{number}"))?);
    }
    let (left, right) = more.split_at(20);
    attach_all(two, right, &mut given)?;
    let mut of_one = attach_all(one, left, &mut given)?;
    of_one.extend(sites[0].host.attach_any(&sites[0].container, &[])?);

    // Each leaves and comes back: what it owns goes to the other at once, which then gives it a share.
    let back = [lab.container("back1")?, lab.container("back2")?];
    let first = leaves_and_returns(two, one, &back[0])?;
    ensure!(!of_one.contains(&first), "{first} is in use at host1");
    let second = leaves_and_returns(one, two, &back[1])?;
    ensure!(first != second, "{first} is in use at host2");

    // The dead one comes back, and does not hand out what it owned.
    three.launch(&Launch::plain().flag(RANGE).peer(one.address()?))?;
    three.wait_path(one, usual_path(), MEETING)?;
    let container = lab.container("revived")?;
    let again = only(&three.attach_any(&container, &[])?)?;
    ensure!(![first, second].contains(&again), "{again} is in use");
    wait_agreed(&[one, two, three])
}

/// After a farewell a host starts as somebody new, and gets an address soon
fn leaves_and_returns(host: &Host, other: &Host, container: &Container) -> Result<Ipv4Addr> {
    host.weavectl(&["reset"])?.ok()?;
    wait_for(&format!("{other} owns everything"), TAKEN, || {
        let status = other.ipam()?;
        let own = status.owners.first().map(|owner| owner.addresses);
        Ok(match own == Some(status.range.size()) {
            true => Look::Done(()),
            false => Look::NotYet(format!("{:?}", status.owners)),
        })
    })?;
    host.launch(&Launch::plain().flag(RANGE).peer(other.address()?))?;
    let begun = Instant::now();
    let address = only(&host.attach_any(container, &[])?)?;
    ensure!(
        begun.elapsed() < SOON,
        "{address} came after {:?}",
        begun.elapsed()
    );
    host.wait_path(other, usual_path(), MEETING)?;
    wait_ready(host)?;
    wait_agreed(&[host, other])?;
    Ok(address)
}
