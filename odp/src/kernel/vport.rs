//! Ports.

use openvswitch_sys::netlink::{DecodeError, Generic};
use openvswitch_sys::uapi::*;
use openvswitch_sys::{AttrWriter, PortNo, Vport, VportKind};

use super::Odp;
use crate::dpif::{Datapath, VportSpec};
use crate::error::{RequestError, VportError};

impl Odp {
    pub(super) fn list_vports(&mut self, dp: &Datapath) -> Result<Vec<Vport>, RequestError> {
        let mut ports = self
            .requests
            .dump(self.vport_call(OVS_VPORT_CMD_GET, dp), decode)?;
        ports.sort_by_key(|vport| vport.port);
        Ok(ports)
    }

    pub(super) fn add_or_adopt_vport(
        &mut self,
        dp: &Datapath,
        spec: &VportSpec,
    ) -> Result<PortNo, VportError> {
        // The kernel creates a VXLAN device's socket only after the device, and then reports EEXIST for
        // a port that is there: so look first.
        if let Some(port) = self.adopt_vport(dp, spec)? {
            return Ok(port);
        }
        let fill = |w: &mut AttrWriter<'_>| {
            w.put_u32(OVS_VPORT_ATTR_TYPE, spec.kind.number());
            w.put_str(OVS_VPORT_ATTR_NAME, spec.name.as_str());
            write_pids(dp, w);
            spec.kind.write_options(w);
        };
        let call = self.vport_call(OVS_VPORT_CMD_NEW, dp);
        match self.requests.ask(call, fill, decode) {
            Ok(vport) => Ok(vport.port),
            Err(error) => self.explain(dp, spec, error),
        }
    }

    /// The port of this name in this datapath, made ours
    fn adopt_vport(&mut self, dp: &Datapath, spec: &VportSpec) -> Result<Option<PortNo>, VportError> {
        let name = |w: &mut AttrWriter<'_>| w.put_str(OVS_VPORT_ATTR_NAME, spec.name.as_str());
        let vport = match self
            .requests
            .ask(self.vport_call(OVS_VPORT_CMD_GET, dp), name, decode)
        {
            Ok(vport) => vport,
            Err(RequestError::DatapathGone) => return Ok(None), // ENODEV: no such port
            Err(e) => return Err(e.into()),
        };
        if vport.kind != spec.kind {
            return Err(VportError::OtherKind {
                name: spec.name.clone(),
                found: vport.kind,
            });
        }
        let fill = |w: &mut AttrWriter<'_>| {
            w.put_u32(OVS_VPORT_ATTR_PORT_NO, vport.port.0);
            write_pids(dp, w);
        };
        self.requests.run(self.vport_call(OVS_VPORT_CMD_SET, dp), fill)?;
        Ok(Some(vport.port))
    }

    /// What the kernel's error number means for this port
    fn explain(
        &mut self,
        dp: &Datapath,
        spec: &VportSpec,
        error: RequestError,
    ) -> Result<PortNo, VportError> {
        let name = spec.name.clone();
        Err(match (error, spec.kind) {
            // Added by somebody else since the look
            (RequestError::Refused { errno: EEXIST }, _) => match self.adopt_vport(dp, spec)? {
                Some(port) => return Ok(port),
                None => VportError::DeviceExists { name },
            },
            (RequestError::Refused { errno: EBUSY }, _) => VportError::DeviceBusy { name },
            (RequestError::Refused { errno: EINVAL }, VportKind::Netdev) => VportError::Unsuitable { name },
            (RequestError::Refused { errno: EADDRINUSE }, VportKind::Vxlan { udp_port }) => {
                VportError::PortInUse { udp_port }
            }
            (
                RequestError::Refused {
                    errno: EAFNOSUPPORT | EOPNOTSUPP,
                },
                kind,
            ) => VportError::NoSuchKind { kind },
            // ENODEV is the device or the datapath.
            (RequestError::DatapathGone, VportKind::Netdev) if self.list_vports(dp).is_ok() => {
                VportError::NoDevice { name }
            }
            (error, _) => VportError::Request(error),
        })
    }
}

fn write_pids(dp: &Datapath, w: &mut AttrWriter<'_>) {
    w.put_u32s(
        OVS_VPORT_ATTR_UPCALL_PID,
        dp.dispatch.pids().iter().map(|pid| pid.0),
    );
}

fn decode(generic: &Generic<'_>) -> Result<Vport, DecodeError> {
    Vport::decode(generic.ovs()?.1)
}
