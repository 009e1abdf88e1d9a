//! weaved is killed while it hands out, and loses its memory: nobody gets what somebody has.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};

use super::{attach_all, containers, only, ping, wait_agreed};
use crate::site::on_one_network;
use crate::topology::{Container, ETHERNET, Lab};
use crate::weave::{Launch, MEETING, launch_mesh, usual_path};

const ROUNDS: usize = 3;

/// How many containers come on each host while one loses its state
const EACH: usize = 5;

/// Killed right after each address that it gave
pub(in crate::scenario) fn after_kills(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    let hosts = sites.each_ref().map(|site| &site.host);
    launch_mesh(&hosts, &Launch::plain(), usual_path())?;
    let [one, two] = &sites;
    let mut given = BTreeSet::new();
    one.host.weavectl(&["expose", "--without-masquerade"])?.ok()?;
    let exposed = one.host.exposed()?;
    for address in &exposed {
        if let IpAddr::V4(address) = address {
            given.insert(*address);
        }
    }
    ensure!(given.len() == 1, "exposed are {exposed:?}");
    let mut held: Vec<(Container, Ipv4Addr)> = Vec::new();
    for round in 0..ROUNDS {
        let containers = [
            lab.container(&format!("k{round}a"))?,
            lab.container(&format!("k{round}b"))?,
        ];
        let addresses = attach_all(&one.host, &containers, &mut given)?;
        held.extend(containers.into_iter().zip(addresses));
        one.host.kill_weaved()?;
        one.host.launch(&Launch::plain())?;
        one.host.wait_path(&two.host, usual_path(), MEETING)?;
    }
    ensure!(
        usize::try_from(one.host.ipam()?.active)? == given.len(),
        "{} addresses are in use, status counts {}",
        given.len(),
        one.host.ipam()?.active
    );
    for (container, address) in &held {
        let again = only(&one.host.attach_any(container, &[])?)?;
        ensure!(again == *address, "{container} had {address} and got {again}");
    }
    // One that ended while weaved was away gives its address back, where none is kept for it.
    let (ended, address) = held.swap_remove(0);
    one.host.stop()?;
    ended.end()?;
    one.host.launch(&Launch::plain().flag("--ipalloc-hold=0"))?;
    one.host.wait_path(&two.host, usual_path(), MEETING)?;
    ensure!(
        one.host.exposed()? == exposed,
        "{exposed:?} became {:?}",
        one.host.exposed()?
    );
    let heir = lab.container("heir")?;
    let freed = only(&one.host.attach_any(&heir, &[])?)?;
    ensure!(freed == address, "{address} was freed, and {freed} given");
    attach_all(&two.host, std::slice::from_ref(&two.container), &mut given)?;
    for (container, address) in &held {
        ping(&two.container, *address)?;
        ensure!(*address != freed, "{container} has {address}, too");
    }
    Ok(())
}

/// Its state is gone, its containers run on
pub(in crate::scenario) fn after_loss(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let hosts = sites.each_ref().map(|site| &site.host);
    // With names of their own: as hosts whose names do not hang on a key in the lost state.
    let names = ["7a:00:00:00:00:01", "7a:00:00:00:00:02", "7a:00:00:00:00:03"];
    let named = |at: usize| Launch::plain().flag(&format!("--name={}", names[at]));
    for (at, site) in sites.iter().enumerate() {
        let mut launch = named(at);
        for earlier in sites.iter().take(at) {
            launch = launch.peer(earlier.host.address()?);
        }
        site.host.launch(&launch)?;
    }
    for host in hosts {
        host.wait_peers(3, 6, MEETING)?;
    }
    let mut given = BTreeSet::new();
    for site in &sites {
        attach_all(&site.host, std::slice::from_ref(&site.container), &mut given)?;
    }
    wait_agreed(&hosts)?;
    let [one, two, three] = &sites;
    let had = only(&one.host.attach_any(&one.container, &[])?)?;

    let fresh = sites
        .iter()
        .map(|site| containers(lab, site.host.name(), EACH))
        .collect::<Result<Vec<_>>>()?;
    // The others hand out all the while.
    let granted = std::thread::scope(|scope| {
        let busy = [two, three].into_iter().zip(&fresh[1..]);
        let busy: Vec<_> = busy
            .map(|(site, some)| scope.spawn(move || attach_all(&site.host, some, &mut BTreeSet::new())))
            .collect();
        one.host.kill_weaved()?;
        std::fs::remove_dir_all(one.host.state_dir())?;
        // Its key is lost, too: the others give its name up first.
        for site in [two, three] {
            site.host.wait_peers(2, 2, MEETING)?;
            site.host.weavectl(&["rmpeer", names[0]])?.ok()?;
        }
        one.host.launch(&named(0).peer(two.host.address()?))?;
        let mut granted = Vec::new();
        for thread in busy {
            let addresses = thread
                .join()
                .map_err(|_panic| anyhow::anyhow!("a thread panicked"))?;
            granted.extend(addresses?);
        }
        Ok::<_, anyhow::Error>(granted)
    })?;
    for address in granted {
        ensure!(given.insert(address), "{address} was given twice");
    }
    one.host.wait_path(&two.host, usual_path(), MEETING)?;
    one.host.wait_path(&three.host, usual_path(), MEETING)?;
    // It knows its containers again, and nothing that runs anywhere is given again.
    let again = only(&one.host.attach_any(&one.container, &[])?)?;
    ensure!(again == had, "{} had {had} and got {again}", one.container);
    attach_all(&one.host, &fresh[0], &mut given)?;
    ensure!(given.contains(&had), "an address was lost count of");
    ping(&two.container, had)
}
