//! A container on a network, as Docker shows it, and what weaved knows it as there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::create::option;
use crate::multicast::multicast;

/// What a container is known as begins with this, if an address was handed out for it before its interface
const ADDRESS_PREFIX: &str = "address:";
/// The same, where nothing is told but Docker's id of the interface
const ENDPOINT_PREFIX: &str = "endpoint:";
/// How much of that id it is: enough to be one of a kind on a host
const ENDPOINT_CHARACTERS: usize = 12;
/// Docker's driver of addresses that has none: the driver of the network gives them
const NO_ADDRESSES: &str = "null";
/// How much of a container's id Docker makes an alias of
const SHORT_ID: usize = 12;

/// What weaved knows a container as, by what Docker tells of its interface
///
/// `options` is what the driver is told, `endpoint` Docker's id of the interface, and `address` what was chosen
/// for it before the driver was asked, with its prefix or without; empty if nothing was. What the proxy told comes
/// first: it is the same at every start. An address may be somebody else's at the next, and an id never comes
/// back.
pub fn known_as(options: &Map<String, Value>, endpoint: &str, address: &str) -> String {
    if let Some(told) = text(options, option::CONTAINER) {
        return told.to_owned();
    }
    let address = address.split('/').next().unwrap_or_default();
    match address.parse::<Ipv4Addr>() {
        Ok(address) => format!("{ADDRESS_PREFIX}{address}"),
        Err(_none) => {
            let id = endpoint.chars().take(ENDPOINT_CHARACTERS);
            ENDPOINT_PREFIX.chars().chain(id).collect()
        }
    }
}

/// Whether something is known so of which nothing was told but its interface
pub fn is_of_the_driver(known_as: &str) -> bool {
    [ADDRESS_PREFIX, ENDPOINT_PREFIX]
        .iter()
        .any(|prefix| known_as.starts_with(prefix))
}

/// What is told by one of the driver's options, unless it is blank
pub(crate) fn text<'a>(options: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let told = options.get(name).and_then(Value::as_str);
    told.filter(|text| !text.trim().is_empty())
}

/// One of Docker's networks, as it is listed or shown
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Network {
    /// Docker's id of it
    #[serde(deserialize_with = "or_empty")]
    id: String,
    #[serde(deserialize_with = "or_empty")]
    driver: String,
    #[serde(rename = "IPAM", deserialize_with = "or_empty")]
    ipam: Ipam,
    #[serde(deserialize_with = "or_empty")]
    options: Map<String, Value>,
}

impl Network {
    /// Docker's id of it
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether its containers get a route for multicast
    pub fn has_multicast(&self) -> bool {
        multicast(&self.options)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    #[serde(deserialize_with = "or_empty")]
    driver: String,
}

/// The networks of one driver: which they are, and whether their addresses are chosen before it is asked
#[derive(Debug, Clone, Default)]
pub struct Networks(BTreeMap<String, bool>);

impl Networks {
    /// Those among all that are of this driver
    pub fn of(driver: &str, all: impl IntoIterator<Item = Network>) -> Self {
        let ours = all.into_iter().filter(|network| network.driver == driver);
        Self(
            ours.map(|one| (one.id, one.ipam.driver != NO_ADDRESSES))
                .collect(),
        )
    }
}

/// A container on one of Docker's networks, of its inspection
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Connected {
    /// Docker's id of the network
    #[serde(rename = "NetworkID", deserialize_with = "or_empty")]
    pub network_id: String,
    /// Docker's id of the interface; empty while there is none
    #[serde(rename = "EndpointID", deserialize_with = "or_empty")]
    pub endpoint_id: String,
    /// Its address there, while it has one
    #[serde(rename = "IPAddress", deserialize_with = "or_empty")]
    address: String,
    /// What the driver is told
    #[serde(deserialize_with = "or_empty")]
    driver_opts: Map<String, Value>,
    #[serde(deserialize_with = "or_empty")]
    aliases: Vec<String>,
}

impl Connected {
    /// Whether the proxy connected it
    pub fn is_by_proxy(&self) -> bool {
        text(&self.driver_opts, option::CONTAINER).is_some()
    }

