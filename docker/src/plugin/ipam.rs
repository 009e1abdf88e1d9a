//! What the driver of addresses is asked and answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::network::or_empty;

/// What Docker has to tell the driver
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct IpamCapabilities {
    /// Whether the address of the hardware is to be chosen first
    #[serde(rename = "RequiresMACAddress")]
    pub requires_mac_address: bool,
    /// Whether Docker repeats what it asked when it starts
    #[serde(rename = "RequiresRequestReplay")]
    pub requires_request_replay: bool,
}

/// What the spaces of addresses are called
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddressSpaces {
    /// For networks of one host
    pub local_default_address_space: String,
    /// For networks of several
    pub global_default_address_space: String,
}

/// A network is to have a subnet
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PoolRequest {
    /// Of which space
    #[serde(deserialize_with = "or_empty")]
    pub address_space: String,
    /// The subnet with its prefix; empty: any
    #[serde(deserialize_with = "or_empty")]
    pub pool: String,
    /// The part of it that addresses are chosen of; empty: all
    #[serde(deserialize_with = "or_empty")]
    pub sub_pool: String,
    /// What was said of it
    #[serde(deserialize_with = "or_empty")]
    pub options: BTreeMap<String, String>,
    /// Whether it is of IPv6
    #[serde(deserialize_with = "or_empty")]
    pub v6: bool,
}

/// The subnet of a network
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PoolAnswer {
    /// What it is called from here on
    #[serde(rename = "PoolID")]
    pub pool_id: String,
    /// With its prefix
    pub pool: String,
    /// What else there is to say
    pub data: BTreeMap<String, String>,
}

/// A subnet is used no more
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PoolReleased {
    /// Which
    #[serde(rename = "PoolID", deserialize_with = "or_empty")]
    pub pool_id: String,
}

/// A container is to have an address
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddressRequest {
    /// Of which subnet
    #[serde(rename = "PoolID", deserialize_with = "or_empty")]
    pub pool_id: String,
    /// Which, without a prefix; empty: any
    #[serde(deserialize_with = "or_empty")]
    pub address: String,
    /// What was said of it
    #[serde(deserialize_with = "or_empty")]
    pub options: BTreeMap<String, String>,
}

/// What an address is for, of the options of a request: the way out of a subnet
const GATEWAY: (&str, &str) = ("RequestAddressType", "com.docker.network.gateway");

impl AddressRequest {
    /// Whether it is not for a container, but the way out of the subnet
    pub fn is_gateway(&self) -> bool {
        let (name, value) = GATEWAY;
        self.options.get(name).is_some_and(|given| given == value)
    }
}

/// The address of a container
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddressAnswer {
    /// With its prefix
    pub address: String,
    /// What else there is to say
    pub data: BTreeMap<String, String>,
}

/// An address is used no more
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddressReleased {
    /// Of which subnet
    #[serde(rename = "PoolID", deserialize_with = "or_empty")]
    pub pool_id: String,
    /// Which, without a prefix
    #[serde(deserialize_with = "or_empty")]
    pub address: String,
}

/// What was asked of the driver of addresses cannot be
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamFailure {
    /// Why, and what to do; Docker shows it to whoever asked Docker
    pub error: String,
}
