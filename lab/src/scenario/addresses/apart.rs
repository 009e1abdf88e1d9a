//! Hosts that cannot hear each other hand out all the same, and nothing collides when they can.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use model::PathKind;

use super::{AGREED, attach_all, containers, ping, wait_agreed};
use crate::fault::{self, Traffic};
use crate::site::on_one_network;
use crate::topology::{ETHERNET, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, MEETING, launch_mesh, usual_path};

const EACH: usize = 10;

/// A network that falls apart
pub(in crate::scenario) fn while_apart(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let hosts = sites.each_ref().map(|site| &site.host);
    launch_mesh(&hosts, &Launch::plain(), usual_path())?;
    let mut given = BTreeSet::new();
    let [one, two, three] = &sites;
    for site in &sites {
        attach_all(&site.host, std::slice::from_ref(&site.container), &mut given)?;
    }
    let cuts = [
        fault::cut(&one.host, &three.host, Traffic::All)?,
        fault::cut(&two.host, &three.host, Traffic::All)?,
    ];
    for other in [&one.host, &two.host] {
        three.host.wait_lost(other, Duration::from_secs(10))?;
    }
    let mut all = Vec::new();
    for host in hosts {
        let some = containers(lab, host.name(), EACH)?;
        let addresses = attach_all(host, &some, &mut given)?;
        all.push((some, addresses));
    }
    for cut in cuts {
        cut.heal()?;
    }
    for other in [&one.host, &two.host] {
        three
            .host
            .wait_path(other, usual_path(), Duration::from_secs(30))?;
    }
    wait_agreed(&hosts)?;
    for host in hosts {
        let conflicts = host.ipam()?.conflicts;
        ensure!(conflicts.is_empty(), "{host}: {conflicts:?}");
    }
    for ((from, _), (_, to)) in all.iter().zip(all.iter().cycle().skip(1)) {
        ping(&from[0], to[0])?;
        ping(&from[1], to[EACH - 1])?;
    }
    Ok(())
}

/// Two networks that began apart with the same range
pub(in crate::scenario) fn two_networks(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3", "host4"], ETHERNET)?;
    let [a1, a2, b1, b2] = sites.each_ref().map(|site| &site.host);
    let launch = Launch::plain();
    for [first, second] in [[a1, a2], [b1, b2]] {
        first.launch(&launch)?;
        second.launch(&launch.clone().peer(first.address_for(second)?))?;
        second.wait_path(first, usual_path(), MEETING)?;
    }
    // The same address for a container of each: what no rule can prevent.
    for site in &sites {
        attach_all(
            &site.host,
            std::slice::from_ref(&site.container),
            &mut BTreeSet::new(),
        )?;
    }
    let twin = [lab.container("twin1")?, lab.container("twin2")?];
    a1.attach(&twin[0], &["10.33.0.7/12"])?;
    b1.attach(&twin[1], &["10.33.0.7/12"])?;

    let met = a2.address_for(b2)?.to_string();
    b2.weavectl(&["connect", &met])?.ok()?;
    let all = [a1, a2, b1, b2];
    for host in all {
        host.wait_peers(4, 12, MEETING)?;
    }
    for (near, far) in [(a1, b1), (a2, b2), (b1, a2)] {
        near.wait_path(far, usual_path(), MEETING)?;
    }
    wait_agreed(&all)?;
    let (_, took) = wait_for("the twins are reported", AGREED, || {
        let told = [a1.ipam()?.conflicts, b1.ipam()?.conflicts];
        Ok(
            match told
                .iter()
                .any(|told| told.iter().any(|line| line.contains("10.33.0.7")))
            {
                true => Look::Done(()),
                false => Look::NotYet(format!("{told:?}")),
            },
        )
    })?;
    println!("an address in use on both sides was reported {took:.1?} after all agreed");
    // Nothing was cut, and from here on nothing is given twice.
    let mut given = BTreeSet::new();
    for host in all {
        let some = containers(lab, &format!("late-{}", host.name()), 5)?;
        attach_all(host, &some, &mut given)?;
    }
    for host in all {
        let connected = host.connections()?;
        ensure!(
            connected.iter().all(|connection| connection
                .path
                .is_some_and(|found: PathKind| found == usual_path())),
            "{host}: {connected:?}"
        );
    }
    Ok(())
}
