//! `weavectl status`.

use std::fmt::{self, Display};

use api::{
    ConnectionCounts, ConnectionState, Datapath, Dispatch, PacketFilter, PasswordState, PeerCounts, Protocol,
    Security, StatusReport,
};

use crate::exit::clean;

/// One section for each service, with blank lines around
pub(crate) struct Status<'a>(pub(crate) &'a StatusReport);

impl Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status) = self;
        let router = &status.router;
        writeln!(f)?;
        field(f, "Version", clean(&status.version))?;
        writeln!(f)?;
        field(f, "Service", "router")?;
        field(f, "Protocol", protocol(router.protocol))?;
        field(f, "Name", format_args!("{}({})", router.name, router.nickname))?;
        field(f, "Network", clean(&status.security.network))?;
        field(f, "Encryption", enabled(router.encryption))?;
        if status.security.password == PasswordState::Rotating {
            field(f, "Passwords", status.security.password)?;
        }
        if let Some(line) = openness(&status.security) {
            field(f, "Warning", line)?;
        }
        for banned in &status.security.banned {
            field(
                f,
                "Banned",
                format_args!("{} (key {})", banned.peer, clean(&banned.key)),
            )?;
        }
        for dispute in &status.security.disputes {
            let (claimant, at) = (clean(&dispute.claimant), &dispute.at);
            field(
                f,
                "NameConflict",
                format_args!(
                    "{} is claimed by the key {claimant}, and was refused by {}({})",
                    dispute.name, at.name, at.nickname
                ),
            )?;
        }
        field(f, "PeerDiscovery", enabled(router.peer_discovery))?;
        field(f, "Targets", router.targets)?;
        field(f, "Connections", connections(&router.connections))?;
        field(f, "Peers", peers(&router.peers))?;
        field(f, "TrustedSubnets", list(&router.trusted_subnets))?;
        writeln!(f)?;
        field(f, "Service", "datapath")?;
        datapath(f, &status.datapath)?;
        field(f, "MTU", status.overlay_mtu)?;
        field(
            f,
            "SleeveThreads",
            format_args!("{} each way", status.sleeve_threads),
        )?;
        let drops = status.drops.iter().filter(|(_, count)| **count > 0);
        let drops: Vec<_> = drops
            .map(|(reason, count)| format!("{count} {}", clean(reason)))
            .collect();
        field(f, "Drops", list(&drops))?;
        if let Some(host) = &status.host {
            writeln!(f)?;
            field(f, "Service", "host")?;
            match (host.filter, &host.filter_error) {
                (PacketFilter::Nftables, _) => field(f, "Filter", "nftables")?,
                (PacketFilter::Iptables, _) => field(f, "Filter", "iptables")?,
                (PacketFilter::None, None) => field(f, "Filter", "none")?,
                (PacketFilter::None, Some(why)) => field(f, "Filter", format_args!("none ({})", clean(why)))?,
            }
            field(f, "Exposed", list(&host.exposed))?;
            if !host.exposed.is_empty() {
                field(f, "ExposedTo", &host.exposed_to)?;
            }
        }
        if let Some(store) = &status.store {
            writeln!(f)?;
            field(f, "Service", "state")?;
            match &store.message {
                None => field(f, "Status", store.state)?,
                Some(why) => field(f, "Status", format_args!("{}: {}", store.state, clean(why)))?,
            }
        }
        if let Some(ipam) = &status.ipam {
            writeln!(f)?;
            field(f, "Service", "ipam")?;
            match &ipam.why {
                None => field(f, "Status", ipam.state)?,
                Some(why) => field(f, "Status", format_args!("{} ({})", ipam.state, clean(why)))?,
            }
            field(f, "Range", ipam.range)?;
            field(f, "DefaultSubnet", ipam.default_subnet)?;
            if !ipam.conflicts.is_empty() {
                field(
                    f,
                    "Conflicts",
                    format_args!("{}: see 'weavectl status ipam'", ipam.conflicts.len()),
                )?;
            }
        }
        if let Some(dns) = &status.dns {
            let clean = |texts: &[String]| -> Vec<String> { texts.iter().map(|text| clean(text)).collect() };
            writeln!(f)?;
            field(f, "Service", "dns")?;
            field(f, "Domain", &dns.domain)?;
            field(f, "Listening", list(&clean(&dns.listening)))?;
            field(f, "Upstream", list(&clean(&dns.upstream)))?;
            field(f, "TTL", dns.ttl)?;
            field(f, "Entries", dns.entries)?;
            if let Some(fill) = &status.names {
                let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
                let (used, most) = (mib(fill.bytes), mib(fill.max_bytes));
                field(
                    f,
                    "Copies",
                    format_args!("{} hosts, {used:.1} of {most:.0} MiB", fill.origins),
                )?;
            }
        }
        writeln!(f)
    }
}

