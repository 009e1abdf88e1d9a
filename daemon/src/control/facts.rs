//! What this host is.

use std::net::IpAddr;
use std::time::Duration;

use gossip::NetworkName;
use ipnetwork::{IpNetwork, Ipv4Network};
use model::{IfName, NickName, PeerName, Uid};
use overlay::Mode;

/// What does not change while the daemon runs
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) name: PeerName,
    pub(crate) nickname: NickName,
    pub(crate) uid: Uid,
    pub(crate) port: u16,
    pub(crate) host: IpAddr,
    pub(crate) encryption: bool,
    pub(crate) discovery: bool,
    pub(crate) overlay_mtu: u16,
    pub(crate) datapath: IfName,
    pub(crate) trusted_subnets: Vec<IpNetwork>,
    /// Where addresses come from that are asked for without a subnet, where any are handed out
    pub(crate) default_subnet: Option<Ipv4Network>,
    /// The domain of containers' names
    pub(crate) dns_domain: dns::Domain,
    /// Names are given and answered here; those of others are passed on in any case
    pub(crate) has_names: bool,
    pub(crate) restart_grace: Duration,
    /// The network's name
    pub(crate) network: NetworkName,
    /// The password that was given at the start can be guessed
    pub(crate) weak_password: bool,
    /// How the sleeve's frames name their peers
    pub(crate) mode: Mode,
    /// That send, and as many that receive
    pub(crate) sleeve_threads: u16,
}
