//! The command line, parsed into values that are valid.

mod ipalloc;
mod password;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use gossip::NetworkName;
use ipnetwork::{IpNetwork, Ipv4Network};
use model::{IfName, NickName, PeerName, Target};
use service::LogLevel;

pub(crate) use self::ipalloc::{IpallocInit, IpallocRange, Lease};
pub(crate) use self::password::password;

/// weaved, the controller of a container network: gossips topology with its peers and programs
/// the kernel's Open vSwitch datapath
#[derive(Debug, Parser)]
#[command(name = "weaved", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Control port (TCP) and sleeve port (UDP); VXLAN uses the next one
    #[arg(long, value_name = "PORT", default_value_t = 6783, value_parser = clap::value_parser!(u16).range(1..=65534))]
    pub(crate) port: u16,
    /// Local address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub(crate) host: IpAddr,
    /// Peer name instead of the one made from this host's key
    #[arg(long, value_name = "MAC")]
    pub(crate) name: Option<PeerName>,
    /// What people call this peer; the host name by default
    #[arg(long, value_name = "NAME")]
    pub(crate) nickname: Option<NickName>,
    /// Name of the network: hosts of different networks refuse each other
    #[arg(long, value_name = "NAME", default_value_t = NetworkName::WEAVE)]
    pub(crate) network: NetworkName,
    /// File that holds the network's password; otherwise WEAVE_PASSWORD, or systemd's credential `weave-password`
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Open this host to everybody although the network had a password
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) no_password: bool,
    /// Never use the kernel's Open vSwitch datapath
    #[arg(long)]
    pub(crate) no_fastdp: bool,
    /// Connect only to the peers given here
    #[arg(long)]
    pub(crate) no_discovery: bool,
    /// MTU of the containers' interfaces; by default the underlay's, less the encapsulation
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(576..))]
    pub(crate) mtu: Option<u16>,
    /// Name of the datapath, or of the bridge where there is no Open vSwitch
    #[arg(long, value_name = "NAME", default_value = "weave")]
    pub(crate) datapath: IfName,
    /// Networks between which data need not be encrypted, with commas between them
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) trusted_subnets: Vec<IpNetwork>,
    /// Most connections to peers; 0 for no limit
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) conn_limit: usize,
    /// Connect to the peers known when weaved last ran
    #[arg(long, conflicts_with = "peers")]
    pub(crate) resume: bool,
    /// How much to log
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,
    /// Threads of the sleeve that send, and as many that receive: 1 to 64; by default one for two CPUs,
    /// and 4 at most
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    sleeve_threads: Option<u16>,
    /// Outer UDP checksum of VXLAN packets
    #[arg(long, value_enum, default_value_t = Switchable::On)]
    pub(crate) vxlan_csum: Switchable,
    /// How often each path to a peer is probed
    #[arg(long, value_name = "MILLISECONDS", default_value = "500", value_parser = milliseconds)]
    pub(crate) heartbeat_interval: Duration,
    /// How long a peer that restarts keeps its routes and flows
    #[arg(long, value_name = "MILLISECONDS", default_value = "5000", value_parser = milliseconds)]
    pub(crate) restart_grace: Duration,
    /// Addresses that all hosts hand out of together: a CIDR, `auto` for the first standard one that no
    /// route of this host overlaps, or nothing to hand out none; by default 10.32.0.0/12
    #[arg(long, value_name = "CIDR")]
    pub(crate) ipalloc_range: Option<IpallocRange>,
    /// Where addresses come from that are asked for without a subnet; the whole range by default
    #[arg(long, value_name = "CIDR")]
    pub(crate) ipalloc_default_subnet: Option<Ipv4Network>,
    /// Who divides the range at first: `consensus` of more than half of the peers (of `consensus=N`),
    /// `seed=NAME,…` with the same names on every host, or `observer` for a host without a vote
    #[arg(long, value_name = "HOW", default_value = "consensus")]
    pub(crate) ipalloc_init: IpallocInit,
    /// How long a host may be out of sight before the others take over its addresses, as in 90m or 24h;
    /// 0 for never
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) ipalloc_lease: Lease,
    /// How long addresses that weaved chose are kept for a container that ended; 0 for not at all
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = hold)]
    pub(crate) ipalloc_hold: Duration,
    /// Answer no names
    #[arg(long)]
    pub(crate) no_dns: bool,
    /// The domain of containers' names
    #[arg(long, value_name = "DOMAIN", default_value = "weave.local.")]
    pub(crate) dns_domain: dns::Domain,
    /// Where names are asked for: an address of this host, with or without a port; by default those that
    /// the host is exposed with, that of Docker's bridge, and 127.0.0.1 port 6753
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns_listen_address: Option<ListenAddress>,
    /// How long answers hold
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    pub(crate) dns_ttl: u32,
    /// Where other names are asked for, instead of the host's own name servers; may be given again
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns_upstream: Vec<ListenAddress>,
    /// Networks that are answered about names beside containers and this host, with commas between them
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) dns_allow: Vec<IpNetwork>,
    /// Where the host's own name servers are told
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf")]
    pub(crate) resolv_conf: PathBuf,
    /// Where identity, targets and attachments are kept
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/weave",
        env = "WEAVE_STATE_DIR"
    )]
    pub(crate) state_dir: PathBuf,
    /// Socket of the control API
    #[arg(long, value_name = "PATH", default_value = api::DEFAULT_SOCKET, env = "WEAVE_SOCKET")]
    pub(crate) socket: PathBuf,
    /// Remove the datapath, every device and the state, and exit
    #[arg(long, action = ArgAction::SetTrue, conflicts_with = "peers")]
    pub(crate) reset: bool,
    /// Peers to connect to: `host[:port]`
    #[arg(value_name = "PEER")]
    pub(crate) peers: Vec<Target>,
}

