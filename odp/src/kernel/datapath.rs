//! Creating, adopting and keeping a datapath.

use std::fs;

use model::IfName;
use openvswitch_sys::netlink::{DecodeError, Generic};
use openvswitch_sys::uapi::*;
use openvswitch_sys::{AttrWriter, Datapath as DatapathState, Vport};

use super::Odp;
use crate::dpif::{Datapath, Dispatch, Reasserted, UpcallPid};
use crate::error::{DatapathError, RequestError};

impl Odp {
    pub(super) fn find_datapath(&mut self, name: &IfName) -> Result<Option<DatapathState>, RequestError> {
        let call = self.datapath_call(OVS_DP_CMD_GET, 0);
        match self
            .requests
            .ask(call, |w| w.put_str(OVS_DP_ATTR_NAME, name.as_str()), decode)
        {
            Ok(state) => Ok(Some(state)),
            Err(RequestError::DatapathGone) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(super) fn create_or_adopt_datapath(
        &mut self,
        name: &IfName,
        upcalls: &[UpcallPid],
    ) -> Result<Datapath, DatapathError> {
        if let Some(state) = self.find_datapath(name)? {
            return Ok(self.adopt(name, state.ifindex, upcalls)?);
        }
        match self.create(name, upcalls) {
            Ok(dp) => Ok(dp),
            // Created by somebody else meanwhile, or a device of another kind
            Err(RequestError::Refused { errno: EEXIST }) => match self.find_datapath(name)? {
                Some(state) => Ok(self.adopt(name, state.ifindex, upcalls)?),
                None => Err(DatapathError::NameTaken { name: name.clone() }),
            },
            Err(e) => Err(e.into()),
        }
    }

    fn create(&mut self, name: &IfName, upcalls: &[UpcallPid]) -> Result<Datapath, RequestError> {
        let mut dispatch = self.preferred_dispatch(upcalls);
        let call = self.datapath_call(OVS_DP_CMD_NEW, 0);
        let mut create = |dispatch: &Dispatch| {
            let fill = |w: &mut AttrWriter<'_>| {
                w.put_str(OVS_DP_ATTR_NAME, name.as_str());
                let local = dispatch.pids().first().map_or(0, |pid| pid.0);
                w.put_u32(OVS_DP_ATTR_UPCALL_PID, local);
                write_dispatch(dispatch, w);
            };
            self.requests.ask(call, fill, decode)
        };
        let state = match create(&dispatch) {
            Err(RequestError::Refused { errno: EOPNOTSUPP }) => {
                dispatch = Dispatch::VportPids(upcalls.to_vec());
                create(&dispatch)
            }
            other => other,
        }?;
        let dp = Datapath {
            ifindex: state.ifindex,
            name: name.clone(),
            dispatch,
            adopted: false,
        };
        self.direct_vports(&dp)?;
        Ok(dp)
    }

    fn adopt(
        &mut self,
        name: &IfName,
        ifindex: i32,
        upcalls: &[UpcallPid],
    ) -> Result<Datapath, RequestError> {
        let dispatch = self.preferred_dispatch(upcalls);
        let mut dp = Datapath {
            ifindex,
            name: name.clone(),
            dispatch,
            adopted: true,
        };
        match self.direct(&dp) {
            Err(RequestError::Refused { errno: EOPNOTSUPP }) => {
                dp.dispatch = Dispatch::VportPids(upcalls.to_vec());
                self.direct(&dp)?;
            }
            other => other?,
        }
        Ok(dp)
    }

    pub(super) fn restore_dispatch(&mut self, dp: &Datapath) -> Result<Reasserted, RequestError> {
        let call = self.datapath_call(OVS_DP_CMD_GET, dp.ifindex);
        let state = self.requests.ask(call, |_by_index| {}, decode)?;
        let pids_as_set = match (&dp.dispatch, &state.per_cpu_pids) {
            (Dispatch::PerCpu(pids), Some(found)) => {
                found.len() == pids.len() && found.iter().zip(pids).all(|(a, b)| *a == b.0)
            }
            // Linux < 5.18 does not tell.
            (Dispatch::PerCpu(_) | Dispatch::VportPids(_), _) => true,
        };
        if state.features == dp.dispatch.features() && pids_as_set {
            return Ok(Reasserted::AsItWas);
        }
        log::debug!(
            "datapath {}: features {:#x} found, restoring dispatch",
            dp.name,
            state.features.0
        );
        self.direct(dp)?;
        Ok(Reasserted::Restored {
            found: state.features,
        })
    }

    /// Directs the upcalls of an existing datapath
    fn direct(&mut self, dp: &Datapath) -> Result<(), RequestError> {
        let call = self.datapath_call(OVS_DP_CMD_SET, dp.ifindex);
        self.requests.run(call, |w| write_dispatch(&dp.dispatch, w))?;
        self.direct_vports(dp)
    }

    /// Gives every port the list of sockets, where the datapath goes by that
    fn direct_vports(&mut self, dp: &Datapath) -> Result<(), RequestError> {
        let Dispatch::VportPids(pids) = &dp.dispatch else {
            return Ok(());
        };
        let call = self.vport_call(OVS_VPORT_CMD_SET, dp);
        for Vport { port, .. } in self.list_vports(dp)? {
            let fill = |w: &mut AttrWriter<'_>| {
                w.put_u32(OVS_VPORT_ATTR_PORT_NO, port.0);
                w.put_u32s(OVS_VPORT_ATTR_UPCALL_PID, pids.iter().map(|pid| pid.0));
            };
            match self.requests.run(call, fill) {
                // The port, or the datapath, went meanwhile
                Ok(()) | Err(RequestError::DatapathGone) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn preferred_dispatch(&self, upcalls: &[UpcallPid]) -> Dispatch {
        if self.per_cpu {
            // The kernel logs a complaint for each upcall on a CPU beyond the list.
            let cpus = possible_cpus().max(upcalls.len());
            Dispatch::PerCpu(upcalls.iter().copied().cycle().take(cpus).collect())
        } else {
            Dispatch::VportPids(upcalls.to_vec())
        }
    }
}

fn write_dispatch(dispatch: &Dispatch, w: &mut AttrWriter<'_>) {
    w.put_u32(OVS_DP_ATTR_USER_FEATURES, dispatch.features().0);
    if let Dispatch::PerCpu(pids) = dispatch
        && !pids.is_empty()
    {
        w.put_u32s(OVS_DP_ATTR_PER_CPU_PIDS, pids.iter().map(|pid| pid.0));
    }
}

fn decode(generic: &Generic<'_>) -> Result<DatapathState, DecodeError> {
    let (ifindex, attrs) = generic.ovs()?;
    DatapathState::decode(ifindex, attrs)
}

/// One more than the highest CPU number that the machine may have
fn possible_cpus() -> usize {
    let listed = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = listed
        .trim()
        .rsplit(['-', ','])
        .next()
        .and_then(|n| n.parse::<usize>().ok());
    last.map_or(1, |n| n + 1)
}
