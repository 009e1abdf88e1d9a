//! What the packet filter is to let through, in no filter's own words.

use std::net::IpAddr;

use api::{ExposeScope, ExposeTo};
use ipnetwork::IpNetwork;
use model::IfName;

use crate::inside::Inside;

/// What the rules follow from
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    /// The network's own device
    pub(super) device: &'a IfName,
    pub(super) inside: &'a Inside,
    /// Who reaches containers through the host; none if it has no address on the network
    pub(super) exposed: Option<&'a ExposeTo>,
}

/// A rule; the first that matches decides
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The device that a packet comes in by
    pub(super) comes_by: Device,
    /// That it leaves by
    pub(super) leaves_by: Device,
    pub(super) what: What,
    pub(super) from: Option<IpNetwork>,
    pub(super) to: Option<IpAddr>,
    pub(super) verdict: Verdict,
}

/// A device, or all others
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Device {
    Any,
    Is(IfName),
    Not(IfName),
}

/// Of which kind a packet is
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    All,
    /// For weaved's ports
    Ports,
    /// Of a connection that was let through in the other direction
    Replies,
}

/// What becomes of a packet
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes, whatever the rules of others are about
    Accept,
    /// The rules of others decide
    Pass,
    Drop,
}

impl Rule {
    const fn new(what: What, verdict: Verdict) -> Self {
        Self {
            comes_by: Device::Any,
            leaves_by: Device::Any,
            what,
            from: None,
            to: None,
            verdict,
        }
    }

    fn between(comes_by: Device, leaves_by: Device, what: What, verdict: Verdict) -> Self {
        Self {
            comes_by,
            leaves_by,
            ..Self::new(what, verdict)
        }
    }
}

/// For what is to this host: containers reach no port of weaved
///
/// By whichever device they come, for whichever address they ask, and by the addresses that they have.
pub(super) fn input(facts: &Facts<'_>) -> Vec<Rule> {
    let inside = facts.inside;
    let by_devices = inside.devices().map(|device| Rule {
        comes_by: Device::Is(device.clone()),
        ..Rule::new(What::Ports, Verdict::Drop)
    });
    let for_addresses = inside.addresses.iter().map(|address| Rule {
        to: Some(*address),
        ..Rule::new(What::Ports, Verdict::Drop)
    });
    let from = |network: &IpNetwork, verdict| Rule {
        from: Some(*network),
        ..Rule::new(What::Ports, verdict)
    };
    let elsewhere = inside
        .elsewhere
        .iter()
        .map(|network| from(network, Verdict::Pass));
    let networks = inside.networks.iter().map(|network| from(network, Verdict::Drop));
    by_devices
        .chain(for_addresses)
        .chain(elsewhere)
        .chain(networks)
        .collect()
}

