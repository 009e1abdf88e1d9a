//! What the switch thread needs of a datapath interface ("dpif" in Open vSwitch), and its words.

use std::io;

use model::IfName;
use openvswitch_sys::{
    Action, Datapath as DatapathState, Flow, FlowKey, PortNo, Ufid, Upcall, UserFeatures, Vport, VportKind,
};

use crate::error::{DatapathError, DelVportError, Refusal, RequestError, VportError};
use crate::reconcile::{Difference, FlowId};
use crate::upcall::Received;

/// An upcall socket's netlink address
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpcallPid(pub u32);

/// A datapath that this process receives the upcalls of
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datapath {
    /// Its interface index
    pub ifindex: i32,
    /// Its name
    pub name: IfName,
    /// How upcalls find their socket
    pub dispatch: Dispatch,
    /// It was there already, with ports and flows of an earlier process
    pub adopted: bool,
}

/// How the datapath chooses the socket for an upcall
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dispatch {
    /// By the CPU that the packet is on (Linux ≥ 5.15)
    PerCpu(Vec<UpcallPid>),
    /// Each port has the list of sockets, and a packet's hash chooses
    VportPids(Vec<UpcallPid>),
}

impl Dispatch {
    /// The `pid` for [`Action::Userspace`]: per-CPU dispatch ignores it, but the kernel wants one
    pub fn action_pid(&self) -> u32 {
        match self {
            Self::PerCpu(_) => u32::MAX,
            Self::VportPids(pids) => pids.first().map_or(u32::MAX, |pid| pid.0),
        }
    }

    /// The sockets
    pub fn pids(&self) -> &[UpcallPid] {
        match self {
            Self::PerCpu(pids) | Self::VportPids(pids) => pids,
        }
    }

    pub(crate) const fn features(&self) -> UserFeatures {
        match self {
            Self::PerCpu(_) => UserFeatures::PER_CPU,
            Self::VportPids(_) => UserFeatures::VPORT_PIDS,
        }
    }
}

/// Whether somebody had changed the dispatch
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reasserted {
    /// Nothing to do
    AsItWas,
    /// Somebody (`ovs-dpctl show` does) had changed it to these features; it is restored
    Restored {
        /// What it was
        found: UserFeatures,
    },
}

/// A port to add
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VportSpec {
    /// The device: an existing one for [`VportKind::Netdev`], otherwise made with this name
    pub name: IfName,
    /// What the port shall be
    pub kind: VportKind,
}

/// A packet to send through actions
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The frame from its Ethernet header on
    pub packet: &'a [u8],
    /// Where it came from
    pub key: PacketKey<'a>,
    /// What happens to it
    pub actions: &'a [Action],
    /// An upcall's hash, handed back
    pub hash: Option<u64>,
}

/// Where a packet came from
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKey<'a> {
    /// This process made it: as if it had come from a port
    InPort(PortNo),
    /// An upcall brought it: [`Upcall::raw_key`]
    Raw(&'a [u8]),
}

impl<'a> Execute<'a> {
    /// The upcall's own packet through `actions`
    pub const fn answer(upcall: &Upcall<'a>, actions: &'a [Action]) -> Self {
        let Upcall {
            packet,
            raw_key,
            hash,
            ..
        } = *upcall;
        Self {
            packet,
            key: PacketKey::Raw(raw_key),
            actions,
            hash,
        }
    }
}

/// What became of each flow and each packet
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// In the order given
    pub flows: Vec<Result<(), Refusal>>,
    /// In the order given
    pub packets: Vec<Result<(), Refusal>>,
}

/// A datapath interface
pub trait Dpif {
    /// The datapath of this name with its statistics, whoever it belongs to
    fn datapath(&mut self, name: &IfName) -> Result<Option<DatapathState>, RequestError>;

    /// Makes the datapath, or takes over the one that is there, and directs its upcalls to these
    /// sockets, one per CPU in their order; fewer are used in turn
    fn create_or_adopt(&mut self, name: &IfName, upcalls: &[UpcallPid]) -> Result<Datapath, DatapathError>;

    /// Deletes the datapath with its ports and flows; one that is gone is fine
    fn delete_datapath(&mut self, dp: &Datapath) -> Result<(), RequestError>;

    /// Directs upcalls to this process again if somebody changed that
    ///
    /// `ovs-dpctl show` switches a datapath to per-CPU dispatch, and every upcall is lost if the sockets
    /// were given by port. One small request when all is well: call it every second or so.
    fn reassert_dispatch(&mut self, dp: &Datapath) -> Result<Reasserted, RequestError>;

    /// The ports
    fn vports(&mut self, dp: &Datapath) -> Result<Vec<Vport>, RequestError>;

    /// Adds a port, or adopts the one that is there
    fn add_vport(&mut self, dp: &Datapath, spec: &VportSpec) -> Result<PortNo, VportError>;

    /// Removes a port, and its device unless it is a [`VportKind::Netdev`]; one that is gone is fine
    fn del_vport(&mut self, dp: &Datapath, port: PortNo) -> Result<(), DelVportError>;

    /// Creates each flow, or replaces its actions
    fn put_flows(
        &mut self,
        dp: &Datapath,
        flows: &[(FlowKey, Vec<Action>)],
    ) -> Result<Vec<Result<(), Refusal>>, RequestError> {
        self.install_and_execute(dp, flows, &[])
            .map(|installed| installed.flows)
    }

    /// Sends each packet through its actions
    fn execute(
        &mut self,
        dp: &Datapath,
        packets: &[Execute<'_>],
    ) -> Result<Vec<Result<(), Refusal>>, RequestError> {
        self.install_and_execute(dp, &[], packets)
            .map(|installed| installed.packets)
    }

    /// Puts flows and then sends packets, in one system call as far as they fit
    fn install_and_execute(
        &mut self,
        dp: &Datapath,
        flows: &[(FlowKey, Vec<Action>)],
        packets: &[Execute<'_>],
    ) -> Result<Installed, RequestError>;

    /// Deletes flows by whatever the kernel knows them by; returns how many of them there were
    fn delete(&mut self, dp: &Datapath, flows: &[FlowId]) -> Result<usize, RequestError>;

    /// Deletes flows by their ids; returns how many of them there were
    fn del_flows(&mut self, dp: &Datapath, flows: &[Ufid]) -> Result<usize, RequestError> {
        let ids: Vec<_> = flows.iter().map(|ufid| FlowId::Ufid(*ufid)).collect();
        self.delete(dp, &ids)
    }

    /// Deletes all flows
    fn flush_flows(&mut self, dp: &Datapath) -> Result<(), RequestError>;

    /// All flows with their statistics
    fn dump_flows(&mut self, dp: &Datapath) -> Result<Vec<Flow>, RequestError>;

    /// Does what [`reconcile`](crate::reconcile()) found: deletes first, so that nothing overlaps; returns
    /// what was refused
    fn apply(
        &mut self,
        dp: &Datapath,
        difference: &Difference,
    ) -> Result<Vec<(FlowKey, Refusal)>, RequestError> {
        self.delete(dp, &difference.delete)?;
        let results = self.put_flows(dp, &difference.put)?;
        let puts = difference.put.iter().zip(results);
        Ok(puts
            .filter_map(|((key, _actions), result)| Some((*key, result.err()?)))
            .collect())
    }
}

/// A source of upcalls that does not block
pub trait Upcalls {
    /// Hands each waiting upcall to `handle`, up to some bound
    fn recv_batch(&mut self, handle: &mut dyn FnMut(Upcall<'_>)) -> io::Result<Received>;
}
