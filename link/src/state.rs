//! What the kernel says about devices, addresses and routes, in this project's words.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enumerations of the kernel's messages are open: what is not asked for is passed over"
)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use model::{IfName, Mac};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};

/// One network device
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// Its name
    pub name: IfName,
    /// Its number in its namespace
    pub index: u32,
    /// Its Ethernet address, if it has one
    pub mac: Option<Mac>,
    /// The largest packet it sends
    pub mtu: u32,
    /// It is switched on
    pub up: bool,
    /// It is switched on and has a carrier
    pub running: bool,
    /// What it is
    pub kind: LinkKind,
    /// The index of the bridge or datapath device that it is a port of
    pub master: Option<u32>,
    /// Its bridge sends a frame back out of it that came in by it; `false` in events
    pub hairpin: bool,
    /// The index of the device at its other end: a veth's peer, in the namespace that `peer_netns` tells
    pub peer: Option<u32>,
    /// The kernel's number, in this namespace, for the namespace of the peer; `None` is this one
    pub peer_netns: Option<i32>,
    /// Its addresses; filled in by [`Links::list`](crate::Links::list) and
    /// [`Links::link`](crate::Links::link), empty in events
    pub addresses: Vec<IpNetwork>,
}

/// What a device is: the kernel's `IFLA_INFO_KIND`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// `lo`
    Loopback,
    /// A device without a kind: an Ethernet card, most likely
    Physical,
    /// A Linux bridge
    Bridge,
    /// One end of a veth pair
    Veth,
    /// A TUN or TAP
    Tun,
    /// A VXLAN device
    Vxlan,
    /// A device of an Open vSwitch datapath
    Openvswitch,
    /// Something else, in the kernel's word
    Other(String),
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Loopback => "loopback",
            Self::Physical => "physical",
            Self::Bridge => "bridge",
            Self::Veth => "veth",
            Self::Tun => "tun",
            Self::Vxlan => "vxlan",
            Self::Openvswitch => "openvswitch",
            Self::Other(kind) => kind,
        })
    }
}

/// One unicast route of the main table
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteState {
    /// Where to; a prefix of length zero is the default route
    pub destination: IpNetwork,
    /// By which router, if not directly
    pub gateway: Option<IpAddr>,
    /// The devices that it leaves by: one, or several for a multipath route
    pub devices: Vec<u32>,
    /// Lower is preferred
    pub metric: u32,
}

impl RouteState {
    /// It is the default route of its address family
    pub fn is_default(&self) -> bool {
        self.destination.prefix() == 0
    }
}

/// `None` for a message about a bridge's port, which is not about the device's life, and for a name
/// that no [`IfName`] can hold
pub(crate) fn link(message: &LinkMessage) -> Option<LinkState> {
    if message.header.interface_family == AddressFamily::Bridge {
        return None;
    }
    let flags = message.header.flags;
    let mut state = LinkState {
        name: "?".parse().ok()?,
        index: message.header.index,
        mac: None,
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        kind: match message.header.link_layer_type {
            LinkLayerType::Loopback => LinkKind::Loopback,
            _ => LinkKind::Physical,
        },
        master: None,
        hairpin: false,
        peer: None,
        peer_netns: None,
        addresses: Vec::new(),
    };
    let mut named = false;
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            state.name = name.parse().ok()?;
            named = true;
        } else if let LinkAttribute::Address(bytes) = attribute {
            state.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac::new);
        } else if let LinkAttribute::Mtu(mtu) = attribute {
            state.mtu = *mtu;
        } else if let LinkAttribute::Controller(index) = attribute {
            state.master = (*index != 0).then_some(*index);
        } else if let LinkAttribute::Link(index) = attribute {
            state.peer = (*index != 0).then_some(*index);
        } else if let LinkAttribute::LinkNetNsId(id) = attribute {
            state.peer_netns = Some(*id);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            for info in infos {
                if let LinkInfo::Kind(kind) = info {
                    state.kind = link_kind(kind);
                } else if let LinkInfo::PortData(InfoPortData::BridgePort(settings)) = info {
                    state.hairpin = settings.contains(&InfoBridgePort::HairpinMode(true));
                }
            }
        }
    }
    named.then_some(state)
}

/// The device that a message about a bridge's port is about
pub(crate) fn bridge_port(message: &LinkMessage) -> Option<IfName> {
    if message.header.interface_family != AddressFamily::Bridge {
        return None;
    }
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => name.parse().ok(),
        _ => None,
    })
}

fn link_kind(kind: &InfoKind) -> LinkKind {
    // By text: the enum of the packet crate grows a variant with each kind that it learns.
    match kind.to_string().as_str() {
        "bridge" => LinkKind::Bridge,
        "veth" => LinkKind::Veth,
        "tun" => LinkKind::Tun,
        "vxlan" => LinkKind::Vxlan,
        "openvswitch" => LinkKind::Openvswitch,
        other => LinkKind::Other(other.to_owned()),
    }
}

/// The device's index and the address with its prefix length
pub(crate) fn address(message: &AddressMessage) -> Option<(u32, IpNetwork)> {
    let mut address = None;
    for attribute in &message.attributes {
        // IFA_LOCAL is the device's own where the two differ, on a point-to-point device.
        if let AddressAttribute::Local(ip) = attribute {
            address = Some(*ip);
        } else if let AddressAttribute::Address(ip) = attribute {
            address = address.or(Some(*ip));
        }
    }
    let network = IpNetwork::new(address?, message.header.prefix_len).ok()?;
    Some((message.header.index, network))
}

/// `None` for what is no unicast route of the main table
pub(crate) fn route(message: &RouteMessage) -> Option<RouteState> {
    let header = &message.header;
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let (mut destination, mut gateway, mut devices, mut metric) = (unspecified, None, Vec::new(), 0);
    for attribute in &message.attributes {
        if let RouteAttribute::Table(number) = attribute {
            table = *number;
        } else if let RouteAttribute::Destination(address) = attribute {
            destination = ip(address)?;
        } else if let RouteAttribute::Gateway(address) = attribute {
            gateway = ip(address);
        } else if let RouteAttribute::Oif(index) = attribute {
            devices.push(*index);
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            devices.extend(hops.iter().map(|hop| hop.interface_index));
        } else if let RouteAttribute::Priority(priority) = attribute {
            metric = *priority;
        }
    }
    if header.kind != RouteType::Unicast || table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return None;
    }
    Some(RouteState {
        destination: IpNetwork::new(destination, header.destination_prefix_length).ok()?,
        gateway,
        devices,
        metric,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

/// Only of meaning on its own link: an address that the kernel makes, not one that was asked for
pub(crate) fn is_link_local(address: &IpNetwork) -> bool {
    match address.ip() {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
