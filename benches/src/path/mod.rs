//! Ways for a container's frames from one host to another, each between hosts of its own.

mod kernel;
mod weave;
mod wireguard;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use lab::judge::ping::Ping;
use lab::namespace::Namespace;
use lab::scenario::Kernel;
use lab::topology::{Container, ETHERNET, Lab};
use lab::weave::Launch;
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
    /// The same, with `--vxlan-csum=off`
    FastdpZeroCsum,
    /// weaved, by Open vSwitch, where a third host's weaved is between the two
    FastdpRelay,
    /// weaved without Open vSwitch, in the clear
    SleeveClear,
    /// weaved with a password
    SleeveEncrypted,
    /// WireGuard in user space, Debian's
    WireguardGo,
    /// WireGuard in user space, in Rust: measured where its program is told
    Boringtun,
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
    /// Those of them that end with this
    _tunnels: Vec<wireguard::Tunnel>,
}

impl Way {
    /// All, the yardsticks first
    pub const ALL: [Self; 9] = [
        Self::Underlay,
        Self::KernelVxlan,
        Self::Fastdp,
        Self::FastdpZeroCsum,
        Self::FastdpRelay,
        Self::SleeveClear,
        Self::SleeveEncrypted,
        Self::WireguardGo,
        Self::Boringtun,
    ];

    /// What people call it
    pub const fn label(self) -> &'static str {
        match self {
            Self::Underlay => "underlay",
            Self::KernelVxlan => "kernel VXLAN + bridge",
            Self::Fastdp => "fastdp",
            Self::FastdpZeroCsum => "fastdp, outer checksum zero",
            Self::FastdpRelay => "fastdp, one relay",
            Self::SleeveClear => "sleeve, clear",
            Self::SleeveEncrypted => "sleeve, encrypted",
            Self::WireguardGo => "wireguard-go",
            Self::Boringtun => "boringtun",
        }
    }

    /// weaved carries it
    pub const fn is_weaved(self) -> bool {
        self.is_fastdp() || matches!(self, Self::SleeveClear | Self::SleeveEncrypted)
    }

    const fn is_fastdp(self) -> bool {
        matches!(self, Self::Fastdp | Self::FastdpZeroCsum | Self::FastdpRelay)
    }

    /// Makes the hosts, and on them whatever this way needs, until it carries packets; `boringtun` is
    /// that program
    pub fn open(self, lab: &mut Lab, boringtun: Option<&PathBuf>) -> Result<Path> {
        let path = self.make(lab, boringtun)?;
        Ping::to(path.address)
            .run(&path.from)?
            .all_answered()
            .with_context(|| format!("{} carries nothing", self.label()))?;
        Ok(path)
    }

    fn make(self, lab: &mut Lab, boringtun: Option<&PathBuf>) -> Result<Path> {
        let tag = self.tag();
        if self.is_fastdp()
            && let Some(why) = Kernel::OpenVswitch.lacks()
        {
            anyhow::bail!("{why}");
        }
        if self == Self::FastdpRelay {
            return weave::relayed(lab, tag, PathKind::Fastdp);
        }
        let [near, far] = lab.hosts([format!("{tag}1").as_str(), format!("{tag}2").as_str()])?;
        lab.link(&near, &far, ETHERNET)?;
        let mut weave = |launch: &Launch, by| weave::direct(lab, tag, &[&near, &far], launch, by);
        match self {
            Self::Underlay => kernel::underlay(&near, &far),
            Self::KernelVxlan => kernel::vxlan(lab, tag, &near, &far),
            Self::Fastdp | Self::FastdpRelay => weave(&Launch::plain(), PathKind::Fastdp),
            Self::FastdpZeroCsum => weave(&Launch::plain().flag("--vxlan-csum=off"), PathKind::Fastdp),
            Self::SleeveClear => weave(&Launch::plain().flag("--no-fastdp"), PathKind::Sleeve),
            Self::SleeveEncrypted => {
                let launch = Launch::plain().password("a password for measurements");
                weave(&launch, PathKind::Sleeve)
            }
            Self::WireguardGo => wireguard::routed(lab, tag, &near, &far, "wireguard-go".as_ref()),
            Self::Boringtun => {
                let program = boringtun.context("no program was told")?;
                wireguard::routed(lab, tag, &near, &far, program)
            }
        }
    }

    const fn tag(self) -> &'static str {
        match self {
            Self::Underlay => "u",
            Self::KernelVxlan => "k",
            Self::Fastdp => "f",
            Self::FastdpZeroCsum => "z",
            Self::FastdpRelay => "r",
            Self::SleeveClear => "s",
            Self::SleeveEncrypted => "e",
            Self::WireguardGo => "g",
            Self::Boringtun => "b",
        }
    }
}

fn containers(lab: &mut Lab, tag: &str) -> Result<(Container, Container)> {
    Ok((
        lab.container(&format!("{tag}c1"))?,
        lab.container(&format!("{tag}c2"))?,
    ))
}

/// A path between the usual addresses that no program carries
fn between(near: &Namespace, far: &Namespace, device: &str) -> Path {
    Path {
        from: near.clone(),
        to: far.clone(),
        address: FAR,
        device: device.to_owned(),
        is_ethernet: true,
        resolving: vec![near.clone(), far.clone()],
        daemons: vec![],
        _tunnels: vec![],
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 32, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 32, 0, 2);
