//! Changes of the topology, of paths, of ports; each touches only the flows that hang on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use model::{PeerName, ShortId};
use openvswitch_sys::{Action, PortNo};

use super::decide::{Depends, Target};
use super::{Place, PortRole, Switch};
use crate::{Path, Routes};

impl Switch {
    /// The topology is another
    pub fn set_routes(&mut self, routes: Arc<dyn Routes>, now: Instant) {
        let old = std::mem::replace(&mut self.state.routes, routes);
        let new = Arc::clone(&self.state.routes);
        self.follow_short_ids(&*old, &*new, now);
        let mut difference = Difference {
            old: &*old,
            new: &*new,
            all: old.own_short_id() != new.own_short_id() || old.own() != new.own(),
            peers: BTreeMap::new(),
            ways: BTreeMap::new(),
            trees: BTreeMap::new(),
        };
        for ufid in self.flows.select(|flow| difference.touches(flow.depends)) {
            self.reconsider(&ufid, now);
        }
    }

    /// The path to a neighbour is another, or none works
    pub fn set_path(&mut self, neighbour: PeerName, path: Option<Path>, now: Instant) {
        let old = match path {
            Some(path) => self.state.paths.insert(neighbour, path),
            None => self.state.paths.remove(&neighbour),
        };
        if old == path {
            return;
        }
        let routes = Arc::clone(&self.state.routes);
        let mut ways = BTreeMap::new();
        let mut trees = BTreeMap::new();
        let touched = self.flows.select(|flow| match flow.depends.target {
            Target::Here => false,
            Target::Peer(id) => *ways
                .entry(id)
                .or_insert_with(|| routes.peer(id).and_then(|peer| routes.unicast(peer)) == Some(neighbour)),
            Target::Tree => *trees
                .entry(flow.depends.source)
                .or_insert_with(|| tree(&*routes, flow.depends.source).contains(&neighbour)),
        });
        for ufid in touched {
            self.reconsider(&ufid, now);
        }
    }

    /// A port is there; that it was before is fine
    pub fn port_added(&mut self, port: PortNo, role: PortRole, now: Instant) {
        match self.state.ports.get(&port) {
            Some(old) if *old == role => return,
            Some(_) => self.port_removed(port, now),
            None => {}
        }
        self.state.ports.insert(port, role);
        if role.is_local() {
            self.join_adopted_floods(port, now);
            self.reconsider_floods(now);
        } else {
            self.find_tap();
            self.reconsider_all(now);
        }
    }

    /// A port is gone
    pub fn port_removed(&mut self, port: PortNo, now: Instant) {
        let Some(role) = self.state.ports.remove(&port) else {
            return;
        };
        for ufid in self.flows.select(|flow| flow.key.in_port == port) {
            self.delete(&ufid);
        }
        self.leave_adopted(port, now);
        let gone = self.state.macs.forget_place(Place::Port(port));
        self.macs_changed(&gone, now);
        if role.is_local() {
            self.reconsider_floods(now);
        } else {
            self.find_tap();
            self.reconsider_all(now);
        }
    }

    /// Containers of this host may send longer or only shorter IP packets
    pub fn set_mtu(&mut self, mtu: u16, now: Instant) {
        if self.state.mtu != mtu {
            self.state.mtu = mtu;
            self.reconsider_all(now);
        }
    }

    /// Frames too long for their path go to this netlink port id
    pub fn set_too_long_to(&mut self, pid: Option<u32>, now: Instant) {
        if self.state.too_long_to != pid {
            self.state.too_long_to = pid;
            self.reconsider_all(now);
        }
    }

    pub(super) fn reconsider_all(&mut self, now: Instant) {
        for ufid in self.flows.select(|_| true) {
            self.reconsider(&ufid, now);
        }
    }

    fn reconsider_floods(&mut self, now: Instant) {
        for ufid in self.flows.flooding() {
            self.reconsider(&ufid, now);
        }
    }

    fn find_tap(&mut self) {
        let tap = self.state.ports.iter().find(|(_, role)| **role == PortRole::Tap);
        self.state.tap = tap.map(|(port, _)| *port);
    }

