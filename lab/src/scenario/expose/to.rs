//! Who reaches containers through an exposed host: nobody but the host, unless it was asked for.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{is_answered, reaches};
use crate::namespace::Namespace;
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, launch_mesh, usual_path};

/// How long rules may take to be as they were asked for, on a guest whose programs are slow
const SOON: Duration = Duration::from_secs(15);
const BRIDGE: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
const DOCKED: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 2);

/// What is asked for, whether a stranger in the underlay then reaches containers, and whether one on Docker's
/// bridge does
const CASES: [(&str, bool, bool); 7] = [
    ("host", false, false),
    ("underlay", true, false),
    ("docker", false, true),
    ("underlay,docker", true, true),
    ("192.168.102.0/24", true, false),
    ("172.17.0.0/16", false, true),
    ("198.51.100.0/24", false, false),
];

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [near, far, outside] = lab.hosts(["host1", "host2", "outside"])?;
    lab.segment(&[&near, &far], ETHERNET)?;
    lab.link(&near, &outside, ETHERNET)?;
    near.namespace().sysctl("ipv4/ip_forward", "1")?;
    near.namespace()
        .ip(&["link", "add", "docker0", "type", "bridge"])?;
    near.namespace()
        .ip(&["address", "add", &format!("{BRIDGE}/16"), "dev", "docker0"])?;
    near.namespace().ip(&["link", "set", "docker0", "up"])?;
    launch_mesh(&[&near, &far], &Launch::plain(), usual_path())?;
    let place = Place::start(lab, near, far, outside)?;
    // As a host has it by itself, and as Docker makes it.
    for policy in ["ACCEPT", "DROP"] {
        place.set_policy(policy)?;
        place.expose(&[])?;
        place.is_open("nothing", policy, (false, false))?;
        for (to, outside, docked) in CASES {
            place.expose(&["--expose-to", to])?;
            place.is_open(to, policy, (outside, docked))?;
        }
        place.is_kept(policy)?;
    }
    Ok(())
}

struct Place {
    near: Host,
    far: Host,
    outside: Host,
    containers: [Container; 2],
    addresses: [Ipv4Addr; 2],
    /// On Docker's bridge
    docked: Container,
    exposed: Ipv4Addr,
}

impl Place {
    fn start(lab: &mut Lab, near: Host, far: Host, outside: Host) -> Result<Self> {
        let containers = [lab.container("near")?, lab.container("far")?];
        let mut addresses = [Ipv4Addr::UNSPECIFIED; 2];
        for ((host, container), address) in [&near, &far].into_iter().zip(&containers).zip(&mut addresses) {
            let got = host.attach_any(container, &[])?;
            *address = *got.first().context("attach gave no address")?;
        }
        let docked = lab.container("docked")?;
        crate::scenario::ports::dock(&near, &docked)?;
        let printed = near.weavectl(&["expose", "--without-masquerade"])?.ok()?;
        let exposed: Ipv4Addr = printed.trim().parse()?;
        for container in &containers {
            for network in [&format!("{}/32", outside.address()?), "172.17.0.0/16"] {
                let route = ["route", "add", network, "via", &exposed.to_string()];
                container.namespace().ip(&route)?;
            }
        }
        let gateway = near.address_for(&outside)?.to_string();
        let route = ["route", "add", "10.32.0.0/12", "via", &gateway];
        outside.namespace().ip(&route)?;
        Ok(Self {
            near,
            far,
            outside,
            containers,
            addresses,
            docked,
            exposed,
        })
    }

    /// By whichever `iptables` this kernel can do with
    fn set_policy(&self, policy: &str) -> Result<()> {
        let line = format!("iptables -w -P FORWARD {policy} || iptables-legacy -w -P FORWARD {policy}");
        self.near.namespace().run(&["sh", "-c", &line])?.ok().map(drop)
    }

    fn expose(&self, options: &[&str]) -> Result<()> {
        let cidr = format!("{}/12", self.exposed);
        let line = [&["expose", "--without-masquerade"], options, &[&cidr]].concat();
        self.near.weavectl(&line)?.ok().map(drop)
    }

    /// Strangers reach containers as wanted; containers reach them, and the host its containers, in any case
    fn is_open(&self, to: &str, policy: &str, (outside, docked): (bool, bool)) -> Result<()> {
        let strangers: [(&Namespace, bool); 2] = [
            (self.outside.namespace(), outside),
            (self.docked.namespace(), docked),
        ];
        for (stranger, wanted) in strangers {
            for address in self.addresses {
                let what = format!(
                    "exposed to {to}, FORWARD {policy}: {} reaches {address}: {wanted}",
                    stranger.name()
                );
                wait_until(&what, SOON, || Ok(is_answered(stranger, address)? == wanted))?;
            }
        }
        for container in &self.containers {
            for address in [self.outside.address()?, DOCKED, self.exposed] {
                reaches(container.namespace(), address)
                    .with_context(|| format!("exposed to {to}, FORWARD {policy}"))?;
            }
        }
        for address in self.addresses {
            reaches(self.near.namespace(), address)?;
        }
        Ok(())
    }

    /// The setting outlives weaved, and is forgotten with the last address
    fn is_kept(&self, policy: &str) -> Result<()> {
        self.expose(&["--expose-to", "underlay"])?;
        self.near.kill_weaved()?;
        self.near.launch(&Launch::plain().peer(self.far.address()?))?;
        self.near.wait_path(&self.far, usual_path(), MEETING)?;
        self.expose(&[])?;
        self.is_open("underlay, after a restart", policy, (true, false))?;
        let told = self.near.status()?.host.context("weaved tells nothing of it")?;
        ensure!(
            told.exposed_to.to_string() == "host, underlay",
            "the status has {}",
            told.exposed_to
        );
        self.near.weavectl(&["hide"])?.ok()?;
        self.expose(&[])?;
        self.is_open("nothing, hidden before", policy, (false, false))
    }
}
