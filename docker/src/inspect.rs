//! What a container's inspection shows as its address.

use crate::object::{Object, json};

/// The inspection with the network's address in the place of that of Docker's bridge; nothing if the
/// container has none, or this is no inspection
pub fn rewrite(body: &[u8], network: &str) -> Option<Vec<u8>> {
    let (mut container, rest) = Object::first(str::from_utf8(body).ok()?)?;
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
    Some(format!("{container}{rest}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_network_is_shown_and_the_rest_stays() {
        let (before, after) = (
            include_str!("../tests/inspect/before.json"),
            include_str!("../tests/inspect/after.json"),
        );
        assert_ne!(before, after);
        assert_eq!(text(rewrite(before.as_bytes(), "weave")).unwrap(), after);
        assert_eq!(text(rewrite(after.as_bytes(), "weave")).unwrap(), after);
    }

    #[test]
    fn a_container_without_an_address_on_the_network_stays() {
        for body in [
            "",
            "[]",
            r#"{"message":"No such container: c1"}"#,
            r#"{"NetworkSettings":null}"#,
            r#"{"NetworkSettings":{"Networks":null}}"#,
            r#"{"NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2","IPPrefixLen":16,"MacAddress":""}}}}"#,
            r#"{"NetworkSettings":{"Networks":{"weave":null}}}"#,
            r#"{"NetworkSettings":{"Networks":{"weave":{"IPAddress":"","IPPrefixLen":0,"MacAddress":""}}}}"#,
            r#"{"NetworkSettings":{"Networks":{"Weave":{"IPAddress":"10.2.1.1","IPPrefixLen":24,"MacAddress":""}}}}"#,
        ] {
            assert_eq!(text(rewrite(body.as_bytes(), "weave")), None, "{body}");
        }
        assert_eq!(rewrite(b"{\xff", "weave"), None);
    }

    #[test]
    fn fields_that_docker_leaves_out_are_added() {
        let body = r#"{"NetworkSettings":{"Networks":{"weave":{"IPAddress":"10.2.1.1","IPPrefixLen":24,"MacAddress":"02:00:00:00:00:01"}}}}"#;
        assert!(
            text(rewrite(body.as_bytes(), "weave")).unwrap().ends_with(
                r#"}},"MacAddress":"02:00:00:00:00:01","IPAddress":"10.2.1.1","IPPrefixLen":24}}"#
            )
        );
    }

    fn text(bytes: Option<Vec<u8>>) -> Option<String> {
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    }
}
