//! What of Docker's API the network understands, and what it makes of it.
//!
//! | module | subject |
//! |---|---|
//! | [`request`] | which request a method and a path are |
//! | [`create`] | the body of a container's creation: whether it joins the network, and with what |
//! | [`connected`] | a container on a network, and what weaved knows it as there |
//! | [`files`] | `/etc/resolv.conf` and `/etc/hosts` of a container that is attached by hand |
//! | [`start`] | the body of a container's start, which may take back what its creation said |
//! | [`inspect`] | what a container's inspection shows as its address |
//! | [`network`] | the body of a network's creation: which driver of addresses it has |
//! | [`names`] | the name of a container in DNS |
//! | [`plugin`] | the protocol by which Docker asks drivers of networks and of addresses |
//!
//! What it is not: a client or a server of Docker. Bytes come in, bytes go out, and what is not
//! understood goes out as it came in.
//!
//! Where its I/O happens: in `docker-agent`.
//!
//! ```
//! use docker::create::{Dns, Policy, Rewrite, rewrite};
//!
//! let policy = Policy {
//!     dns: Some(Dns { server: "172.17.0.1".parse()?, domain: "weave.local.".to_owned() }),
//!     ..Policy::default()
//! };
//! let asked = br#"{"Image":"web","HostConfig":{"NetworkMode":"default"}}"#;
//! let Rewrite::Joined { body, connect } = rewrite(asked, Some("c1"), &policy)? else {
//!     panic!("it joins, beside Docker's bridge");
//! };
//! assert!(String::from_utf8(body)?.contains(r#""Hostname":"c1""#));
//! assert_eq!(connect.name.as_deref(), Some("c1.weave.local"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

pub mod connected;
pub mod create;
pub mod files;
pub mod inspect;
pub mod multicast;
pub mod names;
pub mod network;
mod object;
pub mod plugin;
pub mod request;
pub mod start;
