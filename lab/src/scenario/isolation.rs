//! What keeps containers of different subnets apart, and what does not; `docs/isolation.md` says the same.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::Finished;
use crate::judge::capture;
use crate::judge::frames::{Injector, arp_request};
use crate::topology::{Container, ETHERNET, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, launch_mesh, usual_path};

const INTERFACE: &str = Container::INTERFACE;

/// Of the second subnet, and nobody's
const STOLEN: Ipv4Addr = Ipv4Addr::new(10, 2, 2, 99);

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let [near, far] = lab.hosts(["host1", "host2"])?;
    lab.segment(&[&near, &far], ETHERNET)?;
    let path = usual_path();
    launch_mesh(&[&near, &far], &Launch::plain(), path)?;
    let places = [
        ("intruder", &near, "10.2.1.1"),
        ("beside", &near, "10.2.2.1"),
        ("across", &far, "10.2.2.2"),
    ];
    let mut containers = Vec::new();
    for (name, host, address) in places {
        let container = lab.container(name)?;
        // As container runtimes have it: everybody may ping.
        container
            .namespace()
            .sysctl("ipv4/ping_group_range", "0 2147483647")?;
        host.attach(&container, &[&format!("{address}/24")])?;
        containers.push((container, address));
    }
    let parties = containers
        .into_iter()
        .map(|(container, address)| Party::of(container, address));
    let mut others = parties.collect::<Result<Vec<_>>>()?;
    let intruder = others.remove(0);
    for other in &others {
        ensure!(
            intruder.asks(other)?.is_not_answered(),
            "{} has a way",
            intruder.container
        );
    }
    for other in &others {
        by_the_interface(lab, &intruder, other)?;
        by_link_local(&intruder, other)?;
        by_a_forged_source(lab, &intruder, other)?;
        by_a_route(&intruder, other)?;
    }
    for other in &others {
        by_an_address(&intruder, other)?;
    }
    // By weaved's leave: from one subnet to the other, and in both.
    let name = intruder.container.namespace().name();
    near.weavectl(&["detach", "10.2.1.1/24", name])?.ok()?;
    near.weavectl(&["attach", "10.2.2.3/24", name])?.ok()?;
    for other in &others {
        ensure!(
            intruder.asks(other)?.is_answered(),
            "moved to the subnet of {}",
            other.container
        );
    }
    near.weavectl(&["attach", "10.2.1.1/24", name])?.ok()?;
    ensure!(
        intruder
            .container
            .namespace()
            .ip(&["-4", "address", "show", "dev", INTERFACE])?
            .matches("inet ")
            .count()
            == 2,
        "in both subnets, but not with two addresses"
    );
    for other in &others {
        ensure!(
            intruder.asks(other)?.is_answered(),
            "in the subnet of {}, too",
            other.container
        );
    }
    near.weavectl(&["detach", "10.2.2.3/24", name])?.ok()?;
    for other in &others {
        ensure!(
            intruder.asks(other)?.is_not_answered(),
            "moved away from {}",
            other.container
        );
    }
    Ok(())
}

/// A container and what others can know of it
struct Party {
    container: Container,
    address: Ipv4Addr,
    link_local: Ipv6Addr,
}

/// What became of a ping
struct Asked(Finished);

impl Asked {
    fn is_answered(&self) -> bool {
        self.0.status.success()
    }

    /// No answer, or no way to ask
    fn is_not_answered(&self) -> bool {
        !self.0.status.success()
    }
}

impl Party {
    fn of(container: Container, address: &str) -> Result<Self> {
        // Until the kernel knows that nobody else has the address it neither asks nor answers by it.
        wait_until(
            "the link-local address is in use",
            Duration::from_secs(10),
            || {
                let line = ["-6", "address", "show", "dev", INTERFACE, "-tentative"];
                Ok(!container.namespace().ip(&line)?.trim().is_empty())
            },
        )?;
        let links = container
            .namespace()
            .ip_json(&["-6", "address", "show", "dev", INTERFACE, "scope", "link"])?;
        let link_local = links[0]["addr_info"][0]["local"]
            .as_str()
            .context("no link-local address")?;
        Ok(Self {
            address: address.parse()?,
            link_local: link_local.parse()?,
            container,
        })
    }

    /// A program without any privilege, as whoever breaks into a service has it
    fn unprivileged(&self, line: &[&str]) -> Result<Finished> {
        let drop = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--no-new-privs",
            "--",
        ];
        self.container.namespace().run(&[&drop, line].concat())
    }

    fn asks(&self, other: &Self) -> Result<Asked> {
        let line = ["ping", "-n", "-c1", "-W0.5", &other.address.to_string()];
        self.unprivileged(&line).map(Asked)
    }
}

