//! Answers as text for people, in the shape that Weave Net's users know.

mod connections;
mod containers;
mod flows;
mod ipam;
mod names;
mod peers;
mod report;
mod status;

pub(crate) use connections::Connections;
pub(crate) use containers::{Containers, SHORT_ID};
pub(crate) use flows::Flows;
pub(crate) use ipam::Ipam;
pub(crate) use names::Names;
pub(crate) use peers::{Peers, Targets};
pub(crate) use report::Report;
pub(crate) use status::{Status, openness};

/// The arrow from this host: who dialled
fn direction(outbound: bool) -> &'static str {
    if outbound { "->" } else { "<-" }
}
