//! Broadcasts and multicasts reach every container but their sender, once; ARP and IPv6 neighbour
//! discovery work.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::judge::capture;
use crate::judge::ping::Ping;
use crate::judge::transfer::{Ear, speak};
use crate::namespace::Namespace;
use crate::site::{Site, in_a_line, launch_and_attach, on_one_network};
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, usual_path};

const PORT: u16 = 4242;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 9, 8, 7);
const ALL: Ipv4Addr = Ipv4Addr::new(10, 32, 0, 255);
const WORDS: u8 = 20;

pub(super) fn in_a_mesh(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let path = usual_path();
    launch_and_attach(&sites, &Launch::plain(), path)?;
    everybody_hears(lab, &sites)
}

pub(super) fn in_the_line(lab: &mut Lab) -> Result<()> {
    let path = usual_path();
    let sites = in_a_line(lab, ["a", "b", "c", "d"], &Launch::plain(), path)?;
    everybody_hears(lab, &sites)
}

pub(super) fn by_the_sleeve(lab: &mut Lab) -> Result<()> {
    let launch = Launch::plain().flag("--no-fastdp");
    let sites = in_a_line(lab, ["a", "b", "c"], &launch, PathKind::Sleeve)?;
    everybody_hears(lab, &sites)
}

/// A container with what it is known by
struct Station {
    host: Host,
    container: Container,
    address: Ipv4Addr,
    /// As `ip` writes it
    mac: String,
}

impl Station {
    fn of(host: &Host, container: &Container, address: Ipv4Addr) -> Result<Self> {
        Ok(Self {
            host: host.clone(),
            container: container.clone(),
            address,
            mac: mac(container.namespace())?,
        })
    }

    fn namespace(&self) -> &Namespace {
        self.container.namespace()
    }
}

fn everybody_hears(lab: &mut Lab, sites: &[Site]) -> Result<()> {
    // A second container on the first host: copies must not meet on the way out and in.
    let second = lab.container("second")?;
    let address = Ipv4Addr::new(10, 32, 0, 100);
    sites[0].host.attach(&second, &[&format!("{address}/24")])?;
    let mut stations = sites
        .iter()
        .map(|site| Station::of(&site.host, &site.container, site.address))
        .collect::<Result<Vec<_>>>()?;
    stations.push(Station::of(&sites[0].host, &second, address)?);

    for speaker in &stations {
        each_hears_once(lab, &stations, speaker)?;
    }
    arp_finds_everybody(&stations)?;
    ipv6_finds_everybody(&stations)
}

fn others<'a>(stations: &'a [Station], own: &Station) -> impl Iterator<Item = &'a Station> {
    stations.iter().filter(move |other| other.mac != own.mac)
}

fn each_hears_once(lab: &Lab, stations: &[Station], speaker: &Station) -> Result<()> {
    let mut ears = Vec::new();
    for other in others(stations, speaker) {
        let namespace = other.namespace();
        ears.push((
            &other.container,
            Ear::open(namespace, PORT)?.join(namespace, GROUP, other.address)?,
        ));
    }
    let echoes = capture::start_incoming(speaker.namespace(), Container::INTERFACE, "", &lab.files())?;
    let words: Vec<Vec<u8>> = (0..WORDS).map(|number| vec![number; 30]).collect();
    for to in [ALL, GROUP] {
        let to = SocketAddrV4::new(to, PORT);
        speak(speaker.namespace(), speaker.address, to, &words)?;
        for (index, (container, ear)) in ears.iter().enumerate() {
            // While the first one listened, copies for the others had time to come.
            let quiet = Duration::from_millis(if index == 0 { 300 } else { 60 });
            let mut heard = ear.heard(words.len(), quiet)?;
            heard.sort();
            let numbers: Vec<u8> = heard.iter().filter_map(|word| word.first().copied()).collect();
            ensure!(
                heard == words,
                "{} sent {WORDS} datagrams to {to}; {container} heard {} of them: {numbers:?}",
                speaker.container,
                heard.len()
            );
        }
    }
    // An answer from somebody else shows that the capture sees what comes in.
    for other in others(stations, speaker).take(1) {
        Ping::to(other.address)
            .count(1)
            .run(speaker.namespace())?
            .all_answered()?;
    }
    nothing_came_back(speaker, &echoes.stop()?.frames()?)
}

