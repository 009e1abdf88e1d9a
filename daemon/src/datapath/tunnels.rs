//! Which VXLAN ports there are, and which there should be: none while no neighbour may use one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use openvswitch_sys::PortNo;

/// A port that cannot be made, because another device has its UDP port, is tried again so often
const RETRY: Duration = Duration::from_secs(5);

/// The VXLAN ports, by the UDP port that they receive at and send to
#[derive(Debug)]
pub(super) struct Tunnels {
    /// Where this host's neighbours send to
    own: u16,
    /// Whether a neighbour can ever use one
    possible: bool,
    ports: BTreeMap<u16, PortNo>,
    /// Those that cannot be made
    failing: BTreeSet<u16>,
    retry_at: Option<Instant>,
}

impl Tunnels {
    pub(super) const fn new(own: u16, possible: bool) -> Self {
        Self {
            own,
            possible,
            ports: BTreeMap::new(),
            failing: BTreeSet::new(),
            retry_at: None,
        }
    }

    pub(super) fn found(&mut self, udp_port: u16, port: PortNo) {
        self.ports.insert(udp_port, port);
    }

    pub(super) fn gone(&mut self, port: PortNo) {
        self.ports.retain(|_, tunnel| *tunnel != port);
    }

    /// The port whose datagrams go to this UDP port: peers may use another than this host
    pub(super) fn port(&self, udp_port: u16) -> Option<PortNo> {
        self.ports.get(&udp_port).copied()
    }

    /// The ports to remove: those that no neighbour needs, where `needed` are the UDP ports of those that may
    /// use fastdp; before adopted flows are settled only where no neighbour can ever come
    pub(super) fn surplus(&self, needed: &BTreeSet<u16>, settled: bool) -> Vec<PortNo> {
        let wanted = self.wanted(needed);
        let surplus = self
            .ports
            .iter()
            .filter(|(udp_port, _)| !wanted.contains(udp_port));
        let may_go = settled || !self.possible;
        surplus.filter(|_| may_go).map(|(_, port)| *port).collect()
    }

    /// The UDP ports to make a port for
    pub(super) fn missing(&mut self, needed: &BTreeSet<u16>, now: Instant) -> Vec<u16> {
        let wanted = self.wanted(needed);
        self.failing.retain(|udp_port| wanted.contains(udp_port));
        let again = self.retry_at.is_none_or(|at| at <= now);
        let missing = wanted.into_iter().filter(|udp_port| {
            !self.ports.contains_key(udp_port) && (again || !self.failing.contains(udp_port))
        });
        missing.collect()
    }

    /// A port was made, or could not be; whether that is news
    pub(super) fn tried(&mut self, udp_port: u16, made: bool, now: Instant) -> bool {
        if made {
            return self.failing.remove(&udp_port);
        }
        self.retry_at = Some(now + RETRY);
        self.failing.insert(udp_port)
    }

    /// The UDP ports whose ports cannot be made
    pub(super) const fn failing(&self) -> &BTreeSet<u16> {
        &self.failing
    }

    fn wanted(&self, needed: &BTreeSet<u16>) -> BTreeSet<u16> {
        let mut wanted = needed.clone();
        if !wanted.is_empty() {
            wanted.insert(self.own);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u16 = 6784;
    const OTHER: u16 = 7000;

    fn tunnels(possible: bool, there: &[u16]) -> Tunnels {
        let mut tunnels = Tunnels::new(OWN, possible);
        for udp_port in there {
            tunnels.found(*udp_port, PortNo(u32::from(*udp_port)));
        }
        tunnels
    }

    #[test]
    fn ports_are_there_exactly_while_a_neighbour_needs_them() {
        let now = Instant::now();
        let none = BTreeSet::new();
        let needed = BTreeSet::from([OTHER]);
        let mut empty = tunnels(true, &[]);
        assert!(empty.missing(&none, now).is_empty());
        assert_eq!(
            empty.missing(&needed, now),
            [OWN, OTHER],
            "the own one to receive by"
        );
        let mut both = tunnels(true, &[OWN, OTHER]);
        assert!(both.missing(&needed, now).is_empty());
        assert_eq!(both.surplus(&needed, true), []);
        assert_eq!(both.surplus(&BTreeSet::from([OWN]), true), [PortNo(7000)]);
        assert_eq!(both.surplus(&none, true), [PortNo(6784), PortNo(7000)]);
        both.gone(PortNo(7000));
        assert_eq!(both.port(OTHER), None);
        assert_eq!(both.port(OWN), Some(PortNo(6784)));
    }

    #[test]
    fn a_port_found_at_the_start_waits_for_its_neighbour_where_one_can_come() {
        let none = BTreeSet::new();
        assert_eq!(tunnels(true, &[OWN]).surplus(&none, false), []);
        assert_eq!(tunnels(false, &[OWN]).surplus(&none, false), [PortNo(6784)]);
    }

    #[test]
    fn a_port_that_cannot_be_made_is_told_once_and_tried_again() {
        let now = Instant::now();
        let needed = BTreeSet::from([OWN]);
        let mut tunnels = tunnels(true, &[]);
        assert!(tunnels.tried(OWN, false, now));
        assert!(!tunnels.tried(OWN, false, now));
        assert!(tunnels.missing(&needed, now).is_empty());
        assert_eq!(tunnels.failing().len(), 1);
        assert_eq!(tunnels.missing(&needed, now + RETRY), [OWN]);
        assert!(tunnels.tried(OWN, true, now));
        assert!(tunnels.failing().is_empty());
        assert!(tunnels.tried(OWN, false, now));
        assert!(tunnels.missing(&BTreeSet::new(), now).is_empty());
        assert!(tunnels.failing().is_empty(), "nobody needs it");
    }
}
