//! What is missing between what is there and what is wanted.

use ipnetwork::IpNetwork;

use super::{Attach, AttachError, Step};
use crate::error::NetlinkError;
use crate::links::Links;
use crate::netns::{Netns, NetnsId};
use crate::state::{self, LinkKind, LinkState, RouteState};

/// What is to be done to attach a container
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(super) attach: Attach,
    pub(super) netns: NetnsId,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// The steps, in order; none if the container is attached already
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Attach {
    /// Compares with what is there, and changes nothing
    pub async fn plan(self, links: &Links) -> Result<Plan, AttachError> {
        let netns = self.netns.open_container(links.netns().id())?;
        let inside = Links::open_in(&netns).await?;
        let host_end = links.link(&self.host_if).await?;
        let container_end = inside.link(&self.container_if).await?;
        let steps = match (host_end, container_end) {
            (None, None) => {
                let addresses = missing_addresses(&self.addresses, &[])?;
                self.steps_from_nothing(&addresses)
            }
            (Some(host), None) => {
                return Err(AttachError::OtherHostInterface {
                    name: host.name,
                    kind: host.kind,
                });
            }
            (host, Some(container)) => {
                let Some(host) = peers(links, &netns, host, &container).await? else {
                    return Err(AttachError::OtherInterface {
                        name: container.name,
                        kind: container.kind,
                    });
                };
                let routes = inside.routes().await?;
                self.steps_from(&host, &container, &routes)?
            }
        };
        Ok(Plan {
            attach: self,
            netns: netns.id(),
            steps,
        })
    }

    fn steps_from_nothing(&self, addresses: &[IpNetwork]) -> Vec<Step> {
        let mut steps = vec![Step::CreatePair, Step::SetSysctls];
        steps.extend(self.master.map(Step::SetMaster));
        steps.push(Step::HostUp);
        steps.extend(addresses.iter().copied().map(Step::AddAddress));
        steps.push(Step::ContainerUp);
        if self.multicast_route {
            steps.push(Step::AddMulticastRoute);
        }
        // Without a master the host's end leads nowhere yet, and nobody would hear it.
        if self.master.is_some() && !addresses.is_empty() {
            steps.push(Step::Announce);
        }
        steps
    }

    fn steps_from(
        &self,
        host: &LinkState,
        container: &LinkState,
        routes: &[RouteState],
    ) -> Result<Vec<Step>, AttachError> {
        if let (Some(wanted), Some(found)) = (self.mac, container.mac)
            && wanted != found
        {
            return Err(AttachError::OtherMac { wanted, found });
        }
        let addresses = missing_addresses(&self.addresses, &container.addresses)?;
        let mut steps = Vec::new();
        if [host.mtu, container.mtu] != [u32::from(self.mtu); 2] {
            steps.push(Step::SetMtu(self.mtu));
        }
        // The last of a fresh pair's settings that is always made: without it, somebody was
        // interrupted.
        let unfinished = !container.up;
        if unfinished || self.moved_in {
            steps.push(Step::SetSysctls);
        }
        steps.extend(
            self.master
                .filter(|m| host.master != Some(*m))
                .map(Step::SetMaster),
        );
        if !host.up {
            steps.push(Step::HostUp);
        }
        steps.extend(addresses.iter().copied().map(Step::AddAddress));
        if unfinished {
            steps.push(Step::ContainerUp);
        }
        let routed = routes
            .iter()
            .any(|r| is_multicast(r) && r.devices.contains(&container.index));
        if self.multicast_route && !routed {
            steps.push(Step::AddMulticastRoute);
        }
        if !addresses.is_empty() {
            steps.push(Step::Announce);
        }
        Ok(steps)
    }
}

/// Whether a device of the host and one in a container's namespace are the ends of one veth pair
pub async fn are_pair(
    links: &Links,
    netns: &Netns,
    host: &LinkState,
    container: &LinkState,
) -> Result<bool, NetlinkError> {
    Ok(peers(links, netns, Some(host.clone()), container)
        .await?
        .is_some())
}

/// The host's end, if the two are the ends of one pair
pub(super) async fn peers(
    links: &Links,
    netns: &Netns,
    host: Option<LinkState>,
    container: &LinkState,
) -> Result<Option<LinkState>, NetlinkError> {
    let Some(host) = host else {
        return Ok(None);
    };
    // Indices are per namespace: that of another container's interface may be the same number.
    let same_netns = host.peer_netns.is_some() && host.peer_netns == links.netns_number(netns).await?;
    let veths = host.kind == LinkKind::Veth && container.kind == LinkKind::Veth;
    let each_other = host.peer == Some(container.index) && container.peer == Some(host.index);
    Ok((veths && same_netns && each_other).then_some(host))
}

