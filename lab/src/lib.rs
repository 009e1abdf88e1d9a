//! Hosts as network namespaces, the containers on them, faults between them, and judges.
//!
//! A scenario builds a topology, runs a real weaved in each host, lets something happen, and asks
//! programs that nobody here wrote what they saw: `ping`, `iperf3`, `tcpdump`, `tshark`,
//! `ovs-dpctl`, `ip`, `sha256sum`. The weaveds are driven by `weavectl` alone.
//!
//! Not here: where the kernel comes from. `cargo xtask test` runs the scenarios that need Open
//! vSwitch in a guest whose kernel has it, and the others on this machine's own kernel.
//!
//! [`Lab`](topology::Lab) owns everything that it makes, all of it inside namespaces of its own;
//! dropping it ends and removes everything, and a lab that was killed is swept away by the next.
//! Everything here does I/O and needs root.
//!
//! ```no_run
//! use lab::topology::{ETHERNET, Lab};
//! use lab::judge::ping::Ping;
//!
//! let mut lab = Lab::new()?;
//! let [a, b] = lab.hosts(["a", "b"])?;
//! lab.link(&a, &b, ETHERNET)?;
//! Ping::to(b.address_for(&a)?).run(a.namespace())?.all_answered()?;
//! # Ok::<(), anyhow::Error>(())
//! ```
#![forbid(unsafe_code)]
// A program for people: it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cgroup;
pub mod command;
pub mod demo;
pub mod diagnose;
pub mod docker;
pub mod fault;
mod inside;
pub mod judge;
pub mod member;
pub mod namespace;
pub mod resolving;
pub mod run;
pub mod scenario;
pub mod site;
pub mod topology;
pub mod wait;
pub mod weave;
