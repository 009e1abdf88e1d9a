//! The way that frames to a neighbour take.

use std::net::Ipv4Addr;

use model::{PathKind, PeerName};
use overlay::Choice;

/// How frames go to a neighbour
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// By the kernel, between these addresses
    Fastdp {
        udp_port: u16,
        local: Ipv4Addr,
        remote: Ipv4Addr,
        mtu: u16,
    },
    /// By the sleeve
    Sleeve,
}

impl Path {
    /// Which of the two
    pub(crate) const fn kind(self) -> PathKind {
        match self {
            Self::Fastdp { .. } => PathKind::Fastdp,
            Self::Sleeve => PathKind::Sleeve,
        }
    }
}

/// Tells the operator of another path to a neighbour, whose sleeve is on this port
pub(super) fn announce(peer: PeerName, choice: Choice, sleeve_port: u16) {
    match (choice.path, choice.reason) {
        (Some(kind), None) => log::info!("{peer}: path {kind}"),
        (Some(kind), Some(reason)) => log::info!("{peer}: path {kind}: {reason}"),
        (None, Some(reason)) => {
            log::warn!("{peer}: no path: no heartbeat by the sleeve (UDP {sleeve_port} blocked?), {reason}");
        }
        (None, None) => log::warn!("{peer}: no path"),
    }
}
