//! `weavectl attach` and `detach` of containers that run: what they know of names, and whichever way they came to
//! the network before.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, PATIENCE, two_hosts, wait_name};
use crate::docker::{Client, Docker};
use crate::topology::{Host, Lab};
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::Launch;

/// How long addresses are kept for containers that ended
const HOLD: Duration = Duration::from_secs(3);

/// A subnet that weaved does not hand out
const ADDED: &str = "10.2.7.1/24";
const ADDED_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 2, 7, 1);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let hold = format!("--ipalloc-hold={}s", HOLD.as_secs());
    let [one, two] = two_hosts(lab, &Launch::plain().flag(&hold))?;
    two.proxied().sleeper("far", &[])?;
    names(&one, &two).context("names")?;
    left_alone(&one).context("what is left alone")?;
    again(&one, &two).context("a restart")?;
    refused(&one)
}

/// A container of Docker's bridge finds others by name, and its own name is its address on the network
fn names(one: &Docker, two: &Docker) -> Result<()> {
    let (client, host) = (one.direct(), one.host());
    client.sleeper("c1", &["--hostname=own"])?;
    let files = || -> Result<[String; 2]> {
        let text = |path| client.exec("c1", &["cat", path]);
        Ok([text("/etc/resolv.conf")?, text("/etc/hosts")?])
    };
    let before = files()?;
    let address = attach(host, &["c1"])?;
    let mtu = |of: &Client, name, interface| {
        let file = format!("/sys/class/net/{interface}/mtu");
        of.exec(name, &["cat", &file])
    };
    let [here, there] = [
        mtu(&client, "c1", "ethwe")?,
        mtu(&two.proxied(), "far", "ethwe0")?,
    ];
    ensure!(
        here == there,
        "the MTU of c1 is {here}, and that of another {there}"
    );
    let routes = client.exec("c1", &["ip", "route"])?;
    ensure!(routes.contains("224.0.0.0/4 dev ethwe"), "in c1: {routes}");
    client.ping("c1", "far")?;
    client.ping("c1", "far.weave.local")?;
    wait_name(two.host(), "c1", &[address], AT_ONCE)?;
    two.proxied().ping("far", "c1")?;

    let added = attach(
        host,
        &["--rewrite-hosts", "--add-host=friend:10.32.0.200", ADDED, "c1"],
    )?;
    ensure!(added == ADDED_ADDRESS, "{added} was given");
    let own = client.exec("c1", &["hostname", "-i"])?;
    let is_on_the_network = |text: &str| [address, ADDED_ADDRESS].iter().any(|one| one.to_string() == text);
    ensure!(
        own.split_whitespace().all(is_on_the_network),
        "the own name stands for {own}"
    );
    let after = files()?;
    ensure!(
        after[1].contains("10.32.0.200\tfriend"),
        "/etc/hosts: {}",
        after[1]
    );
    // Again is the same.
    attach(
        host,
        &["--rewrite-hosts", "--add-host=friend:10.32.0.200", ADDED, "c1"],
    )?;
    ensure!(files()? == after, "{:?}, and the first time {after:?}", files()?);

    host.weavectl(&["detach", ADDED, "c1"])?.ok()?;
    let [resolv_conf, hosts] = files()?;
    ensure!(
        resolv_conf == after[0] && !hosts.contains("10.2.7.1") && hosts.contains(&address.to_string()),
        "after one address: {resolv_conf} {hosts}"
    );
    host.weavectl(&["detach", "c1"])?.ok()?;
    ensure!(files()? == before, "{:?}, and before all {before:?}", files()?);
    wait_name(two.host(), "c1", &[], AT_ONCE)?;
    client.remove(&["c1"])
}

