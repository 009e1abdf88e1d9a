//! Which MTU the network below this host's overlay has.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use model::IfName;

use crate::error::NetlinkError;
use crate::links::Links;
use crate::state::{LinkKind, LinkState, RouteState};

impl Links {
    /// The MTU of the device that the default route leaves by; without one, the largest among the
    /// devices that are up and have a global IPv4 address
    ///
    /// `exclude` names this host's own overlay devices. `None`: no device qualifies.
    pub async fn underlay_mtu(&self, exclude: &[IfName]) -> Result<Option<u16>, NetlinkError> {
        let links = self.list().await?;
        let routes = self.routes().await?;
        Ok(choose(&links, &routes, exclude))
    }
}

fn choose(links: &[LinkState], routes: &[RouteState], exclude: &[IfName]) -> Option<u16> {
    let usable =
        |link: &&LinkState| link.up && link.kind != LinkKind::Loopback && !exclude.contains(&link.name);
    let by_default_route = |v4: bool| {
        let defaults = routes
            .iter()
            .filter(|r| r.is_default() && r.destination.is_ipv4() == v4);
        let usable_devices = |route: &RouteState| -> Vec<&LinkState> {
            links
                .iter()
                .filter(usable)
                .filter(|link| route.devices.contains(&link.index))
                .collect()
        };
        let mut candidates: Vec<_> = defaults.map(|r| (r.metric, usable_devices(r))).collect();
        candidates.retain(|(_, devices)| !devices.is_empty());
        let (_, devices) = candidates.into_iter().min_by_key(|(metric, _)| *metric)?;
        // Packets of one peer may leave by any hop of a multipath route.
        devices.into_iter().map(|link| link.mtu).min()
    };
    let largest = || {
        let addressed = |link: &&LinkState| link.addresses.iter().any(is_global_ipv4);
        links
            .iter()
            .filter(usable)
            .filter(addressed)
            .map(|link| link.mtu)
            .max()
    };
    let mtu = by_default_route(true)
        .or_else(|| by_default_route(false))
        .or_else(largest)?;
    Some(u16::try_from(mtu).unwrap_or(u16::MAX))
}

fn is_global_ipv4(address: &IpNetwork) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_tells_the_mtu() {
        let links = [
            link(1, "lo", 65536, "127.0.0.1/8"),
            link(2, "eth0", 1400, "10.0.0.1/24"),
            link(3, "eth1", 9000, "10.1.0.1/24"),
        ];
        assert_eq!(
            choose(&links, &[default(2, 100), default(3, 200)], &[]),
            Some(1400)
        );
        assert_eq!(
            choose(&links, &[default(2, 100), default(3, 50)], &[]),
            Some(9000)
        );
    }

    #[test]
    fn the_narrowest_hop_of_a_multipath_route_counts() {
        let links = [
            link(2, "eth0", 1400, "10.0.0.1/24"),
            link(3, "eth1", 9000, "10.1.0.1/24"),
        ];
        let mut route = default(2, 0);
        route.devices.push(3);
        assert_eq!(choose(&links, &[route], &[]), Some(1400));
    }

    #[test]
    fn without_a_default_route_the_largest_global_device_counts() {
        let links = [
            link(1, "lo", 65536, "127.0.0.1/8"),
            link(2, "eth0", 1400, "10.0.0.1/24"),
            link(3, "eth1", 9000, "169.254.3.4/16"),
            link(4, "weave", 9001, "10.32.0.1/12"),
        ];
        assert_eq!(choose(&links, &[], &["weave".parse().unwrap()]), Some(1400));
        assert_eq!(
            choose(&links, &[default(4, 0)], &["weave".parse().unwrap()]),
            Some(1400)
        );
    }

    #[test]
    fn a_host_without_any_network_has_no_underlay_mtu() {
        assert_eq!(choose(&[link(1, "lo", 65536, "127.0.0.1/8")], &[], &[]), None);
        let mut down = link(2, "eth0", 1500, "10.0.0.1/24");
        down.up = false;
        assert_eq!(choose(&[down], &[default(2, 0)], &[]), None);
    }

    fn link(index: u32, name: &str, mtu: u32, address: &str) -> LinkState {
        LinkState {
            name: name.parse().unwrap(),
            index,
            mac: None,
            mtu,
            up: true,
            running: true,
            kind: if name == "lo" {
                LinkKind::Loopback
            } else {
                LinkKind::Physical
            },
            master: None,
            hairpin: false,
            peer: None,
            peer_netns: None,
            addresses: vec![address.parse().unwrap()],
        }
    }

    fn default(device: u32, metric: u32) -> RouteState {
        RouteState {
            destination: "0.0.0.0/0".parse().unwrap(),
            gateway: None,
            devices: vec![device],
            metric,
        }
    }
}
