//! Names of containers: who has which, what is answered, and what is asked elsewhere.
//!
//! | type | one per | what |
//! |---|---|---|
//! | [`Names`] | daemon | the replicated table: each peer writes its part, everybody has a copy of all |
//! | [`Zone`] | published change | what is looked up, immutable, cheap to copy |
//! | [`Authority`] | daemon | decides the answer to the bytes of a question |
//! | [`Forward`] | question that others are asked | whom next, and which bytes are their answer |
//!
//! What it is not: a resolver or a cache. What is not in the domain goes to somebody else, and comes
//! back as it is.
//!
//! Where its I/O happens: nowhere here. `gossip` carries what [`Names`] tells; sockets are the daemon's.
//!
//! ```
//! use std::time::Instant;
//! use dns::{Domain, Names};
//! use gossip::Replica as _;
//!
//! let keys = [1, 2].map(|seed| gossip::Identity::from_seed([seed; 32].into()));
//! let [mut here, mut there] =
//!     keys.clone().map(|key| Names::new(key.peer_name(), key, 1, Domain::default()));
//! here.add("c1", "5f3a".parse()?, "10.32.0.1".parse()?)?;
//!
//! there.reachable(&[keys[0].peer_name()].into(), Instant::now());
//! for part in here.take_changes() {
//!     there.merge(keys[0].peer_name(), &part, &gossip::DerivedKeys, Instant::now())?;
//! }
//! let zone = there.take_zone().expect("it changed");
//! assert!(zone.addresses("C1.weave.local.").eq(["10.32.0.1".parse::<std::net::Ipv4Addr>()?]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

mod answer;
mod assembly;
mod budget;
mod copies;
mod domain;
mod entry;
#[cfg(fuzzing)]
pub mod fuzz;
mod names;
mod part;
mod proof;
mod stamp;
mod sum;
mod told;
mod upstream;
mod zone;

pub use answer::{Answer, Authority, Transport, refused, servfail};
pub use budget::{Fill, MAX_ENTRIES, MAX_PARTS, MAX_TEXT_BYTES, MAX_WAITING_BYTES, MAX_WEIGHT, Refused};
pub use copies::KEPT;
pub use domain::{Domain, HostName, MAX_LABEL_BYTES, MAX_NAME_BYTES, NameError, Problem};
pub use entry::{Entry, Filter, Listed};
pub use names::{AddError, Names};
pub use upstream::{ANSWER_WITHIN, Came, Forward, MAX_SERVERS, servers};
pub use zone::{Found, Zone};
