//! What Docker's request for an interface asks of the network.

use super::network::CreateEndpoint;
use crate::connected::{known_as, text};
use crate::create::option;

/// What the interface is to have
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What the container is known as
    pub key: String,
    /// Which addresses it asks for, separated by blanks; empty: one of the default subnet
    pub addresses: String,
    /// Its whole name in DNS, if it is to have one
    pub name: Option<String>,
    /// The proxy asks for it
    pub by_proxy: bool,
}

impl From<&CreateEndpoint> for Wanted {
    /// What the proxy told by the options comes first, then the address that Docker gives
    fn from(request: &CreateEndpoint) -> Self {
        let told = |name| text(&request.options, name);
        let address = &request.interface.address;
        Self {
            key: known_as(&request.options, &request.endpoint_id, address),
            addresses: told(option::ADDRESSES).unwrap_or(address).to_owned(),
            name: told(option::NAME).map(str::to_owned),
            by_proxy: told(option::CONTAINER).is_some(),
        }
    }
}
