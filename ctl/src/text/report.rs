//! `weavectl report --format text`.

use std::fmt::{self, Display};

use super::{Connections, Containers, Flows, Ipam, Names, Peers, Status, Targets};

use crate::exit::clean;

/// Every other text, each below its title
pub(crate) struct Report<'a>(pub(crate) &'a api::Report);

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let ready = if report.ready { "ready" } else { "not ready" };
        writeln!(f, "weaved is {ready}")?;
        write!(f, "{}", Status(&report.status))?;
        section(f, "connections", Connections(&report.connections))?;
        section(f, "peers", Peers(&report.peers))?;
        section(f, "targets", Targets(&report.targets))?;
        section(f, "containers", Containers(&report.containers))?;
        section(f, "flows", Flows(&report.flows))?;
        if let Some(ipam) = &report.status.ipam {
            section(f, "addresses", Ipam(ipam))?;
        }
        writeln!(f, "== changes of ownership")?;
        for change in &report.ownership {
            let from = change
                .from
                .as_ref()
                .map_or_else(|| "nobody".to_owned(), ToString::to_string);
            writeln!(
                f,
                "{} ms: {} to {} from {from} to {}, {} (epoch {})",
                change.at_ms,
                change.first,
                change.last,
                change.to,
                clean(&change.why),
                change.epoch
            )?;
        }
        writeln!(f)?;
        section(f, "names", Names(&report.names))?;
        writeln!(f, "== routes")?;
        for route in &report.unicast_routes {
            writeln!(f, "{} via {}", route.destination, route.via)?;
        }
        for route in &report.broadcast_routes {
            let via: Vec<String> = route.via.iter().map(ToString::to_string).collect();
            let via = if via.is_empty() {
                "none".to_owned()
            } else {
                via.join(", ")
            };
            writeln!(f, "flooded by {} via {via}", route.source)?;
        }
        writeln!(f, "\n== stations")?;
        for entry in &report.macs {
            write!(f, "{} at {}", entry.mac, entry.peer)?;
            match entry.seen_ms_ago {
                None => writeln!(f)?,
                Some(ms) => writeln!(f, " seen {}.{} s ago", ms / 1000, ms % 1000 / 100)?,
            }
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, text: impl Display) -> fmt::Result {
    writeln!(f, "== {title}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_below_its_title() {
        let peer = |n: u8| serde_json::json!({ "name": format!("7a:00:00:00:00:0{n}"), "nickname": format!("host{n}") });
        let report: api::Report = serde_json::from_value(serde_json::json!({
            "ready": true,
            "status": {
                "version": "0.1.0",
                "router": {
                    "protocol": { "min": 1, "max": 1 }, "name": "7a:00:00:00:00:01", "nickname": "host1", "uid": 1,
                    "port": 6783, "encryption": false, "peer_discovery": true, "targets": 1,
                    "connections": { "established": 1 }, "peers": { "total": 2, "established": 2, "pending": 0 },
                    "trusted_subnets": [],
                },
                "security": { "network": "weave", "password": "set", "weak_password": false, "banned": [], "disputes": [] },
                "datapath": { "kind": "bridge", "name": "weave", "reason": "no openvswitch in this kernel" },
                "overlay_mtu": 1438,
            },
            "connections": [{
                "outbound": true, "address": "10.0.0.2:6783", "state": "established", "peer": peer(2),
                "path": "sleeve", "mtu": 1438,
            }],
            "peers": [{ "name": "7a:00:00:00:00:01", "nickname": "host1", "uid": 1, "version": 1, "connections": [] }],
            "targets": ["10.0.0.2"],
            "containers": [{ "container": "c1", "mac": "02:00:00:00:00:0a", "addresses": ["10.32.0.1/12"] }],
            "flows": [],
            "unicast_routes": [{ "destination": peer(2), "via": peer(2) }],
            "broadcast_routes": [{ "source": peer(1), "via": [peer(2)] }, { "source": peer(2), "via": [] }],
            "macs": [
                { "mac": "02:00:00:00:00:0b", "peer": peer(2), "seen_ms_ago": 1234 },
                { "mac": "02:00:00:00:00:0c", "peer": peer(2) },
            ],
            "names": [{ "name": "c1", "address": "10.32.0.1", "container": "c1", "peer": peer(1) }],
            "ownership": [{
                "at_ms": 1_700_000_000_000_u64, "first": "10.32.0.0", "last": "10.47.255.255",
                "to": peer(1), "why": "first", "epoch": 0,
            }],
        }))
        .unwrap();
        let text = Report(&report).to_string();
        let (head, tail) = text.split_once("== connections").unwrap();
        assert!(
            head.starts_with("weaved is ready\n\n        Version: 0.1.0\n"),
            "{head}"
        );
        assert_eq!(
            tail,
            "
-> 10.0.0.2:6783         established sleeve 7a:00:00:00:00:02(host2) mtu=1438

== peers
7a:00:00:00:00:01(host1)

== targets
10.0.0.2

== containers
c1           02:00:00:00:00:0a 10.32.0.1/12

== flows

== changes of ownership
1700000000000 ms: 10.32.0.0 to 10.47.255.255 from nobody to 7a:00:00:00:00:01(host1), first (epoch 0)

== names
c1           10.32.0.1                 c1 7a:00:00:00:00:01

== routes
7a:00:00:00:00:02(host2) via 7a:00:00:00:00:02(host2)
flooded by 7a:00:00:00:00:01(host1) via 7a:00:00:00:00:02(host2)
flooded by 7a:00:00:00:00:02(host2) via none

== stations
02:00:00:00:00:0b at 7a:00:00:00:00:02(host2) seen 1.2 s ago
02:00:00:00:00:0c at 7a:00:00:00:00:02(host2)
"
        );
    }
}
