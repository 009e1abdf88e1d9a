//! Ports that come and go, by the kernel's multicast.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use neli::consts::socket::NlFamily;
use neli::socket::NlSocket;
use neli::utils::Groups;
use openvswitch_sys::netlink::{DecodeError, Message, Messages, Payload};
use openvswitch_sys::uapi::*;
use openvswitch_sys::{PortNo, Vport};

use crate::error::OpenError;
use crate::kernel::no_family;
use crate::raw::{self, Slots};
use crate::request::resolve;
use crate::upcall::{Received, fill};

/// Receives the changes of all ports of the network namespace; never blocks
///
/// Open it before the first listing, so that nothing falls between. After `lost_enobufs` list again.
#[derive(Debug)]
pub struct VportEvents {
    fd: OwnedFd,
    family: u16,
    slots: Slots,
}

/// A port came, went or changed
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VportEvent {
    /// The datapath's interface index
    pub dp: i32,
    /// What happened
    pub change: VportChange,
}

/// What happened to a port
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VportChange {
    /// It is new
    Added(Vport),
    /// Its settings changed
    Changed(Vport),
    /// It is gone, by a request or because its device is
    Removed {
        /// Its number, which may be given to another port later
        port: PortNo,
        /// Its device's name
        name: String,
    },
}

impl VportEvents {
    /// Subscribes
    pub fn open() -> Result<Self, OpenError> {
        let socket =
            NlSocket::connect(NlFamily::Generic, None, Groups::empty()).map_err(OpenError::Socket)?;
        raw::set_receive_buffer(raw::borrow(&socket), RECEIVE_BUFFER).map_err(OpenError::Socket)?;
        let family = resolve(&socket, &mut vec![0; SLOT], OVS_VPORT_FAMILY).map_err(no_family)?;
        let group = family.groups.iter().find(|(name, _id)| name == OVS_VPORT_MCGROUP);
        let (_name, group) = group.ok_or(OpenError::NoOpenVSwitch)?;
        socket
            .add_mcast_membership(Groups::new_groups(&[*group]))
            .map_err(OpenError::Socket)?;
        Ok(Self {
            fd: raw::into_fd(socket),
            family: family.id,
            slots: Slots::new(SLOT),
        })
    }

    /// Hands each waiting event to `handle`, at most 32 of them
    pub fn recv_batch(&mut self, mut handle: impl FnMut(VportEvent)) -> io::Result<Received> {
        let mut received = fill(&mut self.slots, self.fd.as_fd())?;
        for datagram in self.slots.datagrams() {
            for message in Messages::new(datagram) {
                match message.and_then(|m| decode(&m, self.family)) {
                    Ok(event) => {
                        received.count += 1;
                        handle(event);
                    }
                    Err(_not_an_event) => received.malformed += 1,
                }
            }
        }
        Ok(received)
    }
}

pub(crate) fn decode(message: &Message<'_>, family: u16) -> Result<VportEvent, DecodeError> {
    let Payload::Generic(generic) = message.decode()? else {
        return Err(DecodeError::Truncated);
    };
    if message.header.kind != family {
        return Err(DecodeError::Command(generic.command));
    }
    let (dp, attrs) = generic.ovs()?;
    let vport = Vport::decode(attrs)?;
    let change = match generic.command {
        OVS_VPORT_CMD_NEW => VportChange::Added(vport),
        OVS_VPORT_CMD_SET => VportChange::Changed(vport),
        OVS_VPORT_CMD_DEL => VportChange::Removed {
            port: vport.port,
            name: vport.name,
        },
        other => return Err(DecodeError::Command(other)),
    };
    Ok(VportEvent { dp, change })
}

impl AsFd for VportEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Some hundred ports at once
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// One port's attributes take some 300 bytes, and 4 more per CPU
const SLOT: usize = 16 * 1024;
