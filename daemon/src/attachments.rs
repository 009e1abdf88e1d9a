//! The containers of this host: attached, detached, remembered, and missed when they are gone.
//!
//! One change at a time. What is remembered is put on disk after it was made and before it is
//! acknowledged, so a kill in between leaves a device that the next start finds unclaimed, never a
//! container that was promised and is not there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{ApiError, AttachRequest, Attached, Attachment, ContainerSpec, DetachRequest, Detached, ErrorKind};
use ipnetwork::IpNetwork;
use link::{Attach, AttachError, Detach, DetachError, LinkEvent, Links, NetnsError, NetnsRef};
use model::{ContainerId, IfName, Mac};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::control::Input;
use crate::datapath::Datapath;
use crate::store::{Store, StoreError};

/// The interface inside a container
const CONTAINER_IF: &str = "ethwe";
/// Changes of the network come in bursts; one look after each is enough.
const QUIET: Duration = Duration::from_millis(100);

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

/// Follows the kernel's devices and routes until `stop`: containers that end, networks that change
pub(crate) async fn follow_links(
    links: Links,
    own: Vec<IfName>,
    attachments: Attachments,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let mut watch = match links.watch().await {
        Ok(watch) => watch,
        Err(error) => {
            log::error!(
                "changes of the network go unnoticed: {:#}",
                anyhow::Error::from(error)
            );
            return;
        }
    };
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = watch.next() => event,
        };
        let Some(event) = event else { return };
        let mut changed = concerns_underlay(&event, &own);
        if let LinkEvent::LinkRemoved { name, .. } = &event {
            attachments.device_removed(name).await;
        }
        // The rest of the burst.
        while let Ok(Some(event)) = tokio::time::timeout(QUIET, watch.next()).await {
            changed |= concerns_underlay(&event, &own);
            if let LinkEvent::LinkRemoved { name, .. } = &event {
                attachments.device_removed(name).await;
            }
        }
        if changed {
            let underlay_mtu = links.underlay_mtu(&own).await.ok().flatten().unwrap_or(1500);
            if inputs.send(Input::NetworkChanged { underlay_mtu }).await.is_err() {
                return;
            }
        }
    }
}

fn concerns_underlay(event: &LinkEvent, own: &[IfName]) -> bool {
    let theirs = |name: &IfName| {
        let kernels = ["ovs-system", "vxlan_sys_"];
        let ours = kernels.iter().chain(&[link::HOST_END_PREFIX]);
        !own.contains(name) && !ours.into_iter().any(|prefix| name.as_str().starts_with(prefix))
    };
    match event {
        LinkEvent::Link(state) => theirs(&state.name),
        LinkEvent::LinkRemoved { name, .. } => theirs(name),
        LinkEvent::Address { .. }
        | LinkEvent::AddressRemoved { .. }
        | LinkEvent::Route(_)
        | LinkEvent::RouteRemoved(_)
        | LinkEvent::Overrun => true,
    }
}

/// Where a container is, and the id that it is known by
fn container(spec: &ContainerSpec) -> Result<(NetnsRef, ContainerId), ApiError> {
    let (reference, id) = match spec {
        ContainerSpec::Pid(pid) => (NetnsRef::Pid(*pid), pid.to_string()),
        ContainerSpec::Name(name) => (NetnsRef::Name(name.clone()), name.clone()),
        ContainerSpec::Path(path) => {
            let path = PathBuf::from(path);
            let id = match path
                .strip_prefix("/run/netns")
                .or_else(|_elsewhere| path.strip_prefix("/var/run/netns"))
            {
                Ok(name) => name.display().to_string(),
                Err(_elsewhere) => match process_of(&path) {
                    Some(pid) => pid,
                    None => path.display().to_string(),
                },
            };
            (NetnsRef::Path(path), id)
        }
    };
    let id = id
        .parse()
        .map_err(|error: model::ContainerIdError| ApiError::new(ErrorKind::BadInput, error.to_string()))?;
    Ok((reference, id))
}

/// The process in `/proc/PID/ns/net`
fn process_of(path: &std::path::Path) -> Option<String> {
    let text = path.to_str()?;
    let pid = text.strip_prefix("/proc/")?.strip_suffix("/ns/net")?;
    pid.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| pid.to_owned())
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

/// An error with all its causes, on one line
fn line(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

fn store_error(error: StoreError) -> ApiError {
    ApiError::new(ErrorKind::Internal, line(error))
}

fn netns_error(error: &NetnsError) -> ApiError {
    let kind = match error {
        NetnsError::NoProcess(_) | NetnsError::Gone(_) => ErrorKind::NotFound,
        NetnsError::NotANetworkNamespace(_) | NetnsError::Host(_) | NetnsError::BadName(_) => {
            ErrorKind::BadInput
        }
        NetnsError::Open { .. } => ErrorKind::Internal,
    };
    ApiError::new(kind, error.to_string())
}

fn attach_error(error: AttachError) -> ApiError {
    let kind = match &error {
        AttachError::Netns(error) => return netns_error(error),
        AttachError::NotAnAddress(_) => ErrorKind::BadInput,
        AttachError::OtherNetns(_)
        | AttachError::OtherInterface { .. }
        | AttachError::OtherHostInterface { .. }
        | AttachError::OtherMac { .. }
        | AttachError::Overlap { .. } => ErrorKind::Conflict,
        AttachError::Open(_) | AttachError::Read(_) | AttachError::Step { .. } => ErrorKind::Internal,
    };
    ApiError::new(kind, line(error))
}

fn detach_error(error: DetachError) -> ApiError {
    let kind = match &error {
        DetachError::Netns(error) => return netns_error(error),
        DetachError::OtherInterface { .. } => ErrorKind::Conflict,
        DetachError::Open(_) | DetachError::Read(_) | DetachError::Step { .. } => ErrorKind::Internal,
    };
    ApiError::new(kind, line(error))
}
