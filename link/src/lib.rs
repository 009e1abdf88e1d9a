//! Kernel network devices: bridge, veth, TAP, namespaces, addresses, routes.
//!
//! One [`Links`] per network namespace reads and changes its devices, by one netlink socket that
//! belongs to that namespace. An [`Attach`] is compared with what is there, becomes a [`Plan`], and
//! is applied entirely or not at all; attaching twice is attaching once. A [`Watch`] tells what
//! others do, a [`RulesetWatch`] that they changed the packet filter. [`Tap`] opens the TAP that the sleeve reads and writes.
//!
//! Not here: Open vSwitch (`odp`), which addresses a container gets, iptables, moving frames.
//!
//! I/O happens everywhere here: on the rtnetlink socket by a task of the caller's Tokio runtime; for
//! sockets and `/proc/sys` inside a namespace, on a short-lived thread, because a namespace is a
//! property of a thread; by ioctl in [`tap`] and [`disable_tx_checksum`], which are synchronous.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use link::{Attach, Links, NetnsRef};
//!
//! let links = Links::open()?;
//! let container = "8f14e45f".parse()?;
//! let container_if = "ethwe".parse()?;
//! let attach = Attach {
//!     netns: NetnsRef::Pid(4711),
//!     host_if: link::host_end(&container, &container_if),
//!     container_if,
//!     mac: None,
//!     mtu: 1450,
//!     addresses: vec!["10.32.0.5/12".parse()?],
//!     multicast_route: true,
//!     master: None,
//!     hairpin: false,
//!     moved_in: false,
//! };
//! let attached = attach.plan(&links).await?.apply(&links).await?;
//! // ... make attached.host_if a port of the datapath, then
//! attached.announce().await?;
//! # Ok(())
//! # }
//! ```

mod announce;
mod attach;
mod environment;
mod error;
mod ioctl;
mod links;
mod messages;
mod names;
mod netns;
mod offload;
mod packet;
mod rtnl;
mod rulesets;
mod state;
pub mod sysctl;
pub mod tap;
mod underlay;
mod watch;

#[cfg(test)]
mod testing;

pub use announce::{AnnounceError, announce};
pub use attach::{
    AnnounceAttachedError, Attach, AttachError, Attached, Detach, DetachError, DetachPlan, DetachStep,
    Detached, End, Inverse, Leftover, Made, Plan, Step, StepError, Waiting, WaitingError, Warning, are_pair,
};
pub use environment::take_variable;
pub use error::{EnsureError, NetlinkError, OpenError};
pub use links::Links;
pub use names::{HOST_END_PREFIX, WAITING_END_PREFIX, host_end, waiting_end};
pub use netns::{EnterError, Netns, NetnsError, NetnsId, NetnsRef, in_netns};
pub use offload::{OffloadError, disable_tx_checksum};
pub use rulesets::RulesetWatch;
pub use state::{LinkKind, LinkState, RouteState};
pub use tap::{Tap, TapError, TapOptions};
pub use watch::{LinkEvent, Watch};
