//! Flows of the kernel: installed, deleted, read.

use std::time::{Duration, Instant};

use odp::{Dpif as _, Execute, monotonic_ms};
use openvswitch_sys::{Action, FlowKey, FlowMatch, Ufid};
use overlay::SeenFlow;

use super::Worker;
use crate::datapath::FlowDump;
use crate::datapath::work::{Change, Packet, Work};

impl Worker {
    /// Shows the flows of the kernel to the switch: for their age, and for what others did to them
    pub(super) fn look_at_flows(&mut self, asked: Instant) -> anyhow::Result<()> {
        let flows = self.odp.dump_flows(&self.datapath)?;
        let clock = monotonic_ms();
        let seen = flows.into_iter().map(|flow| SeenFlow {
            ufid: flow.ufid,
            key: match flow.matches {
                FlowMatch::Canonical(key) => Some(key),
                FlowMatch::Other { .. } => None,
            },
            actions: flow.actions,
            used_ago: flow
                .used
                .map(|used| Duration::from_millis(clock.saturating_sub(used))),
        });
        self.switch.flows_seen(seen, asked, Instant::now());
        self.take_outputs();
        Ok(())
    }

    /// Carries out what was decided: flows first, then the packets that will meet them
    pub(super) fn flush(&mut self) {
        let Work { changes, packets } = std::mem::take(&mut self.work);
        let (mut put, mut deleted) = (Vec::new(), Vec::new());
        for change in changes {
            // A flow may be deleted and put again: what is of one kind goes together, in order.
            match change {
                Change::Put(key, actions) => {
                    self.delete(&mut deleted);
                    put.push((key, actions));
                }
                Change::Delete(ufid) => {
                    self.install(&mut put, &[]);
                    deleted.push(ufid);
                }
            }
        }
        self.delete(&mut deleted);
        self.install(&mut put, &packets);
    }

    fn delete(&mut self, flows: &mut Vec<Ufid>) {
        if !flows.is_empty()
            && let Err(error) = self.odp.del_flows(&self.datapath, flows)
        {
            log::error!("deleting flows: {:#}", anyhow::Error::from(error));
        }
        flows.clear();
    }

    fn install(&mut self, flows: &mut Vec<(FlowKey, Vec<Action>)>, packets: &[Packet]) {
        if flows.is_empty() && packets.is_empty() {
            return;
        }
        let executes: Vec<Execute<'_>> = packets.iter().map(Packet::execute).collect();
        match self.odp.install_and_execute(&self.datapath, flows, &executes) {
            Ok(installed) => {
                for ((key, _), result) in flows.iter().zip(installed.flows) {
                    if let Err(refusal) = result {
                        log::warn!("flow {key}: {refusal}");
                        self.counters.flows_failed += 1;
                    }
                }
                for refusal in installed.packets.into_iter().filter_map(Result::err) {
                    log::debug!("sending a packet: {refusal}");
                    self.counters.packets_failed += 1;
                }
            }
            Err(error) => log::error!("installing flows: {:#}", anyhow::Error::from(error)),
        }
        flows.clear();
    }

    /// Returns all flows, with the names of their ports
    pub(super) fn dump(&mut self) -> anyhow::Result<FlowDump> {
        let flows = self.odp.dump_flows(&self.datapath)?;
        let ports = self
            .ports
            .iter()
            .map(|(port, (name, _))| (*port, name.clone()))
            .collect();
        Ok(FlowDump {
            flows,
            ports,
            monotonic_ms: monotonic_ms(),
        })
    }
}
