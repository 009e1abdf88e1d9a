//! Every question that weaved answers.

use std::marker::PhantomData;
use std::net::Ipv4Addr;

use hyper::Method;
use ipnetwork::IpNetwork;

use crate::{
    AttachRequest, Attached, Attachment, BanRequest, Banned, ConnectRequest, Connection, ContainerRequest,
    DetachRequest, Detached, Endpoint, EndpointRequest, ExposeRequest, Exposed, Flow, ForgetRequest, Health,
    Hidden, HideRequest, IpamStatus, JoinRequest, LookupRequest, NameEntry, NameRequest, PasswordRequest,
    PasswordState, Peer, RemovePeersRequest, RemovedPeer, Report, ReserveRequest, StatusReport, Stopping,
};
use model::Target;

/// A method and a path, with the types that go in and come out
///
/// A question of type `()` has no body.
#[derive(Debug)]
pub struct Route<Question, Answer> {
    /// The HTTP method
    pub method: Method,
    /// The path, without parameters
    pub path: &'static str,
    types: PhantomData<fn(Question) -> Answer>,
}

impl<Question, Answer> Route<Question, Answer> {
    const fn new(method: Method, path: &'static str) -> Self {
        Self {
            method,
            path,
            types: PhantomData,
        }
    }
}

/// Whether weaved is ready, and its process
///
/// Answered with status 200 also while not ready: what is asked is the state, not a service.
pub static HEALTH: Route<(), Health> = Route::new(Method::GET, "/v1/health");
/// `weavectl status`
pub static STATUS: Route<(), StatusReport> = Route::new(Method::GET, "/v1/status");
/// `weavectl status connections`
pub static CONNECTIONS: Route<(), Vec<Connection>> = Route::new(Method::GET, "/v1/connections");
/// `weavectl status peers`
pub static PEERS: Route<(), Vec<Peer>> = Route::new(Method::GET, "/v1/peers");
/// `weavectl status targets`
pub static TARGETS: Route<(), Vec<Target>> = Route::new(Method::GET, "/v1/targets");
/// Adds to the targets or replaces them; the answer is the list in force
pub static CONNECT: Route<ConnectRequest, Vec<Target>> = Route::new(Method::POST, "/v1/connect");
/// Drops targets, known or not; the answer is the list in force
pub static FORGET: Route<ForgetRequest, Vec<Target>> = Route::new(Method::POST, "/v1/forget");
/// The flows in the kernel's datapath; none on a host without one
pub static FLOWS: Route<(), Vec<Flow>> = Route::new(Method::GET, "/v1/flows");
/// Every attached container
pub static CONTAINERS: Route<(), Vec<Attachment>> = Route::new(Method::GET, "/v1/containers");
/// Attaches a container, or gives an attached one more addresses
pub static ATTACH: Route<AttachRequest, Attached> = Route::new(Method::POST, "/v1/containers/attach");
/// Takes addresses from a container, and with the last its interface
pub static DETACH: Route<DetachRequest, Detached> = Route::new(Method::POST, "/v1/containers/detach");
/// A container exists no more: frees at once what is kept for it to come back
pub static FORGET_CONTAINER: Route<ContainerRequest, ()> = Route::new(Method::POST, "/v1/containers/forget");
/// Makes an interface for a container runtime to move into a container
pub static CREATE_ENDPOINT: Route<EndpointRequest, Endpoint> =
    Route::new(Method::POST, "/v1/endpoints/create");
/// Completes an interface that was moved: further addresses, routes, word to the neighbours
pub static JOIN_ENDPOINT: Route<JoinRequest, Attached> = Route::new(Method::POST, "/v1/endpoints/join");
/// Removes an interface and its names; its addresses are kept for some time, for a container that restarts
pub static DELETE_ENDPOINT: Route<ContainerRequest, ()> = Route::new(Method::POST, "/v1/endpoints/delete");
/// Removes an interface of which its runtime knows nothing any more, and frees what its container had; a conflict
/// while a process is in that
pub static ABANDON_ENDPOINT: Route<ContainerRequest, ()> = Route::new(Method::POST, "/v1/endpoints/abandon");
/// Gives this host addresses on the network
pub static EXPOSE: Route<ExposeRequest, Exposed> = Route::new(Method::POST, "/v1/expose");
/// Takes them
pub static HIDE: Route<HideRequest, Hidden> = Route::new(Method::POST, "/v1/hide");
/// Who owns how many addresses
pub static IPAM: Route<(), IpamStatus> = Route::new(Method::GET, "/v1/ipam");
/// Hands out an address that an interface will have later
pub static RESERVE_ADDRESS: Route<ReserveRequest, IpNetwork> = Route::new(Method::POST, "/v1/ipam/reserve");
/// Takes back what was reserved for a container that is not attached; that there is nothing is fine
pub static RELEASE_ADDRESS: Route<ContainerRequest, ()> = Route::new(Method::POST, "/v1/ipam/release");
/// Has the peers agree who owns what at first, and is answered when they have
pub static PRIME: Route<(), IpamStatus> = Route::new(Method::POST, "/v1/ipam/prime");
/// Has others take over what peers own that are gone for good
pub static REMOVE_PEERS: Route<RemovePeersRequest, Vec<RemovedPeer>> =
    Route::new(Method::POST, "/v1/peers/remove");
