//! What becomes of the addresses of hosts that leave, and of those that die.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{attach_all, only, path, share, wait_agreed, wait_ready};
use crate::site::on_one_network;
use crate::topology::{ETHERNET, Lab};
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::{Launch, launch_mesh};

/// How long after rmpeer the addresses are there
const TAKEN: Duration = Duration::from_secs(5);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let hosts = sites.each_ref().map(|site| &site.host);
    launch_mesh(
        &hosts,
        &Launch::plain().flag("--ipalloc-range=10.50.0.0/24"),
        path(),
    )?;
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

    // One leaves: what it owns goes to another at once.
    two.weavectl(&["reset"])?.ok()?;
    wait_for("host1 owns everything", TAKEN, || {
        let status = one.ipam()?;
        let own = status.owners.first().map(|owner| owner.addresses);
        Ok(match own == Some(status.range.size()) {
            true => Look::Done(()),
            false => Look::NotYet(format!("{:?}", status.owners)),
        })
    })?;
    // And comes back as somebody new, who is given a share.
    two.launch(
        &Launch::plain()
            .flag("--ipalloc-range=10.50.0.0/24")
            .peer(one.address()?),
    )?;
    two.wait_path(one, path(), crate::weave::MEETING)?;
    let container = lab.container("back")?;
    let address = only(&two.attach_any(&container, &[])?)?;
    ensure!(!of_one.contains(&address), "{address} is in use at host1");
    wait_ready(two)?;
    wait_agreed(&[one, two])?;

    // The dead one comes back, and does not hand out what it owned.
    three.launch(
        &Launch::plain()
            .flag("--ipalloc-range=10.50.0.0/24")
            .peer(one.address()?),
    )?;
    three.wait_path(one, path(), crate::weave::MEETING)?;
    let container = lab.container("revived")?;
    let again = only(&three.attach_any(&container, &[])?)?;
    ensure!(again != address && !of_one.contains(&again), "{again} is in use");
    wait_agreed(&[one, two, three])
}