/// A program may bind to the interface without a privilege: what it sends arrives, nothing comes back
fn by_the_interface(lab: &Lab, from: &Party, to: &Party) -> Result<()> {
    let there = to.container.namespace();
    let address = to.address.to_string();
    let line = ["ping", "-n", "-c1", "-W0.5", "-I", INTERFACE, &address];
    there.sysctl(&format!("ipv4/conf/{INTERFACE}/rp_filter"), "0")?;
    for (filters, wanted) in [("1", false), ("0", true)] {
        there.sysctl("ipv4/conf/all/rp_filter", filters)?;
        let filter = "icmp[icmptype] == icmp-echo";
        let capturing = capture::start_incoming(there, INTERFACE, filter, &lab.files())?;
        let asked = from.unprivileged(&line)?;
        let arrived = capturing.stop()?.frames()?.len();
        let who = &to.container;
        ensure!(!asked.status.success(), "{who} answers: {asked}");
        ensure!(
            (arrived > 0) == wanted,
            "with rp_filter {filters} {arrived} echo requests arrive at {who}: {asked}"
        );
    }
    // Neither addresses nor routes nor frames of its own making are for it.
    for line in [
        &["ip", "address", "add", "10.2.2.99/24", "dev", INTERFACE][..],
        &["ip", "route", "add", "10.2.2.0/24", "dev", INTERFACE],
        &[
            "ip",
            "neighbour",
            "add",
            "10.2.2.1",
            "lladdr",
            "02:00:00:00:00:01",
            "dev",
            INTERFACE,
        ],
        &["tcpdump", "-c1", "-i", INTERFACE],
    ] {
        from.unprivileged(line)?.refused()?;
    }
    Ok(())
}

/// IPv6 of the link knows no subnets
fn by_link_local(from: &Party, to: &Party) -> Result<()> {
    let address = format!("{}%{INTERFACE}", to.link_local);
    let asked = from.unprivileged(&["ping", "-n", "-c1", "-W3", &address])?;
    ensure!(asked.status.success(), "{}: {asked}", to.container);
    // As container runtimes have it where IPv6 is not asked for
    let (one, other) = (from.container.namespace(), to.container.namespace());
    for namespace in [one, other] {
        namespace.sysctl("ipv6/conf/all/disable_ipv6", "1")?;
    }
    let asked = from.unprivileged(&["ping", "-n", "-c1", "-W0.5", &address])?;
    ensure!(!asked.status.success(), "{}: {asked}", to.container);
    one.sysctl("ipv6/conf/all/disable_ipv6", "0")
}

/// Who may send frames of its own making takes whatever address it likes, and is answered
fn by_a_forged_source(lab: &Lab, from: &Party, to: &Party) -> Result<()> {
    let here = from.container.namespace();
    let capturing = capture::start_incoming(here, INTERFACE, "arp", &lab.files())?;
    let injector = Injector::open(here, INTERFACE)?;
    injector.send(&arp_request(mac(&from.container)?, STOLEN, to.address))?;
    let frames = capturing.stop()?.frames()?;
    let answer = |frame: &Vec<u8>| {
        frame.get(20..22) == Some(&[0, 2]) && frame.get(28..32) == Some(&to.address.octets())
    };
    ensure!(
        frames.iter().any(answer),
        "{} did not answer a forged ARP request",
        to.container
    );
    Ok(())
}

/// A route alone, with the other's station known, is one way: the other has none back
fn by_a_route(from: &Party, to: &Party) -> Result<()> {
    let here = from.container.namespace();
    let (network, address) = ("10.2.2.0/24", to.address.to_string());
    let station: Vec<String> = mac(&to.container)?
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    here.ip(&["route", "add", network, "dev", INTERFACE])?;
    let station = station.join(":");
    here.ip(&[
        "neighbour",
        "replace",
        &address,
        "lladdr",
        &station,
        "dev",
        INTERFACE,
    ])?;
    let asked = from.asks(to)?;
    here.ip(&["neighbour", "del", &address, "dev", INTERFACE])?;
    here.ip(&["route", "del", network, "dev", INTERFACE])?;
    ensure!(asked.is_not_answered(), "{} answers: {}", to.container, asked.0);
    Ok(())
}

/// Who may give itself an address is in whichever subnet it likes
fn by_an_address(from: &Party, to: &Party) -> Result<()> {
    let (here, cidr) = (from.container.namespace(), format!("{STOLEN}/24"));
    here.ip(&["address", "add", &cidr, "dev", INTERFACE])?;
    let asked = from.asks(to)?;
    here.ip(&["address", "del", &cidr, "dev", INTERFACE])?;
    ensure!(asked.is_answered(), "{} with {cidr}: {}", from.container, asked.0);
    Ok(())
}

fn mac(container: &Container) -> Result<[u8; 6]> {
    let links = container
        .namespace()
        .ip_json(&["link", "show", "dev", INTERFACE])?;
    let text = links[0]["address"]
        .as_str()
        .context("an interface without an address")?;
    let octets: Result<Vec<u8>, _> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16))
        .collect();
    <[u8; 6]>::try_from(octets?).map_err(|octets| anyhow::anyhow!("{octets:?} is no address"))
}
