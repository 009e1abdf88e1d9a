//! What the API can ask of the daemon: one method for each route, each a question to the task that
//! owns the answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::{
    ApiError, AttachRequest, Attached, Attachment, BanRequest, Banned, ConnectRequest, Connection,
    ContainerRequest, DetachRequest, Detached, DnsStatus, Endpoint, EndpointRequest, ErrorKind,
    ExposeRequest, Exposed, Flow, ForgetRequest, Health, Hidden, HideRequest, HostStatus, IpamStatus,
    JoinRequest, LookupRequest, NameEntry, NameRequest, PasswordRequest, PasswordState, Peer,
    RemovePeersRequest, RemovedPeer, Report, ReserveRequest, StatusReport, Stopping,
};
use dns::Domain;
use gossip::NetworkName;
use ipnetwork::IpNetwork;
use model::{ContainerId, Target};
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::addresses::Network;
use crate::attachments::Attachments;
use crate::common::{HOST, ipv4};
use crate::control::{Input, Query};
use crate::datapath::Datapath;
use crate::dns::{Places, View};
use crate::expose::HostLeg;
use crate::filter::Standing;
use crate::inside::Door;
use crate::metrics;
use crate::network;
use crate::shutdown::{Ending, Shutdown};
use crate::sleeve::Sleeve;
use crate::store::Store;
use crate::views;

/// The daemon, as the API sees it
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// Questions to the control task
    pub(crate) control: mpsc::Sender<Input>,
    /// The network's name
    pub(crate) network_name: NetworkName,
    /// The containers
    pub(crate) attachments: Attachments,
    /// Addresses and names
    pub(crate) network: Network,
    /// The host's own leg
    pub(crate) host_leg: HostLeg,
    /// The name server, where there is one
    pub(crate) names: Option<View>,
    /// Who is let in at the control port
    pub(crate) door: Door,
    /// Which packet filter holds
    pub(crate) standing: watch::Receiver<Standing>,
    /// Where names are asked for
    pub(crate) places: Places,
    /// The domain of containers' names
    pub(crate) dns_domain: Domain,
    /// The kernel's switch
    pub(crate) datapath: Datapath,
    /// The packet threads
    pub(crate) sleeve: Sleeve,
    /// What outlives the process
    pub(crate) store: Arc<Store>,
    /// How to stop
    pub(crate) shutdown: Shutdown,
}

