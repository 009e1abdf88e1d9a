//! The first division is given by flags: the same on hosts apart, another one on a host that they meet.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{attach_all, only, ping, wait_agreed};
use crate::site::{Site, on_one_network};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, MEETING, usual_path};

const NAMES: [&str; 4] = [
    "7a:00:00:00:00:01",
    "7a:00:00:00:00:02",
    "7a:00:00:00:00:03",
    "7a:00:00:00:00:04",
];

/// How long after `rmpeer` the others hand out
const SOON: Duration = Duration::from_secs(5);

fn seeded(name: &str, seeds: &[&str]) -> Launch {
    Launch::plain()
        .flag(&format!("--name={name}"))
        .flag(&format!("--ipalloc-init=seed={}", seeds.join(",")))
}

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let [one, two, three] = sites.each_ref().map(|site| &site.host);
    let [first, second, third, other] = NAMES;
    one.launch(&seeded(first, &[first, second]))?;
    two.launch(&seeded(second, &[second, first]))?;
    three.launch(&seeded(third, &[third]))?;
    let mut given = BTreeSet::new();
    let [near, far] = [attach(&sites[0], &mut given)?, attach(&sites[1], &mut given)?];
    // Another division, so what it gives the other two may have given.
    attach(&sites[2], &mut BTreeSet::new())?;

    two.weavectl(&["connect", &one.address()?.to_string()])?.ok()?;
    two.wait_path(one, usual_path(), MEETING)?;
    wait_agreed(&[one, two])?;
    ping(&sites[0].container, far)?;
    ping(&sites[1].container, near)?;

    // Both divisions meet: everybody goes on, with one of them.
    let running = [one.weaved_pid()?, two.weaved_pid()?, three.weaved_pid()?];
    three.weavectl(&["connect", &one.address()?.to_string()])?.ok()?;
    three.wait_path(one, usual_path(), MEETING)?;
    three.wait_path(two, usual_path(), MEETING)?;
    wait_agreed(&[one, two, three])?;
    let late = [
        lab.container("late1")?,
        lab.container("late2")?,
        lab.container("late3")?,
    ];
    for (host, container) in [one, two, three].into_iter().zip(&late) {
        attach_all(host, std::slice::from_ref(container), &mut given)?;
    }
    ensure!(
        running == [one.weaved_pid()?, two.weaved_pid()?, three.weaved_pid()?],
        "a weaved died when two divisions met"
    );

    // Under another name it is another peer, which owns nothing of what the one before owned.
    three.stop()?;
    three.launch(&seeded(other, &[other]).peer(one.address()?))?;
    three.wait_path(one, usual_path(), MEETING)?;
    let heir = lab.container("heir")?;
    attach_all(three, std::slice::from_ref(&heir), &mut given)?;
    Ok(())
}

fn attach(site: &Site, given: &mut BTreeSet<Ipv4Addr>) -> Result<Ipv4Addr> {
    only(&attach_all(
        &site.host,
        std::slice::from_ref(&site.container),
        given,
    )?)
}

/// The one that owns all there is dies before it gave any of it away
pub(in crate::scenario) fn of_one_owner(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let [one, two, owner] = sites.each_ref().map(|site| &site.host);
    let [first, second, third, _] = NAMES;
    owner.launch(&seeded(third, &[third]))?;
    one.launch(&seeded(first, &[third]).peer(owner.address()?))?;
    two.launch(
        &seeded(second, &[third])
            .peer(owner.address()?)
            .peer(one.address()?),
    )?;
    for host in [one, two, owner] {
        host.wait_peers(3, 6, MEETING)?;
    }
    attach(&sites[2], &mut BTreeSet::new())?;
    wait_agreed(&[one, two])?;
    owner.kill_weaved()?;
    wait_unreachable(one, owner)?;
    let removed = one.weavectl(&["rmpeer", owner.name()])?.ok()?;
    println!("{}", removed.trim());
    let mut given = BTreeSet::new();
    let begun = Instant::now();
    for site in &sites[..2] {
        let address = only(&site.host.attach_any(&site.container, &[])?)?;
        ensure!(given.insert(address), "{address} was given twice");
    }
    let took = begun.elapsed();
    ensure!(took < SOON, "the first addresses came {took:?} after rmpeer");
    println!("two hosts gave addresses {took:.1?} after rmpeer");
    Ok(())
}

fn wait_unreachable(host: &Host, gone: &Host) -> Result<()> {
    wait_for(&format!("{gone} is unreachable"), Duration::from_secs(20), || {
        Ok(match super::share(host, gone)? {
            Some(owner) if !owner.reachable => Look::Done(()),
            other => Look::NotYet(format!("{other:?}")),
        })
    })?;
    Ok(())
}