fn datapath(f: &mut fmt::Formatter<'_>, datapath: &Datapath) -> fmt::Result {
    match datapath {
        Datapath::Fastdp {
            name,
            dispatch,
            stats,
        } => {
            field(f, "Kind", format_args!("fastdp: datapath {name}"))?;
            match dispatch {
                Dispatch::PerCpu { sockets } => {
                    field(f, "Dispatch", format_args!("per CPU ({sockets} sockets)"))?
                }
                Dispatch::PerPort { sockets } => {
                    field(f, "Dispatch", format_args!("per port ({sockets} sockets)"))?
                }
            }
            field(
                f,
                "Packets",
                format_args!("{} hit, {} missed, {} lost", stats.hit, stats.missed, stats.lost),
            )?;
            field(
                f,
                "Flows",
                format_args!("{} ({} masks)", stats.flows, stats.masks),
            )
        }
        Datapath::Bridge { name: _, reason } => field(f, "Kind", format_args!("bridge: {}", clean(reason))),
    }
}

/// One line about a network that is open, or easily opened
pub(crate) fn openness(security: &Security) -> Option<String> {
    let network = clean(&security.network);
    match (security.password, security.weak_password) {
        (PasswordState::Open, _) => Some(format!(
            "network {network} has no password: whoever reaches this host can join it and read its traffic"
        )),
        (PasswordState::Set | PasswordState::Rotating, true) => Some(format!(
            "the password of network {network} can be found by trying; weavectl genkey makes a strong one"
        )),
        (PasswordState::Set | PasswordState::Rotating, false) => None,
    }
}

/// `Label: value`, with the colons of all fields below each other
fn field(f: &mut fmt::Formatter<'_>, label: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "{label:>15}: {value}")
}

fn protocol(Protocol { min, max }: Protocol) -> String {
    if min == max {
        format!("weave {max}")
    } else {
        format!("weave {min}..{max}")
    }
}

fn enabled(is: bool) -> &'static str {
    if is { "enabled" } else { "disabled" }
}

fn connections(counts: &ConnectionCounts) -> String {
    let by_state: Vec<String> = ConnectionState::ALL
        .iter()
        .filter(|state| counts.of(**state) > 0)
        .map(|state| format!("{} {state}", counts.of(*state)))
        .collect();
    match by_state.as_slice() {
        [] => "0".to_owned(),
        some => format!("{} ({})", counts.total(), some.join(", ")),
    }
}

fn peers(counts: &PeerCounts) -> String {
    let by_state: Vec<String> = [(counts.established, "established"), (counts.pending, "pending")]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    match by_state.as_slice() {
        [] => counts.total.to_string(),
        some => format!("{} (with {} connections)", counts.total, some.join(", ")),
    }
}

