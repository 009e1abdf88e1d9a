//! Many containers started at once, in a subnet with little more room.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::one_host;
use crate::command::Background;
use crate::docker::IMAGE;
use crate::scenario::docker_s_pace;
use crate::topology::Lab;
use crate::wait::wait_until;

/// How many
const COUNT: usize = 50;
/// In it there are 62 addresses
const SUBNET: &str = "10.32.4.0/26";
/// For all of them, on a machine with two cores
const LIMIT: Duration = Duration::from_secs(90);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let docker = one_host(lab)?;
    let client = docker.proxied();
    let names: Vec<String> = (0..COUNT).map(|number| format!("c{number}")).collect();
    let asked = format!("WEAVE_CIDR=net:{SUBNET}");
    let start = |name: &String| {
        client.start(&[
            "run", "-d", "--name", name, "-e", &asked, IMAGE, "sleep", "1000000",
        ])
    };
    let limit = docker_s_pace() * LIMIT;
    let begun = Instant::now();
    // Docker itself gives up on its bridge in a guest, whose one CPU does everything, where more start.
    let at_once = if docker_s_pace() == 1 { COUNT } else { 5 };
    for names in names.chunks(at_once) {
        let starting: Vec<Background> = names.iter().map(start).collect::<Result<_>>()?;
        for one in starting {
            one.wait(limit.saturating_sub(begun.elapsed()))?.ok()?;
        }
    }
    println!("{COUNT} containers, {at_once} at once: {:.1?}", begun.elapsed());
    let complete = wait_until("all are complete", limit, || {
        let listed = docker.host().attachments()?;
        Ok(listed.iter().filter(|one| one.netns.is_some()).count() == COUNT)
    })?;
    println!("and complete {complete:.1?} later");
    let mut owners: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    for name in &names {
        let has = client.addresses(name)?;
        let [(address, 26)] = has[..] else {
            anyhow::bail!("{name} has {has:?}");
        };
        let before = owners.insert(address, name);
        ensure!(before.is_none(), "{address} is {name}'s and {before:?}'s");
    }
    let (highest, last) = owners.last_key_value().context("no containers")?;
    ensure!(
        owners
            .keys()
            .all(|address| address.octets()[..3] == [10, 32, 4] && address.octets()[3] < 64),
        "addresses outside {SUBNET}: {owners:?}"
    );
    let first = names.iter().find(|name| name != last).context("no containers")?;
    // All of them, from one of them.
    let targets: Vec<String> = owners.keys().map(ToString::to_string).collect();
    let script = format!(
        "for a in {}; do ping -c1 -W3 -q $a >/dev/null || exit 1; done",
        targets.join(" ")
    );
    client.exec(first, &["sh", "-c", &script])?;
    client.ping(last, first)?;
    println!("the highest address is {highest}");
    Ok(())
}