/// Refuses the key of a peer on every host, or accepts it again
pub static BAN: Route<BanRequest, Banned> = Route::new(Method::POST, "/v1/peers/ban");

/// Replaces the network's password, step by step
pub static PASSWORD: Route<PasswordRequest, PasswordState> = Route::new(Method::POST, "/v1/password");

/// Every name of a container
pub static NAMES: Route<(), Vec<NameEntry>> = Route::new(Method::GET, "/v1/names");
/// Gives addresses a name; the answer is what was added
pub static ADD_NAMES: Route<NameRequest, Vec<NameEntry>> = Route::new(Method::POST, "/v1/names/add");
/// Takes a name from addresses; the answer is how many entries went
pub static REMOVE_NAMES: Route<NameRequest, usize> = Route::new(Method::POST, "/v1/names/remove");
/// The addresses of a name
pub static LOOKUP: Route<LookupRequest, Vec<Ipv4Addr>> = Route::new(Method::POST, "/v1/names/lookup");
/// Everything above in one answer
pub static REPORT: Route<(), Report> = Route::new(Method::GET, "/v1/report");
/// Ends weaved; containers stay attached and flows stay in the kernel
pub static STOP: Route<(), Stopping> = Route::new(Method::POST, "/v1/stop");
/// Leaves the network, removes everything from this host, and ends weaved
pub static RESET: Route<(), Stopping> = Route::new(Method::POST, "/v1/reset");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_routes_are_the_same() {
        let mut all = vec![
            (&HEALTH.method, HEALTH.path),
            (&STATUS.method, STATUS.path),
            (&CONNECTIONS.method, CONNECTIONS.path),
            (&PEERS.method, PEERS.path),
            (&TARGETS.method, TARGETS.path),
            (&CONNECT.method, CONNECT.path),
            (&FORGET.method, FORGET.path),
            (&FLOWS.method, FLOWS.path),
            (&CONTAINERS.method, CONTAINERS.path),
            (&ATTACH.method, ATTACH.path),
            (&DETACH.method, DETACH.path),
            (&FORGET_CONTAINER.method, FORGET_CONTAINER.path),
            (&CREATE_ENDPOINT.method, CREATE_ENDPOINT.path),
            (&JOIN_ENDPOINT.method, JOIN_ENDPOINT.path),
            (&ABANDON_ENDPOINT.method, ABANDON_ENDPOINT.path),
            (&DELETE_ENDPOINT.method, DELETE_ENDPOINT.path),
            (&EXPOSE.method, EXPOSE.path),
            (&HIDE.method, HIDE.path),
            (&IPAM.method, IPAM.path),
            (&PRIME.method, PRIME.path),
            (&RESERVE_ADDRESS.method, RESERVE_ADDRESS.path),
            (&RELEASE_ADDRESS.method, RELEASE_ADDRESS.path),
            (&REMOVE_PEERS.method, REMOVE_PEERS.path),
            (&NAMES.method, NAMES.path),
            (&ADD_NAMES.method, ADD_NAMES.path),
            (&REMOVE_NAMES.method, REMOVE_NAMES.path),
            (&LOOKUP.method, LOOKUP.path),
            (&REPORT.method, REPORT.path),
            (&STOP.method, STOP.path),
            (&RESET.method, RESET.path),
        ];
        let count = all.len();
        all.sort_by_key(|(method, path)| (*path, method.as_str()));
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|(_, path)| path.starts_with("/v1/")));
    }
}