    /// What weaved knows the container as; nothing if the network is not one of these, or it has no interface
    pub fn known_as(&self, networks: &Networks) -> Option<String> {
        let is_chosen_before = networks.0.get(&self.network_id)?;
        let address = if *is_chosen_before { &self.address } else { "" };
        let has_one = !self.endpoint_id.is_empty() || self.is_by_proxy();
        has_one.then(|| known_as(&self.driver_opts, &self.endpoint_id, address))
    }

    /// What it is called on this network besides its name, without what Docker itself makes of its id
    pub fn aliases<'a>(&'a self, container: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.aliases.iter().map(String::as_str);
        all.filter(|alias| container.get(..SHORT_ID) != Some(alias))
    }
}

/// A value, or the empty one for null
fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "7e83f5abb7575f30440b528e72590664b1fb717a5843a59a09f6c819b87fd413";

    fn networks() -> Networks {
        let all = json!([
            { "Id": "n0", "Driver": "bridge", "IPAM": { "Driver": "default" } },
            { "Id": "n1", "Driver": "weave", "IPAM": { "Driver": "null" } },
            { "Id": "n2", "Driver": "weave", "IPAM": { "Driver": "weave" } },
            { "Id": "n3", "Driver": "weave", "IPAM": { "Driver": "default" } },
            { "Id": "n4", "Driver": "weave", "IPAM": null },
            { "Id": "n5", "Driver": null },
        ]);
        Networks::of("weave", serde_json::from_value::<Vec<Network>>(all).unwrap())
    }

    fn connected(network: &str, more: Value) -> Connected {
        let mut value = json!({
            "NetworkID": network, "EndpointID": "0123456789abcdef", "IPAddress": "10.3.0.7", "DriverOpts": null,
        });
        let members = value.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn one_way_to_the_network_is_one_way_of_being_known() {
        let by_proxy = json!({ "DriverOpts": { "works.weave.container": ID } });
        let not_started =
            json!({ "DriverOpts": { "works.weave.container": ID }, "EndpointID": "", "IPAddress": "" });
        for (network, more, known) in [
            ("n0", json!({}), None),
            ("n0", by_proxy.clone(), None),
            ("n1", json!({}), Some("endpoint:0123456789ab")),
            ("n1", by_proxy.clone(), Some(ID)),
            ("n1", not_started, Some(ID)),
            (
                "n1",
                json!({ "DriverOpts": { "works.weave.container": " " } }),
                Some("endpoint:0123456789ab"),
            ),
            ("n2", json!({}), Some("address:10.3.0.7")),
            ("n2", json!({ "EndpointID": "" }), None),
            ("n2", json!({ "IPAddress": "" }), Some("endpoint:0123456789ab")),
            ("n2", by_proxy, Some(ID)),
            ("n3", json!({}), Some("address:10.3.0.7")),
            ("n4", json!({}), Some("address:10.3.0.7")),
            ("n5", json!({}), None),
            ("n6", json!({}), None),
        ] {
            let connected = connected(network, more);
            assert_eq!(connected.known_as(&networks()).as_deref(), known, "{connected:?}");
        }
    }

    #[test]
    fn an_address_has_its_prefix_or_not() {
        let none = Map::new();
        for address in ["10.3.0.7", "10.3.0.7/24"] {
            assert_eq!(known_as(&none, "e", address), "address:10.3.0.7");
        }
        for address in ["", "10.3.0", "fd00::1/64", "/24"] {
            assert_eq!(known_as(&none, "e", address), "endpoint:e", "{address}");
        }
    }

    #[test]
    fn what_docker_makes_of_the_id_is_no_alias() {
        let named = connected("n1", json!({ "Aliases": ["web", "7e83f5abb757", "7e83f5"] }));
        assert!(named.aliases(ID).eq(["web", "7e83f5"]));
        assert_eq!(connected("n1", json!({ "Aliases": null })).aliases(ID).count(), 0);
    }
}
