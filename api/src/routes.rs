//! Every question that weaved answers.

use std::marker::PhantomData;

use hyper::Method;

use crate::{
    AttachRequest, Attached, Attachment, ConnectRequest, Connection, DetachRequest, Detached, Flow,
    ForgetRequest, Health, Peer, Report, StatusReport, Stopping,
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
