//! The mesh: who is there, who is connected to whom, and a way to speak to each neighbour.
//!
//! What it is: the control plane of one peer as one pure machine, [`Mesh`]. It shakes hands over TCP
//! connections that somebody else makes (Noise `XX`, `XXpsk3` with a password), keeps one versioned
//! record per peer, computes the [`Topology`] from them, dials the peers that it hears of, and carries
//! the messages of other protocols between neighbours ([`Channel`]).
//!
//! What it is not: it moves no frame and probes no path (the daemon says [`Mesh::path_established`]),
//! and it keeps nothing on disk (the daemon is told what to keep).
//!
//! How many: one [`Mesh`] per process; one connection per neighbour; at most [`MAX_PEERS`] peers.
//!
//! Where its I/O happens: nowhere here. Bytes, dials and clock go in and out by calls:
//!
//! ```
//! # use std::time::{Duration, Instant};
//! # use gossip::*;
//! # use rand::{SeedableRng, rngs::StdRng};
//! # fn config(rng: &mut StdRng) -> Config {
//! #     let identity = Identity::generate(rng);
//! #     Config {
//! #         name: identity.peer_name(), nickname: "host1".parse().unwrap(), identity, passwords: Passwords::default(),
//! #         network: NetworkName::default(), entropy: Entropy::new(StdRng::from_rng(rng)), pins: vec![], bans: vec![], unix_ms: 0,
//! #         short_id: None, epoch: 1, uid: model::Uid(1), control_port: 6783, version: "0.1".into(),
//! #         discovery: true, conn_limit: None, trusted_subnets: vec![],
//! #         offer: Offer { fastdp: true, vxlan_port: 6784, sleeve_port: 6783, overlay_mtu: 1450 },
//! #         held: vec![], timers: Timers::default(),
//! #     }
//! # }
//! let mut rng = StdRng::seed_from_u64(1);
//! let now = Instant::now();
//! let mut mesh = Mesh::new(config(&mut rng), rng, now);
//! mesh.set_targets(vec!["host2".parse()?], false, now);
//! while let Some((due, _why)) = mesh.poll_timeout().filter(|(due, _)| *due < now + Duration::from_secs(1)) {
//!     mesh.handle_timeout(due);
//!     while let Some(output) = mesh.poll_output() {
//!         match output {
//!             Output::Dial { dial, .. } => assert!(mesh.dialled(dial, Err("no route".into()), due).is_none()),
//!             Output::Send { .. } | Output::Close { .. } => unreachable!("nobody is connected"),
//!             Output::Event(event) => println!("{event:?}"),
//!         }
//!     }
//! }
//! # Ok::<(), model::TargetError>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

mod admission;
mod bans;
mod budget;
mod config;
mod connection;
mod counters;
mod digest;
mod doorkeeper;
mod flood;
mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(feature = "hostile")]
pub mod hostile;
mod identity;
mod mesh;
mod message;
mod neighbours;
mod network;
mod noise;
mod output;
mod outputs;
mod passwords;
mod pins;
mod prologue;
mod puzzle;
mod records;
mod reject;
mod replica;
mod routes;
mod short_ids;
mod status;
mod table;
mod targets;
mod wire;

pub use bans::{Ban, MAX_PER_SIGNER};
pub use config::{Config, Departure, Entropy, Held, Offer, Timers};
pub use connection::Ended;
pub use counters::Counters;
pub use digest::Stamp;
pub use identity::{
    BeatKey, Binding, DerivedKeys, Identity, IdentityKey, Keys, Psk, PublicKey, Purpose, Signature,
    StaticKeypair,
};
pub use mesh::Mesh;
pub use message::Hello;
pub use network::{NetworkName, NetworkNameError};
pub use output::{
    BanError, Channel, ConnId, DialId, Disconnect, DownReason, Event, Output, Refusal, SendError,
};
pub use passwords::Passwords;
pub use pins::Pin;
pub use prologue::Versions;
pub use records::{COUNTER_LIMIT, Dispute, Link, MAX_ADDRESSES, MAX_DISPUTES, MAX_PEERS, PeerRecord};
pub use reject::Reject;
pub use replica::{COMPARE, Exchange, MAX_PART_BYTES, Malformed, Replica};
pub use routes::Topology;
pub use status::{ConnectionState, ConnectionStatus};
pub use wire::MAX_CHANNEL_BYTES;