/// Whoever says whom to ask for names is not told otherwise
fn left_alone(one: &Docker) -> Result<()> {
    let (client, host) = (one.direct(), one.host());
    client.run(&["network", "create", "mine"])?.ok()?;
    let own = host.files().join("own.conf");
    std::fs::write(&own, "nameserver 10.9.9.9\n")?;
    let mounted = format!("--volume={}:/etc/resolv.conf", own.display());
    let cases: [(&[&str], &[&str], &str); 5] = [
        (&["--dns=10.9.9.9"], &[], ""),
        (&[], &["--without-dns"], ""),
        (&["--net=mine"], &[], "dns-args"),
        (&["--net=none"], &[], "does not reach Docker's bridge"),
        (&[&mounted], &[], "not Docker's own file"),
    ];
    for (options, flags, warned) in cases {
        client.sleeper("d1", options)?;
        let text = || client.exec("d1", &["cat", "/etc/resolv.conf"]);
        let before = text()?;
        let finished = host.weavectl(&[&["attach"], flags, &["d1"]].concat())?;
        let (status, told) = (finished.status, finished.to_string());
        ensure!(
            status.success() && told.contains(warned) && told.contains("warning") != warned.is_empty(),
            "with {options:?}, attach {flags:?} said {told}"
        );
        client.address("d1")?;
        let after = text()?;
        ensure!(
            after == before,
            "with {options:?} it was {before}, and is {after}"
        );
        client.remove(&["d1"])?;
    }
    client.run(&["network", "rm", "mine"])?.ok().map(drop)
}

/// Containers by the proxy, of Docker's networks, and of several
pub(in crate::scenario) fn by_every_way(lab: &mut Lab) -> Result<()> {
    let [one, two] = two_hosts(lab, &Launch::plain())?;
    let (client, host) = (one.direct(), one.host());
    for (name, subnet) in [("e1", "10.32.8.0/24"), ("e2", "10.3.0.0/24")] {
        one.proxied().network(name, subnet)?;
    }
    client.network("e3", "10.4.0.0/24")?;
    let nothing: &[&str] = &[];
    for (what, by, options, others) in [
        ("the proxy", one.proxied(), nothing, nothing),
        ("the network weave", client.clone(), &["--net=weave"], nothing),
        ("weave's addresses", client.clone(), &["--net=e1"], nothing),
        ("addresses outside", client.clone(), &["--net=e2"], nothing),
        ("Docker's addresses", client.clone(), &["--net=e3"], nothing),
        // Docker takes no two of which one has the other's addresses.
        ("three networks", client.clone(), &["--net=e2"], &["weave", "e3"]),
        ("the proxy and a network", one.proxied(), nothing, &["e2"]),
    ] {
        by.sleeper("g1", options)?;
        for network in others {
            by.run(&["network", "connect", network, "g1"])?.ok()?;
        }
        one_way(&client, host, &two).with_context(|| what.to_owned())?;
        client.remove(&["g1"])?;
        wait_until("nothing is left of it", AT_ONCE, || {
            Ok(host.weavectl(&["ps"])?.ok()?.trim().is_empty())
        })?;
    }
    client.run(&["network", "rm", "e1", "e2", "e3"])?.ok().map(drop)
}

/// One container, on the network already
fn one_way(client: &Client, host: &Host, two: &Docker) -> Result<()> {
    let before = all_of(client, "g1")?;
    is_listed(host, &before)?;
    let ours = |all: Vec<String>| all.iter().filter(|name| name.starts_with("ethwe")).count();
    let interfaces = ours(client.interfaces("g1")?);
    let added = attach(host, &[ADDED, "g1"])?;
    ensure!(added == ADDED_ADDRESS, "{added} was given");
    let all = all_of(client, "g1")?;
    ensure!(
        all.len() == before.len() + 1 && all.contains(&ADDED_ADDRESS),
        "g1 has {all:?}, and had {before:?}"
    );
    let after = ours(client.interfaces("g1")?);
    ensure!(after == interfaces, "{after} interfaces, and {interfaces} before");
    is_listed(host, &all)?;
    two.proxied().sleeper("g2", &["--env=WEAVE_CIDR=10.2.7.2/24"])?;
    two.proxied().ping("g2", "10.2.7.1")?;
    two.proxied().remove(&["g2"])?;
    host.weavectl(&["dns-add", "g1", "-h", "other"])?.ok()?;
    wait_name(two.host(), "other", &all, AT_ONCE)?;
    host.weavectl(&["detach", ADDED, "g1"])?.ok()?;
    let left = all_of(client, "g1")?;
    ensure!(left == before, "g1 has {left:?}, and had {before:?}");
    is_listed(host, &before)?;
    wait_name(two.host(), "other", &before, AT_ONCE)?;
    host.weavectl(&["dns-remove", "g1", "-h", "other"])?.ok()?;
    wait_name(two.host(), "other", &[], AT_ONCE)?;
    host.weavectl(&["detach", "g1"])?.ok()?;
    let left = ours(client.interfaces("g1")?);
    ensure!(left == 0, "{left} interfaces are left");
    attach(host, &["g1"]).map(drop)
}

