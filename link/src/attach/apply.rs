//! Taking the steps of a plan, and taking them back.

use std::net::Ipv4Addr;

use ipnetwork::IpNetwork;
use model::{IfName, Mac};
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::packet_route::route::{RouteMessage, RouteScope};
use rtnetlink::{LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::os::fd::{AsFd, AsRawFd};

use super::{Attach, AttachError, End, Inverse, Leftover, Plan, Step, StepError, Warning};
use crate::announce::{AnnounceError, announce};
use crate::error::{NetlinkError, OpenError, Tolerant};
use crate::links::Links;
use crate::netns::{EnterError, Netns, NetnsError, NetnsId, NetnsRef};
use crate::state::LinkState;
use crate::sysctl;

/// A container that is attached
#[derive(Debug)]
pub struct Attached {
    /// The end on the host
    pub host_if: IfName,
    /// Its index
    pub host_index: u32,
    /// The end inside
    pub container_if: IfName,
    /// Its index inside
    pub container_index: u32,
    /// Its Ethernet address
    pub mac: Mac,
    /// The veth pair is new
    pub created: bool,
    /// The addresses that are new
    pub added: Vec<IpNetwork>,
    /// What could not be done, and is not vital
    pub warnings: Vec<Warning>,
    netns: NetnsRef,
    netns_id: NetnsId,
    undo: Vec<Inverse>,
}

impl Attached {
    /// Tells the neighbours about the addresses added
    ///
    /// For the caller that made the host's end a port of the overlay itself, after that.
    pub async fn announce(&self) -> Result<(), AnnounceAttachedError> {
        self.announce_all(&self.added).await
    }

    /// The same for these, somebody else having added them
    pub async fn announce_all(&self, addresses: &[IpNetwork]) -> Result<(), AnnounceAttachedError> {
        let netns = reopen(&self.netns, self.netns_id)?;
        Ok(announce(&netns, &self.container_if, self.mac, addresses).await?)
    }

    /// Takes back what attaching changed; returns what could not be
    pub async fn undo(self, links: &Links) -> Vec<Leftover> {
        let inside = match reopen(&self.netns, self.netns_id) {
            Ok(netns) => Links::open_in(&netns).await.ok(),
            // Everything inside went with it.
            Err(_gone) => None,
        };
        undo(links, inside.as_ref(), self.undo).await
    }
}

/// The neighbours of an attached container were not told about it
#[derive(Debug, thiserror::Error)]
pub enum AnnounceAttachedError {
    /// The container is gone
    #[error("cannot use the container's network namespace")]
    Netns(#[from] NetnsError),
    /// The announcement itself
    #[error("cannot announce the container's addresses")]
    Announce(#[from] AnnounceError),
}

impl Plan {
    /// Takes every step, or none: a step that fails takes back those before it
    pub async fn apply(&self, links: &Links) -> Result<Attached, AttachError> {
        self.apply_unless(links, |_step| None).await
    }

    /// `interrupt` is asked before each step, by its index, for a reason to fail; its last question
    /// is before the namespace is looked at again
    pub(super) async fn apply_unless(
        &self,
        links: &Links,
        mut interrupt: impl FnMut(usize) -> Option<StepError>,
    ) -> Result<Attached, AttachError> {
        let netns = self.attach.netns.open_container(links.netns().id())?;
        if netns.id() != self.netns {
            return Err(AttachError::OtherNetns(self.attach.netns.clone()));
        }
        let mut work = Work {
            attach: &self.attach,
            host: links,
            inside: Links::open_in(&netns).await?,
            netns: &netns,
            created: false,
            added: Vec::new(),
            warnings: Vec::new(),
            undo: Vec::new(),
        };
        for (index, &step) in self.steps.iter().enumerate() {
            let result = match interrupt(index) {
                Some(reason) => Err(reason),
                None => work.take(step).await,
            };
            if let Err(source) = result {
                let left = work.undo().await;
                return Err(AttachError::Step { step, source, left });
            }
        }
        let _no_step_is_left_to_stop = interrupt(self.steps.len());
        // The open file kept the namespace alive while the container may have died.
        if let Err(error) = reopen(&self.attach.netns, self.netns) {
            log_leftovers(&work.undo().await);
            return Err(error.into());
        }
        match work.ends().await {
            Ok((host, container)) => Ok(work.attached(&host, &container)),
            Err(error) => {
                log_leftovers(&work.undo().await);
                Err(error.into())
            }
        }
    }
}

/// A plan at work
struct Work<'a> {
    attach: &'a Attach,
    host: &'a Links,
    inside: Links,
    netns: &'a Netns,
    created: bool,
    added: Vec<IpNetwork>,
    warnings: Vec<Warning>,
    undo: Vec<Inverse>,
}

impl Work<'_> {
    async fn take(&mut self, step: Step) -> Result<(), StepError> {
        match step {
            Step::CreatePair => self.create_pair().await?,
            Step::SetMtu(mtu) => self.set_mtu(mtu).await?,
            Step::SetSysctls => self.set_sysctls().await?,
            Step::SetMaster(master) => self.set_master(master).await?,
            Step::HostUp => {
                let (host, _) = self.ends().await?;
                self.host
                    .set(LinkUnspec::new_with_index(host.index).up().build())
                    .await?;
                self.done(Inverse::Down {
                    end: End::Host,
                    index: host.index,
                });
            }
            Step::AddAddress(address) => self.add_address(address).await?,
            Step::ContainerUp => {
                let (_, container) = self.ends().await?;
                self.inside
                    .set(LinkUnspec::new_with_index(container.index).up().build())
                    .await?;
                self.done(Inverse::Down {
                    end: End::Container,
                    index: container.index,
                });
            }
            Step::AddMulticastRoute => self.add_multicast_route().await?,
            Step::Announce => {
                let (_, container) = self.ends().await?;
                let mac = container.mac.unwrap_or_default();
                if let Err(error) = announce(self.netns, &container.name, mac, &self.added).await {
                    self.warnings.push(error.into());
                }
            }
        }
        Ok(())
    }

    async fn create_pair(&mut self) -> Result<(), NetlinkError> {
        let attach = self.attach;
        let mtu = u32::from(attach.mtu);
        let mut peer = LinkUnspec::new_with_name(attach.container_if.as_str())
            .setns_by_fd(self.netns.as_fd().as_raw_fd())
            .mtu(mtu);
        if let Some(mac) = attach.mac {
            peer = peer.address(mac.octets().to_vec());
        }
        // The peer's name here is replaced by that of its own message.
        let pair = LinkVeth::new(attach.host_if.as_str(), attach.container_if.as_str())
            .mtu(mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())));
        self.host.create(pair.build()).await?;
        let index = self.host.index(&attach.host_if).await?;
        let index = index.ok_or_else(|| NetlinkError::NoDevice(attach.host_if.to_string()))?;
        self.done(Inverse::DeletePair(index));
        self.created = true;
        Ok(())
    }

    async fn set_mtu(&mut self, mtu: u16) -> Result<(), NetlinkError> {
        let (host, container) = self.ends().await?;
        let message = |index| LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).build();
        self.host.set(message(host.index)).await?;
        self.done(Inverse::RestoreMtu {
            end: End::Host,
            index: host.index,
            mtu: host.mtu,
        });
        self.inside.set(message(container.index)).await?;
        self.done(Inverse::RestoreMtu {
            end: End::Container,
            index: container.index,
            mtu: container.mtu,
        });
        Ok(())
    }

    async fn set_sysctls(&mut self) -> Result<(), StepError> {
        let on_host = sysctl::port(&self.attach.host_if);
        let mut inside = sysctl::endpoint(&self.attach.container_if);
        if self.attach.addresses.iter().any(IpNetwork::is_ipv6) {
            inside.push(sysctl::ipv6_on(&self.attach.container_if));
        }
        let mut warnings = self.host.write_sysctls(on_host).await?;
        warnings.extend(self.inside.write_sysctls(inside).await?);
        self.warnings.extend(warnings.into_iter().map(Warning::Sysctl));
        Ok(())
    }

    async fn set_master(&mut self, master: u32) -> Result<(), NetlinkError> {
        let (host, _) = self.ends().await?;
        self.host
            .set(LinkUnspec::new_with_index(host.index).controller(master).build())
            .await?;
        self.done(Inverse::RestoreMaster {
            index: host.index,
            master: host.master,
        });
        self.host.set_hairpin(&host.name, self.attach.hairpin).await
    }

    async fn add_address(&mut self, address: IpNetwork) -> Result<(), StepError> {
        let (_, container) = self.ends().await?;
        if address.is_ipv6() {
            // A pair that was attached without IPv6 addresses has the namespace's default.
            let ipv6_on = vec![sysctl::ipv6_on(&container.name)];
            let warnings = self.inside.write_sysctls(ipv6_on).await?;
            self.warnings.extend(warnings.into_iter().map(Warning::Sysctl));
        }
        if self.inside.add_address_at(container.index, address).await? {
            self.added.push(address);
            self.done(Inverse::RemoveAddress {
                index: container.index,
                address,
            });
        }
        Ok(())
    }

    async fn add_multicast_route(&mut self) -> Result<(), NetlinkError> {
        let (_, container) = self.ends().await?;
        let message = RouteNetlinkMessage::NewRoute(multicast_route(container.index));
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        if self.inside.rtnl.change(message, flags).await.unless_exists()? {
            self.done(Inverse::RemoveMulticastRoute(container.index));
        } else {
            self.warnings.push(Warning::OtherMulticastRoute);
        }
        Ok(())
    }

    /// Deleting a pair takes back everything that was done to it
    fn done(&mut self, inverse: Inverse) {
        if !self.created {
            self.undo.push(inverse);
        }
    }

    async fn ends(&self) -> Result<(LinkState, LinkState), NetlinkError> {
        let missing = |name: &IfName| NetlinkError::NoDevice(name.to_string());
        let host = self.host.link(&self.attach.host_if).await?;
        let container = self.inside.link(&self.attach.container_if).await?;
        Ok((
            host.ok_or_else(|| missing(&self.attach.host_if))?,
            container.ok_or_else(|| missing(&self.attach.container_if))?,
        ))
    }

    async fn undo(&mut self) -> Vec<Leftover> {
        undo(self.host, Some(&self.inside), std::mem::take(&mut self.undo)).await
    }

    fn attached(self, host: &LinkState, container: &LinkState) -> Attached {
        Attached {
            host_if: host.name.clone(),
            host_index: host.index,
            container_if: container.name.clone(),
            container_index: container.index,
            mac: container.mac.unwrap_or_default(),
            created: self.created,
            added: self.added,
            warnings: self.warnings,
            netns: self.attach.netns.clone(),
            netns_id: self.netns.id(),
            undo: self.undo,
        }
    }
}

