//! What can happen to the control task.

use api::{ConnectRequest, Connection, ForgetRequest, Peer, StatusReport};
use gossip::{ConnId, DialId, Disconnect};
use model::Target;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::datapath::Beat;
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
    /// An interface, address or route changed: what failed may work; the underlay's MTU
    NetworkChanged { underlay_mtu: u16 },
    /// A question of the API
    Query(Query),
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
}
