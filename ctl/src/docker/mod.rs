//! What people do with Docker's containers: name them to weavectl, and have their clients use the proxy.
//!
//! Docker is asked by its own client, `docker`, which knows where Docker is, by whatever means.

mod container;
mod environment;
mod files;
mod network;
mod proxy;
mod run;

pub(crate) use self::container::{Found, find};
pub(crate) use self::environment::{config, dns_args, env};
pub(crate) use self::network::remove as remove_network;
pub(crate) use self::proxy::{connect, served};
pub(crate) use self::run::run;

/// The client of Docker
const CLIENT: &str = "docker";

/// Where Docker listens unless told otherwise
pub(crate) const SOCKET: &str = "/var/run/docker.sock";
