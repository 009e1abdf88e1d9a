//! The body of a network's creation: one of our driver gets our driver of addresses, too.
//!
//! Docker's own would give the same addresses on every host.

use crate::object::{Object, json};

/// What Docker calls its own driver of addresses
const DEFAULT: &str = "default";

/// The creation with the driver of addresses that belongs to this driver of networks; nothing if it is
/// another driver's network, if the client chose a driver of addresses, or if this is no creation
pub fn rewrite(body: &[u8], driver: &str) -> Option<Vec<u8>> {
    let (mut network, rest) = Object::first(str::from_utf8(body).ok()?)?;
    if network.read::<String>("Driver")? != driver {
        return None;
    }
    let mut ipam = network.object("IPAM")?;
    if !["", DEFAULT].contains(&ipam.read::<String>("Driver")?.as_str()) {
        return None;
    }
    ipam.set("Driver", json(driver));
    network.set("IPAM", ipam.to_string());
    Some(format!("{network}{rest}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn became(body: &str) -> Option<String> {
        rewrite(body.as_bytes(), "weave").map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_network_of_our_driver_gets_our_addresses() {
        for (body, after) in [
            // Docker's client 20.10: network create -d weave --subnet 10.3.0.0/24 n1
            (
                r#"{"CheckDuplicate":true,"Driver":"weave","EnableIPv6":false,"IPAM":{"Driver":"default","Options":{},"Config":[{"Subnet":"10.3.0.0/24"}]},"Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":{},"Labels":{},"Name":"n1"}
"#,
                r#"{"CheckDuplicate":true,"Driver":"weave","EnableIPv6":false,"IPAM":{"Driver":"weave","Options":{},"Config":[{"Subnet":"10.3.0.0/24"}]},"Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":{},"Labels":{},"Name":"n1"}
"#,
            ),
            (
                r#"{"Name":"n1","Driver":"weave"}"#,
                r#"{"Name":"n1","Driver":"weave","IPAM":{"Driver":"weave"}}"#,
            ),
            (
                r#"{"driver":"weave","ipam":null}"#,
                r#"{"driver":"weave","ipam":{"Driver":"weave"}}"#,
            ),
        ] {
            assert_eq!(became(body).as_deref(), Some(after));
            assert_eq!(became(after), None, "it has them");
        }
    }

    #[test]
    fn other_networks_are_left_alone() {
        for body in [
            "",
            "[]",
            r#"{"Name":"n1"}"#,
            r#"{"Name":"n1","Driver":"bridge"}"#,
            r#"{"Name":"n1","Driver":"weave","IPAM":{"Driver":"null"}}"#,
            r#"{"Name":"n1","Driver":"weave","IPAM":{"Driver":"infoblox"}}"#,
            r#"{"Name":"n1","Driver":"weave","IPAM":7}"#,
            r#"{"Name":"n1","Driver":["weave"]}"#,
        ] {
            assert_eq!(became(body), None, "{body}");
        }
        assert_eq!(rewrite(b"{\"Driver\":\"weave\xff\"}", "weave"), None);
    }
}
