//! The names of containers.

use std::net::Ipv4Addr;

use model::ContainerId;
use serde::{Deserialize, Serialize};

use crate::bounded::bounded;
use crate::{ADDRESSES_LIMIT, ContainerSpec, PeerRef};

/// Give addresses a name, or take it from them
///
/// Without a container the name is for addresses outside the network; without addresses it is for all that
/// the container has; without a name it is the container's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameRequest {
    /// The container
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
    /// The addresses, at most [`ADDRESSES_LIMIT`]
    #[serde(default, deserialize_with = "bounded::<_, _, ADDRESSES_LIMIT>")]
    pub addresses: Vec<Ipv4Addr>,
    /// The name, with or without the domain
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a name stands for
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupRequest {
    /// The name, with or without the domain
    pub name: String,
}

/// A name and one of its addresses
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameEntry {
    /// The name, without the domain
    pub name: String,
    /// The address
    pub address: Ipv4Addr,
    /// Whose it is
    pub container: ContainerId,
    /// Where that is
    pub peer: PeerRef,
}

/// Size of the copies of other hosts' names, beside the limit
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesFill {
    /// Hosts whose names are known
    pub origins: usize,
    /// Names of these hosts
    pub entries: usize,
    /// Bytes of memory that they are held to take
    pub bytes: usize,
    /// The most that `bytes` may be
    pub max_bytes: usize,
    /// Bytes of messages that wait for the rest of a host's names
    pub waiting_bytes: usize,
}

/// The server of names
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsStatus {
    /// The domain of containers' names
    pub domain: String,
    /// Where it listens
    pub listening: Vec<String>,
    /// Where containers can ask that are on Docker's own bridge: on port 53
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_containers: Option<Ipv4Addr>,
    /// Where other names are asked for
    pub upstream: Vec<String>,
    /// How long answers hold, in seconds
    pub ttl: u32,
    /// How many names there are
    pub entries: usize,
}
