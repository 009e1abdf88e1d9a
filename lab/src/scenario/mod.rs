//! The scenarios: one file each, entered in a list; [`runs`] has all.
//!
//! A scenario gets an empty lab and fails with an error that says what was expected and what was
//! seen instead; what it measured it prints, a line each. The runner adds what every host looked
//! like, and cleans up.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::docker::Release;
use crate::judge::ovs;
use crate::topology::Lab;

mod addresses;
mod all;
mod bad_input;
mod bridge;
mod broadcast;
mod cut;
mod disk;
mod docker;
mod expose;
mod hostile;
mod isolation;
mod lab_itself;
mod line;
mod mtu;
mod names;
mod password;
mod ports;
mod reset;
mod restart;
mod rough;
mod stranger;
mod systemd;
mod three_hosts;
mod trust;
mod upcalls;

/// A scenario
#[derive(Debug)]
pub struct Scenario {
    /// What it is called
    pub name: &'static str,
    /// What it shows
    pub about: &'static str,
    /// The kernel it needs
    pub kernel: Kernel,
    /// How long it may take, on a machine
    pub limit: Duration,
    /// What it does
    pub act: fn(&mut Lab) -> Result<()>,
}

/// A scenario, to be run with one of the machine's Dockers
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// What is run
    pub scenario: &'static Scenario,
    /// What Docker the hosts have, where it has any
    pub docker: Release,
    /// What has to be asked for to have it run
    pub when: When,
}

/// What has to be asked for to have something run
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing: it belongs to every run
    Always,
    /// Part of its name, or a run of all: what is new in it does not pay for its time in every run
    Named,
    /// Its whole name: it takes long
    NamedWhole,
}

impl When {
    /// Whether these filters, or a run of all, ask for what is called so
    pub fn is_met(self, name: &str, filters: &[String], all: bool) -> bool {
        let is_named = filters.iter().any(|filter| name.contains(filter.as_str()));
        match self {
            Self::Always => filters.is_empty() || is_named,
            Self::Named => is_named || (all && filters.is_empty()),
            Self::NamedWhole => filters.iter().any(|filter| filter == name),
        }
    }
}

impl Run {
    /// The kernel it needs
    pub fn kernel(&self) -> Kernel {
        match (self.docker, self.scenario.kernel) {
            // A guest is slow, and it is not the kernel that differs.
            (Release::Newest, Kernel::Any) => Kernel::Own,
            (Release::Installed | Release::Newest, kernel) => kernel,
        }
    }

    /// How long it may take here
    pub fn limit(&self) -> Duration {
        match self.kernel() {
            // Whoever runs there by name what the kernel has no part in is prepared for a guest's pace.
            Kernel::Own => docker_s_pace() * self.scenario.limit,
            Kernel::OpenVswitch | Kernel::Plain | Kernel::Any => self.scenario.limit,
        }
    }
}

/// How much longer Docker takes in a guest
const GUEST_PACE: u32 = 6;

/// How much longer Docker takes here than on a machine of its own
fn docker_s_pace() -> u32 {
    match std::env::var_os("WEAVE_LAB_GUEST") {
        Some(_) => GUEST_PACE,
        None => 1,
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{}", self.scenario.name, self.docker.suffix()))
    }
}

/// Everything there is to be run, in this order
pub fn runs() -> impl Iterator<Item = Run> {
    let plain = |scenarios: &'static [Scenario], when: When| {
        scenarios.iter().map(move |scenario| Run {
            scenario,
            docker: Release::Installed,
            when,
        })
    };
    let usual = Release::newest_here();
    let with_docker = |scenarios: &'static [Scenario], when: fn(bool) -> When| {
        // Both of one scenario in a row: of every other run, one half has each.
        scenarios.iter().flat_map(move |scenario| {
            Release::ALL.map(|docker| Run {
                scenario,
                docker,
                when: when(docker == usual),
            })
        })
    };
    let by_one = |is_usual| if is_usual { When::Always } else { When::Named };
    plain(all::ALL, When::Always)
        .chain(plain(all::SLOW, When::Named))
        .chain(with_docker(docker::BY_BOTH, |_is_usual| When::Always))
        .chain(with_docker(docker::BY_ONE, by_one))
        .chain(with_docker(docker::NAMED, |_is_usual| When::Named))
        .chain(with_docker(docker::NAMED_WHOLE, |_is_usual| When::NamedWhole))
}

/// The kernel that a scenario needs
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// One with Open vSwitch
    OpenVswitch,
    /// One without
    Plain,
    /// Either, and it is worth running on both
    Any,
    /// Either: what it shows is not the kernel's doing, so this machine's own is enough
    Own,
}

impl Kernel {
    /// Whether it belongs to a run for this kernel
    pub fn suits(self, run: Self) -> bool {
        self == run || self == Self::Any || (self == Self::Own && run == Self::Plain)
    }

    /// Why this kernel will not do, if it will not
    pub fn lacks(self) -> Option<&'static str> {
        match (self, ovs::is_here()) {
            (Self::OpenVswitch, false) => Some("this kernel has no Open vSwitch"),
            (Self::Plain, true) => Some("this kernel has Open vSwitch"),
            (Self::OpenVswitch, true) | (Self::Plain, false) | (Self::Any | Self::Own, _) => None,
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OpenVswitch => "openvswitch",
            Self::Plain => "plain",
            Self::Any => "any",
            Self::Own => "own",
        })
    }
}

/// This machine lacks what the scenario needs, and what that is
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}