/// No frame that came in is one that went out
fn nothing_came_back(speaker: &Station, came_in: &[Vec<u8>]) -> Result<()> {
    ensure!(
        !came_in.is_empty(),
        "the capture at {} saw nothing at all",
        speaker.container
    );
    let source = |frame: &Vec<u8>| {
        let bytes = frame.get(6..12).unwrap_or_default();
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.join(":")
    };
    let echoes = came_in
        .iter()
        .filter(|frame| source(frame) == speaker.mac)
        .count();
    ensure!(
        echoes == 0,
        "{echoes} of the {} frames that came in at {} are its own",
        came_in.len(),
        speaker.container
    );
    Ok(())
}

fn arp_finds_everybody(stations: &[Station]) -> Result<()> {
    for from in stations {
        forget_neighbours(from)?;
        for to in others(stations, from) {
            let ping = Ping::to(to.address).count(1);
            ping.run(from.namespace())?
                .all_answered()
                .with_context(|| format!("{} to {}", from.container, to.container))?;
            knows(from, to, to.address.into())?;
        }
    }
    Ok(())
}

/// By addresses that weaved gives, by those that the kernel makes, and by some that were added by hand
fn ipv6_finds_everybody(stations: &[Station]) -> Result<()> {
    let mut addresses = Vec::new();
    for (number, station) in (1..).zip(stations) {
        let given = Ipv6Addr::new(0xfd00, 0x32, 0, 0, 0, 0, 0, number);
        let by_hand = Ipv6Addr::new(0xfd00, 0x33, 0, 0, 0, 0, 0, number);
        station
            .host
            .attach(&station.container, &[&format!("{given}/64")])?;
        let namespace = station.namespace();
        let by_hand_cidr = format!("{by_hand}/64");
        namespace.ip(&["address", "add", &by_hand_cidr, "dev", Container::INTERFACE])?;
        wait_until(
            "duplicate address detection is over",
            Duration::from_secs(10),
            || {
                let found = namespace.ip(&["-6", "address", "show", "dev", Container::INTERFACE])?;
                ensure!(
                    !found.contains("dadfailed"),
                    "{} met its own address: {found}",
                    station.container
                );
                let all = [given, by_hand].map(|address| found.contains(&format!("{address}/64")));
                Ok(!found.contains("tentative") && found.contains("fe80::") && all == [true; 2])
            },
        )?;
        addresses.push((station, [given, by_hand, link_local(namespace)?]));
    }
    for (from, _) in &addresses {
        forget_neighbours(from)?;
        for (to, addresses) in addresses.iter().filter(|(to, _)| to.mac != from.mac) {
            for address in addresses {
                // One: it is what discovery is for.
                let ping = Ping::to(*address).out_of(Container::INTERFACE).count(1);
                ping.run(from.namespace())?
                    .all_answered()
                    .with_context(|| format!("{} to {} by {address}", from.container, to.container))?;
                knows(from, to, (*address).into())?;
            }
        }
    }
    Ok(())
}

fn forget_neighbours(station: &Station) -> Result<()> {
    let line = ["neighbour", "flush", "dev", Container::INTERFACE];
    station.namespace().ip(&line).map(drop)
}

fn knows(from: &Station, to: &Station, address: IpAddr) -> Result<()> {
    let line = ["neighbour", "show", &address.to_string()];
    let known = from.namespace().ip(&line)?;
    ensure!(
        known.contains(&to.mac),
        "{} has {known:?} for {address}, which is at {}",
        from.container,
        to.mac
    );
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
