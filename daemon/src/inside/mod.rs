//! What of this host belongs to its containers: the network's own device, Docker's bridges, and the addresses and
//! networks there. Nobody who comes from there speaks to weaved's ports.
//!
//! The packet filter says so by devices ([`crate::filter`]); [`Inside::refuses`] says so by addresses, for where
//! there is no filter.

mod door;
mod follow;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use link::{LinkKind, LinkState, RouteState};
use model::IfName;

pub(crate) use self::door::Door;
pub(crate) use self::follow::{follow, look};

/// The containers' side of this host
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inside {
    /// The network's own device
    pub(crate) own: Option<IfName>,
    /// Docker's bridges
    pub(crate) docker: BTreeSet<IfName>,
    /// The numbers of all these devices
    pub(crate) indices: BTreeSet<u32>,
    /// This host's addresses on them
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// What can be reached by them: the containers' addresses
    pub(crate) networks: BTreeSet<IpNetwork>,
    /// Parts of these networks that other devices lead to
    pub(crate) elsewhere: BTreeSet<IpNetwork>,
}

impl Inside {
    /// By what the host has at this moment; `given` are the networks that addresses are handed out of
    pub(crate) fn of(own: &IfName, given: &[IpNetwork], links: &[LinkState], routes: &[RouteState]) -> Self {
        let mut inside = Self {
            own: Some(own.clone()),
            networks: given.iter().filter_map(network).collect(),
            ..Self::default()
        };
        for link in links {
            let is_docker = is_docker_bridge(link);
            if link.name != *own && !is_docker {
                continue;
            }
            if is_docker {
                inside.docker.insert(link.name.clone());
            }
            inside.indices.insert(link.index);
            inside.addresses.extend(link.addresses.iter().map(IpNetwork::ip));
            let networks = link.addresses.iter().filter_map(network);
            inside
                .networks
                .extend(networks.filter(|network| !is_link_local(network.ip())));
        }
        let elsewhere = routes.iter().filter(|route| {
            let leads_inside = route.devices.iter().any(|index| inside.indices.contains(index));
            let contains =
                |network: &IpNetwork| contains(*network, route.destination) && *network != route.destination;
            !leads_inside && inside.networks.iter().any(contains)
        });
        inside.elsewhere = elsewhere.map(|route| route.destination).collect();
        inside
    }

