//! What is put on a path: datagrams, requests and answers, frames of made-up stations.
//!
//! Both ends are threads of this program with sockets in the namespaces of the two ends. A system call
//! and a look at the clock are dear in a guest, so whatever counts moves many messages a call.

pub(crate) mod batch;
pub mod first;
pub mod flood;
pub mod newcomers;
pub mod packets;
pub mod round_trips;
pub mod setups;
mod station;
pub mod streams;

use std::time::Duration;

/// How long a receiver waits before it looks whether it is still wanted
const PATIENCE: Duration = Duration::from_millis(100);

/// Room for what the receiver has not got round to; the kernel counts a small packet as nearly 1 KB
const RECEIVE_BUFFER: usize = 16 << 20;
