//! The containers of this host: attached, detached, remembered, and missed when they are gone.
//!
//! One change at a time; whoever only looks never waits for one. What is remembered is put on disk after it was made
//! and before it is acknowledged, so a kill in between leaves a container that the next start finds unclaimed and takes on,
//! never one that was promised and is not there.

mod abandoned;
mod container;
mod endpoint;
mod error;
mod naming;
mod rest;
#[cfg(test)]
mod tests;
mod unclaimed;
mod watch;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{AddressSpec, ApiError, AttachRequest, Attached, Attachment, DetachRequest, Detached, ErrorKind};
use arc_swap::ArcSwap;
use ipnetwork::IpNetwork;
use link::{Attach, Detach, Links, NetnsRef};
use model::{ContainerId, IfName, Mac};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use self::container::container;
use self::error::{attach_error, detach_error, done_but, netns_error, store_error};
use self::naming::name;
use self::rest::Resting;
pub(crate) use self::watch::follow_links;
use crate::addresses::Network;
use crate::common::ipv4;
use crate::datapath::Datapath;
use crate::store::{Store, Written};

/// The interface inside a container
const CONTAINER_IF: &str = "ethwe";

/// A container as it is remembered
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    id: ContainerId,
    /// None as long as its interface waits on the host
    netns: Option<PathBuf>,
    host_if: IfName,
    /// The interface inside
    #[serde(default = "container_if")]
    container_if: IfName,
    mac: Mac,
    addresses: Vec<IpNetwork>,
    /// Those of them that weaved chose
    #[serde(default)]
    chosen: Vec<IpNetwork>,
    /// What its addresses are called
    #[serde(default)]
    name: Option<String>,
    /// All that they are called, once names were given or taken one by one
    #[serde(default)]
    names: Option<Vec<(String, Ipv4Addr)>>,
}

/// What a container of before has
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: ContainerId,
    pub(crate) addresses: Vec<IpNetwork>,
    pub(crate) names: Vec<(String, Ipv4Addr)>,
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
    /// How long addresses are kept for a container that ended
    hold: Duration,
    /// By id; held through a change, so that there is one at a time
    records: Mutex<BTreeMap<ContainerId, Record>>,
    /// The same as of the last change, for those who only look
    published: ArcSwap<BTreeMap<ContainerId, Record>>,
    resting: Mutex<Resting>,
}

