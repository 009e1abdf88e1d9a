//! The two ways to a peer.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How frames travel to a neighbour
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// VXLAN, by the kernel's Open vSwitch datapath
    Fastdp,
    /// UDP, by this process
    Sleeve,
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fastdp => "fastdp",
            Self::Sleeve => "sleeve",
        })
    }
}
