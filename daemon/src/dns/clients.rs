//! Who is answered: this host, containers, and the networks of `--dns-allow`. Nobody else, be it about names of
//! the network or about others: a stranger learns nothing, and has no use of this server against others.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnetwork::{IpNetwork, Ipv4Network};
use link::{LinkEvent, Links};
use model::IfName;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::inside::has_docker_name;

/// How old what is known may be when a stranger asks: an address that came just now may make it a container
const STRANGER_AGE: Duration = Duration::from_secs(1);

/// How old it may be when something changed
const CHANGED_AGE: Duration = Duration::from_millis(20);

/// Who asks
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// A program of this host
    ThisHost,
    /// A container, of our network or of one of Docker's bridges
    Container,
    /// Somebody of a network that the operator named
    Allowed,
    /// Anybody else
    Stranger,
}

/// What tells clients from each other
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Neighborhood {
    /// The addresses of this host
    pub(super) own: Vec<IpAddr>,
    /// The networks of our device and of Docker's bridges, and the range if the host takes part in it
    pub(super) containers: Vec<IpNetwork>,
    /// What the operator named
    pub(super) allowed: Vec<IpNetwork>,
}

/// The kind of client that asks from this address
pub(super) fn classify(from: IpAddr, known: &Neighborhood) -> Client {
    let from = from.to_canonical();
    let is_in = |networks: &[IpNetwork]| networks.iter().any(|network| network.contains(from));
    if from.is_loopback() || known.own.contains(&from) {
        Client::ThisHost
    } else if is_in(&known.containers) {
        Client::Container
    } else if is_in(&known.allowed) {
        Client::Allowed
    } else {
        Client::Stranger
    }
}

/// Whom questions are counted for: an IPv4 address, or the network of one host of IPv6 (/64)
pub(super) fn account(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// An address of this host: the device, and the network around it
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    device: String,
    network: IpNetwork,
}

/// What is known at one moment
fn neighborhood(
    placed: &[Placed],
    device: &str,
    range: Option<Ipv4Network>,
    allowed: &[IpNetwork],
) -> Neighborhood {
    let is_ours = |placed: &&Placed| placed.device == device;
    let of_containers = placed
        .iter()
        .filter(|placed| is_ours(placed) || has_docker_name(&placed.device));
    // A container of another subnet of the range comes by our device, too; without an address there none does.
    let range = range.filter(|_| placed.iter().any(|placed| is_ours(&placed)));
    Neighborhood {
        own: placed.iter().map(|placed| placed.network.ip()).collect(),
        containers: of_containers
            .map(|placed| placed.network)
            .chain(range.map(IpNetwork::V4))
            .collect(),
        allowed: allowed.to_vec(),
    }
}

/// Knows clients, by the addresses that this host has at each time
#[derive(Debug, Clone)]
pub(crate) struct Clients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    device: IfName,
    range: Option<Ipv4Network>,
    allowed: Vec<IpNetwork>,
    /// Addresses of this host that stand for strangers
    #[cfg(test)]
    strangers: Vec<IpNetwork>,
    /// Something changed since it was read
    is_old: AtomicBool,
    read: Mutex<(Neighborhood, Option<Instant>)>,
}

impl Clients {
    /// Containers are on this device, or in this range if the host has an address on it
    pub(crate) fn new(device: IfName, range: Option<Ipv4Network>, allowed: Vec<IpNetwork>) -> Self {
        Self(Arc::new(Inner {
            device,
            range,
            allowed,
            #[cfg(test)]
            strangers: Vec::new(),
            is_old: AtomicBool::new(true),
            read: Mutex::default(),
        }))
    }

    /// Clients of which some are taken for strangers, though their addresses are this host's
    #[cfg(test)]
    pub(super) fn with_strangers(strangers: Vec<IpNetwork>) -> Self {
        let clients = Self::new("weave".parse().unwrap(), None, Vec::new());
        let mut inner = Arc::into_inner(clients.0).unwrap();
        inner.strangers = strangers;
        Self(Arc::new(inner))
    }

    /// The kind of client that asks from this address
    pub(super) fn kind(&self, from: IpAddr, now: Instant) -> Client {
        let inner = &*self.0;
        #[cfg(test)]
        if inner.strangers.iter().any(|network| network.contains(from)) {
            return Client::Stranger;
        }
        let mut read = inner.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, read_at) = &mut *read;
        let is_older = |age| read_at.is_none_or(|at| now.saturating_duration_since(at) >= age);
        let changed = is_older(CHANGED_AGE) && inner.is_old.load(Ordering::Relaxed);
        let client = classify(from, known);
        let is_doubtful = client == Client::Stranger && is_older(STRANGER_AGE);
        if !changed && !is_doubtful {
            return client;
        }
        inner.is_old.store(false, Ordering::Relaxed);
        *read_at = Some(now);
        match placed() {
            Ok(placed) => {
                *known = neighborhood(&placed, inner.device.as_str(), inner.range, &inner.allowed);
            }
            Err(error) => log::warn!("cannot read the addresses of this host: {error}"),
        }
        classify(from, known)
    }

    /// Follows the addresses of this host until `stop`
    pub(crate) async fn follow(self, links: Links, stop: CancellationToken) {
        let effect = "changes of this host's addresses are noticed late";
        let Some(mut changes) = Changes::watch(&links, stop, effect).await else {
            return;
        };
        let concerns = |event: &LinkEvent| match event {
            LinkEvent::Address { .. }
            | LinkEvent::AddressRemoved { .. }
            | LinkEvent::LinkRemoved { .. }
            | LinkEvent::Overrun => true,
            LinkEvent::Link(_)
            | LinkEvent::BridgePort { .. }
            | LinkEvent::Route(_)
            | LinkEvent::RouteRemoved(_) => false,
        };
        while changes.wait_for(concerns).await {
            self.0.is_old.store(true, Ordering::Relaxed);
        }
    }
}

