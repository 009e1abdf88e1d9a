//! Flows put before their first frame, so that a new pair of stations needs no upcall.
//!
//! A station makes itself known by the first frame that it floods, with its ARP announcement at the
//! latest. From then on the flows between it and the stations on the other side can be told in advance:
//! those here, for one that came up at a peer; all, for one that came up here. They are ordinary flows:
//! decided, changed and aged like those that a frame asked for. Made-up addresses must not fill the
//! kernel's table or take its time: a place with many stations gets none, there is a limit to how many are
//! put in a second, and nobody gets any once the table holds
//! [`Config::ready_flows`](super::Config::ready_flows).

use std::time::Instant;

use model::{Mac, ShortId, Vni, bump};
use openvswitch_sys::{FlowKey, PortNo, Tag, TunnelKey, Vlans};

use super::limit::Source;
use super::macs::Place;
use super::{Command, PortRole, Switch, SwitchOutput};
use crate::Path;

/// A container has one address, a few at most
const STATIONS_OF_A_PORT: usize = 4;
/// A peer has as many stations as it has containers
const STATIONS_OF_A_PEER: usize = 1024;
/// Flows put for one station: the frame that made it known waits for them
const FOR_ONE: usize = 128;
/// Stations looked at for them
const LOOKED_AT: usize = 1024;

impl Switch {
    /// Puts the flows between a station that has just become known and those on the other side
    pub(super) fn make_ready(&mut self, mac: Mac, place: Place, now: Instant) {
        if self.flows.len() >= self.config.ready_flows || self.is_crowded(place) {
            return;
        }
        let others: Vec<(Mac, Place)> = match place {
            Place::Port(_) => self.state.macs.by_place().take(LOOKED_AT).collect(),
            Place::Peer(_) => self.state.macs.local().take(LOOKED_AT).collect(),
        };
        let mut left = FOR_ONE.min(self.config.ready_flows.saturating_sub(self.flows.len()));
        for (other, there) in others {
            if left == 0 {
                break;
            }
            if there == place || self.is_crowded(there) {
                continue;
            }
            for (source, from, destination) in [(mac, place, other), (other, there, mac)] {
                if let Some(key) = self.key_between(source, from, destination) {
                    left = left.saturating_sub((left > 0 && self.put_ready(&key, now)).into());
                }
            }
        }
    }

    fn is_crowded(&self, place: Place) -> bool {
        let most = match place {
            Place::Port(_) => STATIONS_OF_A_PORT,
            Place::Peer(_) => STATIONS_OF_A_PEER,
        };
        self.state.macs.count_at(place) > most
    }

    /// The key that frames from one station to another will have here, where that is certain
    fn key_between(&self, src: Mac, from: Place, dst: Mac) -> Option<FlowKey> {
        let key = |in_port, tunnel, vlans| FlowKey {
            in_port,
            src,
            dst,
            tunnel,
            vlans,
        };
        let id = match from {
            Place::Port(port) => return Some(key(port, None, Vlans::None)),
            Place::Peer(id) => id,
        };
        match self.direct_path(id)? {
            Path::Fastdp(tunnel) => {
                let came_by = TunnelKey {
                    id: u32::from(Vni::new(id, self.state.routes.own_short_id())).into(),
                    src: tunnel.remote,
                    dst: tunnel.local,
                };
                Some(key(self.only_vxlan_port()?, Some(came_by), Vlans::None))
            }
            Path::Sleeve => Some(key(self.state.tap?, None, Vlans::One(Tag::dot1q(id.value())))),
        }
    }

    /// The path to a peer that is a neighbour: what a relay does to a frame only the frame shows
    fn direct_path(&self, id: ShortId) -> Option<Path> {
        let peer = self.state.routes.peer(id)?;
        let hop = self.state.routes.unicast(peer)?;
        self.state.paths.get(&hop).copied().filter(|_path| hop == peer)
    }

    /// Where there are several, because of peers on other UDP ports, a frame may come in by any
    fn only_vxlan_port(&self) -> Option<PortNo> {
        let mut ports = self.state.ports.iter();
        let (port, _) = ports.find(|(_, role)| **role == PortRole::Vxlan)?;
        ports.all(|(_, role)| *role != PortRole::Vxlan).then_some(*port)
    }

    /// Whether there was such a flow to put
    fn put_ready(&mut self, key: &FlowKey, now: Instant) -> bool {
        let ufid = key.ufid();
        if self.flows.get(&ufid).is_some() {
            return false;
        }
        let decision = self.state.decide(key);
        // What is dropped has no latency to save.
        let is_wanted = decision.cacheable && decision.reason.is_none();
        if !is_wanted || !self.limits.take(Source::Ready, now) || !self.remember(ufid, key, &decision, now) {
            return false;
        }
        bump(&mut self.counters.flows_ready);
        let put = Command::PutFlow(*key, decision.actions);
        self.outputs.push_back(SwitchOutput::Command(put));
        true
    }
}