/// Takes back the latest first; `inside` is `None` if the namespace is gone, and all that was in it
pub(super) async fn undo(host: &Links, inside: Option<&Links>, log: Vec<Inverse>) -> Vec<Leftover> {
    let mut left = Vec::new();
    for what in log.into_iter().rev() {
        if let Err(source) = take_back(host, inside, what).await.unless_absent() {
            left.push(Leftover { what, source });
        }
    }
    left
}

async fn take_back(host: &Links, inside: Option<&Links>, what: Inverse) -> Result<(), NetlinkError> {
    let at = |end: End| match end {
        End::Host => Some(host),
        End::Container => inside,
    };
    match (what, inside) {
        (Inverse::DeletePair(index), _) => host.delete_index(index).await.map(drop),
        (Inverse::RestoreMtu { end, index, mtu }, _) => match at(end) {
            Some(links) => {
                links
                    .set(LinkUnspec::new_with_index(index).mtu(mtu).build())
                    .await
            }
            None => Ok(()),
        },
        (Inverse::RestoreMaster { index, master }, _) => {
            let message = LinkUnspec::new_with_index(index).controller(master.unwrap_or(0));
            host.set(message.build()).await
        }
        (Inverse::Down { end, index }, _) => match at(end) {
            Some(links) => links.set(LinkUnspec::new_with_index(index).down().build()).await,
            None => Ok(()),
        },
        (Inverse::RemoveAddress { index, address }, Some(inside)) => {
            inside.remove_address_at(index, address).await.map(drop)
        }
        (Inverse::RestoreAddress { index, address }, Some(inside)) => {
            inside.add_address_at(index, address).await.map(drop)
        }
        (Inverse::RemoveMulticastRoute(index), Some(inside)) => {
            let message = RouteNetlinkMessage::DelRoute(multicast_route(index));
            inside.rtnl.change(message, 0).await
        }
        (
            Inverse::RemoveAddress { .. } | Inverse::RestoreAddress { .. } | Inverse::RemoveMulticastRoute(_),
            None,
        ) => Ok(()),
    }
}

fn multicast_route(index: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(Ipv4Addr::new(224, 0, 0, 0), 4)
        .scope(RouteScope::Link)
        .output_interface(index)
        .build()
}

fn reopen(netns: &NetnsRef, id: NetnsId) -> Result<Netns, NetnsError> {
    let open = netns.open()?;
    if open.id() == id {
        Ok(open)
    } else {
        Err(NetnsError::Gone(netns.clone()))
    }
}

fn log_leftovers(left: &[Leftover]) {
    for leftover in left {
        log::warn!("{leftover}: {}", leftover.source);
    }
}

impl From<OpenError> for StepError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Enter(error) => Self::Enter(error),
            error @ (OpenError::Socket(_) | OpenError::Netns(_)) => {
                Self::Enter(EnterError::Links(Box::new(error)))
            }
        }
    }
}
