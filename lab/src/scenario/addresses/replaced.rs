//! Every host is replaced in turn, and many at once come and go: no address is lost, none has two owners.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{attach_all, only, wait_agreed};
use crate::site::{Site, on_one_network};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, MEETING};

/// So small that a few lost addresses would be missed
const RANGE: &str = "--ipalloc-range=10.60.0.0/27";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3", "host4"], ETHERNET)?;
    let hosts = sites.each_ref().map(|site| &site.host);
    hosts.iter().try_for_each(|host| join(host, &hosts))?;
    for host in hosts {
        host.wait_peers(4, 12, MEETING)?;
    }
    hosts[0].weavectl(&["ipam", "prime"])?.ok()?;
    wait_agreed(&hosts)?;

    for (turn, site) in sites.iter().enumerate() {
        replace(site, &hosts, turn % 2 == 0)?;
    }
    wait_owned(hosts)?;

    // Down to two, up to four, down and up by the other two, each time all at once.
    let ([a, b], [c, d]) = ([hosts[0], hosts[1]], [hosts[2], hosts[3]]);
    for (leaving, staying) in [([a, b], [c, d]), ([c, d], [a, b])] {
        at_once(&leaving, |host| host.weavectl(&["reset"])?.ok().map(drop))?;
        for host in staying {
            host.wait_peers(2, 2, Duration::from_secs(10))?;
        }
        wait_agreed(&staying)?;
        at_once(&leaving, |host| join(host, &hosts))?;
        // The next would leave before they came: nobody would be left who knows of any owners.
        wait_owned(hosts)?;
    }
    all_can_be_given(lab, hosts)
}

fn join(host: &Host, all: &[&Host]) -> Result<()> {
    let mut launch = Launch::plain().flag(RANGE);
    for other in all.iter().filter(|other| other.name() != host.name()) {
        launch = launch.peer(other.address()?);
    }
    host.launch(&launch)
}

/// Another host takes its place: after a farewell, or after its death and an operator's word
fn replace(site: &Site, all: &[&Host; 4], politely: bool) -> Result<()> {
    let host = &site.host;
    host.attach_any(&site.container, &[])?;
    let witness = all.iter().find(|other| other.name() != host.name());
    let witness = witness.context("there is only one host")?;
    if politely {
        host.weavectl(&["reset"])?.ok()?;
        witness.wait_peers(3, 6, Duration::from_secs(10))?;
    } else {
        let name = host.status()?.router.name.to_string();
        host.kill_weaved()?;
        let state = host.state_dir();
        host.weavectl(&["reset", "--force", "--state-dir", &state.to_string_lossy()])?
            .ok()?;
        witness.wait_peers(3, 6, Duration::from_secs(20))?;
        witness.weavectl(&["rmpeer", &name])?.ok()?;
    }
    join(host, all)?;
    for host in all {
        host.wait_peers(4, 12, MEETING)?;
    }
    only(&host.attach_any(&site.container, &[])?)?;
    host.weavectl(&["detach", site.container.namespace().name()])?
        .ok()
        .map(drop)
}

/// Each does it at the same time
fn at_once(hosts: &[&Host], act: impl Fn(&Host) -> Result<()> + Sync) -> Result<()> {
    let act = &act;
    std::thread::scope(|scope| {
        let threads: Vec<_> = hosts.iter().map(|host| scope.spawn(move || act(host))).collect();
        for thread in threads {
            thread
                .join()
                .map_err(|_panic| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    })
}

/// Waits until all addresses have owners that are there, and all say the same
fn wait_owned(hosts: [&Host; 4]) -> Result<()> {
    for host in hosts {
        host.wait_peers(4, 12, MEETING)?;
    }
    wait_agreed(&hosts)?;
    for host in hosts {
        wait_for(&format!("no owner that {host} knows is gone"), MEETING, || {
            let owners = host.ipam()?.owners;
            let gone: Vec<_> = owners
                .iter()
                .filter(|owner| !owner.reachable && owner.addresses > 0)
                .collect();
            Ok(match gone.is_empty() {
                true => Look::Done(()),
                false => Look::NotYet(format!("{gone:?}")),
            })
        })?;
    }
    Ok(())
}

/// As many containers as there are addresses get one, on all hosts at once, each another
fn all_can_be_given(lab: &mut Lab, hosts: [&Host; 4]) -> Result<()> {
    let mut containers = Vec::new();
    for host in hosts {
        // A network's first address and its last are nobody's.
        let count = if containers.len() < 2 { 7 } else { 8 };
        let mut some = Vec::new();
        for number in 0..count {
            some.push(lab.container(&format!("{}-{number}", host.name()))?);
        }
        containers.push((host, some));
    }
    let all: Mutex<BTreeSet<Ipv4Addr>> = Mutex::default();
    at_once(&hosts, |host| {
        let own = containers.iter().find(|(of, _)| of.name() == host.name());
        let (_, own) = own.context("a host without containers")?;
        let mut given = BTreeSet::new();
        attach_all(host, own, &mut given)?;
        let mut all = all
            .lock()
            .map_err(|_poisoned| anyhow::anyhow!("a thread panicked"))?;
        for address in given {
            ensure!(
                all.insert(address),
                "{address} was given twice, the second time by {host}"
            );
        }
        Ok(())
    })?;
    let all = all
        .into_inner()
        .map_err(|_poisoned| anyhow::anyhow!("a thread panicked"))?;
    ensure!(all.len() == 30, "30 addresses can be given, {} were", all.len());
    println!(
        "all {} addresses were given after six replacements and resets of two at once",
        all.len()
    );
    Ok(())
}
