//! Reading and changing the devices of one network namespace.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use model::{IfName, Mac};
use rtnetlink::packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, Prop};
use rtnetlink::packet_route::nsid::{NsidAttribute, NsidMessage};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{AddressMessageBuilder, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth};

use crate::error::{EnsureError, NetlinkError, OpenError, Tolerant};
use crate::netns::{EnterError, Netns, NetnsId};
use crate::rtnl::Rtnl;
use crate::state::{self, LinkKind, LinkState, RouteState};
use crate::sysctl::{self, Sysctl, SysctlWarning};
use crate::watch::Watch;

/// The devices, addresses and routes of one network namespace
///
/// It belongs to the namespace that it was opened in, whichever thread uses it later. Clones share
/// one netlink socket. Requests that find their work done already succeed.
#[derive(Debug, Clone)]
pub struct Links {
    pub(crate) rtnl: Rtnl,
    netns: Arc<Netns>,
}

impl Links {
    /// Those of the calling thread's network namespace
    ///
    /// Must be called inside a Tokio runtime, whose task then serves the socket.
    pub fn open() -> Result<Self, OpenError> {
        let netns = Arc::new(Netns::current()?);
        let rtnl = Rtnl::open().map_err(OpenError::Socket)?;
        Ok(Self { rtnl, netns })
    }

    /// Those of another network namespace
    pub async fn open_in(netns: &Netns) -> Result<Self, OpenError> {
        netns.run(Self::open).await?
    }

    /// The namespace that this works on
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Whether `id` is the namespace that this works on
    pub fn is_in(&self, id: NetnsId) -> bool {
        self.netns.id() == id
    }

    // ---- reading

    /// The index of a device, if there is one of this name
    pub async fn index(&self, name: &IfName) -> Result<Option<u32>, NetlinkError> {
        Ok(self.bare_link(name).await?.map(|state| state.index))
    }

    /// One device with its addresses, if there is one of this name
    pub async fn link(&self, name: &IfName) -> Result<Option<LinkState>, NetlinkError> {
        let Some(mut state) = self.bare_link(name).await? else {
            return Ok(None);
        };
        state.addresses = self
            .addresses_by_index()
            .await?
            .remove(&state.index)
            .unwrap_or_default();
        Ok(Some(state))
    }

    /// Every device with its addresses
    pub async fn list(&self) -> Result<Vec<LinkState>, NetlinkError> {
        let table = self
            .rtnl
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .await?;
        let mut addresses = self.addresses_by_index().await?;
        let mut links = Vec::new();
        for message in &table {
            if let RouteNetlinkMessage::NewLink(message) = message
                && let Some(mut link) = state::link(message)
            {
                link.addresses = addresses.remove(&link.index).unwrap_or_default();
                links.push(link);
            }
        }
        Ok(links)
    }

    /// The addresses of a device; empty where there is no such device
    pub async fn addresses(&self, name: &IfName) -> Result<Vec<IpNetwork>, NetlinkError> {
        Ok(self
            .link(name)
            .await?
            .map(|state| state.addresses)
            .unwrap_or_default())
    }

