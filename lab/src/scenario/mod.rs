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

mod addresses;
mod all;
mod bad_input;
mod bridge;
mod broadcast;
mod cut;
mod docker;
mod expose;
mod hostile;
mod isolation;
mod lab_itself;
mod line;
mod mtu;
mod names;
mod password;
mod reset;
mod restart;
mod rough;
mod systemd;
mod three_hosts;
mod upcalls;

pub use all::ALL;

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
