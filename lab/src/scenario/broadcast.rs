//! Broadcasts and multicasts reach every container, once; ARP and IPv6 neighbour discovery work.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::judge::ovs;
use crate::judge::ping::Ping;
use crate::judge::transfer::{Ear, speak};
use crate::namespace::Namespace;
use crate::site::{Site, in_a_line, launch_and_attach, on_one_network};
use crate::topology::{Container, ETHERNET, Lab};
use crate::wait::wait_until;
use crate::weave::Launch;

const PORT: u16 = 4242;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 9, 8, 7);
const ALL: Ipv4Addr = Ipv4Addr::new(10, 32, 0, 255);
const WORDS: u8 = 20;

pub(super) fn in_a_mesh(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let path = if ovs::is_here() {
        PathKind::Fastdp
    } else {
        PathKind::Sleeve
    };
    launch_and_attach(&sites, &Launch::plain(), path)?;
    everybody_hears(lab, &sites)
}

pub(super) fn in_the_line(lab: &mut Lab) -> Result<()> {
    let path = if ovs::is_here() {
        PathKind::Fastdp
    } else {
        PathKind::Sleeve
    };
    let sites = in_a_line(lab, ["a", "b", "c", "d"], &Launch::plain(), path)?;
    everybody_hears(lab, &sites)
}

pub(super) fn by_the_sleeve(lab: &mut Lab) -> Result<()> {
    let launch = Launch::plain().flag("--no-fastdp");
    let sites = in_a_line(lab, ["a", "b", "c"], &launch, PathKind::Sleeve)?;
    everybody_hears(lab, &sites)
}

fn everybody_hears(lab: &mut Lab, sites: &[Site]) -> Result<()> {
    // A second container on the first host: copies must not meet on the way out and in.
    let second = lab.container("second")?;
    let address = Ipv4Addr::new(10, 32, 0, 100);
    sites[0].host.attach(&second, &[&format!("{address}/24")])?;
    let mut containers: Vec<(Container, Ipv4Addr)> = sites
        .iter()
        .map(|site| (site.container.clone(), site.address))
        .collect();
    containers.push((second, address));

    for (speaker, from) in &containers {
        each_hears_once(&containers, speaker, *from)?;
    }
    arp_finds_everybody(&containers)?;
    ipv6_finds_everybody(&containers)
}

fn each_hears_once(containers: &[(Container, Ipv4Addr)], speaker: &Container, from: Ipv4Addr) -> Result<()> {
    let mut ears = Vec::new();
    for (container, address) in containers
        .iter()
        .filter(|(container, _)| container.name() != speaker.name())
    {
        let namespace = container.namespace();
        ears.push((
            container,
            Ear::open(namespace, PORT)?.join(namespace, GROUP, *address)?,
        ));
    }
    let words: Vec<Vec<u8>> = (0..WORDS).map(|number| vec![number; 30]).collect();
    for to in [ALL, GROUP] {
        speak(speaker.namespace(), from, SocketAddrV4::new(to, PORT), &words)?;
        for (index, (container, ear)) in ears.iter().enumerate() {
            // While the first one listened, copies for the others had time to come.
            let quiet = Duration::from_millis(if index == 0 { 300 } else { 60 });
            let mut heard = ear.heard(quiet)?;
            heard.sort();
            let numbers: Vec<u8> = heard.iter().filter_map(|word| word.first().copied()).collect();
            ensure!(
                heard == words,
                "{speaker} sent {WORDS} datagrams to {to}; {container} heard {} of them: {numbers:?}",
                heard.len()
            );
        }
    }
    Ok(())
}

fn arp_finds_everybody(containers: &[(Container, Ipv4Addr)]) -> Result<()> {
    for (from, _address) in containers {
        from.namespace()
            .ip(&["neighbour", "flush", "dev", Container::INTERFACE])?;
        for (to, address) in containers.iter().filter(|(to, _)| to.name() != from.name()) {
            Ping::to(*address)
                .count(1)
                .run(from.namespace())?
                .all_answered()
                .with_context(|| format!("{from} to {to}"))?;
            let known = from
                .namespace()
                .ip(&["neighbour", "show", &address.to_string()])?;
            let wanted = mac(to.namespace())?;
            ensure!(
                known.contains(&wanted),
                "{from} has {known:?} for {address}, whose address is {wanted}"
            );
        }
    }
    Ok(())
}

fn ipv6_finds_everybody(containers: &[(Container, Ipv4Addr)]) -> Result<()> {
    let mut addresses = Vec::new();
    for (number, (container, _)) in (1..).zip(containers) {
        let namespace = container.namespace();
        let unique = Ipv6Addr::new(0xfd00, 0x32, 0, 0, 0, 0, 0, number);
        namespace.ip(&[
            "address",
            "add",
            &format!("{unique}/64"),
            "dev",
            Container::INTERFACE,
        ])?;
        wait_until(
            "duplicate address detection is over",
            Duration::from_secs(10),
            || {
                let found = namespace.ip(&["-6", "address", "show", "dev", Container::INTERFACE])?;
                ensure!(
                    !found.contains("dadfailed"),
                    "{container} met its own address: {found}"
                );
                Ok(!found.contains("tentative") && found.contains("fe80::"))
            },
        )?;
        addresses.push((container, unique, link_local(namespace)?));
    }
    for (from, ..) in &addresses {
        for (to, unique, local) in addresses.iter().filter(|(to, ..)| to.name() != from.name()) {
            let by_local = Ping::to(*local).out_of(Container::INTERFACE);
            // One each: the first one is what discovery is for.
            for ping in [Ping::to(*unique), by_local] {
                ping.count(1)
                    .run(from.namespace())?
                    .all_answered()
                    .with_context(|| format!("{from} to {to} by IPv6"))?;
            }
        }
    }
    Ok(())
}

fn mac(namespace: &Namespace) -> Result<String> {
    let links = namespace.ip_json(&["link", "show", "dev", Container::INTERFACE])?;
    Ok(links[0]["address"]
        .as_str()
        .context("no Ethernet address")?
        .to_owned())
}

fn link_local(namespace: &Namespace) -> Result<Ipv6Addr> {
    let found = namespace.ip_json(&[
        "-6",
        "address",
        "show",
        "dev",
        Container::INTERFACE,
        "scope",
        "link",
    ])?;
    // ip lists what the filter leaves out, too, as empty objects.
    let infos = found
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|link| link["addr_info"].as_array());
    let mut addresses = infos.flatten().filter_map(|info| info["local"].as_str());
    let address = addresses
        .next()
        .with_context(|| format!("no link-local address in {found}"))?;
    Ok(address.parse()?)
}
