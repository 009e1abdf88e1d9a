//! An interface that waits on the host: the veth pair of a container whose runtime moves one end into it.
//!
//! ```text
//!   Waiting::create ── the runtime moves and names one end ── Attach (moved_in) completes it
//! ```

use model::{IfName, Mac};
use rtnetlink::{LinkUnspec, LinkVeth};

use crate::error::NetlinkError;
use crate::links::Links;
use crate::netns::EnterError;
use crate::state::LinkState;
use crate::sysctl::{self, SysctlWarning};

/// A pair with one end to be moved, as it should be
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The end that stays, see [`host_end`](crate::host_end)
    pub host_if: IfName,
    /// The end that is to be moved, see [`waiting_end`](crate::waiting_end)
    pub waiting_if: IfName,
    /// The MTU of both ends
    pub mtu: u16,
    /// The bridge that the host's end becomes a port of; `None` leaves it to the caller to make it
    /// a port of whatever carries the overlay
    pub master: Option<u32>,
}

/// What was made, or was there
#[derive(Debug)]
pub struct Made {
    /// The Ethernet address of the end that is to be moved
    pub mac: Mac,
    /// Kernel switches that could not be set
    pub warnings: Vec<SysctlWarning>,
}

/// There is no such pair; nothing of it is left, unless the kernel refuses to remove it
#[derive(Debug, thiserror::Error)]
pub enum WaitingError {
    /// The kernel refused
    #[error("cannot make the veth pair {host_if}")]
    Netlink {
        /// The end that would have stayed
        host_if: IfName,
        /// Why
        #[source]
        source: NetlinkError,
    },
    /// The host's namespace cannot be worked in
    #[error("cannot set the switches of {host_if}")]
    Enter {
        /// The end that would have stayed
        host_if: IfName,
        /// Why
        #[source]
        source: EnterError,
    },
}

impl Waiting {
    /// Makes the pair; one of before whose end waits still is taken as it is, one whose end was moved
    /// belongs to a container that ended and is replaced
    pub async fn create(&self, links: &Links) -> Result<Made, WaitingError> {
        if let Some(mac) = self.found(links).await.map_err(|source| self.netlink(source))? {
            return Ok(Made {
                mac,
                warnings: Vec::new(),
            });
        }
        let made = self.create_new(links).await;
        if made.is_err()
            && let Err(error) = links.delete(&self.host_if).await
        {
            log::warn!("{} stays: {error}", self.host_if);
        }
        made
    }

    /// The address of the end that waits, where both are each other's
    async fn found(&self, links: &Links) -> Result<Option<Mac>, NetlinkError> {
        let host = links.link(&self.host_if).await?;
        let waiting = links.link(&self.waiting_if).await?;
        let are_pair = |host: &LinkState, waiting: &LinkState| {
            host.peer == Some(waiting.index) && waiting.peer == Some(host.index)
        };
        if let (Some(host), Some(waiting)) = (&host, &waiting)
            && are_pair(host, waiting)
            && host.up
        {
            return Ok(waiting.mac);
        }
        for leftover in [host, waiting].into_iter().flatten() {
            links.delete_index(leftover.index).await?;
        }
        Ok(None)
    }

    async fn create_new(&self, links: &Links) -> Result<Made, WaitingError> {
        let netlink = |source| self.netlink(source);
        let pair = LinkVeth::new(self.host_if.as_str(), self.waiting_if.as_str());
        links.create(pair.build()).await.map_err(netlink)?;
        for end in [&self.host_if, &self.waiting_if] {
            links.set_mtu(end, self.mtu).await.map_err(netlink)?;
        }
        let mut switches = sysctl::port(&self.host_if);
        // Until it is moved, the host has no business on it.
        switches.push(sysctl::ipv6_off(&self.waiting_if));
        let warnings = links
            .write_sysctls(switches)
            .await
            .map_err(|source| WaitingError::Enter {
                host_if: self.host_if.clone(),
                source,
            })?;
        if let Some(master) = self.master {
            links
                .set_master(&self.host_if, Some(master))
                .await
                .map_err(netlink)?;
        }
        let host = self.existing(links, &self.host_if).await?;
        let up = LinkUnspec::new_with_index(host.index).up().build();
        links.set(up).await.map_err(netlink)?;
        let waiting = self.existing(links, &self.waiting_if).await?;
        Ok(Made {
            mac: waiting.mac.unwrap_or_default(),
            warnings,
        })
    }

    async fn existing(&self, links: &Links, name: &IfName) -> Result<LinkState, WaitingError> {
        let found = links.link(name).await.map_err(|source| self.netlink(source))?;
        found.ok_or_else(|| self.netlink(NetlinkError::NoDevice(name.to_string())))
    }

    fn netlink(&self, source: NetlinkError) -> WaitingError {
        WaitingError::Netlink {
            host_if: self.host_if.clone(),
            source,
        }
    }
}