impl Attachments {
    /// The containers of before, as far as they are still there, put back on the datapath
    pub(crate) async fn open(
        links: Links,
        datapath: Datapath,
        store: Arc<Store>,
        network: Network,
        mtu: u16,
        hold: Duration,
    ) -> anyhow::Result<Self> {
        let mut records = BTreeMap::new();
        let mut gone = Vec::new();
        for record in store.attachments::<Record>()? {
            if links.index(&record.host_if).await?.is_none() {
                log::info!("container {} is gone", record.id);
                store.remove_attachment(record.id.as_str()).later();
                gone.push(record);
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
            store.put_attachment(record.id.as_str(), &record).later();
            records.insert(record.id.clone(), record);
        }
        for record in records.values() {
            if let Err(error) = datapath.add_port(&record.host_if).await {
                log::error!("container {} is cut off: {}", record.id, error.message);
            }
        }
        let mut resting = Resting::default();
        let alarms: Vec<(ContainerId, u64)> = gone
            .into_iter()
            .filter(|record| record.rests(hold))
            .map(|record| (record.id.clone(), resting.begin(record.id, ipv4(&record.chosen))))
            .collect();
        let attachments = Self(Arc::new(Inner {
            links,
            datapath,
            store,
            network,
            mtu,
            hold,
            published: ArcSwap::from_pointee(records.clone()),
            records: Mutex::new(records),
            resting: Mutex::new(resting),
        }));
        for (id, number) in alarms {
            attachments.wake_later(id, number);
        }
        Ok(attachments)
    }

    /// The containers
    pub(crate) fn list(&self) -> Vec<Attachment> {
        let records = self.0.published.load();
        let view = |record: &Record| Attachment {
            container: record.id.clone(),
            netns: record.netns.as_ref().map(|path| path.display().to_string()),
            mac: record.mac,
            addresses: record.addresses.clone(),
        };
        records.values().map(view).collect()
    }

    /// Puts a container on the network, or gives one that is on it more addresses
    pub(crate) async fn attach(&self, request: AttachRequest) -> Result<Attached, ApiError> {
        let inner = &*self.0;
        let (reference, id) = container(&request.container)?;
        let id = request.id.clone().unwrap_or(id);
        // Refused before an address is taken for it.
        let netns = reference.path().map_err(|error| netns_error(&error))?;
        if let Some(name) = &request.name {
            inner.network.is_name(name).await?;
        }
        let got = self.get(&id, &request.addresses).await?;
        let addresses = &got.addresses;
        let own_name = || name(&request.container);
        let name = request
            .dns
            .then(|| request.name.clone().or_else(own_name))
            .flatten();
        let leg = Leg {
            reference,
            netns,
            addresses,
            chosen: chosen(&request.addresses, addresses),
            multicast_route: request.multicast_route,
            name: name.clone(),
        };
        let attached = self.join(&id, leg).await;
        let attached = match attached {
            Ok(attached) => attached,
            Err(error) => {
                self.put_back(&id, &got).await;
                return Err(error);
            }
        };
        self.has_name(&id, name, addresses).await;
        if let Err(error) = self.remember_names(&id, false).await {
            log::error!(
                "container {id} may have lost names after a restart: {}",
                error.message
            );
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
        refuse_taken(&records, &id, leg.addresses)?;
        let known = records.get(&id);
        let attach = Attach {
            netns: leg.reference,
            host_if: link::host_end(&id, &container_if()),
            container_if: known.map_or_else(container_if, |known| known.container_if.clone()),
            mac: None,
            mtu: inner.mtu,
            addresses: leg.addresses.to_vec(),
            multicast_route: leg.multicast_route,
            master: inner.datapath.master(),
            hairpin: false,
            moved_in: false,
        };
        let plan = attach.plan(&inner.links).await.map_err(attach_error)?;
        let attached = plan.apply(&inner.links).await.map_err(attach_error)?;
        for warning in &attached.warnings {
            log::warn!("container {id}: {warning}");
        }
        let mut addresses = known.map(|record| record.addresses.clone()).unwrap_or_default();
        for address in leg.addresses {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        let mut chosen = known.map(|record| record.chosen.clone()).unwrap_or_default();
        chosen.extend(leg.chosen);
        let record = Record {
            id: id.clone(),
            netns: Some(leg.netns),
            host_if: attached.host_if.clone(),
            container_if: attached.container_if.clone(),
            mac: attached.mac,
            addresses: addresses.clone(),
            chosen,
            name: leg.name.or_else(|| known.and_then(|known| known.name.clone())),
            names: known.and_then(|known| known.names.clone()),
        };
        if let Err(error) = self.put_on(&record).await {
            inner.remember(&id, known).later();
            for leftover in attached.undo(&inner.links).await {
                log::error!("container {id}: {leftover}");
            }
            return Err(error);
        }
        records.insert(id.clone(), record);
        inner.publish(&records);
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

    /// Puts a container's end on the host on the network, and the container on disk
    async fn put_on(&self, record: &Record) -> Result<(), ApiError> {
        let inner = &*self.0;
        inner.datapath.add_port(&record.host_if).await?;
        let written = inner.store.put_attachment(record.id.as_str(), record);
        written.wait().await.map_err(store_error)
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
        let netns = record.netns.clone().ok_or_else(|| {
            let text = format!("container {id} has not started yet");
            ApiError::new(ErrorKind::Conflict, text)
        })?;
        let detach = Detach {
            netns: NetnsRef::Path(netns),
            container_if: record.container_if.clone(),
            host_if: record.host_if.clone(),
            addresses: wanted,
        };
        let plan = detach.plan(&inner.links).await.map_err(detach_error)?;
        let detached = plan.apply(&inner.links).await.map_err(detach_error)?;
        let mut record = record.clone();
        let stays = |address: &IpNetwork| !detached.removed.contains(address);
        record.addresses.retain(stays);
        record.chosen.retain(stays);
        let gone = detached.interface_removed || record.addresses.is_empty();
        let record = (!gone).then_some(record);
        let written = inner.remember(&id, record.as_ref());
        match record {
            Some(record) => drop(records.insert(id.clone(), record)),
            None => drop(records.remove(&id)),
        }
        inner.publish(&records);
        drop(records);
        // It is done, on disk or not: the addresses go to nobody else before the disk has that.
        let mut remembered = Ok(());
        if gone {
            inner.network.forget(&id).await;
        } else {
            inner.network.give_up(&id, &detached.removed).await;
            remembered = self.remember_names(&id, false).await;
        }
        log::info!("container {id} detached from {}", text(&detached.removed));
        written.wait().await.map_err(|error| {
            let done = format!("container {id} was detached from {}", text(&detached.removed));
            done_but(&done, "these addresses stay taken", error)
        })?;
        if let Err(error) = remembered {
            log::error!(
                "container {id} may have lost names after a restart: {}",
                error.message
            );
        }
        Ok(Detached {
            container: id,
            addresses: detached.removed,
            interface_removed: detached.interface_removed,
        })
    }

    /// A device of this host is gone: perhaps that of a container that ended
    async fn device_removed(&self, name: &IfName) {
        let mut records = self.0.records.lock().await;
        let Some(record) = records.values().find(|record| record.host_if == *name).cloned() else {
            return;
        };
        // Word of a device may come when the next one has its name: of a container that was detached, and
        // attached again.
        if !matches!(self.0.links.index(name).await, Ok(None)) {
            return;
        }
        log::info!("container {} is gone", record.id);
        records.remove(&record.id);
        self.0.publish(&records);
        drop(records);
        self.0.store.remove_attachment(record.id.as_str()).later();
        self.end(&record).await;
    }

    /// What the containers have
    pub(crate) fn held(&self) -> Vec<Held> {
        let records = self.0.published.load();
        let held = |record: &Record| Held {
            id: record.id.clone(),
            addresses: record.addresses.clone(),
            names: record.all_names(),
        };
        records.values().map(held).collect()
    }
}

impl Inner {
    /// Shows a change to those who only look
    fn publish(&self, records: &BTreeMap<ContainerId, Record>) {
        self.published.store(Arc::new(records.clone()));
    }

    /// Hands over to the disk what is to be remembered of a container
    fn remember(&self, id: &ContainerId, record: Option<&Record>) -> Written {
        match record {
            Some(record) => self.store.put_attachment(id.as_str(), record),
            None => self.store.remove_attachment(id.as_str()),
        }
    }
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
    /// Those of them that weaved chose
    chosen: Vec<IpNetwork>,
    multicast_route: bool,
    name: Option<String>,
}

/// What the interface inside is called, unless somebody else names it
fn container_if() -> IfName {
    CONTAINER_IF.parse().expect("five letters are a device's name")
}

/// Those of the addresses that were not asked for by themselves
fn chosen(asked: &[AddressSpec], got: &[IpNetwork]) -> Vec<IpNetwork> {
    let given = |address: &IpNetwork| asked.contains(&AddressSpec::Address(*address));
    got.iter().filter(|address| !given(address)).copied().collect()
}

/// No two containers of a host have one address
fn refuse_taken(
    records: &BTreeMap<ContainerId, Record>,
    id: &ContainerId,
    addresses: &[IpNetwork],
) -> Result<(), ApiError> {
    for address in addresses {
        let mut others = records.values().filter(|record| record.id != *id);
        let taken = others.find(|record| record.addresses.iter().any(|taken| taken.ip() == address.ip()));
        if let Some(other) = taken {
            let text = format!("{} belongs to container {}", address.ip(), other.id);
            return Err(ApiError::new(ErrorKind::Conflict, text));
        }
    }
    Ok(())
}

fn text(addresses: &[IpNetwork]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        "no address".to_owned()
    } else {
        all.join(" ")
    }
}