impl Args {
    /// Threads of the sleeve that send, and as many that receive
    pub(crate) fn sleeve_threads(&self) -> u16 {
        self.sleeve_threads.unwrap_or_else(|| {
            let cpus = std::thread::available_parallelism().map_or(1, usize::from);
            threads_for(cpus)
        })
    }
}

/// One of each kind for two CPUs, as the kernel's part and the containers need some, too; more than four
/// are for who has measured them
fn threads_for(cpus: usize) -> u16 {
    (cpus / 2).clamp(1, 4) as u16
}

const EXAMPLES: &str = "\
Examples:
  weaved                                 the first host
  weaved 192.168.1.10                    a host that joins it
  WEAVE_PASSWORD=secret weaved host1     encrypted; every host needs the same password
  weaved --mtu 8916 --conn-limit 0 host1 host2

weavectl launch starts weaved in the background. Exit status: 0 after a stop that was asked for,
1 when it could not start or had to end, 2 for a wrong command line.";

/// A flag that says on or off
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switchable {
    /// On
    On,
    /// Off
    Off,
}

/// The address of a server of names, with its port
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenAddress(pub(crate) SocketAddr);

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const DOMAIN: u16 = 53;
        let alone = |text: &str| text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, DOMAIN));
        match text.parse().ok().or_else(|| alone(text)) {
            Some(address) => Ok(Self(address)),
            None => Err("an IP address, or one with a port as in 127.0.0.1:53"),
        }
    }
}

fn hold(text: &str) -> Result<Duration, &'static str> {
    let seconds: Option<u64> = text.parse().ok().filter(|seconds| *seconds <= 3600);
    seconds.map(Duration::from_secs).ok_or("0 to 3600 seconds")
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(ms @ 20..=600_000) => Ok(Duration::from_millis(ms)),
        Ok(_) | Err(_) => Err("a number of milliseconds from 20 to 600000".to_owned()),
    }
}

#[cfg(test)]
mod tests;
