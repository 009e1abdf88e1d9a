//! Interfaces that a container runtime moves into its containers.
//!
//! ```text
//!   create ── waits on the host, on the network ── moved by the runtime ── join ── delete
//! ```
//!
//! The runtime gives the interface its name and first address, and starts the container's process after
//! that; the rest is done when it has been moved.

use std::path::PathBuf;
use std::time::Duration;

use api::{AddressSpec, ApiError, Attached, Endpoint, EndpointRequest, ErrorKind, JoinRequest};
use ipnetwork::IpNetwork;
use link::{Attach, LinkEvent, LinkState, Links, NetnsRef, Waiting, Watch};
use model::{ContainerId, IfName};

use super::error::{attach_error, done_but, netns_error, waiting_error};
use super::rest::Got;
use super::{Attachments, Record, chosen, container_if, not_attached, text};
use crate::common::ipv4;

/// How long the runtime may take to name the interface after it has moved it
const NAMING: Duration = Duration::from_secs(5);
/// How often it is looked for where the kernel tells nothing: it may be gone
const LOOK: Duration = Duration::from_millis(250);

impl Attachments {
    /// Makes an interface for a container that is about to start
    pub(crate) async fn create_endpoint(&self, request: EndpointRequest) -> Result<Endpoint, ApiError> {
        let inner = &*self.0;
        let id = request.container;
        if let Some(name) = &request.name {
            inner.network.is_name(name).await?;
        }
        let got = self.get(&id, &request.addresses).await?;
        let made = self
            .wait_on_host(&id, &request.addresses, &got.addresses, request.name.clone())
            .await;
        let endpoint = match made {
            Ok(endpoint) => endpoint,
            Err(error) => {
                self.put_back(&id, &got).await;
                return Err(error);
            }
        };
        let Got { addresses, had, .. } = got;
        // Those of a life before this one that it does not ask for again.
        let lost: Vec<IpNetwork> = {
            let all = had.iter().filter(|address| !addresses.contains(address));
            all.copied().collect()
        };
        inner.network.give_up(&id, &lost).await;
        self.has_name(&id, request.name, &addresses).await;
        Ok(endpoint)
    }

    async fn wait_on_host(
        &self,
        id: &ContainerId,
        asked: &[AddressSpec],
        addresses: &[IpNetwork],
        name: Option<String>,
    ) -> Result<Endpoint, ApiError> {
        let inner = &*self.0;
        let mut records = inner.records.lock().await;
        super::refuse_taken(&records, id, addresses)?;
        let waiting = Waiting {
            host_if: link::host_end(id, &container_if()),
            waiting_if: link::waiting_end(id, &container_if()),
            mtu: inner.mtu,
            master: inner.datapath.master(),
        };
        let made = waiting.create(&inner.links).await.map_err(waiting_error)?;
        for warning in &made.warnings {
            log::warn!("container {id}: {warning}");
        }
        let record = Record {
            id: id.clone(),
            netns: None,
            host_if: waiting.host_if.clone(),
            container_if: container_if(),
            mac: made.mac,
            addresses: addresses.to_vec(),
            chosen: chosen(asked, addresses),
            name,
            names: None,
        };
        if let Err(error) = self.put_on(&record).await {
            inner.remember(id, records.get(id)).later();
            if let Err(error) = inner.links.delete(&waiting.host_if).await {
                log::error!("container {id}: {} stays: {error}", waiting.host_if);
            }
            return Err(error);
        }
        records.insert(id.clone(), record);
        inner.publish(&records);
        log::info!("container {id} gets {} when it starts", text(addresses));
        Ok(Endpoint {
            container: id.clone(),
            interface: waiting.waiting_if,
            mac: made.mac,
            addresses: addresses.to_vec(),
            mtu: inner.mtu,
        })
    }

    /// Completes an interface that the runtime moved
    pub(crate) async fn join_endpoint(&self, request: JoinRequest) -> Result<Attached, ApiError> {
        let inner = &*self.0;
        let id = request.container;
        let netns = NetnsRef::Path(PathBuf::from(&request.netns));
        let waits = inner.records.lock().await.get(&id).cloned();
        let waits = waits.ok_or_else(|| not_attached(&id))?;
        // Others come and go meanwhile.
        let (inside, found) = self.moved(&waits, &netns).await?;
        let mut records = inner.records.lock().await;
        let mut record = records
            .get(&id)
            .filter(|record| record.mac == waits.mac)
            .cloned()
            .ok_or_else(|| not_attached(&id))?;
        let attach = Attach {
            netns,
            host_if: record.host_if.clone(),
            container_if: found.clone(),
            mac: None,
            mtu: inner.mtu,
            addresses: record.addresses.clone(),
            // At first the runtime sets it, a moment later, and fails where there is one.
            multicast_route: request.multicast_route,
            master: inner.datapath.master(),
            hairpin: false,
            moved_in: true,
        };
        let plan = attach.plan(&inner.links).await.map_err(attach_error)?;
        let attached = plan.apply(&inner.links).await.map_err(attach_error)?;
        for warning in &attached.warnings {
            log::warn!("container {id}: {warning}");
        }
        // The runtime numbers interfaces; people look for this one by its name.
        if let Err(error) = inside.add_alternative_name(&found, &container_if()).await {
            log::debug!("container {id}: {found} has no other name: {error}");
        }
        record.netns = Some(PathBuf::from(request.netns));
        record.container_if = found.clone();
        record.mac = attached.mac;
        let written = inner.store.put_attachment(id.as_str(), &record);
        let addresses = record.addresses.clone();
        records.insert(id.clone(), record);
        inner.publish(&records);
        drop(records);
        // The runtime removes the endpoint of a join that failed.
        written.wait().await.map_err(|error| {
            let done = format!("container {id} has {} by {found}", text(&addresses));
            done_but(&done, "it is taken for one that has not started", error)
        })?;
        if let Err(error) = attached.announce_all(&addresses).await {
            log::warn!("container {id}: {error}");
        }
        log::info!("container {id} has {} by {found}", text(&addresses));
        Ok(Attached {
            container: id,
            interface: found,
            mac: attached.mac,
            granted: addresses.clone(),
            addresses,
        })
    }

