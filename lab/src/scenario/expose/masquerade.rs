//! Containers reach the outside as their host, and are reached from there by a route to it; among
//! themselves they keep their addresses.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::{reaches, reaches_not, rules};
use crate::judge::capture;
use crate::judge::nft;
use crate::namespace::Namespace;
use crate::scenario::Skip;
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::weave::{Launch, launch_mesh, usual_path};

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [near, far, outside] = lab.hosts(["host1", "host2", "outside"])?;
    if let Some(why) = nft::lacks_masquerading(near.namespace())? {
        return Err(Skip(why).into());
    }
    lab.segment(&[&near, &far], ETHERNET)?;
    lab.link(&near, &outside, ETHERNET)?;
    near.namespace().sysctl("ipv4/ip_forward", "1")?;
    launch_mesh(&[&near, &far], &Launch::plain(), usual_path())?;
    let place = Place::start(lab, near, far, outside)?;

    place.leaves_as_its_host("exposed")?;
    place.entered_from_outside()?;
    place.entered_at_the_hosts_address()?;
    place.among_themselves()?;
    rules::act(&place)?;
    place.without()?;
    Ok(())
}

/// Two hosts with a container each, and somebody outside who knows nothing of the network
pub(super) struct Place {
    pub(super) near: Host,
    pub(super) far: Host,
    outside: Host,
    /// On the host that has a leg outside, and on the other
    containers: [Container; 2],
    addresses: [Ipv4Addr; 2],
    /// Of the host that has a leg outside
    exposed: Ipv4Addr,
    files: PathBuf,
}

impl Place {
    fn start(lab: &mut Lab, near: Host, far: Host, outside: Host) -> Result<Self> {
        let containers = [lab.container("near")?, lab.container("far")?];
        let mut addresses = Vec::new();
        for (host, container) in [&near, &far].into_iter().zip(&containers) {
            let got = host.attach_any(container, &[])?;
            addresses.extend(got);
        }
        let addresses = addresses.try_into();
        let addresses: [Ipv4Addr; 2] = addresses.map_err(|got| anyhow::anyhow!("attach gave {got:?}"))?;
        let printed = near.weavectl(&["expose", "--expose-to", "underlay"])?.ok()?;
        let exposed = printed
            .trim()
            .parse()
            .with_context(|| format!("expose printed {printed:?}"))?;
        far.weavectl(&["expose"])?.ok()?;
        for container in &containers {
            let network = format!("{}/32", outside.address()?);
            let route = ["route", "add", &network, "via", printed.trim()];
            container.namespace().ip(&route)?;
        }
        let gateway = near.address_for(&outside)?.to_string();
        let route = ["route", "add", "10.32.0.0/12", "via", &gateway];
        outside.namespace().ip(&route)?;
        Ok(Self {
            files: lab.files(),
            near,
            far,
            outside,
            containers,
            addresses,
            exposed,
        })
    }

    /// Somebody outside sees the host
    pub(super) fn leaves_as_its_host(&self, when: &str) -> Result<()> {
        let host = self.near.address_for(&self.outside)?;
        let there = self.outside.address()?;
        let leg = self.outside.leg_towards(&self.near)?;
        for container in &self.containers {
            let seen = self.seen(
                (container.namespace(), there),
                (self.outside.namespace(), &leg.device),
            )?;
            ensure!(
                seen == [host],
                "{when}: {container} comes from {seen:?}, not {host}"
            );
        }
        Ok(())
    }

    /// Containers see their host, and can answer
    fn entered_from_outside(&self) -> Result<()> {
        let from = self.outside.namespace();
        for (container, address) in self.containers.iter().zip(self.addresses) {
            let at = (container.namespace(), Container::INTERFACE);
            let seen = self.seen((from, address), at)?;
            ensure!(
                seen == [self.exposed],
                "{container} sees {seen:?}, not {}",
                self.exposed
            );
        }
        Ok(())
    }