impl App {
    pub(crate) fn health(&self) -> Health {
        let stopping = self.shutdown.token().is_cancelled();
        Health {
            ready: !stopping,
            why: stopping.then(|| "stopping".to_owned()),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    pub(crate) async fn status(&self) -> Result<StatusReport, ApiError> {
        let mut status = self.ask(Query::Status).await?;
        status.store = Some(self.store.status());
        let (datapath, drops) = self.datapath.status().await?;
        status.datapath = datapath;
        status.drops.extend(drops);
        status.drops.extend(self.sleeve.drops());
        if self.door.refused() > 0 {
            let refused = ("refused_from_containers".to_owned(), self.door.refused());
            status.drops.extend([refused]);
        }
        let standing = self.standing.borrow().clone();
        status.host = Some(HostStatus {
            filter: standing.filter,
            filter_error: standing.error,
            exposed: self.host_leg.addresses(),
            exposed_to: self.host_leg.to().await,
        });
        if let Some(names) = &self.names {
            let texts = |addresses: Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect();
            let entries = self.network.names().await?.map_or(0, |names| names.len());
            status.dns = Some(DnsStatus {
                domain: format!("{}.", self.dns_domain.as_str()),
                listening: texts(names.listening()),
                for_containers: self.places.for_containers(),
                upstream: texts(names.upstreams()),
                ttl: names.ttl(),
                entries,
            });
            let dropped = [
                ("dns: questions that nobody answered", &names.counters().failed),
                ("dns: refused_client", &names.counters().refused),
                ("dns: too_many_connections", &names.counters().unheard),
                (
                    "dns: what was no question, or found no room",
                    &names.counters().dropped,
                ),
            ];
            let dropped = dropped.map(|(what, count)| (what.to_owned(), count.load(Ordering::Relaxed)));
            status
                .drops
                .extend(dropped.into_iter().filter(|(_, count)| *count > 0));
        }
        Ok(status)
    }

    pub(crate) async fn connections(&self) -> Result<Vec<Connection>, ApiError> {
        self.ask(Query::Connections).await
    }

    pub(crate) async fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        self.ask(Query::Peers).await
    }

    pub(crate) async fn targets(&self) -> Result<Vec<Target>, ApiError> {
        self.ask(Query::Targets).await
    }

    pub(crate) async fn connect(&self, request: ConnectRequest) -> Result<Vec<Target>, ApiError> {
        self.ask(|reply| Query::Connect(request, reply)).await
    }

    pub(crate) async fn forget(&self, request: ForgetRequest) -> Result<Vec<Target>, ApiError> {
        self.ask(|reply| Query::Forget(request, reply)).await
    }

    pub(crate) async fn flows(&self) -> Result<Vec<Flow>, ApiError> {
        let directory = self.ask(Query::Directory).await?;
        let dump = self.datapath.flows().await?;
        Ok(views::flows(&dump, &directory))
    }

    pub(crate) async fn containers(&self) -> Result<Vec<Attachment>, ApiError> {
        let mut all = Vec::new();
        let addresses = self.host_leg.addresses();
        if let Some(mac) = self.host_leg.mac().await
            && !addresses.is_empty()
        {
            all.push(Attachment {
                container: host()?,
                netns: None,
                mac,
                addresses,
            });
        }
        all.extend(self.attachments.list());
        Ok(all)
    }

    pub(crate) async fn attach(&self, request: AttachRequest) -> Result<Attached, ApiError> {
        self.attachments.attach(request).await
    }

    pub(crate) async fn detach(&self, request: DetachRequest) -> Result<Detached, ApiError> {
        self.attachments.detach(request).await
    }

    /// A container exists no more
    pub(crate) async fn forget_container(&self, request: ContainerRequest) -> Result<(), ApiError> {
        self.attachments.forget(&request.container).await;
        Ok(())
    }

    /// Makes an interface for a container runtime to move
    pub(crate) async fn create_endpoint(&self, request: EndpointRequest) -> Result<Endpoint, ApiError> {
        self.attachments.create_endpoint(request).await
    }

    /// Completes one that was moved
    pub(crate) async fn join_endpoint(&self, request: JoinRequest) -> Result<Attached, ApiError> {
        self.attachments.join_endpoint(request).await
    }

    /// Removes one of which its runtime knows nothing any more
    pub(crate) async fn abandon_endpoint(&self, request: ContainerRequest) -> Result<(), ApiError> {
        self.attachments.abandon(&request.container).await
    }

    /// Removes one
    pub(crate) async fn delete_endpoint(&self, request: ContainerRequest) -> Result<(), ApiError> {
        self.attachments.delete_endpoint(&request.container).await
    }

    /// Hands out an address that an interface will have later
    pub(crate) async fn reserve_address(&self, request: ReserveRequest) -> Result<IpNetwork, ApiError> {
        self.attachments.reserve(request.address).await
    }

    /// Takes one back that none has
    pub(crate) async fn release_address(&self, request: ContainerRequest) -> Result<(), ApiError> {
        self.attachments.release(&request.container).await;
        Ok(())
    }

    /// Gives this host addresses on the network
    pub(crate) async fn expose(&self, request: ExposeRequest) -> Result<Exposed, ApiError> {
        let host = host()?;
        if let Some(name) = &request.name {
            self.network.is_name(name).await?;
        }
        let had = self.host_leg.addresses();
        let addresses = self.network.acquire(&host, &request.addresses, &had).await?;
        let exposed = self
            .host_leg
            .expose(&addresses, request.masquerade, request.to)
            .await;
        let mut warnings = match exposed {
            Ok(warnings) => warnings,
            Err(error) => {
                self.network.give_back(&host, &addresses, &had).await;
                return Err(error);
            }
        };
        if let Some(name) = request.name {
            let named = self.network.add_name(name.clone(), host, ipv4(&addresses)).await;
            match named {
                Ok(_entries) => {
                    let named = self.host_leg.set_name(&name).await;
                    warnings.extend(named.err().map(|error| error.message));
                }
                Err(error) => warnings.push(format!("the addresses have no name: {}", error.message)),
            }
        }
        let addresses = addresses.to_vec();
        Ok(Exposed { addresses, warnings })
    }

    /// Takes them
    pub(crate) async fn hide(&self, request: HideRequest) -> Result<Hidden, ApiError> {
        let had = self.host_leg.addresses();
        let addresses = match request.addresses.is_empty() {
            true => had.clone(),
            false => self.network.select(&request.addresses, &had)?,
        };
        let hidden = self.host_leg.hide(&addresses).await;
        // Also what is hidden and not on disk so: it is gone from the device.
        let left = self.host_leg.addresses();
        let gone: Vec<IpNetwork> = had
            .into_iter()
            .filter(|address| !left.contains(address))
            .collect();
        self.network.give_up(&host()?, &gone).await;
        Ok(Hidden { addresses: hidden? })
    }

    pub(crate) async fn ipam(&self) -> Result<IpamStatus, ApiError> {
        self.network.status().await
    }

    pub(crate) async fn prime(&self) -> Result<IpamStatus, ApiError> {
        self.network.prime().await?;
        self.network.status().await
    }

    pub(crate) async fn remove_peers(
        &self,
        request: RemovePeersRequest,
    ) -> Result<Vec<RemovedPeer>, ApiError> {
        let mut removed = Vec::new();
        for peer in request.peers {
            let addresses = self.network.remove_peer(peer.clone()).await?;
            let name = peer.clone();
            let _was_known = self.ask(|reply| Query::ForgetPeer(name, reply)).await?;
            removed.push(RemovedPeer { peer, addresses });
        }
        Ok(removed)
    }

    /// Refuses the key of a peer on every host, or accepts it again
    pub(crate) async fn ban(&self, request: BanRequest) -> Result<Banned, ApiError> {
        self.ask(|reply| Query::Ban(request, reply)).await?
    }

    /// Replaces the network's password, step by step
    pub(crate) async fn password(&self, request: PasswordRequest) -> Result<PasswordState, ApiError> {
        let change = match request {
            PasswordRequest::Promote => network::Change::Promote,
            PasswordRequest::Drop => network::Change::Drop,
            PasswordRequest::Add { password } => {
                let (password, name) = (Zeroizing::new(password), self.network_name);
                if password.is_empty() || password.len() > 1024 {
                    let text = "a password has 1 to 1024 bytes";
                    return Err(ApiError::new(ErrorKind::BadInput, text));
                }
                let derived =
                    tokio::task::spawn_blocking(move || network::Key::derive(name, &password)).await;
                let key = derived.map_err(anyhow::Error::from).and_then(|key| key);
                let key = key.map_err(|error| ApiError::new(ErrorKind::Internal, format!("{error:#}")))?;
                network::Change::Add(key)
            }
        };
        self.ask(|reply| Query::Password(change, reply)).await?
    }

    pub(crate) async fn names(&self) -> Result<Vec<NameEntry>, ApiError> {
        let names = self.network.names().await?;
        names.ok_or_else(|| ApiError::new(ErrorKind::NotReady, "there are no names on this host (--no-dns)"))
    }

    pub(crate) async fn add_names(&self, request: NameRequest) -> Result<Vec<NameEntry>, ApiError> {
        let named = self.attachments.named(&request)?;
        let container = named.container.clone();
        let added = self
            .network
            .add_name(named.name, named.container, named.addresses)
            .await?;
        let remembered = self.attachments.remember_names(&container, true).await;
        remembered.map_err(|error| {
            let text = format!(
                "the name was given, but may be gone after a restart: {}",
                error.message
            );
            ApiError::new(error.kind, text)
        })?;
        Ok(added)
    }

    pub(crate) async fn remove_names(&self, request: NameRequest) -> Result<usize, ApiError> {
        let mut removed = 0;
        for filter in self.attachments.filters(&request)? {
            let container = filter.container.clone();
            removed += self.network.remove_names(filter).await?;
            if let Some(container) = container {
                let remembered = self.attachments.remember_names(&container, true).await;
                remembered.map_err(|error| {
                    let text = format!(
                        "the name is gone, but may be back after a restart: {}",
                        error.message
                    );
                    ApiError::new(error.kind, text)
                })?;
            }
        }
        Ok(removed)
    }

    pub(crate) async fn lookup(&self, request: LookupRequest) -> Result<Vec<Ipv4Addr>, ApiError> {
        self.network.lookup(request.name).await
    }

    pub(crate) async fn report(&self) -> Result<Report, ApiError> {
        let directory = self.ask(Query::Directory).await?;
        let (unicast_routes, broadcast_routes) = views::routes(&directory);
        let macs = views::macs(&self.datapath.macs().await?, &directory);
        Ok(Report {
            ready: self.health().ready,
            status: self.status().await?,
            connections: self.connections().await?,
            peers: self.peers().await?,
            targets: self.targets().await?,
            containers: self.containers().await?,
            flows: self.flows().await?,
            unicast_routes,
            broadcast_routes,
            macs,
            names: self.network.names().await?.unwrap_or_default(),
            ownership: self.network.history().await?,
        })
    }

    pub(crate) fn stop(&self) -> Stopping {
        self.shutdown.ask(Ending::Stop);
        Stopping {
            pid: std::process::id(),
        }
    }

    pub(crate) fn reset(&self) -> Stopping {
        self.shutdown.ask(Ending::Reset);
        Stopping {
            pid: std::process::id(),
        }
    }

    /// Prometheus text: every count that `status` shows
    pub(crate) async fn metrics(&self) -> String {
        let Ok(status) = self.status().await else {
            return String::new();
        };
        let connections = self.connections().await.unwrap_or_default();
        let questions = self.names.as_ref().map(View::counters);
        metrics::text(&status, &connections, questions)
    }

    async fn ask<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> Result<T, ApiError> {
        let gone = || ApiError::new(ErrorKind::NotReady, "weaved is stopping");
        let (reply, answer) = oneshot::channel();
        self.control
            .send(Input::Query(query(reply)))
            .await
            .map_err(|_closed| gone())?;
        answer.await.map_err(|_dropped| gone())
    }
}

fn host() -> Result<ContainerId, ApiError> {
    HOST.parse()
        .map_err(|error: model::ContainerIdError| ApiError::new(ErrorKind::Internal, error.to_string()))
}
