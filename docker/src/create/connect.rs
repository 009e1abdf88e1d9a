//! A container's connection to the network, and what its driver is told by it.

use crate::object::{Object, json};

/// The names of what a driver is told of an endpoint
pub mod option {
    /// The container's whole id
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
    /// Which addresses it asks for, separated by blanks; empty: one of the default subnet
    pub addresses: String,
    /// Its whole name in DNS as far as its creation says; nothing if Docker names it, or it is to have none
    pub name: Option<String>,
    /// What the client said of the endpoint, as JSON, where the creation connects the container already: it is
    /// disconnected first, since what the driver is told has the container's id in it
    pub anew: Option<String>,
}

impl Connect {
    /// The body of `POST /networks/NETWORK/connect` for a container, by its whole id
    pub fn body(&self, container: &str) -> Vec<u8> {
        let said = self.anew.as_deref().and_then(Object::parse);
        let mut endpoint = said.unwrap_or_default();
        let mut options = endpoint.object("DriverOpts").unwrap_or_default();
        if !self.addresses.is_empty() {
            options.insert(option::ADDRESSES, json(&self.addresses));
        }
        options.insert(option::CONTAINER, json(container));
        if let Some(name) = &self.name {
            options.insert(option::NAME, json(name));
        }
        endpoint.set("DriverOpts", options.to_string());
        format!(
            r#"{{"Container":{},"EndpointConfig":{endpoint}}}"#,
            json(container)
        )
        .into_bytes()
    }

    /// The body of `POST /networks/NETWORK/disconnect`, if that is to come first
    pub fn first(&self, container: &str) -> Option<Vec<u8>> {
        let body = || format!(r#"{{"Container":{},"Force":true}}"#, json(container));
        self.anew.as_ref().map(|_| body().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_told_what_there_is_to_tell() {
        let connect = Connect {
            network: "weave".to_owned(),
            addresses: "10.2.1.1/24 net:default".to_owned(),
            name: Some("c\"1.weave.local".to_owned()),
            anew: None,
        };
        let nothing = Connect {
            addresses: String::new(),
            name: None,
            ..connect.clone()
        };
        let anew = Connect {
            anew: Some(r#"{"DriverOpts":{"a":"b"},"MacAddress":"02:00:00:00:00:01"}"#.to_owned()),
            ..nothing.clone()
        };
        assert_eq!((nothing.first("5f3a"), connect.first("5f3a")), (None, None));
        let first = String::from_utf8(anew.first("5f3a").unwrap()).unwrap();
        assert_eq!(first, r#"{"Container":"5f3a","Force":true}"#);
        for (connect, body) in [
            (
                connect,
                r#"{"Container":"5f3a","EndpointConfig":{"DriverOpts":{"works.weave.addresses":"10.2.1.1/24 net:default","works.weave.container":"5f3a","works.weave.name":"c\"1.weave.local"}}}"#,
            ),
            (
                nothing,
                r#"{"Container":"5f3a","EndpointConfig":{"DriverOpts":{"works.weave.container":"5f3a"}}}"#,
            ),
            (
                anew,
                r#"{"Container":"5f3a","EndpointConfig":{"DriverOpts":{"a":"b","works.weave.container":"5f3a"},"MacAddress":"02:00:00:00:00:01"}}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(connect.body("5f3a")).unwrap(), body);
        }
    }
}
