//! A container's connection to the network, and what its driver is told by it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::object::json;

/// The names of what a driver is told of an endpoint
pub mod option {
    /// By which key the container is known
    pub const CONTAINER: &str = "works.weave.container";
    /// Which addresses it asks for, separated by blanks; absent: one of the default subnet
    pub const ADDRESSES: &str = "works.weave.addresses";
    /// Its whole name in DNS; absent: it has none
    pub const NAME: &str = "works.weave.name";
}

/// What a container is connected with
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The Docker network
    pub network: String,
    /// By which key the container is known
    pub key: String,
    /// Which addresses it asks for, separated by blanks; empty: one of the default subnet
    pub addresses: String,
    /// Its whole name in DNS as far as its creation says; nothing if Docker names it, or it is to have none
    pub name: Option<String>,
}

impl Connect {
    /// The body of `POST /networks/NETWORK/connect`
    pub fn body(&self, container: &str) -> Vec<u8> {
        let request = Request {
            container,
            endpoint: Endpoint {
                options: self.options(),
            },
        };
        json(&request).into_bytes()
    }

    /// What the driver is told
    pub fn options(&self) -> BTreeMap<&'static str, &str> {
        let mut options = BTreeMap::from([(option::CONTAINER, self.key.as_str())]);
        if !self.addresses.is_empty() {
            options.insert(option::ADDRESSES, &self.addresses);
        }
        if let Some(name) = &self.name {
            options.insert(option::NAME, name);
        }
        options
    }
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "Container")]
    container: &'a str,
    #[serde(rename = "EndpointConfig")]
    endpoint: Endpoint<'a>,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    #[serde(rename = "DriverOpts")]
    options: BTreeMap<&'static str, &'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_told_what_there_is_to_tell() {
        let connect = Connect {
            network: "weave".to_owned(),
            key: "key:1".to_owned(),
            addresses: "10.2.1.1/24 net:default".to_owned(),
            name: Some("c\"1.weave.local".to_owned()),
        };
        let nothing = Connect {
            addresses: String::new(),
            name: None,
            ..connect.clone()
        };
        for (connect, body) in [
            (
                connect,
                r#"{"Container":"5f3a","EndpointConfig":{"DriverOpts":{"works.weave.addresses":"10.2.1.1/24 net:default","works.weave.container":"key:1","works.weave.name":"c\"1.weave.local"}}}"#,
            ),
            (
                nothing,
                r#"{"Container":"5f3a","EndpointConfig":{"DriverOpts":{"works.weave.container":"key:1"}}}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(connect.body("5f3a")).unwrap(), body);
        }
    }
}