    /// Stations stay with their peer when its short id changes, and go when it goes
    fn follow_short_ids(&mut self, old: &dyn Routes, new: &dyn Routes, now: Instant) {
        let peers: Vec<ShortId> = self.state.macs.peers().collect();
        let mut changes = BTreeMap::new();
        for id in peers {
            let change = match (old.peer(id), new.peer(id)) {
                (Some(peer), Some(holder)) if peer == holder => continue,
                (None, Some(_)) => continue,
                (Some(peer), _) if new.short_id(peer).is_some() => new.short_id(peer),
                // Adopted flows tell of it, and it may yet come back.
                (_, None) if !self.settled => continue,
                (Some(_), Some(_)) | (_, None) => None,
            };
            // A station at this host is at a port, not at a peer.
            changes.insert(id, change.filter(|id| *id != new.own_short_id()));
        }
        let touched = self.state.macs.renumber(&changes);
        self.macs_changed(&touched, now);
    }

    /// A port that appears while adopted flows are left alone gets its copy of what they flood
    fn join_adopted_floods(&mut self, port: PortNo, now: Instant) {
        let floods = self
            .flows
            .select(|flow| flow.adopted && flow.key.dst.is_group() && flow.key.in_port != port);
        for ufid in floods {
            let Some(flow) = self.flows.get_mut(&ufid) else {
                continue;
            };
            if flow.actions.contains(&Action::Output(port)) || flow.depends.target != Target::Tree {
                continue;
            }
            let tags = flow
                .actions
                .iter()
                .take_while(|action| **action == Action::PopVlan)
                .count();
            flow.actions.insert(tags, Action::Output(port));
            flow.put = now;
            let (key, actions) = (flow.key, flow.actions.clone());
            self.put(key, actions);
        }
    }

    /// The number of a port that is gone may be another's at once
    fn leave_adopted(&mut self, port: PortNo, now: Instant) {
        let output = Action::Output(port);
        for ufid in self
            .flows
            .select(|flow| flow.adopted && flow.actions.contains(&output))
        {
            let Some(flow) = self.flows.get_mut(&ufid) else {
                continue;
            };
            flow.actions.retain(|action| *action != output);
            flow.put = now;
            let (key, actions) = (flow.key, flow.actions.clone());
            if actions.iter().all(|action| *action == Action::PopVlan) {
                self.delete(&ufid);
            } else {
                self.put(key, actions);
            }
        }
    }
}

/// The neighbours in the tree of a source; `None` is this peer
fn tree(routes: &dyn Routes, source: Option<ShortId>) -> &[PeerName] {
    match source {
        None => routes.broadcast(routes.own()),
        Some(id) => routes.peer(id).map_or(&[], |peer| routes.broadcast(peer)),
    }
}

/// What two topologies differ in, looked up once for each peer
struct Difference<'a> {
    old: &'a dyn Routes,
    new: &'a dyn Routes,
    all: bool,
    peers: BTreeMap<ShortId, bool>,
    ways: BTreeMap<ShortId, bool>,
    trees: BTreeMap<Option<ShortId>, bool>,
}

impl Difference<'_> {
    /// Whether a decision that hangs on this may be another
    fn touches(&mut self, depends: Depends) -> bool {
        let (old, new) = (self.old, self.new);
        let Depends { source, target } = depends;
        if self.all {
            return true;
        }
        let source_differs = source.is_some_and(|id| {
            let differs = self.peers.entry(id);
            *differs.or_insert_with(|| {
                let direct =
                    |routes: &dyn Routes| routes.peer(id).is_some_and(|peer| routes.comes_directly(peer));
                old.peer(id) != new.peer(id) || direct(old) != direct(new)
            })
        });
        source_differs
            || match target {
                Target::Here => false,
                Target::Peer(id) => *self
                    .ways
                    .entry(id)
                    .or_insert_with(|| way(old, id) != way(new, id)),
                Target::Tree => *self.trees.entry(source).or_insert_with(|| {
                    let (before, after) = (tree(old, source), tree(new, source));
                    before != after
                        || before
                            .iter()
                            .any(|peer| old.short_id(*peer) != new.short_id(*peer))
                }),
            }
    }
}

/// All that a decision takes from the way to a peer
fn way(routes: &dyn Routes, id: ShortId) -> Option<(PeerName, Option<ShortId>)> {
    let hop = routes.unicast(routes.peer(id)?)?;
    Some((hop, routes.short_id(hop)))
}
