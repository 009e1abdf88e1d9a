//! Datapaths in memory, for tests of what stands on [`Dpif`].
//!
//! A flow put here forwards the frames that [`Fake::deliver`] brings; a frame without a flow becomes an
//! upcall in the kernel's own encoding. What leaves a port is kept for the test to look at.

mod forward;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::IfName;
use openvswitch_sys::netlink::Generic;
use openvswitch_sys::{
    Action, AttrWriter, DatapathStats, Flow, FlowKey, FlowMatch, FlowStats, PortNo, SetTunnel, TunnelKey,
    Ufid, Upcall, UserFeatures, Vport, VportKind, VportStats,
};

use crate::dpif::{
    Datapath, Dispatch, Dpif, Execute, Installed, PacketKey, Reasserted, UpcallPid, Upcalls, VportSpec,
};
use crate::error::{DatapathError, DelVportError, Refusal, RequestError, VportError};
use crate::reconcile::FlowId;
use crate::upcall::Received;
use crate::{DatapathState, monotonic_ms};

/// Open vSwitch in memory; clones share it
#[derive(Debug, Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

/// The upcalls of a [`Fake`]
#[derive(Debug, Clone)]
pub struct FakeUpcalls(Fake);

/// A frame that left a port
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The port
    pub port: PortNo,
    /// What `set(tunnel)` had said
    pub tunnel: Option<SetTunnel>,
    /// The frame
    pub frame: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    datapaths: BTreeMap<IfName, Table>,
    last_ifindex: i32,
    sent: Vec<Sent>,
    upcalls: VecDeque<(u8, Vec<u8>)>,
}

#[derive(Debug)]
struct Table {
    ifindex: i32,
    features: UserFeatures,
    pids: Vec<u32>,
    stats: DatapathStats,
    vports: BTreeMap<PortNo, Vport>,
    flows: BTreeMap<Ufid, Flow>,
}

impl Fake {
    /// Open vSwitch without a datapath
    pub fn new() -> Self {
        Self::default()
    }

    /// The upcalls of all datapaths
    pub fn upcalls(&self) -> FakeUpcalls {
        FakeUpcalls(self.clone())
    }

    /// A frame comes in on a port, decapsulated if the port is a tunnel's
    pub fn deliver(&self, dp: &Datapath, port: PortNo, tunnel: Option<TunnelKey>, frame: &[u8]) {
        let mut state = self.state();
        if let Some(output) = state
            .table(dp)
            .ok()
            .map(|table| forward::receive(table, port, tunnel, frame))
        {
            state.emit(output);
        }
    }

