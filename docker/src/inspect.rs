//! What a container's inspection shows as its address.

use crate::object::{Object, json};

/// The inspection with the network's address in the place of that of Docker's bridge; nothing if the
/// container has none, or this is no inspection
pub fn rewrite(body: &[u8], network: &str) -> Option<Vec<u8>> {
    let mut container = Object::parse(str::from_utf8(body).ok()?)?;
    let mut settings = Object::parse(container.get("NetworkSettings")?)?;
    let networks = Object::parse(settings.get("Networks")?)?;
    let endpoint = Object::parse(networks.entry(network)?)?;
    let address = endpoint.get("IPAddress").filter(|text| *text != json(""))?;
    let shown = [
        ("MacAddress", endpoint.get("MacAddress")?),
        ("IPAddress", address),
        ("IPPrefixLen", endpoint.get("IPPrefixLen")?),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    for (name, value) in shown {
        settings.set(name, value);
    }
    let settings = settings.to_string();
    container.set("NetworkSettings", settings);
    Some(container.to_string().into_bytes())
}