/// `weavectl ps` knows it by its name, with these addresses
fn is_listed(host: &Host, addresses: &[Ipv4Addr]) -> Result<()> {
    wait_for("weavectl ps g1 has all addresses", PATIENCE, || {
        let finished = host.weavectl(&["ps", "g1"])?;
        let words = &finished.stdout;
        let has = |address: &Ipv4Addr| words.contains(&format!(" {address}/"));
        let count = words.matches('/').count();
        Ok(match addresses.iter().all(has) && count == addresses.len() {
            true => Look::Done(()),
            false => Look::NotYet(format!("{finished}, and it has {addresses:?}")),
        })
    })
    .map(drop)
}

/// The addresses of all its interfaces on the network, in their order
fn all_of(client: &Client, container: &str) -> Result<Vec<Ipv4Addr>> {
    let line = "ip -o -4 address | awk '$2 ~ /^ethwe/ { print $4 }'";
    let told = client.exec(container, &["sh", "-c", line])?;
    let each = told.split_whitespace().filter_map(|text| text.split('/').next());
    let mut all: Vec<Ipv4Addr> = each
        .map(|text| text.parse().context("no address"))
        .collect::<Result<_>>()?;
    all.sort_unstable();
    Ok(all)
}

/// A container that is attached again after a restart has its address and its name again, and for good
fn again(one: &Docker, two: &Docker) -> Result<()> {
    let (client, host) = (one.direct(), one.host());
    client.sleeper("h1", &[])?;
    let address = attach(host, &["h1"])?;
    wait_name(two.host(), "h1", &[address], AT_ONCE)?;
    client.run(&["restart", "-t0", "h1"])?.ok()?;
    wait_name(two.host(), "h1", &[], AT_ONCE)?;
    let begun = Instant::now();
    let after = attach(host, &["h1"])?;
    ensure!(after == address, "h1 has {after}, and had {address}");
    wait_name(two.host(), "h1", &[address], AT_ONCE)?;
    client.ping("h1", "far")?;
    // Once what is kept for those that ended is free, this is not.
    wait_until(
        "nothing is kept any more",
        HOLD * 3,
        || Ok(begun.elapsed() > HOLD),
    )?;
    for number in 0..4 {
        let name = format!("h2-{number}");
        one.proxied().sleeper(&name, &[])?;
        let other = one.proxied().address(&name)?;
        ensure!(other != address, "{address} is h1's and {name}'s");
    }
    let entries = two.host().names()?;
    let of_h1 = entries.iter().filter(|entry| entry.address == address).count();
    ensure!(of_h1 == 1, "{address} has {of_h1} names: {entries:?}");
    client.remove(&["h1", "h2-0", "h2-1", "h2-2", "h2-3"])?;
    wait_name(two.host(), "h1", &[], AT_ONCE)?;
    Ok(())
}

fn refused(one: &Docker) -> Result<()> {
    let (client, host) = (one.direct(), one.host());
    client.sleeper("i1", &["--net=host"])?;
    client.sleeper("i2", &[])?;
    client.run(&["kill", "i2"])?.ok()?;
    for (name, told) in [
        ("i1", "the host's own network"),
        ("i2", "is not running"),
        ("i3", "i3"),
    ] {
        let refused = host.weavectl(&["attach", name])?.refused()?;
        ensure!(
            refused.contains(told) && refused.lines().count() == 1,
            "{refused}"
        );
    }
    let beside = ["attach", "--add-host=db:10.32.0.1", "/proc/1/ns/net"];
    let refused = host.weavectl(&beside)?.refused()?;
    ensure!(refused.contains("--add-host"), "{refused}");
    client.remove(&["i1", "i2"])
}

/// Attaches, and says which address was given
fn attach(host: &Host, line: &[&str]) -> Result<Ipv4Addr> {
    let printed = host.weavectl(&[&["attach"], line].concat())?.ok()?;
    printed
        .trim()
        .parse()
        .with_context(|| format!("attach printed {printed:?}"))
}
