//! Dumps of the kernel's flows: adoption at the start, ageing and repair ever after.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{bump, later};
use openvswitch_sys::{Action, FlowKey, Ufid};

use super::decide::{Depends, Target};
use super::flows::Installed;
use super::{Place, PortRole, Switch};

/// A flow as a dump lists it
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFlow {
    /// Its id; what the switch puts has one
    pub ufid: Option<Ufid>,
    /// Its key, if it is one that the switch may have put
    pub key: Option<FlowKey>,
    /// What it does
    pub actions: Vec<Action>,
    /// How long ago it last carried a frame; `None` if it never did
    pub used_ago: Option<Duration>,
}

impl Switch {
    /// Takes in a whole dump of the kernel's flows, for which the daemon had asked at `asked`
    ///
    /// Flows in use keep the stations that they come from alive; idle ones are deleted. Before
    /// [`Switch::settle`] flows that the switch does not know are adopted, later deleted. A flow that is
    /// missing is forgotten, so that its next frame puts it again; one that was changed is put right.
    pub fn flows_seen(&mut self, dump: impl IntoIterator<Item = SeenFlow>, asked: Instant, now: Instant) {
        let mut missing: BTreeMap<Ufid, ()> = self
            .flows
            .iter()
            .filter(|(_, flow)| later(flow.put, IN_FLIGHT) < asked)
            .map(|(ufid, _)| (*ufid, ()))
            .collect();
        for seen in dump {
            let used = seen.used_ago.and_then(|ago| asked.checked_sub(ago));
            let ours = seen.key.zip(seen.ufid).filter(|(key, ufid)| key.ufid() == *ufid);
            let Some((key, ufid)) = ours else {
                self.foreign(seen.ufid);
                continue;
            };
            missing.remove(&ufid);
            if self.flows.get(&ufid).is_none() {
                self.unknown_flow(ufid, key, seen.actions, used, asked, now);
            } else {
                self.known_flow(&ufid, &seen.actions, used, asked, now);
            }
        }
        for ufid in missing.into_keys() {
            bump(&mut self.counters.flows_repaired);
            self.flows.remove(&ufid);
        }
        self.delete_idle(now);
    }

    /// Ends the time in which adopted flows are left alone
    ///
    /// For when every neighbour is back or has had its time. Without adopted flows, at once.
    pub fn settle(&mut self, now: Instant) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        for ufid in std::mem::take(&mut self.foreign) {
            self.delete(&ufid);
        }
        let nobodys: Vec<_> = self
            .state
            .macs
            .peers()
            .filter(|id| self.state.routes.peer(*id).is_none())
            .collect();
        let mut gone = vec![];
        for id in nobodys {
            gone.extend(self.state.macs.forget_place(Place::Peer(id)));
        }
        self.macs_changed(&gone, now);
        for ufid in self.flows.select(|flow| flow.adopted) {
            if let Some(flow) = self.flows.get_mut(&ufid) {
                flow.adopted = false;
            }
            self.reconsider(&ufid, now);
        }
    }

    /// Whether adopted flows are dealt with
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    fn foreign(&mut self, ufid: Option<Ufid>) {
        // One without an id cannot be named in a deletion; it is counted so that somebody looks.
        bump(&mut self.counters.flows_foreign);
        match ufid {
            Some(ufid) if self.settled => self.delete(&ufid),
            Some(ufid) if self.foreign.len() < self.config.max_flows => {
                self.foreign.insert(ufid);
            }
            Some(_) | None => {}
        }
    }

    fn unknown_flow(
        &mut self,
        ufid: Ufid,
        key: FlowKey,
        actions: Vec<Action>,
        used: Option<Instant>,
        asked: Instant,
        now: Instant,
    ) {
        if self.settled || self.flows.len() >= self.config.max_flows {
            self.foreign(Some(ufid));
            return;
        }
        bump(&mut self.counters.flows_adopted);
        // A group's flow floods unless it drops, by whomever it was put.
        let floods = key.dst.is_group() && !actions.is_empty();
        self.flows.insert(
            ufid,
            Installed {
                key,
                actions,
                depends: Depends {
                    source: None,
                    target: if floods { Target::Tree } else { Target::Here },
                },
                adopted: true,
                used: used.unwrap_or(now),
                put: now,
            },
        );
        // A flow that was never used was put for a frame all the same, and idle ones are deleted.
        if let Some(used) = used.or_else(|| asked.checked_sub(self.config.flow_idle)) {
            self.learn_from_flow(&key, used);
        }
    }

    fn known_flow(
        &mut self,
        ufid: &Ufid,
        actions: &[Action],
        used: Option<Instant>,
        asked: Instant,
        now: Instant,
    ) {
        let Some(flow) = self.flows.get_mut(ufid) else {
            return;
        };
        let key = flow.key;
        if let Some(used) = used {
            flow.used = flow.used.max(used);
        }
        let changed = !flow.adopted && flow.actions != actions && later(flow.put, IN_FLIGHT) < asked;
        let repaired = changed.then(|| {
            flow.put = now;
            flow.actions.clone()
        });
        if let Some(used) = used {
            self.learn_from_flow(&key, used);
        }
        if let Some(actions) = repaired {
            bump(&mut self.counters.flows_repaired);
            self.put(key, actions);
        }
    }

    /// A flow that carried a frame tells where the frame's source was then
    fn learn_from_flow(&mut self, key: &FlowKey, used: Instant) {
        let Some(place) = self.told_place(key) else { return };
        match (self.state.macs.place(key.src), self.state.macs.seen(key.src)) {
            (Some(known), _) if known == place => self.learn(key.src, place, used),
            // Of two adopted flows that disagree the one used last is right; a frame that came up is
            // better evidence than any flow that is older.
            (Some(_), Some(seen)) if seen >= used => {}
            (Some(_), _) if self.settled => {}
            (Some(_) | None, _) => self.learn(key.src, place, used),
        }
    }

    /// Where the source of a flow's frames is; unlike for a frame its peer need not be known yet
    fn told_place(&self, key: &FlowKey) -> Option<Place> {
        match self.state.ports.get(&key.in_port)? {
            _ if key.src.is_group() || key.src == model::Mac::ZERO => None,
            PortRole::Container | PortRole::Host => Some(Place::Port(key.in_port)),
            PortRole::Vxlan | PortRole::Tap => {
                let vni = self.state.vni(key).ok()?;
                let own = self.state.routes.own_short_id();
                (vni.destination() == own && vni.source() != own).then(|| Place::Peer(vni.source()))
            }
        }
    }

    fn delete_idle(&mut self, now: Instant) {
        let crowded = self.flows.len() > (self.config.max_flows / 4).saturating_mul(3);
        let idle = if crowded {
            self.config.flow_idle_crowded
        } else {
            self.config.flow_idle
        };
        let settled = self.settled;
        let old = self
            .flows
            .select(|flow| (settled || !flow.adopted) && now.saturating_duration_since(flow.used) > idle);
        for ufid in old {
            self.delete(&ufid);
        }
    }
}

/// How long a command may be on its way to the kernel: a dump asked for sooner may not show it
const IN_FLIGHT: Duration = Duration::from_secs(1);
