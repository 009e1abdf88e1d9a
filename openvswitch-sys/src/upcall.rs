//! Family `ovs_packet`: packets that the datapath sends up, and packets sent down with actions.

use model::Mac;

use crate::attr::{AttrWriter, Attrs};
use crate::key::{FlowKey, ParsedKey, PortNo, TunnelKey, Vlans};
use crate::netlink::{DecodeError, Generic};
use crate::uapi::*;

/// A packet that the datapath sent up
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upcall<'a> {
    /// Why
    pub command: UpcallCommand,
    /// The datapath's interface index
    pub dp: i32,
    /// The frame from its Ethernet header on
    pub packet: &'a [u8],
    /// What the switch needs of the packet's key
    pub key: UpcallKey,
    /// The attributes of the packet's whole key, to hand back with `OVS_PACKET_CMD_EXECUTE`
    pub raw_key: &'a [u8],
    /// The cookie of the `userspace` action that sent it up
    pub userdata: Option<&'a [u8]>,
    /// The packet's hash, to hand back: keeps its flow on one outer UDP port (Linux ≥ 5.5)
    pub hash: Option<u64>,
}

/// Why a packet came up
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpcallCommand {
    /// No flow matched it
    Miss,
    /// A flow's `userspace` action
    Action,
}

/// A packet's key, as far as the switch looks
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpcallKey {
    /// Where it came in
    pub in_port: PortNo,
    /// Ethernet source
    pub src: Mac,
    /// Ethernet destination
    pub dst: Mac,
    /// The IPv4 tunnel it came through
    pub tunnel: Option<TunnelKey>,
    /// Its tags
    pub vlans: Vlans,
    /// The Ethernet type under the tags; `None` for an 802.2 frame
    pub ethertype: Option<u16>,
}

impl UpcallKey {
    /// The canonical key of the flow that this packet and all alike match
    pub const fn flow_key(&self) -> FlowKey {
        let Self {
            in_port,
            src,
            dst,
            tunnel,
            vlans,
            ethertype: _,
        } = *self;
        FlowKey {
            in_port,
            src,
            dst,
            tunnel,
            vlans,
        }
    }

    /// The attributes of a packet's key, as far as this type knows them
    pub fn encode(&self) -> Vec<u8> {
        let mut buf = vec![];
        self.flow_key()
            .write_packet_key(&mut AttrWriter::new(&mut buf), self.ethertype);
        buf
    }

    /// The key that these attributes describe
    pub fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let ParsedKey {
            in_port,
            ethernet,
            tunnel,
            vlans,
            ethertype,
        } = ParsedKey::read(attrs);
        let (src, dst) = ethernet.ok_or(DecodeError::Attribute("OVS_KEY_ATTR_ETHERNET"))?;
        let in_port = in_port.ok_or(DecodeError::Attribute("OVS_KEY_ATTR_IN_PORT"))?;
        let tunnel = match tunnel {
            None => None,
            Some(tunnel) => Some(tunnel.ok_or(DecodeError::Attribute("OVS_KEY_ATTR_TUNNEL"))?),
        };
        Ok(Self {
            in_port,
            src,
            dst,
            tunnel,
            vlans,
            ethertype,
        })
    }
}

impl<'a> Upcall<'a> {
    /// The upcall in a message of the family `ovs_packet`
    pub fn decode(generic: &Generic<'a>) -> Result<Self, DecodeError> {
        let command = match generic.command {
            OVS_PACKET_CMD_MISS => UpcallCommand::Miss,
            OVS_PACKET_CMD_ACTION => UpcallCommand::Action,
            other => return Err(DecodeError::Command(other)),
        };
        let (dp, attrs) = generic.ovs()?;
        let (mut packet, mut raw_key, mut userdata, mut hash) = (None, None, None, None);
        for attr in attrs {
            match attr.kind {
                OVS_PACKET_ATTR_PACKET => packet = Some(attr.value),
                OVS_PACKET_ATTR_KEY => raw_key = Some(attr.value),
                OVS_PACKET_ATTR_USERDATA => userdata = Some(attr.value),
                OVS_PACKET_ATTR_HASH => hash = attr.value.try_into().ok().map(u64::from_ne_bytes),
                _unused => {}
            }
        }
        let raw_key = raw_key.ok_or(DecodeError::Attribute("OVS_PACKET_ATTR_KEY"))?;
        Ok(Self {
            command,
            dp,
            packet: packet.ok_or(DecodeError::Attribute("OVS_PACKET_ATTR_PACKET"))?,
            key: UpcallKey::decode(Attrs::new(raw_key))?,
            raw_key,
            userdata,
            hash,
        })
    }

    /// `OVS_PACKET_CMD_*`
    pub const fn command_number(&self) -> u8 {
        match self.command {
            UpcallCommand::Miss => OVS_PACKET_CMD_MISS,
            UpcallCommand::Action => OVS_PACKET_CMD_ACTION,
        }
    }

    /// The cookie that [`Action::Userspace`](crate::Action::Userspace) gave
    pub fn cookie(&self) -> Option<u64> {
        self.userdata?.try_into().ok().map(u64::from_ne_bytes)
    }

    /// Appends the attributes of the message, in the kernel's order
    pub fn write(&self, w: &mut AttrWriter<'_>) {
        w.put(OVS_PACKET_ATTR_KEY, self.raw_key);
        if let Some(userdata) = self.userdata {
            w.put(OVS_PACKET_ATTR_USERDATA, userdata);
        }
        if let Some(hash) = self.hash {
            w.put_u64(OVS_PACKET_ATTR_HASH, hash);
        }
        w.put(OVS_PACKET_ATTR_PACKET, self.packet);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    proptest! {
        #[test]
        fn upcalls_round_trip(
            dp: i32, packet: Vec<u8>, key in samples::flow_key(), miss: bool, userdata: Option<Vec<u8>>,
            hash: Option<u64>, ethertype in proptest::option::of(0x600..0x8000u16),
        ) {
            let FlowKey { in_port, src, dst, tunnel, vlans } = key;
            let parsed = UpcallKey { in_port, src, dst, tunnel, vlans, ethertype };
            let raw_key = parsed.encode();
            let upcall = Upcall {
                command: if miss { UpcallCommand::Miss } else { UpcallCommand::Action },
                dp,
                packet: &packet,
                key: parsed,
                raw_key: &raw_key,
                userdata: userdata.as_deref(),
                hash,
            };
            let mut rest = dp.to_ne_bytes().to_vec();
            upcall.write(&mut AttrWriter::new(&mut rest));
            let generic = Generic { command: upcall.command_number(), version: 1, rest: &rest };
            prop_assert_eq!(Upcall::decode(&generic), Ok(upcall));
        }

        #[test]
        fn any_bytes_never_panic(command: u8, bytes in samples::attribute_soup()) {
            let _ = Upcall::decode(&Generic { command, version: 1, rest: &bytes });
            let _ = UpcallKey::decode(Attrs::new(&bytes));
        }
    }
}
