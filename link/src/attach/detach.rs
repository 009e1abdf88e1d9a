//! Taking addresses from a container, and with the last one its interface.

use ipnetwork::IpNetwork;
use model::IfName;

use super::apply::undo;
use super::plan::peers;
use super::{Inverse, Leftover, StepError};
use crate::error::{NetlinkError, OpenError};
use crate::links::Links;
use crate::netns::{NetnsError, NetnsRef};
use crate::state::{self, LinkKind, LinkState};

/// What a container is to lose
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detach {
    /// The container's network namespace; it may be gone
    pub netns: NetnsRef,
    /// The interface inside
    pub container_if: IfName,
    /// Its other end on the host
    pub host_if: IfName,
    /// Which addresses; none means all of them
    pub addresses: Vec<IpNetwork>,
}

/// One change
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetachStep {
    /// Remove an address inside
    RemoveAddress(IpNetwork),
    /// Remove the pair, by the host's end with this index
    RemovePair(u32),
}

/// What is to be done to detach a container
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachPlan {
    detach: Detach,
    steps: Vec<DetachStep>,
    leaving: Vec<IpNetwork>,
}

/// What was done
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detached {
    /// The addresses that the container had and has no more; empty if it was gone
    pub removed: Vec<IpNetwork>,
    /// The interface is gone
    pub interface_removed: bool,
}

impl Detach {
    /// Compares with what is there, and changes nothing; a container that is gone is no error
    pub async fn plan(self, links: &Links) -> Result<DetachPlan, DetachError> {
        let host = links
            .link(&self.host_if)
            .await?
            .filter(|host| host.kind == LinkKind::Veth);
        let container = match self.netns.open_container(links.netns().id()) {
            Ok(netns) => {
                let inside = Links::open_in(&netns).await?;
                match inside.link(&self.container_if).await? {
                    Some(container) => {
                        let Some(host) = peers(links, &netns, host.clone(), &container).await? else {
                            return Err(DetachError::OtherInterface {
                                name: container.name,
                                kind: container.kind,
                            });
                        };
                        Some((host, container))
                    }
                    None => None,
                }
            }
            Err(NetnsError::Gone(_) | NetnsError::NoProcess(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let (steps, leaving) = match (container, host) {
            (Some((host, container)), _) => self.steps(&host, &container),
            // The container renamed its end, or is about to vanish with it.
            (None, Some(host)) => (vec![DetachStep::RemovePair(host.index)], Vec::new()),
            (None, None) => (Vec::new(), Vec::new()),
        };
        Ok(DetachPlan {
            detach: self,
            steps,
            leaving,
        })
    }

    fn steps(&self, host: &LinkState, container: &LinkState) -> (Vec<DetachStep>, Vec<IpNetwork>) {
        let own: Vec<IpNetwork> = container
            .addresses
            .iter()
            .copied()
            .filter(|a| !state::is_link_local(a))
            .collect();
        let goes = |address: &IpNetwork| self.addresses.is_empty() || self.addresses.contains(address);
        let leaving: Vec<IpNetwork> = own.iter().copied().filter(goes).collect();
        let steps = if leaving.len() == own.len() {
            vec![DetachStep::RemovePair(host.index)]
        } else {
            leaving.iter().copied().map(DetachStep::RemoveAddress).collect()
        };
        (steps, leaving)
    }
}

impl DetachPlan {
    /// The steps, in order; none if there is nothing to detach
    pub fn steps(&self) -> &[DetachStep] {
        &self.steps
    }

    /// Takes every step, or none
    pub async fn apply(&self, links: &Links) -> Result<Detached, DetachError> {
        self.apply_unless(links, |_step| None).await
    }

    /// `interrupt` is asked before each step, by its index, for a reason to fail
    pub(super) async fn apply_unless(
        &self,
        links: &Links,
        mut interrupt: impl FnMut(usize) -> Option<StepError>,
    ) -> Result<Detached, DetachError> {
        let mut log = Vec::new();
        let mut detached = Detached {
            removed: self.leaving.clone(),
            interface_removed: false,
        };
        for (index, &step) in self.steps.iter().enumerate() {
            let result = match (interrupt(index), step) {
                (Some(reason), _) => Err(reason),
                (None, DetachStep::RemovePair(pair)) => {
                    detached.interface_removed = true;
                    links.delete_index(pair).await.map(drop).map_err(StepError::from)
                }
                (None, DetachStep::RemoveAddress(address)) => {
                    self.remove_address(links, address, &mut log).await
                }
            };
            if let Err(source) = result {
                let left = self.take_back(links, log).await;
                return Err(DetachError::Step { step, source, left });
            }
        }
        Ok(detached)
    }

    async fn remove_address(
        &self,
        links: &Links,
        address: IpNetwork,
        log: &mut Vec<Inverse>,
    ) -> Result<(), StepError> {
        let Some((inside, index)) = self.inside(links).await? else {
            return Ok(());
        };
        let before = inside.addresses_at(index).await?;
        if inside.remove_address_at(index, address).await? {
            log.push(Inverse::RestoreAddress { index, address });
        }
        // Where secondary addresses are not promoted, the kernel has removed them with the first
        // address of their subnet.
        let after = inside.addresses_at(index).await?;
        let lost = before.into_iter().filter(|a| *a != address && !after.contains(a));
        for address in lost {
            log.push(Inverse::RestoreAddress { index, address });
            inside.add_address_at(index, address).await?;
        }
        Ok(())
    }

    /// `None` if the container or its interface has gone meanwhile
    async fn inside(&self, links: &Links) -> Result<Option<(Links, u32)>, StepError> {
        let Ok(netns) = self.detach.netns.open_container(links.netns().id()) else {
            return Ok(None);
        };
        let inside = Links::open_in(&netns).await?;
        let index = inside.index(&self.detach.container_if).await?;
        Ok(index.map(|index| (inside, index)))
    }

    async fn take_back(&self, links: &Links, log: Vec<Inverse>) -> Vec<Leftover> {
        if log.is_empty() {
            return Vec::new();
        }
        let inside = self.inside(links).await.ok().flatten().map(|(inside, _)| inside);
        undo(links, inside.as_ref(), log).await
    }
}

/// The container is as it was, except what `left` tells
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// The namespace is none, or is the host's own; one that is gone is no error
    #[error("cannot use the container's network namespace")]
    Netns(#[from] NetnsError),
    /// No socket inside the namespace
    #[error("cannot work in the container's network namespace")]
    Open(#[from] OpenError),
    /// What is there could not be read
    #[error("cannot read the network devices")]
    Read(#[from] NetlinkError),
    /// The container has an interface of this name that was not made by attaching it
    #[error("the container's interface {name} ({kind}) is not attached")]
    OtherInterface {
        /// Its name
        name: IfName,
        /// What it is
        kind: LinkKind,
    },
    /// A step failed; those before it were taken back
    #[error("cannot detach the container")]
    Step {
        /// Which one
        step: DetachStep,
        /// Why
        #[source]
        source: StepError,
        /// What could not be taken back
        left: Vec<Leftover>,
    },
}
