//! `weavectl status peers` and `weavectl status targets`.

use std::fmt::{self, Display};

use api::Peer;
use model::Target;

use super::direction;

/// A line for each peer, and below it one for each of its connections
pub(crate) struct Peers<'a>(pub(crate) &'a [Peer]);

impl Display for Peers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for peer in self.0 {
            writeln!(f, "{}({})", peer.name, peer.nickname)?;
            for connection in &peer.connections {
                writeln!(
                    f,
                    "   {} {:<21} {:<37} {}",
                    direction(connection.outbound),
                    connection.address.to_string(),
                    connection.peer.to_string(),
                    if connection.established {
                        "established"
                    } else {
                        "pending"
                    }
                )?;
            }
        }
        Ok(())
    }
}

/// A line for each target, as it was given
pub(crate) struct Targets<'a>(pub(crate) &'a [Target]);

impl Display for Targets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|target| writeln!(f, "{target}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_listed_with_their_connections() {
        let peers: Vec<Peer> = serde_json::from_value(serde_json::json!([
            {
                "name": "ce:31:e0:06:45:1a", "nickname": "host1", "uid": 1, "short_id": "1", "version": 3,
                "connections": [
                    {
                        "peer": { "name": "ea:2d:b2:e6:e4:f5", "nickname": "host2" },
                        "address": "192.168.48.12:56069", "outbound": false, "established": true,
                    },
                    {
                        "peer": { "name": "ea:2d:b2:e6:e4:f6", "nickname": "host3" },
                        "address": "192.168.48.13:6783", "outbound": true, "established": false,
                    },
                ],
            },
            { "name": "ea:2d:b2:e6:e4:f5", "nickname": "host2", "uid": 2, "version": 1, "connections": [] },
        ]))
        .unwrap();
        assert_eq!(
            Peers(&peers).to_string(),
            "\
ce:31:e0:06:45:1a(host1)
   <- 192.168.48.12:56069   ea:2d:b2:e6:e4:f5(host2)              established
   -> 192.168.48.13:6783    ea:2d:b2:e6:e4:f6(host3)              pending
ea:2d:b2:e6:e4:f5(host2)
"
        );
    }

    #[test]
    fn targets_are_listed_as_given() {
        let targets = ["192.168.1.1", "host2:7000"].map(|text| text.parse().unwrap());
        assert_eq!(Targets(&targets).to_string(), "192.168.1.1\nhost2:7000\n");
    }
}
