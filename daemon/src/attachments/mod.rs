//! The containers of this host: attached, detached, remembered, and missed when they are gone.
//!
//! One change at a time. What is remembered is put on disk after it was made and before it is
//! acknowledged, so a kill in between leaves a container that the next start finds unclaimed and takes on,
//! never one that was promised and is not there.

mod container;
mod error;
#[cfg(test)]
mod tests;
mod unclaimed;
mod watch;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::{
    ApiError, AttachRequest, Attached, Attachment, ContainerSpec, DetachRequest, Detached, ErrorKind,
    NameRequest,
};
use ipnetwork::IpNetwork;
use link::{Attach, Detach, Links, NetnsRef};
use model::{ContainerId, IfName, Mac};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use self::container::container;
use self::error::{attach_error, detach_error, netns_error, store_error};
pub(crate) use self::watch::follow_links;
use crate::addresses::Network;
use crate::common::ipv4;
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
    /// What its addresses are called
    #[serde(default)]
    name: Option<String>,
}

/// What a container of before has
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: ContainerId,
    pub(crate) addresses: Vec<IpNetwork>,
    pub(crate) name: Option<String>,
}

/// Names to be added
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) container: ContainerId,
    pub(crate) addresses: Vec<Ipv4Addr>,
    pub(crate) name: String,
}

