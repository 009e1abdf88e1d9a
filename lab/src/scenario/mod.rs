//! The scenarios: one file each, entered in [`ALL`].
//!
//! A scenario gets an empty lab and fails with an error that says what was expected and what was
//! seen instead; what it measured it prints, a line each. The runner adds what every host looked
//! like, and cleans up.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::judge::ovs;
use crate::topology::Lab;

mod bridge;
mod lab_itself;
mod three_hosts;

/// A scenario
#[derive(Debug)]
pub struct Scenario {
    /// What it is called
    pub name: &'static str,
    /// What it shows
    pub about: &'static str,
    /// The kernel it needs
    pub kernel: Kernel,
    /// How long it may take
    pub limit: Duration,
    /// What it does
    pub act: fn(&mut Lab) -> Result<()>,
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
}

impl Kernel {
    /// Why this kernel will not do, if it will not
    pub fn lacks(self) -> Option<&'static str> {
        match (self, ovs::is_here()) {
            (Self::OpenVswitch, false) => Some("this kernel has no Open vSwitch"),
            (Self::Plain, true) => Some("this kernel has Open vSwitch"),
            (Self::OpenVswitch, true) | (Self::Plain, false) | (Self::Any, _) => None,
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OpenVswitch => "openvswitch",
            Self::Plain => "plain",
            Self::Any => "any",
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

const MINUTE: Duration = Duration::from_secs(60);

/// All of them, in the order in which they run
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "lab-itself",
        about: "topologies, cuts and judges do what they say, without weaved",
        kernel: Kernel::Any,
        limit: MINUTE,
        act: lab_itself::act,
    },
    Scenario {
        name: "three-hosts",
        about: "tunnel flows in the kernel, the documented VNI on the wire, no upcalls under traffic",
        kernel: Kernel::OpenVswitch,
        limit: MINUTE,
        act: three_hosts::act,
    },
    Scenario {
        name: "bridge",
        about: "hosts without Open vSwitch do the same over the sleeve, and say why",
        kernel: Kernel::Plain,
        limit: MINUTE,
        act: bridge::all_hosts,
    },
    Scenario {
        name: "bridge-among-datapaths",
        about: "one host without the datapath among hosts that have it",
        kernel: Kernel::OpenVswitch,
        limit: MINUTE,
        act: bridge::one_host,
    },
];