/// Every address of this host
fn placed() -> nix::Result<Vec<Placed>> {
    let all = nix::ifaddrs::getifaddrs()?.filter_map(|interface| {
        let ip = |storage: nix::sys::socket::SockaddrStorage| -> Option<IpAddr> {
            let v4 = storage.as_sockaddr_in().map(|address| address.ip().into());
            v4.or_else(|| storage.as_sockaddr_in6().map(|address| address.ip().into()))
        };
        let (address, mask) = (ip(interface.address?)?, ip(interface.netmask?)?);
        Some(Placed {
            device: interface.interface_name,
            network: IpNetwork::with_netmask(address, mask).ok()?,
        })
    });
    Ok(all.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(device: &str, network: &str) -> Placed {
        Placed {
            device: device.to_owned(),
            network: network.parse().unwrap(),
        }
    }

    #[test]
    fn this_host_its_containers_and_who_is_allowed_are_known_from_strangers() {
        let placed = [
            at("lo", "127.0.0.1/8"),
            at("eth0", "192.168.77.1/24"),
            at("eth0", "2001:db8::1/64"),
            at("weave", "10.32.0.1/16"),
            at("docker0", "172.17.0.1/16"),
            at("br-0123456789ab", "172.18.0.1/16"),
            at("br-lan", "192.168.1.1/24"),
        ];
        let range = Some("10.32.0.0/12".parse().unwrap());
        let allowed = ["192.0.2.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let known = neighborhood(&placed, "weave", range, &allowed);
        for (from, client) in [
            ("127.0.0.1", Client::ThisHost),
            ("127.9.9.9", Client::ThisHost),
            ("::1", Client::ThisHost),
            ("192.168.77.1", Client::ThisHost),
            ("::ffff:192.168.77.1", Client::ThisHost),
            ("2001:db8::1", Client::ThisHost),
            ("10.32.0.1", Client::ThisHost),
            ("172.17.0.1", Client::ThisHost),
            ("10.32.0.9", Client::Container),
            ("10.47.255.254", Client::Container),
            ("172.17.0.2", Client::Container),
            ("172.18.9.9", Client::Container),
            ("::ffff:172.18.9.9", Client::Container),
            ("192.0.2.7", Client::Allowed),
            ("fd12::7", Client::Allowed),
            // The underlay, whatever route it has to an address of ours; a bridge of somebody else; the rest
            ("192.168.77.4", Client::Stranger),
            ("2001:db8::4", Client::Stranger),
            ("192.168.1.7", Client::Stranger),
            ("10.48.0.1", Client::Stranger),
            ("172.19.0.2", Client::Stranger),
            ("0.0.0.0", Client::Stranger),
            ("224.0.0.251", Client::Stranger),
            ("255.255.255.255", Client::Stranger),
        ] {
            assert_eq!(classify(from.parse().unwrap(), &known), client, "{from}");
        }
    }

    #[test]
    fn the_range_is_nothing_to_a_host_without_an_address_in_it() {
        let placed = [at("eth0", "192.168.77.1/24")];
        let known = neighborhood(&placed, "weave", Some("10.32.0.0/12".parse().unwrap()), &[]);
        assert_eq!(classify("10.32.0.9".parse().unwrap(), &known), Client::Stranger);
    }

    #[test]
    fn only_names_that_docker_gives_are_bridges_of_docker() {
        for (device, is) in [
            ("docker0", true),
            ("docker_gwbridge", true),
            ("br-0123456789ab", true),
            ("br-0123456789a", false),
            ("br-0123456789xy", false),
            ("br0", false),
            ("docker1", false),
        ] {
            assert_eq!(has_docker_name(device), is, "{device}");
        }
    }

    #[test]
    fn the_addresses_of_this_host_are_read() {
        let loopback: IpNetwork = "127.0.0.1/8".parse().unwrap();
        let is_there = placed().unwrap().iter().any(|placed| placed.network == loopback);
        assert!(is_there, "no loopback");
        let clients = Clients::new("weave".parse().unwrap(), None, Vec::new());
        let now = Instant::now();
        assert_eq!(clients.kind([127, 0, 0, 1].into(), now), Client::ThisHost);
        assert_eq!(clients.kind([203, 0, 113, 1].into(), now), Client::Stranger);
    }

    #[test]
    fn a_host_of_ipv6_is_counted_by_its_network() {
        let account = |text: &str| account(text.parse().unwrap()).to_string();
        assert_eq!(account("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(account("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