    /// The devices in the container, and what the interface is called there
    async fn moved(&self, record: &Record, netns: &NetnsRef) -> Result<(Links, IfName), ApiError> {
        let links = &self.0.links;
        let opened = netns
            .open_container(links.netns().id())
            .map_err(|error| netns_error(&error))?;
        let failed = |error: &dyn std::fmt::Display| {
            let text = format!(
                "cannot look for the interface of container {}: {error}",
                record.id
            );
            ApiError::new(ErrorKind::Internal, text)
        };
        let inside = Links::open_in(&opened).await.map_err(|error| failed(&error))?;
        let mut watch = inside.watch().await.map_err(|error| failed(&error))?;
        let looked = async {
            loop {
                let host = links
                    .link(&record.host_if)
                    .await
                    .map_err(|error| failed(&error))?;
                let host = host.ok_or_else(|| not_attached(&record.id))?;
                let all = inside.list().await.map_err(|error| failed(&error))?;
                let named = all
                    .into_iter()
                    .find(|device| Some(device.index) == host.peer && is_in_place(device, host.index));
                if let Some(device) = named {
                    return Ok(device.name);
                }
                tokio::select! {
                    () = tells_of(&mut watch, host.index) => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        };
        let name = tokio::time::timeout(NAMING, looked).await.map_err(|_elapsed| {
            let text = format!(
                "the interface of container {} has not come into {netns}",
                record.id
            );
            ApiError::new(ErrorKind::NotFound, text)
        })??;
        Ok((inside, name))
    }

    /// Removes an interface, wherever its other end is; there is none is fine
    pub(crate) async fn delete_endpoint(&self, id: &ContainerId) -> Result<(), ApiError> {
        let inner = &*self.0;
        let mut records = inner.records.lock().await;
        let Some(record) = records.get(id).cloned() else {
            // The state that it was in was lost, perhaps: then it may be known as something else.
            let host_if = link::host_end(id, &container_if());
            if let Err(error) = inner.links.delete(&host_if).await {
                log::warn!("{host_if} stays: {error}");
            }
            return Ok(());
        };
        let deleted = inner.links.delete(&record.host_if).await;
        deleted.map_err(|error| {
            let text = format!("cannot remove {} of container {id}: {error}", record.host_if);
            ApiError::new(ErrorKind::Internal, text)
        })?;
        let written = inner.store.remove_attachment(id.as_str());
        records.remove(id);
        inner.publish(&records);
        drop(records);
        log::info!("container {id} has left");
        self.end(&record).await;
        // Whoever is told of a failure would try again for ever: the device is gone, and the next start sees that.
        written.later();
        Ok(())
    }

    /// Hands out an address before there is an interface
    pub(crate) async fn reserve(&self, asked: AddressSpec) -> Result<IpNetwork, ApiError> {
        if let AddressSpec::Address(IpNetwork::V4(address)) = asked {
            self.free_for(&api::reserved_for(address.ip()), &[asked]).await;
        }
        self.0.network.reserve(asked).await
    }

    /// Takes back what a container has that is not attached
    pub(crate) async fn release(&self, id: &ContainerId) {
        let records = self.0.records.lock().await;
        if !records.contains_key(id) {
            self.0.network.release(id, None).await;
        }
    }

    /// A container's addresses have this name from here on
    pub(super) async fn has_name(&self, id: &ContainerId, name: Option<String>, addresses: &[IpNetwork]) {
        let Some(name) = name else { return };
        let named = self.0.network.add_name(name, id.clone(), ipv4(addresses)).await;
        if let Err(error) = named
            && error.kind != ErrorKind::NotReady
        {
            log::warn!("container {id} has no name: {}", error.message);
        }
    }
}

/// Returns when the kernel tells of a device that may be the other end of this one
async fn tells_of(watch: &mut Watch, other_end: u32) {
    while let Some(event) = watch.next().await {
        let may_be = matches!(&event, LinkEvent::Link(device) if is_in_place(device, other_end));
        if may_be || event == LinkEvent::Overrun {
            return;
        }
    }
    std::future::pending().await
}

/// Whether the runtime is done with an interface: it switches it on after it has named it, and perhaps
/// given it another address of the hardware
fn is_in_place(device: &LinkState, other_end: u32) -> bool {
    device.up && device.peer == Some(other_end)
}
