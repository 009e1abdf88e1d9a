//! What can happen to the control task.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use api::{
    ApiError, BanRequest, Banned, ConnectRequest, Connection, ForgetRequest, IpamStatus, NameEntry,
    OwnershipChange, PasswordState, Peer, StatusReport,
};
use gossip::{ConnId, DialId, Disconnect};
use ipam::Ticket;
use ipnetwork::{IpNetwork, Ipv4Network};
use model::{ContainerId, Target};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::datapath::Beat;
use crate::network;
use crate::sleeve::ControlDatagram;
use crate::views::Directory;

/// Everything that can happen to the control task
#[derive(Debug)]
pub(crate) enum Input {
    /// A dial that the mesh asked for ended
    Dialled {
        dial: DialId,
        result: Result<TcpStream, String>,
    },
    /// A peer connected
    Accepted { stream: TcpStream },
    /// Bytes of a peer's control connection
    Bytes { conn: ConnId, bytes: Vec<u8> },
    /// A control connection ended
    Disconnected { conn: ConnId, why: Disconnect },
    /// A heartbeat through the kernel's datapath
    Beat(Beat),
    /// A heartbeat through the sleeve
    Control(ControlDatagram),
    /// The VXLAN ports for these UDP ports cannot be made
    VxlanPortsFailing(BTreeSet<u16>),
    /// An interface, address or route changed: what failed may work; the underlay's MTU
    NetworkChanged { underlay_mtu: u16 },
    /// These networks are this host's containers': peers are not told of addresses there
    Internal { networks: Vec<IpNetwork> },
    /// A question of the API
    Query(Query),
    /// Addresses for the containers and the host
    Addresses(ForAddresses),
    /// Names for them
    Names(ForNames),
}

/// Something about addresses; what has a ticket may take long to be answered
#[derive(Debug)]
pub(crate) enum ForAddresses {
    /// Wants an address of a subnet, by default of the default one
    Allocate {
        ticket: Ticket,
        container: ContainerId,
        subnet: Option<Ipv4Network>,
        reply: oneshot::Sender<Result<Ipv4Network, Ungranted>>,
    },
    /// Wants this address
    Claim {
        ticket: Ticket,
        container: ContainerId,
        address: Ipv4Network,
        reply: oneshot::Sender<Result<Ipv4Network, Ungranted>>,
    },
    /// A container's address is another's from here on, and was nobody's in between
    Pass { address: Ipv4Network, to: ContainerId },
    /// Wants to know when every address has an owner
    Prime {
        ticket: Ticket,
        reply: oneshot::Sender<Result<(), ApiError>>,
    },
    /// Wants the peer of this name or nickname, which is gone, to own nothing
    Remove {
        ticket: Ticket,
        peer: String,
        reply: oneshot::Sender<Result<u64, ApiError>>,
    },
    /// Has waited for long enough for a disk: the answer is why there is none, if it is that which is waited for
    GiveUpDisk(Ticket),
    /// Has waited for long enough: the answer is why there is none
    GiveUp(Ticket),
    /// A container has an address no more, or none at all
    Release {
        container: ContainerId,
        address: Option<Ipv4Addr>,
    },
    /// Who owns what; none where no addresses are handed out
    Status(oneshot::Sender<Option<IpamStatus>>),
    /// The latest changes of who owns what
    History(oneshot::Sender<Vec<OwnershipChange>>),
}

/// Why a container has no address
#[derive(Debug)]
pub(crate) struct Ungranted {
    pub(crate) error: ApiError,
    /// It was chosen and could not be kept: whoever asked gives it back, unless it had it before
    pub(crate) chosen: Option<Ipv4Network>,
}

impl From<ApiError> for Ungranted {
    fn from(error: ApiError) -> Self {
        Self { error, chosen: None }
    }
}

/// Something about names
#[derive(Debug)]
pub(crate) enum ForNames {
    /// Gives addresses of a container a name; how many of them are new
    Add {
        name: String,
        container: ContainerId,
        addresses: Vec<Ipv4Addr>,
        reply: oneshot::Sender<Result<Vec<NameEntry>, ApiError>>,
    },
    /// Takes names away, those of which all that is said is true; how many there were
    Remove {
        filter: dns::Filter,
        reply: oneshot::Sender<Result<usize, ApiError>>,
    },
    /// Every name; none where there are no names
    List(oneshot::Sender<Option<Vec<NameEntry>>>),
    /// Each name and address of a container of this host; none where there are no names
    Of {
        container: ContainerId,
        reply: oneshot::Sender<Option<Vec<(String, Ipv4Addr)>>>,
    },
    /// The addresses of a name
    Lookup {
        name: String,
        reply: oneshot::Sender<Result<Vec<Ipv4Addr>, ApiError>>,
    },
}

/// A question, and where the answer goes
#[derive(Debug)]
pub(crate) enum Query {
    Status(oneshot::Sender<StatusReport>),
    Connections(oneshot::Sender<Vec<Connection>>),
    Peers(oneshot::Sender<Vec<Peer>>),
    Targets(oneshot::Sender<Vec<Target>>),
    Connect(ConnectRequest, oneshot::Sender<Vec<Target>>),
    Forget(ForgetRequest, oneshot::Sender<Vec<Target>>),
    Directory(oneshot::Sender<Directory>),
    Password(network::Change, oneshot::Sender<Result<PasswordState, ApiError>>),
    Ban(BanRequest, oneshot::Sender<Result<Banned, ApiError>>),
    /// Forgets what the mesh knows of a peer of this name or nickname, and what its name was pinned to
    ForgetPeer(String, oneshot::Sender<bool>),
}
