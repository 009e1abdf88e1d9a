//! The flows that the kernel has, as the switch believes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use model::Mac;
use openvswitch_sys::{Action, FlowKey, PortNo, Ufid};

use super::decide::{Depends, Target};

/// A flow
#[derive(Debug, Clone)]
pub(super) struct Installed {
    pub(super) key: FlowKey,
    pub(super) actions: Vec<Action>,
    pub(super) depends: Depends,
    /// Found at the start and left alone until the switch settles
    pub(super) adopted: bool,
    /// When it was put, or last carried a frame
    pub(super) used: Instant,
    /// When the daemon was told to put it
    pub(super) put: Instant,
}

/// The flows by id, by station and by port
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_ufid: BTreeMap<Ufid, Installed>,
    by_mac: BTreeSet<(Mac, Ufid)>,
    per_port: BTreeMap<PortNo, usize>,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.by_ufid.len()
    }

    pub(super) fn on_port(&self, port: PortNo) -> usize {
        self.per_port.get(&port).copied().unwrap_or_default()
    }

    pub(super) fn get(&self, ufid: &Ufid) -> Option<&Installed> {
        self.by_ufid.get(ufid)
    }

    /// For changes that leave the key alone
    pub(super) fn get_mut(&mut self, ufid: &Ufid) -> Option<&mut Installed> {
        self.by_ufid.get_mut(ufid)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Ufid, &Installed)> {
        self.by_ufid.iter()
    }

    pub(super) fn insert(&mut self, ufid: Ufid, flow: Installed) {
        let key = flow.key;
        if self.by_ufid.insert(ufid, flow).is_none() {
            self.by_mac.extend([(key.src, ufid), (key.dst, ufid)]);
            let count = self.per_port.entry(key.in_port).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, ufid: &Ufid) -> Option<Installed> {
        let flow = self.by_ufid.remove(ufid)?;
        self.by_mac.remove(&(flow.key.src, *ufid));
        self.by_mac.remove(&(flow.key.dst, *ufid));
        if let Some(count) = self.per_port.get_mut(&flow.key.in_port) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_port.remove(&flow.key.in_port);
            }
        }
        Some(flow)
    }

    /// The flows from or to a station
    pub(super) fn of_mac(&self, mac: Mac) -> Vec<Ufid> {
        let range = (mac, Ufid([0; 16]))..=(mac, Ufid([0xff; 16]));
        self.by_mac.range(range).map(|(_, ufid)| *ufid).collect()
    }

    /// The flows for which `wanted` holds
    pub(super) fn select(&self, mut wanted: impl FnMut(&Installed) -> bool) -> Vec<Ufid> {
        let chosen = self.by_ufid.iter().filter(|(_, flow)| wanted(flow));
        chosen.map(|(ufid, _)| *ufid).collect()
    }

    /// The flows that flood
    pub(super) fn flooding(&self) -> Vec<Ufid> {
        self.select(|flow| flow.depends.target == Target::Tree)
    }
}