fn list<T: Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_open_vswitch() {
        let status: StatusReport = serde_json::from_value(serde_json::json!({
            "version": "0.1.0",
            "router": {
                "protocol": { "min": 1, "max": 2 },
                "name": "ce:31:e0:06:45:1a",
                "nickname": "host1",
                "uid": 1,
                "short_id": "291",
                "port": 6783,
                "encryption": true,
                "peer_discovery": true,
                "targets": 2,
                "connections": { "established": 2, "held": 1, "pending": 1, "retrying": 1, "failed": 1, "connecting": 1 },
                "peers": { "total": 3, "established": 6, "pending": 0 },
                "trusted_subnets": ["10.1.0.0/16", "10.2.0.0/16"],
            },
            "security": {
                "network": "weave",
                "password": "rotating",
                "weak_password": true,
                "banned": [{ "peer": "7a:00:00:00:00:09", "key": "0909" }],
                "disputes": [{
                    "name": "7a:00:00:00:00:08",
                    "claimant": "0808",
                    "at": { "name": "7a:00:00:00:00:01", "nickname": "host2" },
                }],
            },
            "datapath": {
                "kind": "fastdp",
                "name": "weave",
                "dispatch": { "mode": "per-cpu", "sockets": 2 },
                "stats": { "hit": 1000, "missed": 10, "lost": 0, "flows": 12, "masks": 3 },
            },
            "overlay_mtu": 1450,
            "sleeve_threads": 2,
            "drops": { "no route": 0, "sleeve: forged": 3, "unknown VNI": 1 },
            "host": {
                "filter": "nftables",
                "exposed": ["10.32.0.1/12"],
                "exposed_to": ["underlay"],
            },
            "store": { "state": "failed", "path": "/s/weaved.redb", "reason": "full", "message": "no space" },
        }))
        .unwrap();
        assert_eq!(
            Status(&status).to_string(),
            "
        Version: 0.1.0

        Service: router
       Protocol: weave 1..2
           Name: ce:31:e0:06:45:1a(host1)
        Network: weave
     Encryption: enabled
      Passwords: two, while one replaces the other
        Warning: the password of network weave can be found by trying; weavectl genkey makes a strong one
         Banned: 7a:00:00:00:00:09 (key 0909)
   NameConflict: 7a:00:00:00:00:08 is claimed by the key 0808, and was refused by 7a:00:00:00:00:01(host2)
  PeerDiscovery: enabled
        Targets: 2
    Connections: 7 (2 established, 1 held, 1 pending, 1 retrying, 1 failed, 1 connecting)
          Peers: 3 (with 6 established connections)
 TrustedSubnets: 10.1.0.0/16, 10.2.0.0/16

        Service: datapath
           Kind: fastdp: datapath weave
       Dispatch: per CPU (2 sockets)
        Packets: 1000 hit, 10 missed, 0 lost
          Flows: 12 (3 masks)
            MTU: 1450
  SleeveThreads: 2 each way
          Drops: 3 sleeve: forged, 1 unknown VNI

        Service: host
         Filter: nftables
        Exposed: 10.32.0.1/12
      ExposedTo: host, underlay

        Service: state
         Status: failed: no space

"
        );
    }

    #[test]
    fn a_host_without_open_vswitch_and_alone() {
        let status: StatusReport = serde_json::from_value(serde_json::json!({
            "version": "0.1.0",
            "router": {
                "protocol": { "min": 1, "max": 1 },
                "name": "ce:31:e0:06:45:1a",
                "nickname": "host1",
                "uid": 1,
                "port": 6783,
                "encryption": false,
                "peer_discovery": false,
                "targets": 0,
                "connections": {},
                "peers": { "total": 1, "established": 0, "pending": 0 },
                "trusted_subnets": [],
            },
            "security": { "network": "weave", "password": "open", "weak_password": false, "banned": [], "disputes": [] },
            "datapath": { "kind": "bridge", "name": "weave", "reason": "no openvswitch in this kernel" },
            "overlay_mtu": 1438,
            "sleeve_threads": 1,
            "host": { "filter": "none", "filter_error": "cannot run nft" },
        }))
        .unwrap();
        assert_eq!(
            Status(&status).to_string(),
            "
        Version: 0.1.0

        Service: router
       Protocol: weave 1
           Name: ce:31:e0:06:45:1a(host1)
        Network: weave
     Encryption: disabled
        Warning: network weave has no password: whoever reaches this host can join it and read its traffic
  PeerDiscovery: disabled
        Targets: 0
    Connections: 0
          Peers: 1
 TrustedSubnets: none

        Service: datapath
           Kind: bridge: no openvswitch in this kernel
            MTU: 1438
  SleeveThreads: 1 each way
          Drops: none

        Service: host
         Filter: none (cannot run nft)
        Exposed: none

"
        );
    }

    #[test]
    fn peers_with_connections_of_both_kinds() {
        let counts = PeerCounts {
            total: 3,
            established: 4,
            pending: 2,
        };
        assert_eq!(peers(&counts), "3 (with 4 established, 2 pending connections)");
    }
}