    /// The unicast routes of the main table, of both address families
    pub async fn routes(&self) -> Result<Vec<RouteState>, NetlinkError> {
        let table = self
            .rtnl
            .dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))
            .await?;
        let mut routes = Vec::new();
        for message in &table {
            if let RouteNetlinkMessage::NewRoute(message) = message {
                routes.extend(state::route(message));
            }
        }
        Ok(routes)
    }

    // ---- changing

    /// A bridge, up, of this MTU; without spanning tree and multicast snooping, because the overlay
    /// has no loops and floods multicast
    ///
    /// `mac` fixes its Ethernet address; `None` fixes the one that it was born with. Unfixed, it
    /// would change as ports come and go.
    pub async fn ensure_bridge(
        &self,
        name: &IfName,
        mtu: u16,
        mac: Option<Mac>,
    ) -> Result<LinkState, EnsureError> {
        let mtu = u32::from(mtu);
        // Set at birth, an MTU still follows that of the ports; only a change by request fixes it.
        let born = LinkBridge::new(name.as_str())
            .mtu(mtu ^ 1)
            .mcast_snooping(false)
            .build();
        self.create(born).await.unless_exists()?;
        let bridge = self.of_kind(name, LinkKind::Bridge).await?;
        if bridge.mtu != mtu {
            self.set(LinkUnspec::new_with_index(bridge.index).mtu(mtu).build())
                .await?;
        }
        if let Some(mac) = mac.or(bridge.mac) {
            let address = mac.octets().to_vec();
            self.set(LinkUnspec::new_with_index(bridge.index).address(address).build())
                .await?;
        }
        self.set(LinkUnspec::new_with_index(bridge.index).up().build())
            .await?;
        self.of_kind(name, LinkKind::Bridge).await
    }

    /// A veth pair in this namespace, both ends up, of this MTU
    pub async fn ensure_veth(&self, name: &IfName, peer: &IfName, mtu: u16) -> Result<(), EnsureError> {
        self.create(LinkVeth::new(name.as_str(), peer.as_str()).build())
            .await
            .unless_exists()?;
        for end in [name, peer] {
            let index = self.of_kind(end, LinkKind::Veth).await?.index;
            self.set(LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).up().build())
                .await?;
        }
        Ok(())
    }

    /// Switches a device on
    pub async fn ensure_up(&self, name: &IfName) -> Result<(), NetlinkError> {
        let index = self.existing(name).await?;
        self.set(LinkUnspec::new_with_index(index).up().build()).await
    }

    /// Sets the MTU of a device
    pub async fn set_mtu(&self, name: &IfName, mtu: u16) -> Result<(), NetlinkError> {
        let index = self.existing(name).await?;
        self.set(LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).build())
            .await
    }

    /// Sets the Ethernet address of a device
    pub async fn set_mac(&self, name: &IfName, mac: Mac) -> Result<(), NetlinkError> {
        let index = self.existing(name).await?;
        self.set(
            LinkUnspec::new_with_index(index)
                .address(mac.octets().to_vec())
                .build(),
        )
        .await
    }

    /// Gives a device one more name; `false` if it, or another, has that already
    pub async fn add_alternative_name(
        &self,
        name: &IfName,
        alternative: &IfName,
    ) -> Result<bool, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = self.existing(name).await?;
        let names = vec![Prop::AltIfName(alternative.to_string())];
        message.attributes.push(LinkAttribute::PropList(names));
        let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND;
        self.rtnl
            .change(RouteNetlinkMessage::NewLinkProp(message), flags)
            .await
            .unless_exists()
    }

    /// Makes a device a port of the bridge with index `master`, or of none
    pub async fn set_master(&self, name: &IfName, master: Option<u32>) -> Result<(), NetlinkError> {
        let index = self.existing(name).await?;
        self.set(
            LinkUnspec::new_with_index(index)
                .controller(master.unwrap_or(0))
                .build(),
        )
        .await
    }

    /// Whether a bridge sends a frame back out of the port that it came in by
    pub async fn set_hairpin(&self, port: &IfName, on: bool) -> Result<(), NetlinkError> {
        let index = self.existing(port).await?;
        // RTM_SETLINK ignores the settings of a port.
        let message = LinkBridgePort::new(index).hairpin(on).build();
        self.rtnl.change(RouteNetlinkMessage::NewLink(message), 0).await
    }

    /// Removes a device; `false` if there was none
    pub async fn delete(&self, name: &IfName) -> Result<bool, NetlinkError> {
        match self.index(name).await? {
            Some(index) => self.delete_index(index).await,
            None => Ok(false),
        }
    }

    /// Adds an address to a device; `false` if it had it
    ///
    /// An IPv6 address is usable at once, without duplicate address detection: whoever allocates
    /// the overlay's addresses sees to it that each is given once.
    pub async fn add_address(&self, name: &IfName, address: IpNetwork) -> Result<bool, NetlinkError> {
        let index = self.existing(name).await?;
        self.add_address_at(index, address).await
    }

    /// Removes an address from a device; `false` if it did not have it
    pub async fn remove_address(&self, name: &IfName, address: IpNetwork) -> Result<bool, NetlinkError> {
        match self.index(name).await? {
            Some(index) => self.remove_address_at(index, address).await,
            None => Ok(false),
        }
    }

    /// Writes kernel switches in this namespace
    pub async fn write_sysctls(&self, sysctls: Vec<Sysctl>) -> Result<Vec<SysctlWarning>, EnterError> {
        self.netns.run(move || sysctl::write(&sysctls)).await
    }

    /// What happens to devices, addresses and routes from this moment on
    ///
    /// Watch first, then read: what happens in between is then seen twice, not missed.
    pub async fn watch(&self) -> Result<Watch, OpenError> {
        self.netns.run(Watch::open).await?.map_err(OpenError::Socket)
    }

    // ---- for attaching

    pub(crate) async fn create(&self, message: LinkMessage) -> Result<(), NetlinkError> {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.rtnl
            .change(RouteNetlinkMessage::NewLink(message), flags)
            .await
    }

    pub(crate) async fn set(&self, message: LinkMessage) -> Result<(), NetlinkError> {
        self.rtnl.change(RouteNetlinkMessage::SetLink(message), 0).await
    }

    pub(crate) async fn delete_index(&self, index: u32) -> Result<bool, NetlinkError> {
        let message = LinkUnspec::new_with_index(index).build();
        self.rtnl
            .change(RouteNetlinkMessage::DelLink(message), 0)
            .await
            .unless_absent()
    }

    pub(crate) async fn add_address_at(&self, index: u32, address: IpNetwork) -> Result<bool, NetlinkError> {
        let mut message = address_message(index, address);
        if address.is_ipv6() {
            message.header.flags |= AddressHeaderFlags::Nodad;
        }
        self.rtnl
            .change(
                RouteNetlinkMessage::NewAddress(message),
                NLM_F_CREATE | NLM_F_EXCL,
            )
            .await
            .unless_exists()
    }

    pub(crate) async fn remove_address_at(
        &self,
        index: u32,
        address: IpNetwork,
    ) -> Result<bool, NetlinkError> {
        let message = address_message(index, address);
        self.rtnl
            .change(RouteNetlinkMessage::DelAddress(message), 0)
            .await
            .unless_absent()
    }

    pub(crate) async fn addresses_at(&self, index: u32) -> Result<Vec<IpNetwork>, NetlinkError> {
        Ok(self
            .addresses_by_index()
            .await?
            .remove(&index)
            .unwrap_or_default())
    }

    /// The kernel's number in this namespace for another one, if it has given it one
    pub(crate) async fn netns_number(&self, other: &Netns) -> Result<Option<i32>, NetlinkError> {
        let fd = u32::try_from(other.as_fd().as_raw_fd()).expect("an open descriptor is not negative");
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(fd));
        let reply = self.rtnl.fetch(RouteNetlinkMessage::GetNsId(message)).await?;
        let RouteNetlinkMessage::NewNsId(reply) = reply else {
            return Ok(None);
        };
        for attribute in &reply.attributes {
            if let NsidAttribute::Id(id) = attribute
                && *id >= 0
            {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }

    async fn of_kind(&self, name: &IfName, kind: LinkKind) -> Result<LinkState, EnsureError> {
        let found = self.link(name).await?;
        let state = found.ok_or_else(|| NetlinkError::NoDevice(name.to_string()))?;
        if state.kind != kind {
            return Err(EnsureError::OtherKind {
                name: name.clone(),
                found: state.kind,
            });
        }
        Ok(state)
    }

    async fn existing(&self, name: &IfName) -> Result<u32, NetlinkError> {
        let index = self.index(name).await?;
        index.ok_or_else(|| NetlinkError::NoDevice(name.to_string()))
    }

    async fn bare_link(&self, name: &IfName) -> Result<Option<LinkState>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_string()));
        match self.rtnl.fetch(RouteNetlinkMessage::GetLink(message)).await {
            // The kernel also answers to alternative names.
            Ok(RouteNetlinkMessage::NewLink(found)) => {
                Ok(state::link(&found).filter(|state| state.name == *name))
            }
            Ok(_) => Ok(None),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn addresses_by_index(&self) -> Result<BTreeMap<u32, Vec<IpNetwork>>, NetlinkError> {
        let table = self
            .rtnl
            .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
            .await?;
        let mut addresses: BTreeMap<u32, Vec<IpNetwork>> = BTreeMap::new();
        for message in &table {
            if let RouteNetlinkMessage::NewAddress(message) = message
                && let Some((index, address)) = state::address(message)
            {
                addresses.entry(index).or_default().push(address);
            }
        }
        Ok(addresses)
    }
}

fn address_message(index: u32, address: IpNetwork) -> AddressMessage {
    match address {
        IpNetwork::V4(v4) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(index)
            .address(v4.ip(), v4.prefix())
            .build(),
        IpNetwork::V6(v6) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
            .index(index)
            .address(v6.ip(), v6.prefix())
            .build(),
    }
}

#[cfg(test)]
mod tests;
