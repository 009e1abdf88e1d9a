//! Three hosts: every name is known on each of them, and gone from each of them at once.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, ask, attach_one, expose, getent, reused, set, wait_set};
use crate::resolving;
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::weave::{Launch, launch_mesh, usual_path};

/// How often a container ends and another one gets its name
const ROUNDS: usize = 3;

/// Answers after which every order should have been seen
const ANSWERS: usize = 16;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let hosts = lab.hosts(["host1", "host2", "host3"])?;
    let hosts = hosts.each_ref();
    lab.segment(&hosts, ETHERNET)?;
    launch_mesh(&hosts, &Launch::plain(), usual_path())?;

    let mut same = Same::start(lab, hosts)?;
    same.is_known("after all have begun")?;
    all_come_first(hosts[0])?;
    same.rounds(lab)?;
    same.has_more()?;
    let servers = answers_inside(lab, &same)?;
    is_listed(&same, &servers)?;
    reused::act(lab, hosts)?;
    Ok(())
}

/// A container on each host, all of one name
struct Same<'a> {
    hosts: [&'a Host; 3],
    containers: Vec<(Container, Ipv4Addr)>,
}

impl<'a> Same<'a> {
    const NAME: &'static str = "web.weave.local";

    fn start(lab: &mut Lab, hosts: [&'a Host; 3]) -> Result<Self> {
        let mut containers = Vec::new();
        for (index, host) in hosts.into_iter().enumerate() {
            let container = lab.container(&format!("web{}", index + 1))?;
            let address = attach_one(host, &container, "web", &[])?;
            containers.push((container, address));
        }
        Ok(Self { hosts, containers })
    }

    fn addresses(&self) -> BTreeSet<Ipv4Addr> {
        self.containers
            .iter()
            .map(|(_container, address)| *address)
            .collect()
    }

    fn is_known(&self, when: &str) -> Result<Duration> {
        wait_set(&self.hosts, Self::NAME, &self.addresses(), AT_ONCE).with_context(|| when.to_owned())
    }

    /// Containers end, and others begin, on one host after the other
    fn rounds(&mut self, lab: &mut Lab) -> Result<()> {
        let mut worst = [Duration::ZERO; 2];
        for round in 0..ROUNDS {
            let place = round % self.hosts.len();
            let (container, _address) = self.containers.remove(place);
            container.end()?;
            let went = self.is_known(&format!("{container} has ended"))?;
            let container = lab.container(&format!("again{round}"))?;
            let address = attach_one(self.hosts[place], &container, "web", &[])?;
            self.containers.insert(place, (container, address));
            let came = self.is_known("another one has begun")?;
            worst = [worst[0].max(went), worst[1].max(came)];
        }
        println!(
            "{ROUNDS} rounds on three hosts: a name is gone from all within {:.0?}, and known to all within {:.0?}",
            worst[0], worst[1]
        );
        Ok(())
    }

    /// Addresses that were added by hand, of a container and of a place outside the network
    fn has_more(&self) -> Result<()> {
        let [one, _two, three] = self.hosts;
        let container = self.containers[0].0.namespace().name();
        let more: Ipv4Addr = [10, 99, 0, 7].into();
        let outside: Ipv4Addr = [192, 0, 2, 99].into();
        one.weavectl(&["dns-add", "10.99.0.7", container, "-h", "web"])?
            .ok()?;
        three
            .weavectl(&["dns-add", "192.0.2.99", "-h", "web.weave.local"])?
            .ok()?;
        let mut wanted = self.addresses();
        wanted.extend([more, outside]);
        wait_set(&self.hosts, Self::NAME, &wanted, AT_ONCE)?;
        // Only who gave it can take it: another host has no such name of its own.
        one.weavectl(&["dns-remove", "192.0.2.99", "-h", "web"])?;
        ensure!(
            set(three, Self::NAME)?.contains(&outside),
            "one host took another's name"
        );
        three.weavectl(&["dns-remove", "192.0.2.99", "-h", "web"])?.ok()?;
        wanted.remove(&outside);
        wait_set(&self.hosts, Self::NAME, &wanted, AT_ONCE)?;
        one.weavectl(&["dns-remove", "10.99.0.7", container])?.ok()?;
        self.is_known("what was added was removed")?;
        Ok(())
    }
}

/// Each address comes first now and then, so that askers who take the first spread over all
fn all_come_first(host: &Host) -> Result<()> {
    let mut first = BTreeSet::new();
    for _ in 0..ANSWERS {
        let answer = ask(host, &[Same::NAME])?.expect("NOERROR")?;
        first.extend(answer.addresses()?.first().copied());
    }
    let all = set(host, Same::NAME)?;
    ensure!(
        first == all,
        "of {all:?} only {first:?} came first in {ANSWERS} answers"
    );
    Ok(())
}

/// What programs in containers find, with the domain to search and with none
fn answers_inside(lab: &mut Lab, same: &Same<'_>) -> Result<Vec<Ipv4Addr>> {
    let mut servers = Vec::new();
    for (index, host) in same.hosts.into_iter().enumerate() {
        servers.push(expose(host, &["-h", &format!("gate{}", index + 1)])?);
    }
    let [one, two, _three] = same.hosts;
    let container = same.containers[0].0.namespace().name();
    one.weavectl(&["dns-add", container, "-h", "first"])?.ok()?;
    let address = same.containers[0].1;
    wait_set(
        &same.hosts,
        "first.weave.local",
        &BTreeSet::from([address]),
        AT_ONCE,
    )?;
    let gate = servers[1];
    wait_set(&same.hosts, "gate2.weave.local", &BTreeSet::from([gate]), AT_ONCE)?;
    for ((container, _address), server) in same.containers.iter().zip(&servers) {
        for (search, name) in [
            ("weave.local", "first"),
            (".", "first"),
            (".", "FIRST.weave.local"),
        ] {
            getent(lab, container, *server, search, (name, address))?;
        }
        let line = ["ping", "-c1", "-W3", "gate2"];
        let namespace = container.namespace();
        let printed =
            resolving::run(namespace, (*server).into(), "weave.local", &lab.files(), &line)?.ok()?;
        ensure!(
            printed.contains(&format!("({gate})")),
            "{container} pings gate2: {printed}"
        );
    }
    // The names of a host go with its address.
    two.weavectl(&["hide"])?.ok()?;
    wait_set(&same.hosts, "gate2.weave.local", &BTreeSet::new(), AT_ONCE)?;
    two.weavectl(&[
        "expose",
        "--without-masquerade",
        &format!("{gate}/12"),
        "-h",
        "gate2",
    ])?
    .ok()?;
    wait_set(&same.hosts, "gate2.weave.local", &BTreeSet::from([gate]), AT_ONCE)?;
    Ok(servers)
}

/// What `ps` and `status dns` print
fn is_listed(same: &Same<'_>, servers: &[Ipv4Addr]) -> Result<()> {
    let [one, ..] = same.hosts;
    let (container, address) = &same.containers[0];
    let name = container.namespace().name();
    let mac = |namespace: &crate::namespace::Namespace, device: &str| -> Result<String> {
        let links = namespace.ip_json(&["link", "show", "dev", device])?;
        let mac = links[0]["address"].as_str();
        mac.map(str::to_owned).context("a device without an address")
    };
    let of_the_host = format!(
        "weave:expose {} {}/12",
        mac(one.namespace(), "weave")?,
        servers[0]
    );
    let inside = mac(container.namespace(), Container::INTERFACE)?;
    let of_the_container = format!("{name} {inside} {address}/12");
    let words = |text: String| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect()
    };
    let all = words(one.weavectl(&["ps"])?.ok()?);
    ensure!(
        all == [of_the_host.clone(), of_the_container.clone()],
        "ps says {all:?}, expected {of_the_host:?} and {of_the_container:?}"
    );
    let some = words(one.weavectl(&["ps", name])?.ok()?);
    ensure!(some == [of_the_container], "ps {name} says {some:?}");
    let missing = one.weavectl(&["ps", "nobody"])?;
    ensure!(missing.status.code() == Some(4), "{missing}");

    let peer = one.status()?.router.name.to_string();
    let listed = words(one.weavectl(&["status", "dns"])?.ok()?);
    let short: String = name.chars().take(12).collect();
    for line in [
        format!("web {address} {short} {peer}"),
        format!("gate1 {} weave:expose {peer}", servers[0]),
    ] {
        ensure!(listed.contains(&line), "status dns has no {line:?}: {listed:?}");
    }
    for host in same.hosts {
        let mut there = words(host.weavectl(&["status", "dns"])?.ok()?);
        let mut here = listed.clone();
        there.sort();
        here.sort();
        ensure!(here == there, "{host} lists {there:?}, {one} {here:?}");
    }
    Ok(())
}