/// For what the host passes on
///
/// Containers reach no weaved of another host as this host, which masquerades them. Where the host is exposed, they
/// reach the outside; and the outside reaches them as far as it is let. `between` has what a bridge passes from
/// container to container accepted.
pub(super) fn forward(facts: &Facts<'_>, between: bool) -> Vec<Rule> {
    let inside = facts.inside;
    let (is, not) = (
        Device::Is(facts.device.clone()),
        Device::Not(facts.device.clone()),
    );
    let by_docker =
        |device: &IfName, verdict| Rule::between(Device::Is(device.clone()), is.clone(), What::All, verdict);
    let mut rules: Vec<Rule> = inside
        .devices()
        .map(|device| {
            let (is, not) = (Device::Is(device.clone()), Device::Not(device.clone()));
            Rule::between(is, not, What::Ports, Verdict::Drop)
        })
        .collect();
    if between {
        rules.push(Rule::between(is.clone(), is.clone(), What::All, Verdict::Accept));
    }
    let Some(exposed) = facts.exposed else {
        rules.extend(
            inside
                .docker
                .iter()
                .map(|device| by_docker(device, Verdict::Drop)),
        );
        return rules;
    };
    rules.push(Rule::between(
        not.clone(),
        is.clone(),
        What::Replies,
        Verdict::Accept,
    ));
    for scope in exposed.scopes() {
        match scope {
            ExposeScope::Network(network) => rules.push(Rule {
                from: Some(*network),
                ..Rule::between(not.clone(), is.clone(), What::All, Verdict::Accept)
            }),
            ExposeScope::Host | ExposeScope::Underlay | ExposeScope::Docker => {}
        }
    }
    let docker = match exposed.has(ExposeScope::Docker) {
        true => Verdict::Accept,
        false => Verdict::Drop,
    };
    rules.extend(inside.docker.iter().map(|device| by_docker(device, docker)));
    let others = match exposed.has(ExposeScope::Underlay) {
        true => Verdict::Accept,
        false => Verdict::Drop,
    };
    rules.push(Rule::between(not.clone(), is.clone(), What::All, others));
    rules.push(Rule::between(is, not, What::All, Verdict::Accept));
    rules
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::filter) fn inside() -> Inside {
        Inside {
            own: Some("weave".parse().unwrap()),
            docker: ["docker0".parse().unwrap()].into(),
            addresses: ["10.32.0.1".parse().unwrap()].into(),
            networks: ["10.32.0.0/12".parse().unwrap(), "fd00::/64".parse().unwrap()].into(),
            elsewhere: ["10.40.5.0/24".parse().unwrap()].into(),
            ..Inside::default()
        }
    }

    /// What becomes of a packet from container, outside or Docker to one of the others
    fn decided(rules: &[Rule], comes_by: &str, leaves_by: &str, what: What, from: &str) -> Option<Verdict> {
        let is = |device: &Device, name: &str| match device {
            Device::Any => true,
            Device::Is(device) => device.as_str() == name,
            Device::Not(device) => device.as_str() != name,
        };
        let from: IpAddr = from.parse().unwrap();
        let found = rules.iter().find(|rule| {
            is(&rule.comes_by, comes_by)
                && is(&rule.leaves_by, leaves_by)
                && (rule.what == What::All || rule.what == what)
                && rule.from.is_none_or(|network| network.contains(from))
        });
        found.map(|rule| rule.verdict)
    }

    #[test]
    fn the_outside_reaches_containers_as_far_as_it_is_let() {
        use Verdict::{Accept, Drop};

        let (device, inside) = ("weave".parse().unwrap(), inside());
        let of = |exposed: Option<&str>| {
            let to = exposed.map(|text| -> ExposeTo {
                let scopes = text.split(',').map(|scope| scope.parse::<ExposeScope>().unwrap());
                scopes.collect()
            });
            let facts = Facts {
                device: &device,
                inside: &inside,
                exposed: to.as_ref(),
            };
            forward(&facts, false)
        };
        // By eth0 from here and from there, and by docker0.
        for (exposed, here, there, docker) in [
            (None, None, None, Some(Drop)),
            (Some("host"), Some(Drop), Some(Drop), Some(Drop)),
            (Some("underlay"), Some(Accept), Some(Accept), Some(Drop)),
            (Some("docker"), Some(Drop), Some(Drop), Some(Accept)),
            (Some("192.168.7.0/24"), Some(Accept), Some(Drop), Some(Drop)),
            (Some("172.17.0.0/16"), Some(Drop), Some(Drop), Some(Accept)),
            (Some("underlay,docker"), Some(Accept), Some(Accept), Some(Accept)),
        ] {
            let rules = of(exposed);
            let into = |by, what, from| decided(&rules, by, "weave", what, from);
            assert_eq!(into("eth0", What::All, "192.168.7.9"), here, "{exposed:?}");
            assert_eq!(into("eth0", What::All, "192.168.8.9"), there, "{exposed:?}");
            assert_eq!(into("docker0", What::All, "172.17.0.2"), docker, "{exposed:?}");
            let open = exposed.map(|_to| Accept);
            assert_eq!(into("eth0", What::Replies, "8.8.8.8"), open, "{exposed:?}");
            assert_eq!(decided(&rules, "weave", "eth0", What::All, "10.32.0.9"), open);
            // What is not of the network, and what does not leave it, is not ours to decide.
            assert_eq!(decided(&rules, "eth0", "docker0", What::All, "8.8.8.8"), None);
            assert_eq!(decided(&rules, "weave", "weave", What::All, "10.32.0.9"), None);
            for by in ["weave", "docker0"] {
                assert_eq!(decided(&rules, by, "eth0", What::Ports, "10.32.0.9"), Some(Drop));
                assert_eq!(decided(&rules, by, by, What::Ports, "10.32.0.9"), None);
            }
        }
    }

    #[test]
    fn a_bridge_s_own_frames_pass_first() {
        let (device, inside) = ("weave".parse().unwrap(), inside());
        let facts = Facts {
            device: &device,
            inside: &inside,
            exposed: Some(&ExposeTo::default()),
        };
        let rules = forward(&facts, true);
        let between = decided(&rules, "weave", "weave", What::All, "10.32.0.9");
        assert_eq!(between, Some(Verdict::Accept));
    }

    #[test]
    fn ports_are_closed_by_device_by_address_and_by_source() {
        let (device, inside) = ("weave".parse().unwrap(), inside());
        let facts = Facts {
            device: &device,
            inside: &inside,
            exposed: None,
        };
        let rules = input(&facts);
        assert!(rules.iter().all(|rule| rule.what == What::Ports));
        for (by, from, verdict) in [
            ("weave", "192.168.7.9", Some(Verdict::Drop)),
            ("docker0", "192.168.7.9", Some(Verdict::Drop)),
            ("eth0", "10.33.0.9", Some(Verdict::Drop)),
            ("eth0", "10.40.5.9", Some(Verdict::Pass)),
        ] {
            // Of the rules for an address only those for others are passed over here.
            let rules: Vec<Rule> = rules.iter().filter(|rule| rule.to.is_none()).cloned().collect();
            assert_eq!(decided(&rules, by, "", What::Ports, from), verdict, "{by} {from}");
        }
        let for_us = rules.iter().find(|rule| rule.to.is_some()).unwrap();
        assert_eq!(for_us.verdict, Verdict::Drop);
    }
}
