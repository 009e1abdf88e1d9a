//! The containers of this host: attached, detached, remembered, and missed when they are gone.
//!
//! One change at a time. What is remembered is put on disk after it was made and before it is
//! acknowledged, so a kill in between leaves a device that the next start finds unclaimed, never a
//! container that was promised and is not there.

mod container;
mod error;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api::{ApiError, AttachRequest, Attached, Attachment, DetachRequest, Detached, ErrorKind};
use ipnetwork::IpNetwork;
use link::{Attach, Detach, Links, NetnsRef};
use model::{ContainerId, IfName, Mac};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use self::container::container;
use self::error::{attach_error, detach_error, netns_error, store_error};
pub(crate) use self::watch::follow_links;
use crate::datapath::Datapath;
use crate::store::Store;

/// The interface inside a container
const CONTAINER_IF: &str = "ethwe";

/// A container as it is remembered
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    id: ContainerId,
    netns: PathBuf,
    host_if: IfName,
    mac: Mac,
    addresses: Vec<IpNetwork>,
}

/// The containers, shared by those who ask
#[derive(Debug, Clone)]
pub(crate) struct Attachments(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    links: Links,
    datapath: Datapath,
    store: Arc<Store>,
    mtu: u16,
    /// By id; held through a change, so that there is one at a time
    records: Mutex<BTreeMap<ContainerId, Record>>,
}

impl Attachments {
    /// The containers of before, as far as they are still there, put back on the datapath
    pub(crate) async fn open(
        links: Links,
        datapath: Datapath,
        store: Arc<Store>,
        mtu: u16,
    ) -> anyhow::Result<Self> {
        let mut records = BTreeMap::new();
        for record in store.attachments::<Record>()? {
            if links.index(&record.host_if).await?.is_none() {
                log::info!("container {} is gone", record.id);
                store.remove_attachment(record.id.as_str())?;
                continue;
            }
            if let Err(error) = datapath.add_port(&record.host_if).await {
                log::error!("container {} is cut off: {}", record.id, error.message);
            }
            records.insert(record.id.clone(), record);
        }
        Ok(Self(Arc::new(Inner {
            links,
            datapath,
            store,
            mtu,
            records: Mutex::new(records),
        })))
    }

    /// The containers
    pub(crate) async fn list(&self) -> Result<Vec<Attachment>, ApiError> {
        let records = self.0.records.lock().await;
        let view = |record: &Record| Attachment {
            container: record.id.clone(),
            netns: Some(record.netns.display().to_string()),
            mac: record.mac,
            addresses: record.addresses.clone(),
        };
        Ok(records.values().map(view).collect())
    }

    /// Puts a container on the network, or gives one that is on it more addresses
    pub(crate) async fn attach(&self, request: AttachRequest) -> Result<Attached, ApiError> {
        let inner = &*self.0;
        let (reference, id) = container(&request.container)?;
        let netns = reference.path().map_err(|error| netns_error(&error))?;
        let mut records = inner.records.lock().await;
        for address in request.addresses.iter() {
            let taken = records.values().find(|record| {
                record.id != id && record.addresses.iter().any(|taken| taken.ip() == address.ip())
            });
            if let Some(other) = taken {
                let text = format!("{} belongs to container {}", address.ip(), other.id);
                return Err(ApiError::new(ErrorKind::Conflict, text));
            }
        }
        let container_if = container_if()?;
        let attach = Attach {
            netns: reference,
            host_if: link::host_end(&id, &container_if),
            container_if,
            mac: None,
            mtu: inner.mtu,
            addresses: request.addresses.to_vec(),
            multicast_route: request.multicast_route,
            master: inner.datapath.master(),
            hairpin: false,
        };
        let plan = attach.plan(&inner.links).await.map_err(attach_error)?;
        let attached = plan.apply(&inner.links).await.map_err(attach_error)?;
        for warning in &attached.warnings {
            log::warn!("container {id}: {warning}");
        }
        let mut addresses = records
            .get(&id)
            .map(|record| record.addresses.clone())
            .unwrap_or_default();
        for address in request.addresses.iter() {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        let record = Record {
            id: id.clone(),
            netns,
            host_if: attached.host_if.clone(),
            mac: attached.mac,
            addresses: addresses.clone(),
        };
        let joined = match inner.datapath.add_port(&attached.host_if).await {
            Ok(()) => inner
                .store
                .put_attachment(id.as_str(), &record)
                .map_err(store_error),
            Err(error) => Err(error),
        };
        if let Err(error) = joined {
            for leftover in attached.undo(&inner.links).await {
                log::error!("container {id}: {leftover}");
            }
            return Err(error);
        }
        records.insert(id.clone(), record);
        if let Err(error) = attached.announce().await {
            log::warn!("container {id}: {error}");
        }
        log::info!("container {id} attached with {}", text(&addresses));
        Ok(Attached {
            container: id,
            interface: attached.container_if.clone(),
            mac: attached.mac,
            addresses,
        })
    }

    /// Takes addresses, or all of them, from a container; with the last one it leaves the network
    pub(crate) async fn detach(&self, request: DetachRequest) -> Result<Detached, ApiError> {
        let inner = &*self.0;
        let (_reference, id) = container(&request.container)?;
        let mut records = inner.records.lock().await;
        let Some(record) = records.get(&id) else {
            let text = format!("container {id} is not attached");
            return Err(ApiError::new(ErrorKind::NotFound, text));
        };
        for address in request.addresses.iter() {
            if !record.addresses.contains(address) {
                let text = format!("container {id} does not have {address}");
                return Err(ApiError::new(ErrorKind::NotFound, text));
            }
        }
        let detach = Detach {
            netns: NetnsRef::Path(record.netns.clone()),
            container_if: container_if()?,
            host_if: record.host_if.clone(),
            addresses: request.addresses.to_vec(),
        };
        let plan = detach.plan(&inner.links).await.map_err(detach_error)?;
        let detached = plan.apply(&inner.links).await.map_err(detach_error)?;
        let mut record = record.clone();
        record
            .addresses
            .retain(|address| !detached.removed.contains(address));
        if detached.interface_removed || record.addresses.is_empty() {
            inner.store.remove_attachment(id.as_str()).map_err(store_error)?;
            records.remove(&id);
        } else {
            inner
                .store
                .put_attachment(id.as_str(), &record)
                .map_err(store_error)?;
            records.insert(id.clone(), record);
        }
        log::info!("container {id} detached from {}", text(&detached.removed));
        Ok(Detached {
            container: id,
            addresses: detached.removed,
            interface_removed: detached.interface_removed,
        })
    }

    /// A device of this host is gone: perhaps that of a container that ended
    async fn device_removed(&self, name: &IfName) {
        let mut records = self.0.records.lock().await;
        let Some(id) = records
            .values()
            .find(|record| record.host_if == *name)
            .map(|record| record.id.clone())
        else {
            return;
        };
        log::info!("container {id} is gone");
        records.remove(&id);
        if let Err(error) = self.0.store.remove_attachment(id.as_str()) {
            log::error!("{:#}", anyhow::Error::from(error));
        }
    }
}

fn container_if() -> Result<IfName, ApiError> {
    CONTAINER_IF
        .parse()
        .map_err(|error: model::IfNameError| ApiError::new(ErrorKind::Internal, error.to_string()))
}

fn text(addresses: &[IpNetwork]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        "no address".to_owned()
    } else {
        all.join(" ")
    }
}
