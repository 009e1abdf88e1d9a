//! Flows and packets, in batches.

use openvswitch_sys::uapi::*;
use openvswitch_sys::{Action, FlowKey, Ufid, flow};

use super::Odp;
use crate::dpif::{Datapath, Execute, Installed, PacketKey};
use crate::error::{Refusal, RequestError};
use crate::reconcile::FlowId;

impl Odp {
    pub(super) fn install_and_send(
        &mut self,
        dp: &Datapath,
        flows: &[(FlowKey, Vec<Action>)],
        packets: &[Execute<'_>],
    ) -> Result<Installed, RequestError> {
        let mut results = Results::new(flows.len() + packets.len());
        // With neither NLM_F_CREATE nor NLM_F_EXCL this creates, and leaves what exists to `replace`.
        let put = self.flow_call(OVS_FLOW_CMD_NEW, dp);
        for (i, (key, actions)) in flows.iter().enumerate() {
            results.make_room(self)?;
            let pushed = self.requests.push(put, 0, |w| flow::write_put(key, actions, w));
            results.pushed(i, pushed.is_ok());
        }
        let execute = self.execute_call(dp);
        for (i, packet) in packets.iter().enumerate() {
            results.make_room(self)?;
            let pushed = self.requests.push(execute, 0, |w| {
                w.put(OVS_PACKET_ATTR_PACKET, packet.packet);
                match packet.key {
                    PacketKey::Raw(key) => w.put(OVS_PACKET_ATTR_KEY, key),
                    PacketKey::InPort(port) => {
                        w.nest(OVS_PACKET_ATTR_KEY, |w| w.put_u32(OVS_KEY_ATTR_IN_PORT, port.0));
                    }
                }
                w.nest(OVS_PACKET_ATTR_ACTIONS, |w| Action::write_all(packet.actions, w));
                if let Some(hash) = packet.hash {
                    w.put_u64(OVS_PACKET_ATTR_HASH, hash);
                }
            });
            results.pushed(flows.len() + i, pushed.is_ok());
        }
        results.flush(self)?;
        self.replace(dp, flows, &mut results)?;
        let packets = results.of_items.split_off(flows.len());
        Ok(Installed {
            flows: results.of_items,
            packets,
        })
    }

    /// Gives the flows that were there already their new actions
    ///
    /// OVS_FLOW_CMD_NEW would do so too, if it did not compare the unmasked key of the request, in which
    /// the kernel puts ETH_P_802_2 for the ethertype that is left out, with the masked key of the flow.
    /// OVS_FLOW_CMD_SET finds the flow by its id alone.
    fn replace(
        &mut self,
        dp: &Datapath,
        flows: &[(FlowKey, Vec<Action>)],
        results: &mut Results,
    ) -> Result<(), RequestError> {
        let set = self.flow_call(OVS_FLOW_CMD_SET, dp);
        let exists = |errno: i32| matches!(errno, EEXIST | ENOENT);
        for (i, (key, actions)) in flows.iter().enumerate() {
            if results.errnos.get(i).is_some_and(|errno| exists(*errno)) {
                results.retry(i);
                results.make_room(self)?;
                let pushed = self.requests.push(set, 0, |w| flow::write_put(key, actions, w));
                results.pushed(i, pushed.is_ok());
            }
        }
        results.flush(self)
    }

    pub(super) fn delete_each(&mut self, dp: &Datapath, ids: &[FlowId]) -> Result<usize, RequestError> {
        let call = self.flow_call(OVS_FLOW_CMD_DEL, dp);
        let mut results = Results::new(ids.len());
        for (i, id) in ids.iter().enumerate() {
            results.make_room(self)?;
            let pushed = self.requests.push(call, 0, |w| match id {
                FlowId::Ufid(Ufid(id)) => w.put(OVS_FLOW_ATTR_UFID, id),
                FlowId::Key(key) => w.put(OVS_FLOW_ATTR_KEY, key),
            });
            results.pushed(i, pushed.is_ok());
        }
        results.flush(self)?;
        let mut deleted = 0;
        for result in results.errnos {
            match result {
                0 => deleted += 1,
                ENOENT => {}
                errno => return Err(RequestError::refused(errno)),
            }
        }
        Ok(deleted)
    }
}

/// What became of each item of several batches
struct Results {
    of_items: Vec<Result<(), Refusal>>,
    errnos: Vec<i32>,
    /// The item of each request in the batch
    in_batch: Vec<usize>,
}

impl Results {
    fn new(items: usize) -> Self {
        Self {
            of_items: vec![Ok(()); items],
            errnos: vec![0; items],
            in_batch: vec![],
        }
    }

    /// Forgets how an item went, as it is sent once more
    fn retry(&mut self, item: usize) {
        self.of_items[item] = Ok(());
        self.errnos[item] = 0;
    }

    fn make_room(&mut self, odp: &mut Odp) -> Result<(), RequestError> {
        if odp.requests.is_full() {
            self.flush(odp)
        } else {
            Ok(())
        }
    }

    fn pushed(&mut self, item: usize, fitted: bool) {
        if fitted {
            self.in_batch.push(item);
        } else {
            self.of_items[item] = Err(Refusal::TooLong);
        }
    }

    fn flush(&mut self, odp: &mut Odp) -> Result<(), RequestError> {
        let items = std::mem::take(&mut self.in_batch);
        for (position, errno) in odp.requests.exchange(|_reply| Ok(()))? {
            if errno == EPERM {
                return Err(RequestError::PermissionDenied);
            }
            if let Some(item) = items.get(position) {
                self.of_items[*item] = Refusal::check(errno);
                self.errnos[*item] = errno;
            }
        }
        Ok(())
    }
}
