//! Each call of Docker's, and what weaved is asked for it.

use std::sync::Arc;

use api::{Client, ClientError, ContainerRequest, EndpointRequest, ErrorKind, routes};
use docker::multicast::multicast;
use docker::plugin::{
    Activated, Call, Capabilities, CreateEndpoint, CreateNetwork, DeleteNetwork, Done, EndpointCreated,
    EndpointInfo, EndpointRef, Interface, InterfaceName, IpamCapabilities, Join, Joined, Route, Wanted,
    request,
};
use hyper::Response;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::heir::take_over;
use super::joining::{Joining, complete};
use super::underway::Underway;
use super::{failed, no_address, said};
use crate::addresses::specs;
use crate::body::{Body, line};
use crate::memory::{Endpoint, Memory};
use crate::weaved::told;

/// What interfaces are called in containers; Docker puts a number behind it
const IN_CONTAINERS: &str = "ethwe";

/// Answers Docker's calls by asking weaved
#[derive(Debug)]
pub(crate) struct Driver {
    pub(super) weaved: Client,
    memory: Arc<Memory>,
    /// Whether containers get a route for multicast at all
    multicast: bool,
    /// Whether a container's own name stands for its address on the network
    rewrite_hosts: bool,
    underway: Arc<Underway>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A call is answered with an error
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// What came is no call
    #[error(transparent)]
    Malformed(#[from] docker::plugin::Malformed),
    /// The addresses make no sense
    #[error("{text:?} says no addresses")]
    Addresses {
        /// What is asked for
        text: String,
        /// What is wrong with it
        source: api::AddressSpecError,
    },
    /// There is no such subnet
    #[error(transparent)]
    Pool(#[from] docker::plugin::PoolError),
    /// Every address of a subnet is taken
    #[error("no address of {0} is free")]
    Full(ipnetwork::Ipv4Network),
    /// What the container is to be known as cannot be
    #[error(transparent)]
    Key(#[from] model::ContainerIdError),
    /// weaved did not do it, with what to do
    #[error("{0}")]
    Weaved(String),
    /// Docker asks for an interface that it was not given
    #[error("interface {0} is not known here: start the container again")]
    Unknown(String),
}

impl From<ClientError> for CallError {
    fn from(error: ClientError) -> Self {
        Self::Weaved(told(&error))
    }
}

impl Driver {
    /// A driver that asks this weaved
    pub(crate) fn new(
        weaved: Client,
        memory: Arc<Memory>,
        multicast: bool,
        rewrite_hosts: bool,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            weaved,
            memory,
            multicast,
            rewrite_hosts,
            underway: Arc::default(),
            tasks,
            stop,
        }
    }

    /// The answer to a call
    pub(super) async fn answer(&self, call: Call, body: &[u8]) -> Response<Body> {
        log::debug!("{} {}", call.path(), String::from_utf8_lossy(body));
        let answered = match call {
            Call::Activate => Ok(said(&Activated::NETWORK_AND_IPAM)),
            Call::GetCapabilities => Ok(said(&Capabilities::default())),
            Call::CreateNetwork => self.create_network(body),
            Call::DeleteNetwork => self.delete_network(body),
            Call::CreateEndpoint => self.create_endpoint(body).await,
            Call::Join => self.join(body),
            Call::Leave => Ok(said(&Done {})),
            Call::DeleteEndpoint => self.delete_endpoint(body).await,
            Call::EndpointOperInfo => self.endpoint_info(body).await,
            Call::AllocateNetwork
            | Call::FreeNetwork
            | Call::DiscoverNew
            | Call::DiscoverDelete
            | Call::ProgramExternalConnectivity
            | Call::RevokeExternalConnectivity => Ok(said(&Done {})),
            Call::IpamGetCapabilities => Ok(said(&IpamCapabilities::default())),
            Call::GetDefaultAddressSpaces => Ok(Self::address_spaces()),
            Call::RequestPool => self.request_pool(body).await,
            Call::ReleasePool => Ok(said(&Done {})),
            Call::RequestAddress => self.request_address(body).await,
            Call::ReleaseAddress => self.release_address(body).await,
        };
        answered.unwrap_or_else(|error| {
            log::warn!("{}: {}", call.path(), line(&error));
            match call.path().starts_with("/IpamDriver.") {
                true => no_address(&line(&error)),
                false => failed(&line(&error)),
            }
        })
    }

    fn create_network(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: CreateNetwork = request(body)?;
        self.memory.network(&asked.network_id, multicast(&asked.options));
        Ok(said(&Done {}))
    }

    fn delete_network(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: DeleteNetwork = request(body)?;
        self.memory.network(&asked.network_id, true);
        Ok(said(&Done {}))
    }

    async fn create_endpoint(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: CreateEndpoint = request(body)?;
        let wanted = Wanted::from(&asked);
        let addresses = specs(&wanted.addresses).map_err(|source| CallError::Addresses {
            text: wanted.addresses.clone(),
            source,
        })?;
        let question = EndpointRequest {
            container: wanted.key.parse()?,
            addresses,
            name: wanted.name,
        };
        let made = self.weaved.send(&routes::CREATE_ENDPOINT, &question).await;
        let made = made.inspect_err(|error| {
            if error.is_not_running() {
                self.memory.weaved_missed();
            }
        })?;
        let v4 = made.addresses.iter().find(|address| address.is_ipv4());
        let endpoint = Endpoint {
            container: question.container,
            address: v4.map(|address| address.ip()),
            interface: Some(made.interface.to_string()),
            by_proxy: wanted.by_proxy,
            multicast: self.multicast && self.memory.has_multicast(&asked.network_id),
        };
        self.memory.endpoint(&asked.endpoint_id, endpoint);
        // Docker takes only what it did not say itself.
        let given = |said: &str, ours: String| if said.is_empty() { ours } else { String::new() };
        let address = v4.map_or_else(String::new, ToString::to_string);
        Ok(said(&EndpointCreated {
            interface: Interface {
                address: given(&asked.interface.address, address),
                mac_address: given(&asked.interface.mac_address, made.mac.to_string()),
                ..Interface::default()
            },
        }))
    }

    fn join(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: Join = request(body)?;
        let Some(endpoint) = self.memory.endpoint_of(&asked.endpoint_id) else {
            return Err(CallError::Unknown(asked.endpoint_id));
        };
        let Some(interface) = endpoint.interface else {
            return Err(CallError::Unknown(asked.endpoint_id));
        };
        let hosts = self
            .memory
            .hosts_of(&endpoint.container)
            .filter(|_| self.rewrite_hosts);
        let multicast = endpoint.multicast
            && self
                .memory
                .takes_multicast(&asked.endpoint_id, &asked.sandbox_key);
        let joining = Joining {
            hosts: hosts.zip(endpoint.address),
            endpoint: asked.endpoint_id,
            container: endpoint.container,
            netns: asked.sandbox_key,
        };
        let (weaved, memory) = (self.weaved.clone(), Arc::clone(&self.memory));
        let begun = self.underway.begin(&joining.endpoint, &joining.netns);
        let work = async move { complete(&weaved, &memory, joining, begun).await };
        self.begin(work);
        Ok(said(&Joined {
            interface_name: InterfaceName {
                src_name: interface,
                dst_prefix: IN_CONTAINERS.to_owned(),
            },
            static_routes: if multicast {
                vec![Route::multicast()]
            } else {
                Vec::new()
            },
            disable_gateway_service: endpoint.by_proxy,
        }))
    }

    async fn endpoint_info(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: EndpointRef = request(body)?;
        self.underway.wait(&asked.endpoint_id).await;
        Ok(said(&EndpointInfo::default()))
    }

    async fn delete_endpoint(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: EndpointRef = request(body)?;
        // One of a container that has started again since is not known either.
        let Some(endpoint) = self.memory.forget_endpoint(&asked.endpoint_id) else {
            log::debug!("interface {} is not known here", asked.endpoint_id.escape_debug());
            return Ok(said(&Done {}));
        };
        let question = ContainerRequest {
            container: endpoint.container.clone(),
        };
        match self.weaved.send(&routes::DELETE_ENDPOINT, &question).await {
            Ok(()) => {}
            Err(ClientError::Refused(error)) if error.kind == ErrorKind::NotFound => {}
            Err(error) => {
                self.memory.endpoint(&asked.endpoint_id, endpoint);
                return Err(error.into());
            }
        }
        if self.multicast
            && let Some(heir) = self.memory.multicast_after(&asked.endpoint_id)
        {
            let work = take_over(self.weaved.clone(), Arc::clone(&self.memory), heir);
            self.begin(work);
        }
        if !endpoint.by_proxy {
            // Nobody comes back as that: Docker does not tell the driver which container it is for.
            self.weaved.send(&routes::FORGET_CONTAINER, &question).await?;
        }
        Ok(said(&Done {}))
    }

    /// Has something done after the answer, unless this program ends first
    fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let work = self.stop.clone().run_until_cancelled_owned(work);
        self.tasks.spawn(work);
    }
}