    /// Whether a connection with these ends comes from a container, as far as its addresses tell
    pub(crate) fn refuses(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let came_by = match remote {
            SocketAddr::V6(remote) => remote.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        self.addresses.contains(&local.ip().to_canonical())
            || self.indices.contains(&came_by)
            || self.is_container(remote.ip().to_canonical())
    }

    /// Whether containers have such addresses: the narrowest network that knows of it decides
    fn is_container(&self, address: IpAddr) -> bool {
        let narrowest = |networks: &BTreeSet<IpNetwork>| {
            let containing = networks.iter().filter(|network| network.contains(address));
            containing.map(IpNetwork::prefix).max()
        };
        narrowest(&self.networks)
            .is_some_and(|inside| narrowest(&self.elsewhere).is_none_or(|elsewhere| inside >= elsewhere))
    }

    /// Every device
    pub(crate) fn devices(&self) -> impl Iterator<Item = &IfName> {
        self.own.iter().chain(&self.docker)
    }

    /// What peers are not told of
    pub(crate) fn unadvertised(&self) -> Vec<IpNetwork> {
        let addresses = self.addresses.iter().map(|address| IpNetwork::from(*address));
        self.networks.iter().copied().chain(addresses).collect()
    }
}

fn is_docker_bridge(link: &LinkState) -> bool {
    link.kind == LinkKind::Bridge && has_docker_name(link.name.as_str())
}

/// Returns whether Docker gives this name to a bridge: `docker0`, `docker_gwbridge`, or `br-` and the first 12
/// digits of a network's id
pub(crate) fn has_docker_name(name: &str) -> bool {
    let is_id = |digits: &str| {
        digits.len() == 12
            && digits
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    matches!(name, "docker0" | "docker_gwbridge") || name.strip_prefix("br-").is_some_and(is_id)
}

/// The network that an address is in
fn network(address: &IpNetwork) -> Option<IpNetwork> {
    IpNetwork::new(address.network(), address.prefix()).ok()
}

fn contains(outer: IpNetwork, inner: IpNetwork) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.ip())
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, index: u32, kind: LinkKind, addresses: &[&str]) -> LinkState {
        LinkState {
            name: name.parse().unwrap(),
            index,
            mac: None,
            mtu: 1500,
            up: true,
            running: true,
            kind,
            master: None,
            hairpin: false,
            peer: None,
            peer_netns: None,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    fn route(destination: &str, device: u32) -> RouteState {
        RouteState {
            destination: destination.parse().unwrap(),
            gateway: None,
            devices: vec![device],
            metric: 0,
        }
    }

    fn host() -> Inside {
        let links = [
            link("lo", 1, LinkKind::Loopback, &["127.0.0.1/8"]),
            link(
                "eth0",
                2,
                LinkKind::Physical,
                &["192.168.77.1/24", "2001:db8::1/64"],
            ),
            link(
                "weave",
                3,
                LinkKind::Openvswitch,
                &["10.32.0.1/12", "10.2.1.1/24", "fe80::3/64"],
            ),
            link("docker0", 4, LinkKind::Bridge, &["172.17.0.1/16"]),
            link(
                "br-0123456789ab",
                5,
                LinkKind::Bridge,
                &["172.18.0.1/16", "fd00::1/64"],
            ),
            link("br-lan", 6, LinkKind::Bridge, &["192.168.1.1/24"]),
            link("br-0123456789aX", 7, LinkKind::Bridge, &["192.168.2.1/24"]),
            // Of the name, and no bridge.
            link("docker_gwbridge", 8, LinkKind::Physical, &["192.168.3.1/24"]),
        ];
        let routes = [
            route("0.0.0.0/0", 2),
            route("192.168.77.0/24", 2),
            route("10.32.0.0/12", 3),
            route("10.40.5.0/24", 2),
            route("172.17.0.0/16", 4),
        ];
        let given = ["10.32.0.0/12".parse().unwrap()];
        Inside::of(&"weave".parse().unwrap(), &given, &links, &routes)
    }

    #[test]
    fn the_network_s_device_and_docker_s_bridges_are_inside() {
        let inside = host();
        let devices: Vec<&str> = inside.devices().map(IfName::as_str).collect();
        assert_eq!(devices, ["weave", "br-0123456789ab", "docker0"]);
        let texts = |networks: &BTreeSet<IpNetwork>| -> Vec<String> {
            networks.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            texts(&inside.networks),
            [
                "10.2.1.0/24",
                "10.32.0.0/12",
                "172.17.0.0/16",
                "172.18.0.0/16",
                "fd00::/64"
            ]
        );
        assert_eq!(texts(&inside.elsewhere), ["10.40.5.0/24"]);
        assert!(inside.unadvertised().contains(&"10.32.0.1/32".parse().unwrap()));
    }

    #[test]
    fn a_connection_is_refused_by_either_of_its_ends() {
        let inside = host();
        for (local, remote, refused, why) in [
            ("192.168.77.1:6783", "192.168.77.2:40000", false, "a peer"),
            (
                "192.168.77.1:6783",
                "8.8.8.8:40000",
                false,
                "a peer behind the router",
            ),
            (
                "10.32.0.1:6783",
                "192.168.77.2:40000",
                true,
                "for the exposed address",
            ),
            ("172.17.0.1:6783", "192.168.77.2:40000", true, "for docker0's"),
            (
                "[fd00::1]:6783",
                "[2001:db8::2]:40000",
                true,
                "for a bridge's by IPv6",
            ),
            ("192.168.77.1:6783", "10.47.255.3:40000", true, "from a container"),
            (
                "192.168.77.1:6783",
                "10.2.1.9:40000",
                true,
                "from an exposed subnet",
            ),
            (
                "192.168.77.1:6783",
                "172.17.0.2:40000",
                true,
                "from one of Docker",
            ),
            (
                "[::ffff:192.168.77.1]:6783",
                "[::ffff:172.18.0.2]:1",
                true,
                "the same on one socket for both",
            ),
            (
                "192.168.77.1:6783",
                "10.40.5.7:40000",
                false,
                "from a network that eth0 leads to",
            ),
            (
                "192.168.77.1:6783",
                "192.168.1.9:40000",
                false,
                "from a bridge of others",
            ),
            ("192.168.77.1:6783", "192.168.3.9:40000", false, "from no bridge"),
            ("127.0.0.1:6783", "127.0.0.1:40000", false, "from this host"),
            (
                "[2001:db8::1]:6783",
                "[2001:db8::2]:40000",
                false,
                "a peer by IPv6",
            ),
            (
                "[2001:db8::1]:6783",
                "[fe80::9%3]:40000",
                true,
                "by the network's device",
            ),
            (
                "[2001:db8::1]:6783",
                "[fe80::9%2]:40000",
                false,
                "a peer by its link",
            ),
            (
                "[fe80::3]:6783",
                "[2001:db8::2]:40000",
                true,
                "for the device's own address",
            ),
        ] {
            let refuses = inside.refuses(local.parse().unwrap(), remote.parse().unwrap());
            assert_eq!(refuses, refused, "{why}: {remote} to {local}");
        }
        assert!(
            !Inside::default().refuses("10.32.0.1:6783".parse().unwrap(), "10.32.0.2:1".parse().unwrap())
        );
    }
}