    /// What comes for the host, and is passed on to a container of another host by a rule of somebody's own
    fn entered_at_the_hosts_address(&self) -> Result<()> {
        let (here, host) = (self.near.namespace(), self.near.address_for(&self.outside)?);
        let [_, far] = &self.containers;
        let [_, address] = self.addresses;
        nft::apply(
            here,
            &format!(
                "add table ip forwarded
                add chain ip forwarded entering {{ type nat hook prerouting priority dstnat; }}
                add rule ip forwarded entering ip daddr {host} icmp type echo-request dnat to {address}"
            ),
        )?;
        let at = (far.namespace(), Container::INTERFACE);
        let seen = self.seen((self.outside.namespace(), host), at)?;
        ensure!(
            seen == [self.exposed],
            "{far} sees {seen:?}, not {}",
            self.exposed
        );
        nft::apply(here, "delete table ip forwarded")
    }

    /// Who is in the network is seen under its own address, wherever it is
    pub(super) fn among_themselves(&self) -> Result<()> {
        let [one, other] = &self.containers;
        let [its, others] = self.addresses;
        let inside = Container::INTERFACE;
        for (from, to, at, wanted) in [
            (one.namespace(), others, (other.namespace(), inside), its),
            (other.namespace(), its, (one.namespace(), inside), others),
            (
                self.near.namespace(),
                others,
                (other.namespace(), inside),
                self.exposed,
            ),
            (
                other.namespace(),
                self.exposed,
                (self.near.namespace(), "weave"),
                others,
            ),
        ] {
            let seen = self.seen((from, to), at)?;
            ensure!(seen == [wanted], "{} sees {seen:?}, not {wanted}", at.0.name());
        }
        Ok(())
    }

    /// From which addresses echo requests come there, all of which must be answered
    fn seen(
        &self,
        (from, to): (&Namespace, Ipv4Addr),
        (at, device): (&Namespace, &str),
    ) -> Result<Vec<Ipv4Addr>> {
        let filter = "icmp[icmptype] == icmp-echo";
        let capturing = capture::start_incoming(at, device, filter, &self.files)?;
        reaches(from, to)?;
        sources(&capturing.stop()?.frames()?)
    }

    /// Without masquerading, the outside sees containers under addresses that it must know a way to
    fn without(&self) -> Result<()> {
        let (near, here) = (&self.near, self.near.namespace());
        nft::apply(here, "add table ip others; add chain ip others theirs")?;
        let cidr = format!("{}/12", self.exposed);
        near.weavectl(&["expose", "--without-masquerade", &cidr])?.ok()?;
        let tables = nft::tables(here)?;
        ensure!(
            tables.iter().eq(["inet weave", "ip others"]),
            "without masquerading there is {tables:?}"
        );
        let leg = self.outside.leg_towards(near)?;
        let capturing = capture::start_incoming(
            self.outside.namespace(),
            &leg.device,
            "icmp[icmptype] == icmp-echo",
            &self.files,
        )?;
        let [container, _other] = &self.containers;
        reaches(container.namespace(), self.outside.address()?)?;
        let seen = sources(&capturing.stop()?.frames()?)?;
        let [own, _others] = self.addresses;
        ensure!(seen == [own], "{container} comes from {seen:?}, not from {own}");

        near.weavectl(&["expose", &cidr])?.ok()?;
        self.leaves_as_its_host("masqueraded again")?;
        near.weavectl(&["hide"])?.ok()?;
        let tables = nft::tables(here)?;
        ensure!(
            tables.iter().eq(["inet weave", "ip others"]),
            "hide leaves {tables:?}"
        );
        reaches_not(container.namespace(), self.exposed)?;
        Ok(())
    }
}

/// The source addresses of Ethernet frames with IPv4, each once
fn sources(frames: &[Vec<u8>]) -> Result<Vec<Ipv4Addr>> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    for frame in frames {
        let octets: [u8; 4] = frame.get(26..30).context("a short frame")?.try_into()?;
        let source = Ipv4Addr::from(octets);
        if !found.contains(&source) {
            found.push(source);
        }
    }
    Ok(found)
}
