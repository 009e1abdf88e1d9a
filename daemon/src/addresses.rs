//! Addresses and names for containers and the host, as the tasks see them that attach.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::{AddressSpec, Addresses, ApiError, ErrorKind, IpamStatus, NameEntry, OwnershipChange};
use ipam::Ticket;
use ipnetwork::{IpNetwork, Ipv4Network};
use model::ContainerId;
use tokio::sync::{mpsc, oneshot};

use crate::control::{ForAddresses, ForNames, Input, Ungranted};
use crate::store;

/// How long an address is waited for before whoever asked is told why there is none
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to ask for addresses and names
#[derive(Debug, Clone)]
pub(crate) struct Network {
    control: mpsc::Sender<Input>,
    tickets: Arc<AtomicU64>,
    /// Addresses are handed out
    has_addresses: bool,
    default_subnet: Option<Ipv4Network>,
}

impl Network {
    /// `default_subnet`: none where no addresses are handed out
    pub(crate) fn new(control: mpsc::Sender<Input>, default_subnet: Option<Ipv4Network>) -> Self {
        Self {
            control,
            tickets: Arc::new(AtomicU64::new(1)),
            has_addresses: default_subnet.is_some(),
            default_subnet,
        }
    }

    /// Gets an address that no container asks for yet; it is held for whom it says
    pub(crate) async fn reserve(&self, spec: AddressSpec) -> Result<IpNetwork, ApiError> {
        // Whoever asks for one is nobody so far, so that nobody's address is taken for its own.
        let number = self.tickets.fetch_add(1, Ordering::Relaxed);
        let nobody: ContainerId =
            format!("reserved:{number}")
                .parse()
                .map_err(|error: model::ContainerIdError| {
                    ApiError::new(ErrorKind::Internal, error.to_string())
                })?;
        let address = match self.acquire_one(&nobody, spec).await {
            Ok(address) => address,
            Err(ungranted) => {
                self.release(&nobody, None).await;
                return Err(ungranted.error);
            }
        };
        if let IpNetwork::V4(address) = address {
            let to = api::reserved_for(address.ip());
            let pass = Input::Addresses(ForAddresses::Pass { address, to });
            self.control.send(pass).await.map_err(|_closed| stopping())?;
        }
        Ok(address)
    }

    /// Gets a container the addresses that are asked for
    ///
    /// If one of them cannot be had, those that it did not have before are given back.
    pub(crate) async fn acquire(
        &self,
        container: &ContainerId,
        specs: &[AddressSpec],
        had: &[IpNetwork],
    ) -> Result<Addresses, ApiError> {
        let mut got = Vec::new();
        for spec in specs {
            match self.acquire_one(container, *spec).await {
                Ok(address) => got.push(address),
                Err(Ungranted { error, chosen }) => {
                    got.extend(chosen.map(IpNetwork::V4));
                    self.give_back(container, &got, had).await;
                    return Err(error);
                }
            }
        }
        // What was asked for by address may be what a subnet gives.
        let mut seen = Vec::new();
        got.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        match Addresses::try_from(got.clone()) {
            Ok(addresses) => Ok(addresses),
            Err(error) => {
                self.give_back(container, &got, had).await;
                Err(ApiError::new(ErrorKind::BadInput, error.to_string()))
            }
        }
    }

    async fn acquire_one(&self, container: &ContainerId, spec: AddressSpec) -> Result<IpNetwork, Ungranted> {
        let container = container.clone();
        let subnet = match spec {
            AddressSpec::Address(IpNetwork::V4(address)) if self.has_addresses => {
                let claim = |ticket, reply| ForAddresses::Claim {
                    ticket,
                    container,
                    address,
                    reply,
                };
                return self.wait(claim).await.map(IpNetwork::V4);
            }
            AddressSpec::Address(address) => return Ok(address),
            AddressSpec::DefaultSubnet => None,
            AddressSpec::Subnet(subnet) => Some(subnet),
        };
        let allocate = |ticket, reply| ForAddresses::Allocate {
            ticket,
            container,
            subnet,
            reply,
        };
        self.wait(allocate).await.map(IpNetwork::V4)
    }

    /// Gives back those that a container got and did not have before
    pub(crate) async fn give_back(&self, container: &ContainerId, got: &[IpNetwork], had: &[IpNetwork]) {
        for address in got.iter().filter(|address| !had.contains(address)) {
            if let IpNetwork::V4(address) = address {
                self.release(container, Some(address.ip())).await;
            }
        }
    }

    /// A container has an address no more, or none at all
    pub(crate) async fn release(&self, container: &ContainerId, address: Option<Ipv4Addr>) {
        let container = container.clone();
        let release = ForAddresses::Release { container, address };
        let _stopping = self.control.send(Input::Addresses(release)).await;
    }

    /// A container has these addresses no more, nor the names that stood for them
    pub(crate) async fn give_up(&self, container: &ContainerId, addresses: &[IpNetwork]) {
        for address in addresses {
            if let IpNetwork::V4(address) = address {
                self.release(container, Some(address.ip())).await;
                let filter = dns::Filter {
                    container: Some(container.clone()),
                    address: Some(address.ip()),
                    name: None,
                };
                // Where there are no names, none is left.
                let _no_names = self.remove_names(filter).await;
            }
        }
    }

    /// A container is gone, and with it its addresses and names
    pub(crate) async fn forget(&self, container: &ContainerId) {
        self.release(container, None).await;
        self.forget_names(container).await;
    }

    /// A container answers by none of its names any more
    pub(crate) async fn forget_names(&self, container: &ContainerId) {
        let filter = dns::Filter {
            container: Some(container.clone()),
            ..dns::Filter::default()
        };
        let _no_names = self.remove_names(filter).await;
    }

