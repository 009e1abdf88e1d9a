//! The usual site: a host with one container on it.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use model::PathKind;

use crate::judge::iperf::{self, Rate};
use crate::judge::ping::{Ping, Pings};
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::weave::{Launch, MEETING, launch_mesh};

/// A host, and a container on it
#[derive(Debug, Clone)]
pub struct Site {
    /// The host
    pub host: Host,
    /// The container
    pub container: Container,
    /// The container's address on the overlay
    pub address: Ipv4Addr,
}

impl Site {
    /// A host and a container, neither attached to anything; the third site gets 10.32.0.3
    pub fn create(lab: &mut Lab, host: &str) -> Result<Self> {
        let number = u8::try_from(lab.all_hosts().len() + 1)?;
        Ok(Self {
            host: lab.host(host)?,
            container: lab.container(&format!("c-{host}"))?,
            address: Ipv4Addr::new(10, 32, 0, number),
        })
    }

    /// The container's address with the length of its network
    pub fn cidr(&self) -> String {
        format!("{}/24", self.address)
    }

    /// Attaches the container
    pub fn attach(&self) -> Result<()> {
        self.host.attach(&self.container, &[&self.cidr()])
    }

    /// Pings another site's container from this one's
    pub fn ping(&self, other: &Self, ping: impl FnOnce(Ping) -> Ping) -> Result<Pings> {
        ping(Ping::to(other.address))
            .run(self.container.namespace())
            .with_context(|| format!("{} pings {}", self.container, other.container))
    }

    /// One TCP stream from this site's container to another's
    pub fn iperf(&self, other: &Self, lasts: Duration) -> Result<Rate> {
        iperf::measure(
            self.container.namespace(),
            other.container.namespace(),
            other.address,
            lasts,
        )
        .with_context(|| format!("a stream from {} to {}", self.container, other.container))
    }

    /// Starts one TCP stream from this site's container to another's
    pub fn stream(&self, other: &Self, lasts: Duration) -> Result<iperf::Stream> {
        iperf::start(
            self.container.namespace(),
            other.container.namespace(),
            other.address,
            lasts,
        )
    }
}

/// Sites whose hosts share one network, with nothing launched
pub fn on_one_network<const N: usize>(lab: &mut Lab, names: [&str; N], mtu: u16) -> Result<[Site; N]> {
    let sites = names
        .iter()
        .map(|name| Site::create(lab, name))
        .collect::<Result<Vec<_>>>()?;
    let hosts: Vec<&Host> = sites.iter().map(|site| &site.host).collect();
    lab.segment(&hosts, mtu)?;
    sites
        .try_into()
        .map_err(|_sites| anyhow::anyhow!("as many sites as names"))
}

/// Launches every host's weaved the same way, waits for a full mesh of this kind of path, and
/// attaches the containers
pub fn launch_and_attach(sites: &[Site], launch: &Launch, path: PathKind) -> Result<()> {
    let hosts: Vec<&Host> = sites.iter().map(|site| &site.host).collect();
    launch_mesh(&hosts, launch, path)?;
    sites.iter().try_for_each(Site::attach)
}

/// Sites in a line: each host is linked with the one before it and the one after it alone, and told
/// of the one before it; launched, connected and attached
pub fn in_a_line<const N: usize>(
    lab: &mut Lab,
    names: [&str; N],
    launch: &Launch,
    path: PathKind,
) -> Result<[Site; N]> {
    let sites = names
        .iter()
        .map(|name| Site::create(lab, name))
        .collect::<Result<Vec<_>>>()?;
    let pairs: Vec<(&Site, &Site)> = sites.iter().zip(sites.iter().skip(1)).collect();
    for (near, far) in &pairs {
        lab.link(&near.host, &far.host, ETHERNET)?;
    }
    let mut before: Option<&Host> = None;
    for Site { host, .. } in &sites {
        let mut launch = launch.clone().flag("--no-discovery");
        if let Some(before) = before {
            launch = launch.peer(before.address_for(host)?);
        }
        host.launch(&launch)?;
        before = Some(host);
    }
    for (near, far) in &pairs {
        near.host.wait_path(&far.host, path, MEETING)?;
        far.host.wait_path(&near.host, path, MEETING)?;
    }
    for site in &sites {
        site.host.wait_peers(N, 2 * pairs.len(), MEETING)?;
    }
    sites.iter().try_for_each(Site::attach)?;
    sites
        .try_into()
        .map_err(|_sites| anyhow::anyhow!("as many sites as names"))
}

/// Pings from every site's container to every other's; each request must be answered, once
pub fn ping_all_pairs(sites: &[Site]) -> Result<Vec<Pings>> {
    let mut all = Vec::new();
    for from in sites {
        for to in sites.iter().filter(|to| to.address != from.address) {
            let pings = from.ping(to, |ping| ping)?.all_answered();
            all.push(pings.with_context(|| format!("{} pings {}", from.container, to.container))?);
        }
    }
    Ok(all)
}
