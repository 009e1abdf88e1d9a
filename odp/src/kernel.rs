//! The kernel's datapaths.

mod datapath;
mod flow;
mod vport;

use model::IfName;
use openvswitch_sys::uapi::*;
use openvswitch_sys::{Action, Flow, FlowKey, PortNo, Vport};

use crate::DatapathState;
use crate::dpif::{Datapath, Dpif, Execute, Installed, Reasserted, UpcallPid, VportSpec};
use crate::error::{DatapathError, DelVportError, OpenError, RequestError, VportError};
use crate::reconcile::FlowId;
use crate::request::{Call, Requests};

/// Open vSwitch of the network namespace that the opening thread is in
pub struct Odp {
    requests: Requests,
    families: Families,
    per_cpu: bool,
}

#[derive(Debug, Clone, Copy)]
struct Families {
    datapath: u16,
    vport: u16,
    flow: u16,
    packet: u16,
}

impl Odp {
    /// Opens a request socket; the kernel loads its module if it has it
    pub fn open() -> Result<Self, OpenError> {
        let mut requests = Requests::open().map_err(OpenError::Socket)?;
        let mut family = |name| requests.family(name).map(|f| f.id).map_err(no_family);
        let families = Families {
            datapath: family(OVS_DATAPATH_FAMILY)?,
            vport: family(OVS_VPORT_FAMILY)?,
            flow: family(OVS_FLOW_FAMILY)?,
            packet: family(OVS_PACKET_FAMILY)?,
        };
        let mut odp = Self {
            requests,
            families,
            per_cpu: true,
        };
        // Permission is checked before the datapath is looked for, and no datapath has index 0.
        match odp.requests.run(odp.datapath_call(OVS_DP_CMD_SET, 0), |_none| {}) {
            Ok(()) | Err(RequestError::DatapathGone) => Ok(odp),
            Err(RequestError::PermissionDenied) => Err(OpenError::PermissionDenied),
            Err(e) => Err(OpenError::Request(e)),
        }
    }

    /// Gives upcall sockets by port even where the kernel can dispatch per CPU, as for Linux < 5.15
    #[must_use]
    pub fn without_per_cpu_dispatch(mut self) -> Self {
        self.per_cpu = false;
        self
    }

    const fn datapath_call(&self, command: u8, dp_ifindex: i32) -> Call {
        Call {
            family: self.families.datapath,
            version: OVS_DATAPATH_VERSION,
            command,
            dp_ifindex,
        }
    }

    const fn vport_call(&self, command: u8, dp: &Datapath) -> Call {
        Call {
            family: self.families.vport,
            version: OVS_VPORT_VERSION,
            command,
            dp_ifindex: dp.ifindex,
        }
    }

    const fn flow_call(&self, command: u8, dp: &Datapath) -> Call {
        Call {
            family: self.families.flow,
            version: OVS_FLOW_VERSION,
            command,
            dp_ifindex: dp.ifindex,
        }
    }

    const fn execute_call(&self, dp: &Datapath) -> Call {
        Call {
            family: self.families.packet,
            version: OVS_PACKET_VERSION,
            command: OVS_PACKET_CMD_EXECUTE,
            dp_ifindex: dp.ifindex,
        }
    }
}

/// A family that the controller does not know is a module that is not there
pub(crate) fn no_family(error: RequestError) -> OpenError {
    match error {
        RequestError::Refused { errno: ENOENT } => OpenError::NoOpenVSwitch,
        RequestError::PermissionDenied => OpenError::PermissionDenied,
        RequestError::Socket(e) => OpenError::Socket(e),
        other @ (RequestError::Refused { .. }
        | RequestError::DatapathGone
        | RequestError::AnswersLost
        | RequestError::DumpInterrupted { .. }
        | RequestError::Decode(_)
        | RequestError::TooLong(_)) => OpenError::Request(other),
    }
}

impl Dpif for Odp {
    fn datapath(&mut self, name: &IfName) -> Result<Option<DatapathState>, RequestError> {
        self.find_datapath(name)
    }

    fn create_or_adopt(&mut self, name: &IfName, upcalls: &[UpcallPid]) -> Result<Datapath, DatapathError> {
        self.create_or_adopt_datapath(name, upcalls)
    }

    fn delete_datapath(&mut self, dp: &Datapath) -> Result<(), RequestError> {
        gone_is_fine(
            self.requests
                .run(self.datapath_call(OVS_DP_CMD_DEL, dp.ifindex), |_none| {}),
        )
    }

    fn reassert_dispatch(&mut self, dp: &Datapath) -> Result<Reasserted, RequestError> {
        self.restore_dispatch(dp)
    }

    fn vports(&mut self, dp: &Datapath) -> Result<Vec<Vport>, RequestError> {
        self.list_vports(dp)
    }

    fn add_vport(&mut self, dp: &Datapath, spec: &VportSpec) -> Result<PortNo, VportError> {
        self.add_or_adopt_vport(dp, spec)
    }

    fn del_vport(&mut self, dp: &Datapath, port: PortNo) -> Result<(), DelVportError> {
        if port == PortNo::LOCAL {
            return Err(DelVportError::Local(port));
        }
        let call = self.vport_call(OVS_VPORT_CMD_DEL, dp);
        Ok(gone_is_fine(
            self.requests
                .run(call, |w| w.put_u32(OVS_VPORT_ATTR_PORT_NO, port.0)),
        )?)
    }

    fn install_and_execute(
        &mut self,
        dp: &Datapath,
        flows: &[(FlowKey, Vec<Action>)],
        packets: &[Execute<'_>],
    ) -> Result<Installed, RequestError> {
        self.install_and_send(dp, flows, packets)
    }

    fn delete(&mut self, dp: &Datapath, flows: &[FlowId]) -> Result<usize, RequestError> {
        self.delete_each(dp, flows)
    }

    fn flush_flows(&mut self, dp: &Datapath) -> Result<(), RequestError> {
        self.requests.run(self.flow_call(OVS_FLOW_CMD_DEL, dp), |_all| {})
    }

    fn dump_flows(&mut self, dp: &Datapath) -> Result<Vec<Flow>, RequestError> {
        let call = self.flow_call(OVS_FLOW_CMD_GET, dp);
        self.requests.dump(call, |generic| Flow::decode(generic.ovs()?.1))
    }
}

fn gone_is_fine(result: Result<(), RequestError>) -> Result<(), RequestError> {
    match result {
        Err(RequestError::DatapathGone) => Ok(()),
        other => other,
    }
}