    /// Those of a container's addresses that are meant
    pub(crate) fn select(&self, specs: &[AddressSpec], of: &[IpNetwork]) -> Result<Vec<IpNetwork>, ApiError> {
        let mut selected = Vec::new();
        for spec in specs {
            let subnet = match spec {
                AddressSpec::Address(address) => {
                    selected.push(*address);
                    continue;
                }
                AddressSpec::Subnet(subnet) => *subnet,
                AddressSpec::DefaultSubnet => self.default_subnet.ok_or_else(|| {
                    ApiError::new(
                        ErrorKind::NotReady,
                        "there is no default subnet: no addresses are handed out",
                    )
                })?,
            };
            let is_in = |address: &&IpNetwork| match address {
                IpNetwork::V4(address) => {
                    address.network() == subnet.network() && address.prefix() == subnet.prefix()
                }
                IpNetwork::V6(_) => false,
            };
            let before = selected.len();
            selected.extend(of.iter().filter(is_in));
            if selected.len() == before {
                let text = format!("no address of {spec} is there");
                return Err(ApiError::new(ErrorKind::NotFound, text));
            }
        }
        selected.dedup();
        Ok(selected)
    }

    /// Has the peers agree who owns what at first
    pub(crate) async fn prime(&self) -> Result<(), ApiError> {
        self.wait(|ticket, reply| ForAddresses::Prime { ticket, reply })
            .await
    }

    /// Has others take over what a peer owns that is gone for good; how many addresses that was
    pub(crate) async fn remove_peer(&self, peer: String) -> Result<u64, ApiError> {
        self.wait(|ticket, reply| ForAddresses::Remove { ticket, peer, reply })
            .await
    }

    pub(crate) async fn status(&self) -> Result<IpamStatus, ApiError> {
        let status = self
            .ask(|reply| Input::Addresses(ForAddresses::Status(reply)))
            .await?;
        status.ok_or_else(|| {
            ApiError::new(
                ErrorKind::NotReady,
                "no addresses are handed out on this host: its --ipalloc-range is empty",
            )
        })
    }

    pub(crate) async fn history(&self) -> Result<Vec<OwnershipChange>, ApiError> {
        self.ask(|reply| Input::Addresses(ForAddresses::History(reply)))
            .await
    }

    /// Gives addresses of a container a name; those that are new
    pub(crate) async fn add_name(
        &self,
        name: String,
        container: ContainerId,
        addresses: Vec<Ipv4Addr>,
    ) -> Result<Vec<NameEntry>, ApiError> {
        self.ask(|reply| {
            Input::Names(ForNames::Add {
                name,
                container,
                addresses,
                reply,
            })
        })
        .await?
    }

    /// Takes names away; how many there were
    pub(crate) async fn remove_names(&self, filter: dns::Filter) -> Result<usize, ApiError> {
        self.ask(|reply| Input::Names(ForNames::Remove { filter, reply }))
            .await?
    }

    /// Every name; none where there are no names
    pub(crate) async fn names(&self) -> Result<Option<Vec<NameEntry>>, ApiError> {
        self.ask(|reply| Input::Names(ForNames::List(reply))).await
    }

    /// What a container's addresses are called; none where there are no names
    pub(crate) async fn names_of(
        &self,
        container: &ContainerId,
    ) -> Result<Option<Vec<(String, Ipv4Addr)>>, ApiError> {
        let container = container.clone();
        self.ask(|reply| Input::Names(ForNames::Of { container, reply }))
            .await
    }

    /// The addresses of a name
    pub(crate) async fn lookup(&self, name: String) -> Result<Vec<Ipv4Addr>, ApiError> {
        self.ask(|reply| Input::Names(ForNames::Lookup { name, reply }))
            .await?
    }

    /// Refuses what can be no name, before anything is done under it
    pub(crate) async fn is_name(&self, name: &str) -> Result<(), ApiError> {
        match self.lookup(name.to_owned()).await {
            Err(error) if error.kind == ErrorKind::BadInput => Err(error),
            // Where there are no names, none is wrong.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Asks what may take its time, and is told why if it takes too long
    async fn wait<T, E: From<ApiError>>(
        &self,
        question: impl FnOnce(Ticket, oneshot::Sender<Result<T, E>>) -> ForAddresses,
    ) -> Result<T, E> {
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let (reply, mut answer) = oneshot::channel();
        let question = Input::Addresses(question(ticket, reply));
        self.control.send(question).await.map_err(|_closed| stopping())?;
        // A disk has less time than other hosts: after it, the attachment is to be on the same disk.
        let give_up_disk = Input::Addresses(ForAddresses::GiveUpDisk(ticket));
        for (patience, then) in [
            (store::PATIENCE, Some(give_up_disk)),
            (PATIENCE - store::PATIENCE, None),
        ] {
            if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
                return answer.map_err(|_dropped| stopping())?;
            }
            if let Some(then) = then {
                self.control.send(then).await.map_err(|_closed| stopping())?;
            }
        }
        // The answer is why not, unless it came meanwhile.
        let enough = Input::Addresses(ForAddresses::GiveUp(ticket));
        self.control.send(enough).await.map_err(|_closed| stopping())?;
        answer.await.map_err(|_dropped| stopping())?
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.control
            .send(question(reply))
            .await
            .map_err(|_closed| stopping())?;
        answer.await.map_err(|_dropped| stopping())
    }
}

fn stopping() -> ApiError {
    ApiError::new(ErrorKind::NotReady, "weaved is stopping")
}
