//! The control API of weaved: types, paths, one small client.
//!
//! weaved answers HTTP/1.1 with JSON bodies on a unix socket, [`DEFAULT_SOCKET`]. A [`Route`] is a
//! method, a path, and the types of the question and the answer; [`routes`] lists them all, and both
//! the server and [`Client`] are written from that list. Questions refuse fields that they do not
//! know and have a largest size; answers may gain fields. An error is an [`ApiError`] with the
//! HTTP status of its [`ErrorKind`].
//!
//! Not here: the server (the daemon's), anything that decides, any text for people except errors.
//! The only I/O is in [`Client`]: one connection for each question, nothing kept between two; and in
//! [`Socket`], which servers bind.
//!
//! ```no_run
//! # async fn example() -> Result<(), api::ClientError> {
//! let client = api::Client::new(api::DEFAULT_SOCKET);
//! for connection in client.ask(&api::routes::CONNECTIONS).await? {
//!     println!("{} {}", connection.address, connection.state);
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod address_spec;
mod addresses;
mod attachment;
mod bounded;
mod client;
mod connection;
mod docker_host;
mod endpoint;
mod error;
mod expose;
mod expose_to;
mod flow;
mod group;
mod ipam;
mod names;
mod own_file;
mod peer;
mod report;
pub mod routes;
mod security;
mod socket;
mod spec;
mod status;
mod store;
mod target;

pub use address_spec::{AddressSpec, AddressSpecError, AddressSpecs};
pub use addresses::{Addresses, AddressesError, parse_cidr};
pub use attachment::{AttachRequest, Attached, Attachment, DetachRequest, Detached};
pub use client::{Client, ClientError};
pub use connection::{Connection, ConnectionState, Traffic};
pub use docker_host::{
    DOCKER_HOSTS, DOCKER_PORT, DOCKER_PROXY_PORT, DockerHost, DockerHostError, DockerServed,
};
pub use endpoint::{ContainerRequest, Endpoint, EndpointRequest, JoinRequest};
pub use error::{ApiError, ErrorKind};
pub use expose::{ExposeRequest, Exposed, Hidden, HideRequest, HostStatus, PacketFilter};
pub use expose_to::{ExposeScope, ExposeScopeError, ExposeTo};
pub use flow::{Flow, FlowAction, ShortPeer, Tag, Tunnel};
pub use ipam::{
    AddressOwner, IpamState, IpamStatus, OwnershipChange, PendingAddress, RemovePeersRequest, RemovedPeer,
    ReserveRequest, reserved_for,
};
pub use names::{DnsStatus, LookupRequest, NameEntry, NameRequest, NamesFill};
pub use own_file::OwnFile;
pub use peer::{Peer, PeerConnection, PeerRef};
pub use report::{BroadcastRoute, MacEntry, Report, UnicastRoute};
pub use routes::Route;
pub use security::{BanRequest, Banned, NameDispute, PasswordRequest, PasswordState, Security};
pub use socket::{BindError, Socket};
pub use spec::{ContainerSpec, ContainerSpecError};
pub use status::{
    ConnectionCounts, Datapath, DatapathStats, Dispatch, Health, PeerCounts, Protocol, RouterStatus,
    StatusReport, Stopping,
};
pub use store::{StoreReason, StoreState, StoreStatus};
pub use target::{ConnectRequest, ForgetRequest};

/// Where weaved listens unless told otherwise
pub const DEFAULT_SOCKET: &str = "/run/weave/weaved.sock";

/// Where weave-docker serves Docker's API unless told otherwise
pub const DEFAULT_DOCKER_SOCKET: &str = "/run/weave/docker.sock";

/// The largest body of a question, in bytes; the server refuses more
pub const REQUEST_LIMIT: usize = 1 << 20;

/// The most peers that one question may name: as many as there are short ids
pub const PEERS_LIMIT: usize = 4096;

/// The most addresses that one question may name
pub const ADDRESSES_LIMIT: usize = 64;