/// Those of `wanted` that are not among `present`
pub(super) fn missing_addresses(
    wanted: &[IpNetwork],
    present: &[IpNetwork],
) -> Result<Vec<IpNetwork>, AttachError> {
    let mut missing: Vec<IpNetwork> = Vec::new();
    for &address in wanted {
        if !is_assignable(address) {
            return Err(AttachError::NotAnAddress(address));
        }
        let present = present.iter().filter(|a| !state::is_link_local(a));
        let mut others = present.chain(&missing).copied();
        if others.clone().any(|other| other == address) {
            continue;
        }
        if let Some(with) = others.find(|other| overlap(address, *other)) {
            return Err(AttachError::Overlap { address, with });
        }
        missing.push(address);
    }
    Ok(missing)
}

/// Several addresses of one subnet are fine; a subnet within another, or one address with two
/// subnets, would make two routes for the same destination
fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    if a.ip() == b.ip() {
        return true;
    }
    let same_subnet = a.network() == b.network() && a.prefix() == b.prefix();
    let nested = a.contains(b.network()) || b.contains(a.network());
    nested && !same_subnet
}

fn is_assignable(address: IpNetwork) -> bool {
    let ip = address.ip();
    let broadcast = match address {
        IpNetwork::V4(v4) => v4.ip().is_broadcast(),
        IpNetwork::V6(_) => false,
    };
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

fn is_multicast(route: &RouteState) -> bool {
    route.destination.prefix() == 4 && route.destination.is_ipv4() && route.destination.ip().is_multicast()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_there_is_not_missing() {
        assert_eq!(missing(&["10.0.0.1/8"], &["10.0.0.1/8"]), Ok(vec![]));
        assert_eq!(
            missing(&["10.0.0.1/8", "10.0.0.1/8"], &[]),
            Ok(vec!["10.0.0.1/8".to_owned()])
        );
        assert_eq!(
            missing(&["10.0.0.2/8"], &["10.0.0.1/8"]),
            Ok(vec!["10.0.0.2/8".to_owned()])
        );
        assert_eq!(
            missing(&["fd00::1/64"], &["fe80::1/64"]),
            Ok(vec!["fd00::1/64".to_owned()])
        );
    }

    #[test]
    fn subnets_within_each_other_overlap() {
        for (wanted, present) in [
            ("10.0.0.1/8", "10.0.0.1/16"),
            ("10.1.0.1/16", "10.0.0.1/8"),
            ("10.0.0.1/8", "10.1.0.1/16"),
            ("10.0.0.7/32", "10.0.0.1/8"),
            ("fd00::1/64", "fd00::2/48"),
        ] {
            let error = format!("{wanted} overlaps with {present}");
            assert_eq!(missing(&[wanted], &[present]), Err(error.clone()));
            assert_eq!(missing(&[present, wanted], &[]), Err(error));
        }
    }

    #[test]
    fn what_nobody_can_have_is_refused() {
        for address in [
            "224.0.0.1/4",
            "0.0.0.0/0",
            "255.255.255.255/32",
            "ff02::1/64",
            "::/0",
        ] {
            let error = format!("{address} cannot be the address of an interface");
            assert_eq!(missing(&[address], &[]), Err(error));
        }
    }

    proptest! {
        #[test]
        fn once_added_nothing_is_missing(hosts in prop::collection::vec((1u8..=9, 1u8..=9, 8u8..=32), 0..6)) {
            let wanted: Vec<IpNetwork> = hosts
                .iter()
                .map(|(net, host, prefix)| format!("10.{net}.0.{host}/{prefix}").parse().unwrap())
                .collect();
            if let Ok(missing) = missing_addresses(&wanted, &[]) {
                prop_assert_eq!(missing_addresses(&wanted, &missing).unwrap(), vec![]);
            }
        }
    }

    fn missing(wanted: &[&str], present: &[&str]) -> Result<Vec<String>, String> {
        let parse = |list: &[&str]| -> Vec<IpNetwork> { list.iter().map(|a| a.parse().unwrap()).collect() };
        missing_addresses(&parse(wanted), &parse(present))
            .map(|list| list.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string())
    }
}
