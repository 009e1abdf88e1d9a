//! Family `ovs_vport`: the ports of a datapath.

use crate::attr::{AttrWriter, Attrs, text};
use crate::datapath::{bytes, u32s, u64s};
use crate::key::PortNo;
use crate::netlink::DecodeError;
use crate::uapi::*;

/// A port as the kernel describes it
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vport {
    /// Its number
    pub port: PortNo,
    /// Its device's name
    pub name: String,
    /// What it is
    pub kind: VportKind,
    /// Its device's index in the datapath's namespace (Linux ≥ 4.16)
    pub ifindex: Option<u32>,
    /// The device's namespace, when it is another than the datapath's
    pub netnsid: Option<i32>,
    /// Traffic
    pub stats: VportStats,
    /// The sockets that upcalls for its packets are spread over, except under per-CPU dispatch
    pub upcall_pids: Vec<u32>,
}

/// What a port is
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VportKind {
    /// A network device of the kernel that the datapath takes its packets from
    Netdev,
    /// A device that the datapath provides
    Internal,
    /// A VXLAN tunnel port: encapsulates as `set(tunnel)` says, decapsulates what reaches its UDP port
    Vxlan {
        /// Where it listens and sends to
        udp_port: u16,
    },
    /// Another `OVS_VPORT_TYPE_*`
    Other(u32),
}

impl Vport {
    /// A port from the attributes of a reply or an event
    pub fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let port = attrs
            .u32(OVS_VPORT_ATTR_PORT_NO)
            .ok_or(DecodeError::Attribute("OVS_VPORT_ATTR_PORT_NO"))?;
        let kind = match attrs
            .u32(OVS_VPORT_ATTR_TYPE)
            .ok_or(DecodeError::Attribute("OVS_VPORT_ATTR_TYPE"))?
        {
            OVS_VPORT_TYPE_NETDEV => VportKind::Netdev,
            OVS_VPORT_TYPE_INTERNAL => VportKind::Internal,
            OVS_VPORT_TYPE_VXLAN => attrs
                .nested(OVS_VPORT_ATTR_OPTIONS)
                .and_then(|options| options.u16(OVS_TUNNEL_ATTR_DST_PORT))
                .map(|udp_port| VportKind::Vxlan { udp_port })
                .ok_or(DecodeError::Attribute("OVS_TUNNEL_ATTR_DST_PORT"))?,
            other => VportKind::Other(other),
        };
        Ok(Self {
            port: PortNo(port),
            name: attrs
                .value(OVS_VPORT_ATTR_NAME)
                .map(text)
                .ok_or(DecodeError::Attribute("OVS_VPORT_ATTR_NAME"))?,
            kind,
            ifindex: attrs.u32(OVS_VPORT_ATTR_IFINDEX),
            netnsid: attrs.array(OVS_VPORT_ATTR_NETNSID).map(i32::from_ne_bytes),
            stats: attrs
                .value(OVS_VPORT_ATTR_STATS)
                .and_then(VportStats::read)
                .unwrap_or_default(),
            upcall_pids: attrs
                .value(OVS_VPORT_ATTR_UPCALL_PID)
                .map(u32s)
                .unwrap_or_default(),
        })
    }

    /// Appends the attributes of a reply, in the kernel's order
    pub fn write(&self, w: &mut AttrWriter<'_>) {
        w.put_u32(OVS_VPORT_ATTR_PORT_NO, self.port.0);
        w.put_u32(OVS_VPORT_ATTR_TYPE, self.kind.number());
        w.put_str(OVS_VPORT_ATTR_NAME, &self.name);
        if let Some(ifindex) = self.ifindex {
            w.put_u32(OVS_VPORT_ATTR_IFINDEX, ifindex);
        }
        if let Some(id) = self.netnsid {
            w.put(OVS_VPORT_ATTR_NETNSID, &id.to_ne_bytes());
        }
        w.put(OVS_VPORT_ATTR_STATS, &self.stats.to_bytes());
        w.put_u32s(OVS_VPORT_ATTR_UPCALL_PID, self.upcall_pids.iter().copied());
        self.kind.write_options(w);
    }
}

impl VportKind {
    /// `OVS_VPORT_TYPE_*`
    pub const fn number(self) -> u32 {
        match self {
            Self::Netdev => OVS_VPORT_TYPE_NETDEV,
            Self::Internal => OVS_VPORT_TYPE_INTERNAL,
            Self::Vxlan { .. } => OVS_VPORT_TYPE_VXLAN,
            Self::Other(number) => number,
        }
    }

    /// Appends `OVS_VPORT_ATTR_OPTIONS` where the kind has options
    pub fn write_options(self, w: &mut AttrWriter<'_>) {
        if let Self::Vxlan { udp_port } = self {
            w.nest(OVS_VPORT_ATTR_OPTIONS, |w| {
                w.put_u16(OVS_TUNNEL_ATTR_DST_PORT, udp_port)
            });
        }
    }
}

/// `struct ovs_vport_stats`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the kernel's names")]
pub struct VportStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

impl VportStats {
    fn read(value: &[u8]) -> Option<Self> {
        let [
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            rx_errors,
            tx_errors,
            rx_dropped,
            tx_dropped,
        ] = u64s(value)?;
        Some(Self {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            rx_errors,
            tx_errors,
            rx_dropped,
            tx_dropped,
        })
    }

    fn to_bytes(self) -> Vec<u8> {
        bytes([
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_errors,
            self.tx_errors,
            self.rx_dropped,
            self.tx_dropped,
        ])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn kind() -> impl Strategy<Value = VportKind> {
        prop_oneof![
            Just(VportKind::Netdev),
            Just(VportKind::Internal),
            any::<u16>().prop_map(|udp_port| VportKind::Vxlan { udp_port }),
            (5..100u32).prop_map(VportKind::Other),
        ]
    }

    proptest! {
        #[test]
        fn vports_round_trip(
            port: u32, name in "[a-z]{1,15}", kind in kind(), ifindex: Option<u32>, netnsid: Option<i32>,
            n: [u64; 8], upcall_pids: Vec<u32>,
        ) {
            let stats = VportStats::read(&bytes(n)).unwrap();
            let vport = Vport { port: PortNo(port), name, kind, ifindex, netnsid, stats, upcall_pids };
            let mut buf = vec![];
            vport.write(&mut AttrWriter::new(&mut buf));
            prop_assert_eq!(Vport::decode(Attrs::new(&buf)), Ok(vport));
        }

        #[test]
        fn any_bytes_never_panic(bytes in samples::attribute_soup()) {
            let _ = Vport::decode(Attrs::new(&bytes));
        }
    }
}