    /// The frames that left ports since the last call
    pub fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.state().sent)
    }

    /// Somebody changes the datapath's features, as `ovs-dpctl show` does
    pub fn set_features(&self, dp: &Datapath, features: UserFeatures) {
        if let Ok(table) = self.state().table(dp) {
            table.features = features;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn table(&mut self, dp: &Datapath) -> Result<&mut Table, RequestError> {
        let found = self
            .datapaths
            .get_mut(&dp.name)
            .filter(|table| table.ifindex == dp.ifindex);
        found.ok_or(RequestError::DatapathGone)
    }

    fn emit(&mut self, output: forward::Output) {
        self.sent.extend(output.sent);
        self.upcalls.extend(output.upcalls);
    }
}

impl Dpif for Fake {
    fn datapath(&mut self, name: &IfName) -> Result<Option<DatapathState>, RequestError> {
        Ok(self.state().datapaths.get(name).map(|table| DatapathState {
            ifindex: table.ifindex,
            name: name.to_string(),
            stats: DatapathStats {
                flows: table.flows.len() as u64,
                ..table.stats
            },
            megaflow_stats: openvswitch_sys::datapath::MegaflowStats::default(),
            features: table.features,
            masks_cache_size: None,
            per_cpu_pids: Some(table.pids.clone()),
        }))
    }

    fn create_or_adopt(&mut self, name: &IfName, upcalls: &[UpcallPid]) -> Result<Datapath, DatapathError> {
        let mut state = self.state();
        let adopted = state.datapaths.contains_key(name);
        if !adopted {
            state.last_ifindex += 1;
            let table = Table::new(name, state.last_ifindex);
            state.datapaths.insert(name.clone(), table);
        }
        let dispatch = Dispatch::PerCpu(upcalls.to_vec());
        let table = state.datapaths.get_mut(name).ok_or(RequestError::DatapathGone)?;
        table.features = UserFeatures::PER_CPU;
        table.pids = upcalls.iter().map(|pid| pid.0).collect();
        Ok(Datapath {
            ifindex: table.ifindex,
            name: name.clone(),
            dispatch,
            adopted,
        })
    }

    fn delete_datapath(&mut self, dp: &Datapath) -> Result<(), RequestError> {
        let mut state = self.state();
        if state.table(dp).is_ok() {
            state.datapaths.remove(&dp.name);
        }
        Ok(())
    }

    fn reassert_dispatch(&mut self, dp: &Datapath) -> Result<Reasserted, RequestError> {
        let mut state = self.state();
        let table = state.table(dp)?;
        let found = std::mem::replace(&mut table.features, UserFeatures::PER_CPU);
        Ok(if found == table.features {
            Reasserted::AsItWas
        } else {
            Reasserted::Restored { found }
        })
    }

    fn vports(&mut self, dp: &Datapath) -> Result<Vec<Vport>, RequestError> {
        Ok(self.state().table(dp)?.vports.values().cloned().collect())
    }

    fn add_vport(&mut self, dp: &Datapath, spec: &VportSpec) -> Result<PortNo, VportError> {
        let mut state = self.state();
        let table = state.table(dp)?;
        if let Some(vport) = table.vports.values().find(|v| v.name == spec.name.as_str()) {
            return if vport.kind == spec.kind {
                Ok(vport.port)
            } else {
                Err(VportError::OtherKind {
                    name: spec.name.clone(),
                    found: vport.kind,
                })
            };
        }
        let free = (1..u32::MAX)
            .map(PortNo)
            .find(|port| !table.vports.contains_key(port));
        let port = free.unwrap_or(PortNo(u32::MAX));
        table.vports.insert(port, vport(port, &spec.name, spec.kind));
        Ok(port)
    }

    fn del_vport(&mut self, dp: &Datapath, port: PortNo) -> Result<(), DelVportError> {
        if port == PortNo::LOCAL {
            return Err(DelVportError::Local(port));
        }
        if let Ok(table) = self.state().table(dp) {
            table.vports.remove(&port);
        }
        Ok(())
    }

    fn install_and_execute(
        &mut self,
        dp: &Datapath,
        flows: &[(FlowKey, Vec<Action>)],
        packets: &[Execute<'_>],
    ) -> Result<Installed, RequestError> {
        let mut state = self.state();
        let table = match state.table(dp) {
            Ok(table) => table,
            Err(_gone) => {
                let gone = |n: usize| vec![Err(Refusal::DatapathGone); n];
                return Ok(Installed {
                    flows: gone(flows.len()),
                    packets: gone(packets.len()),
                });
            }
        };
        for (key, actions) in flows {
            table.put(*key, actions.clone());
        }
        let mut output = forward::Output::default();
        for packet in packets {
            let key = match packet.key {
                PacketKey::InPort(port) => forward::parse(port, None, packet.packet),
                PacketKey::Raw(raw) => {
                    openvswitch_sys::UpcallKey::decode(openvswitch_sys::Attrs::new(raw)).ok()
                }
            };
            if let Some(key) = key {
                output.run(table.ifindex, &key, packet.packet, packet.actions);
            }
        }
        state.emit(output);
        Ok(Installed {
            flows: vec![Ok(()); flows.len()],
            packets: vec![Ok(()); packets.len()],
        })
    }

    fn delete(&mut self, dp: &Datapath, flows: &[FlowId]) -> Result<usize, RequestError> {
        let mut state = self.state();
        let table = state.table(dp)?;
        let was_there = |id: &&FlowId| match id {
            FlowId::Ufid(ufid) => table.flows.remove(ufid).is_some(),
            FlowId::Key(_none_here_lacks_an_id) => false,
        };
        Ok(flows.iter().filter(was_there).count())
    }

    fn flush_flows(&mut self, dp: &Datapath) -> Result<(), RequestError> {
        self.state().table(dp)?.flows.clear();
        Ok(())
    }

    fn dump_flows(&mut self, dp: &Datapath) -> Result<Vec<Flow>, RequestError> {
        Ok(self.state().table(dp)?.flows.values().cloned().collect())
    }
}

impl Upcalls for FakeUpcalls {
    fn recv_batch(&mut self, handle: &mut dyn FnMut(Upcall<'_>)) -> io::Result<Received> {
        let waiting = std::mem::take(&mut self.0.state().upcalls);
        let mut received = Received::default();
        for (command, rest) in waiting {
            match Upcall::decode(&Generic {
                command,
                version: 1,
                rest: &rest,
            }) {
                Ok(upcall) => {
                    received.count += 1;
                    handle(upcall);
                }
                Err(_malformed) => received.malformed += 1,
            }
        }
        Ok(received)
    }
}

impl Table {
    fn new(name: &IfName, ifindex: i32) -> Self {
        let local = vport(PortNo::LOCAL, name, VportKind::Internal);
        Self {
            ifindex,
            features: UserFeatures::PER_CPU,
            pids: vec![],
            stats: DatapathStats::default(),
            vports: BTreeMap::from([(PortNo::LOCAL, local)]),
            flows: BTreeMap::new(),
        }
    }

    fn put(&mut self, key: FlowKey, actions: Vec<Action>) {
        let ufid = key.ufid();
        let flow = self.flows.entry(ufid).or_insert_with(|| Flow {
            ufid: Some(ufid),
            matches: FlowMatch::Canonical(key),
            actions: vec![],
            stats: FlowStats::default(),
            used: None,
        });
        flow.actions = actions;
    }

    /// What the flow that the packet matches does
    fn matched(&mut self, key: &FlowKey, bytes: usize) -> Option<Vec<Action>> {
        let Some(flow) = self.flows.get_mut(&key.ufid()) else {
            self.stats.missed += 1;
            return None;
        };
        self.stats.hit += 1;
        flow.stats.packets += 1;
        flow.stats.bytes += bytes as u64;
        flow.used = Some(monotonic_ms());
        Some(flow.actions.clone())
    }
}

fn vport(port: PortNo, name: &IfName, kind: VportKind) -> Vport {
    let (name, stats) = (name.to_string(), VportStats::default());
    Vport {
        port,
        name,
        kind,
        ifindex: None,
        netnsid: None,
        stats,
        upcall_pids: vec![],
    }
}

/// Appends an upcall as the kernel encodes it after its header
fn encode(upcall: &Upcall<'_>) -> (u8, Vec<u8>) {
    let mut rest = upcall.dp.to_ne_bytes().to_vec();
    upcall.write(&mut AttrWriter::new(&mut rest));
    (upcall.command_number(), rest)
}

#[cfg(test)]
mod tests;
