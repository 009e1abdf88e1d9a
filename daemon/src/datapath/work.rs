//! What a batch of upcalls comes to: changes of flows, packets, counts.

use odp::{Execute, PacketKey};
use openvswitch_sys::{Action, FlowKey, PortNo, Ufid, Upcall};
use overlay::{Command, Switch, SwitchOutput};

use crate::neighbours::gate::BeatDrops;

/// Work for the kernel, in the order in which the kernel is to do it
#[derive(Default)]
pub(super) struct Work {
    pub(super) changes: Vec<Change>,
    pub(super) packets: Vec<Packet>,
}

/// A packet to be sent with actions
pub(super) struct Packet {
    bytes: Vec<u8>,
    key: Key,
    actions: Vec<Action>,
    hash: Option<u64>,
}

pub(super) enum Key {
    InPort(PortNo),
    /// That of the upcall, as the kernel had it
    Raw(Vec<u8>),
}

pub(super) enum Change {
    Put(FlowKey, Vec<Action>),
    Delete(Ufid),
}

#[derive(Default)]
pub(super) struct Counters {
    /// Times that the kernel had no room for upcalls
    pub(super) overruns: u64,
    pub(super) malformed: u64,
    /// Heartbeats that proved nothing
    pub(super) beats: BeatDrops,
    /// Genuine ones for which control had no room
    pub(super) beats_dropped: u64,
    pub(super) flows_failed: u64,
    pub(super) packets_failed: u64,
    pub(super) oversize_answered: u64,
    pub(super) oversize_fragmented: u64,
    pub(super) oversize_dropped: u64,
}

impl Work {
    pub(super) fn take_outputs(&mut self, switch: &mut Switch) {
        while let Some(output) = switch.poll_output() {
            match output {
                SwitchOutput::Command(Command::PutFlow(key, actions)) => {
                    self.changes.push(Change::Put(key, actions));
                }
                SwitchOutput::Command(Command::DeleteFlow(ufid)) => self.changes.push(Change::Delete(ufid)),
                SwitchOutput::Event(event) => log::debug!("{event:?}"),
            }
        }
    }
}

impl Packet {
    /// A packet of this host's making
    pub(super) const fn new(bytes: Vec<u8>, in_port: PortNo, actions: Vec<Action>) -> Self {
        Self {
            bytes,
            key: Key::InPort(in_port),
            actions,
            hash: None,
        }
    }

    /// The packet of an upcall, with its own key
    pub(super) fn of(upcall: &Upcall<'_>, actions: Vec<Action>) -> Self {
        let key = Key::Raw(upcall.raw_key.to_vec());
        Self {
            bytes: upcall.packet.to_vec(),
            key,
            actions,
            hash: upcall.hash,
        }
    }

    pub(super) fn execute(&self) -> Execute<'_> {
        let key = match &self.key {
            Key::InPort(port) => PacketKey::InPort(*port),
            Key::Raw(bytes) => PacketKey::Raw(bytes),
        };
        Execute {
            packet: &self.bytes,
            key,
            actions: &self.actions,
            hash: self.hash,
        }
    }
}
