//! Ways for a container's frames from one host to another, each between two hosts of its own.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use lab::judge::ping::Ping;
use lab::namespace::Namespace;
use lab::scenario::Kernel;
use lab::topology::{Container, ETHERNET, Host, Lab};
use lab::weave::{Launch, launch_mesh};
use model::PathKind;
use serde::{Deserialize, Serialize};

/// One of the ways
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// From host to host, no container: what the machine can do
    Underlay,
    /// The kernel's VXLAN device on a bridge: what a network of containers costs without weaved
    KernelVxlan,
    /// weaved, by Open vSwitch
    Fastdp,
    /// weaved without Open vSwitch, in the clear
    SleeveClear,
    /// weaved with a password
    SleeveEncrypted,
}

/// A way that is up
#[derive(Debug)]
pub struct Path {
    /// Where what is measured comes from
    pub from: Namespace,
    /// Where it goes to
    pub to: Namespace,
    /// Its address there
    pub address: Ipv4Addr,
    /// The device it takes at both ends
    pub device: String,
    /// It carries frames, and not only IP
    pub is_ethernet: bool,
    /// Who resolves addresses on its way
    pub resolving: Vec<Namespace>,
    /// The processes that carry it
    pub daemons: Vec<i32>,
}

impl Way {
    /// All, the yardsticks first
    pub const ALL: [Self; 5] = [
        Self::Underlay,
        Self::KernelVxlan,
        Self::Fastdp,
        Self::SleeveClear,
        Self::SleeveEncrypted,
    ];

    /// What people call it
    pub const fn label(self) -> &'static str {
        match self {
            Self::Underlay => "underlay",
            Self::KernelVxlan => "kernel VXLAN + bridge",
            Self::Fastdp => "fastdp",
            Self::SleeveClear => "sleeve, clear",
            Self::SleeveEncrypted => "sleeve, encrypted",
        }
    }

    /// Why it cannot be measured here, if it cannot
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Fastdp => Kernel::OpenVswitch.lacks(),
            Self::Underlay | Self::KernelVxlan | Self::SleeveClear | Self::SleeveEncrypted => None,
        }
    }

    /// Makes two hosts, and on them whatever this way needs, until it carries packets
    pub fn open(self, lab: &mut Lab) -> Result<Path> {
        let tag = self.tag();
        let [near, far] = lab.hosts([format!("{tag}1").as_str(), format!("{tag}2").as_str()])?;
        lab.link(&near, &far, ETHERNET)?;
        let path = match self {
            Self::Underlay => Path {
                from: near.namespace().clone(),
                to: far.namespace().clone(),
                address: far.address()?,
                device: "eth0".to_owned(),
                is_ethernet: true,
                resolving: vec![near.namespace().clone(), far.namespace().clone()],
                daemons: vec![],
            },
            Self::KernelVxlan => kernel_vxlan(lab, tag, &near, &far)?,
            Self::Fastdp => weave(lab, tag, &[&near, &far], &Launch::plain(), PathKind::Fastdp)?,
            Self::SleeveClear => {
                let launch = Launch::plain().flag("--no-fastdp");
                weave(lab, tag, &[&near, &far], &launch, PathKind::Sleeve)?
            }
            Self::SleeveEncrypted => {
                let launch = Launch::plain().password("a password for measurements");
                weave(lab, tag, &[&near, &far], &launch, PathKind::Sleeve)?
            }
        };
        Ping::to(path.address)
            .run(&path.from)?
            .all_answered()
            .with_context(|| format!("{} carries nothing", self.label()))?;
        Ok(path)
    }

    const fn tag(self) -> &'static str {
        match self {
            Self::Underlay => "u",
            Self::KernelVxlan => "k",
            Self::Fastdp => "f",
            Self::SleeveClear => "s",
            Self::SleeveEncrypted => "e",
        }
    }
}

/// Two containers, one on each host, by weaved
fn weave(lab: &mut Lab, tag: &str, hosts: &[&Host; 2], launch: &Launch, by: PathKind) -> Result<Path> {
    launch_mesh(hosts, launch, by)?;
    let (near, far) = containers(lab, tag)?;
    for (host, container, address) in [(hosts[0], &near, NEAR), (hosts[1], &far, FAR)] {
        host.attach(container, &[&format!("{address}/24")])?;
    }
    Ok(Path {
        daemons: hosts
            .iter()
            .map(|host| host.weaved_pid())
            .collect::<Result<_>>()?,
        ..between(&near, &far, Container::INTERFACE)
    })
}

/// Two containers, one on each host, by a bridge and the kernel's VXLAN device
fn kernel_vxlan(lab: &mut Lab, tag: &str, near: &Host, far: &Host) -> Result<Path> {
    let (one, other) = containers(lab, tag)?;
    for (host, peer, container, address) in [(near, far, &one, NEAR), (far, near, &other, FAR)] {
        let inside = container.namespace();
        let (local, remote) = (host.address()?.to_string(), peer.address()?.to_string());
        let mtu = (ETHERNET - VXLAN_OVERHEAD).to_string();
        let on_host = |line: &str| host.namespace().ip(&words(line)).map(drop);
        on_host(&format!(
            "link add vxlan mtu {mtu} type vxlan id 42 dstport 4789 local {local} remote {remote}"
        ))?;
        on_host(&format!(
            "link add bridge mtu {mtu} type bridge stp_state 0 forward_delay 0"
        ))?;
        on_host(&format!(
            "link add container mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}",
            inside.name()
        ))?;
        for port in ["vxlan", "container"] {
            on_host(&format!("link set {port} master bridge up"))?;
        }
        on_host("link set bridge up")?;
        inside.ip(&words(&format!("address add {address}/24 dev eth0")))?;
        inside.ip(&words("link set eth0 up"))?;
    }
    Ok(between(&one, &other, "eth0"))
}

fn containers(lab: &mut Lab, tag: &str) -> Result<(Container, Container)> {
    Ok((
        lab.container(&format!("{tag}c1"))?,
        lab.container(&format!("{tag}c2"))?,
    ))
}

fn between(near: &Container, far: &Container, device: &str) -> Path {
    Path {
        from: near.namespace().clone(),
        to: far.namespace().clone(),
        address: FAR,
        device: device.to_owned(),
        is_ethernet: true,
        resolving: vec![near.namespace().clone(), far.namespace().clone()],
        daemons: vec![],
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 32, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 32, 0, 2);

/// IPv4 20, UDP 8, VXLAN 8, Ethernet 14
const VXLAN_OVERHEAD: u16 = 50;
