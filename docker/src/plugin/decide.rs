//! What Docker's request for an interface asks of the network.

use serde_json::Value;

use super::network::CreateEndpoint;
use crate::create::option;

/// What the key of a container begins with that Docker connected without the proxy
pub const ENDPOINT_PREFIX: &str = "endpoint:";

/// How much of the id of such an endpoint is in its key: enough to be one of a kind on a host
const ID_CHARACTERS: usize = 12;

/// What the interface is to have
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// By which key the container is known
    pub key: String,
    /// Which addresses it asks for, separated by blanks; empty: one of the default subnet
    pub addresses: String,
    /// Its whole name in DNS, if it is to have one
    pub name: Option<String>,
}

impl From<&CreateEndpoint> for Wanted {
    /// What the proxy told by the options comes first, then the address that Docker gives
    fn from(request: &CreateEndpoint) -> Self {
        let said = |name| {
            request
                .options
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.trim().is_empty())
        };
        let id = request.endpoint_id.chars().take(ID_CHARACTERS);
        Self {
            key: said(option::CONTAINER)
                .map_or_else(|| ENDPOINT_PREFIX.chars().chain(id).collect(), str::to_owned),
            addresses: said(option::ADDRESSES)
                .unwrap_or(&request.interface.address)
                .to_owned(),
            name: said(option::NAME).map(str::to_owned),
        }
    }
}