/// The containers, shared by those who ask
#[derive(Debug, Clone)]
pub(crate) struct Attachments(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    links: Links,
    datapath: Datapath,
    store: Arc<Store>,
    network: Network,
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
        network: Network,
        mtu: u16,
    ) -> anyhow::Result<Self> {
        let mut records = BTreeMap::new();
        for record in store.attachments::<Record>()? {
            if links.index(&record.host_if).await?.is_none() {
                log::info!("container {} is gone", record.id);
                store.remove_attachment(record.id.as_str())?;
                continue;
            }
            records.insert(record.id.clone(), record);
        }
        let known = records.values().map(|record| record.host_if.clone()).collect();
        for record in unclaimed::unclaimed(&links, &known).await {
            log::info!(
                "container {} was forgotten: it has {}",
                record.id,
                text(&record.addresses)
            );
            store.put_attachment(record.id.as_str(), &record)?;
            records.insert(record.id.clone(), record);
        }
        for record in records.values() {
            if let Err(error) = datapath.add_port(&record.host_if).await {
                log::error!("container {} is cut off: {}", record.id, error.message);
            }
        }
        Ok(Self(Arc::new(Inner {
            links,
            datapath,
            store,
            network,
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
        // Refused before an address is taken for it.
        let netns = reference.path().map_err(|error| netns_error(&error))?;
        let had = self.addresses_of(&id).await;
        let addresses = inner.network.acquire(&id, &request.addresses, &had).await?;
        let own_name = || name(&request.container);
        let name = request
            .dns
            .then(|| request.name.clone().or_else(own_name))
            .flatten();
        let leg = Leg {
            reference,
            netns,
            addresses: &addresses,
            multicast_route: request.multicast_route,
            name: name.clone(),
        };
        let attached = self.join(&id, leg).await;
        let attached = match attached {
            Ok(attached) => attached,
            Err(error) => {
                inner.network.give_back(&id, &addresses, &had).await;
                return Err(error);
            }
        };
        if let Some(name) = name {
            let named = inner.network.add_name(name, id.clone(), ipv4(&addresses)).await;
            if let Err(error) = named
                && error.kind != ErrorKind::NotReady
            {
                log::warn!("container {id} has no name: {}", error.message);
            }
        }
        Ok(attached)
    }

    async fn addresses_of(&self, id: &ContainerId) -> Vec<IpNetwork> {
        let records = self.0.records.lock().await;
        records
            .get(id)
            .map(|record| record.addresses.clone())
            .unwrap_or_default()
    }

    async fn join(&self, id: &ContainerId, leg: Leg<'_>) -> Result<Attached, ApiError> {
        let inner = &*self.0;
        let id = id.clone();
        let mut records = inner.records.lock().await;
        for address in leg.addresses {
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
            netns: leg.reference,
            host_if: link::host_end(&id, &container_if),
            container_if,
            mac: None,
            mtu: inner.mtu,
            addresses: leg.addresses.to_vec(),
            multicast_route: leg.multicast_route,
            master: inner.datapath.master(),
            hairpin: false,
        };
        let plan = attach.plan(&inner.links).await.map_err(attach_error)?;
        let attached = plan.apply(&inner.links).await.map_err(attach_error)?;
        for warning in &attached.warnings {
            log::warn!("container {id}: {warning}");
        }
        let known = records.get(&id);
        let mut addresses = known.map(|record| record.addresses.clone()).unwrap_or_default();
        for address in leg.addresses {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        let record = Record {
            id: id.clone(),
            netns: leg.netns,
            host_if: attached.host_if.clone(),
            mac: attached.mac,
            addresses: addresses.clone(),
            name: leg.name.or_else(|| known.and_then(|known| known.name.clone())),
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
            granted: leg.addresses.to_vec(),
        })
    }

    /// Takes addresses, or all of them, from a container; with the last one it leaves the network
    pub(crate) async fn detach(&self, request: DetachRequest) -> Result<Detached, ApiError> {
        let inner = &*self.0;
        let (_reference, id) = container(&request.container)?;
        let mut records = inner.records.lock().await;
        let record = records.get(&id).ok_or_else(|| not_attached(&id))?;
        let wanted = inner.network.select(&request.addresses, &record.addresses)?;
        for address in &wanted {
            if !record.addresses.contains(address) {
                let text = format!("container {id} does not have {address}");
                return Err(ApiError::new(ErrorKind::NotFound, text));
            }
        }
        let detach = Detach {
            netns: NetnsRef::Path(record.netns.clone()),
            container_if: container_if()?,
            host_if: record.host_if.clone(),
            addresses: wanted,
        };
        let plan = detach.plan(&inner.links).await.map_err(detach_error)?;
        let detached = plan.apply(&inner.links).await.map_err(detach_error)?;
        let mut record = record.clone();
        record
            .addresses
            .retain(|address| !detached.removed.contains(address));
        let gone = detached.interface_removed || record.addresses.is_empty();
        if gone {
            inner.store.remove_attachment(id.as_str()).map_err(store_error)?;
            records.remove(&id);
        } else {
            inner
                .store
                .put_attachment(id.as_str(), &record)
                .map_err(store_error)?;
            records.insert(id.clone(), record);
        }
        drop(records);
        if gone {
            inner.network.forget(&id).await;
        } else {
            inner.network.give_up(&id, &detached.removed).await;
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
        // Word of a device may come when the next one has its name: of a container that was detached, and
        // attached again.
        if !matches!(self.0.links.index(name).await, Ok(None)) {
            return;
        }
        log::info!("container {id} is gone");
        records.remove(&id);
        drop(records);
        if let Err(error) = self.0.store.remove_attachment(id.as_str()) {
            log::error!("{:#}", anyhow::Error::from(error));
        }
        self.0.network.forget(&id).await;
    }

    /// What a request to add names means
    pub(crate) async fn named(&self, request: &NameRequest) -> Result<Named, ApiError> {
        let bad = |text: &str| ApiError::new(ErrorKind::BadInput, text);
        let Some(spec) = &request.container else {
            let name = request
                .name
                .clone()
                .ok_or_else(|| bad("neither a container nor a name is given"))?;
            if request.addresses.is_empty() {
                return Err(bad("without a container, addresses are needed"));
            }
            return Ok(Named {
                container: outside()?,
                addresses: request.addresses.clone(),
                name,
            });
        };
        let (_reference, id) = container(spec)?;
        let records = self.0.records.lock().await;
        let record = records.get(&id);
        let name = request
            .name
            .clone()
            .or_else(|| record?.name.clone())
            .or_else(|| name(spec))
            .ok_or_else(|| bad("the container has no name of its own: give one"))?;
        let addresses = match request.addresses.as_slice() {
            [] => {
                let record = record.ok_or_else(|| not_attached(&id))?;
                ipv4(&record.addresses)
            }
            given => given.to_vec(),
        };
        Ok(Named {
            container: id,
            addresses,
            name,
        })
    }

    /// Which names a request to remove some means
    pub(crate) fn filters(&self, request: &NameRequest) -> Result<Vec<dns::Filter>, ApiError> {
        let container = match &request.container {
            Some(spec) => container(spec)?.1,
            None if request.name.is_none() && request.addresses.is_empty() => {
                let text = "nothing is given: a container, addresses, or a name";
                return Err(ApiError::new(ErrorKind::BadInput, text));
            }
            None => outside()?,
        };
        let filter = |address| dns::Filter {
            name: request.name.clone(),
            container: Some(container.clone()),
            address,
        };
        Ok(match request.addresses.as_slice() {
            [] => vec![filter(None)],
            addresses => addresses.iter().map(|address| filter(Some(*address))).collect(),
        })
    }

    /// What the containers have
    pub(crate) async fn held(&self) -> Vec<Held> {
        let records = self.0.records.lock().await;
        let held = |record: &Record| Held {
            id: record.id.clone(),
            addresses: record.addresses.clone(),
            name: record.name.clone(),
        };
        records.values().map(held).collect()
    }
}

/// What names belong to that are for addresses outside the network
fn outside() -> Result<ContainerId, ApiError> {
    "weave:extern"
        .parse()
        .map_err(|error: model::ContainerIdError| ApiError::new(ErrorKind::Internal, error.to_string()))
}

fn not_attached(id: &ContainerId) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("container {id} is not attached"))
}

/// How a container is to be on the network
#[derive(Debug)]
struct Leg<'a> {
    reference: NetnsRef,
    netns: PathBuf,
    addresses: &'a [IpNetwork],
    multicast_route: bool,
    name: Option<String>,
}

/// What a container is called in the network, where what it was called by is a name
fn name(spec: &ContainerSpec) -> Option<String> {
    let name = match spec {
        ContainerSpec::Name(name) => name.as_str(),
        ContainerSpec::Path(path) => Path::new(path).file_name()?.to_str()?,
        ContainerSpec::Pid(_) => return None,
    };
    (name != "net").then(|| name.to_owned())
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
