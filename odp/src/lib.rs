//! Open vSwitch datapaths of the kernel: sockets, upcalls, flows, reconciliation.
//!
//! | type | how many | what |
//! |---|---|---|
//! | [`Odp`] | one per thread that changes the datapath | a request socket; synchronous |
//! | [`UpcallSocket`] | one per CPU | packets that the datapath sends up |
//! | [`VportEvents`] | one | ports that come and go |
//! | [`Fake`] | one per test | a datapath in memory behind the same trait, [`Dpif`] |
//!
//! Not here: what a flow means (crate `overlay`), how a message is encoded (`openvswitch-sys`), devices
//! and addresses (`link`). There is no async and no thread: the caller owns the sockets and decides when
//! to wait on their descriptors. All I/O is on generic-netlink sockets, which stay in the network
//! namespace that they were opened in.
//!
//! Everything is idempotent: adding what exists adopts it, deleting what is gone succeeds, putting a flow
//! twice is putting it once. A datapath with its ports and flows outlives the process; the next one
//! adopts it.
//!
//! ```no_run
//! use odp::{Dpif, Odp, UpcallSocket, VportKind, VportSpec};
//!
//! let mut odp = Odp::open()?; // OpenError::NoOpenVSwitch: this kernel has none
//! let mut upcalls = UpcallSocket::open(4 << 20)?;
//! let dp = odp.create_or_adopt(&"weave".parse()?, &[upcalls.pid()])?;
//! let vxlan = VportSpec { name: "vxlan-6784".parse()?, kind: VportKind::Vxlan { udp_port: 6784 } };
//! let tunnel_port = odp.add_vport(&dp, &vxlan)?;
//! let received = upcalls.recv_batch(|upcall| {
//!     let _key = upcall.key.flow_key();
//! })?;
//! # let _ = (tunnel_port, received);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dpif;
mod error;
mod events;
mod fake;
#[cfg(fuzzing)]
pub mod fuzz;
mod kernel;
mod raw;
mod reconcile;
mod request;
mod upcall;

pub use dpif::{Dispatch, Dpif, Execute, Installed, PacketKey, Reasserted, UpcallPid, Upcalls, VportSpec};
pub use error::{DatapathError, DelVportError, OpenError, Refusal, RequestError, VportError};
pub use events::{VportChange, VportEvent, VportEvents};
pub use fake::{Fake, FakeUpcalls, Sent};
pub use kernel::Odp;
pub use openvswitch_sys::{Datapath as DatapathState, Flow, FlowMatch, Upcall, Vport, VportKind};
pub use raw::monotonic_ms;
pub use reconcile::{Difference, FlowId, reconcile};
pub use upcall::{Received, UpcallSocket};

pub use dpif::Datapath;
