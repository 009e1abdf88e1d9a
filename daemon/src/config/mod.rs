//! The command line, parsed into values that are valid.

mod password;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use ipnetwork::IpNetwork;
use model::{IfName, NickName, PeerName, Target};

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
    /// File that holds the network's password (else WEAVE_PASSWORD)
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
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

/// `--log-level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Every packet that leaves the usual way
    Debug,
    /// What changes
    Info,
    /// What needs a look
    Warning,
    /// What ends the daemon
    Error,
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warning => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

/// A flag that says on or off
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switchable {
    /// On
    On,
    /// Off
    Off,
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(ms @ 20..=600_000) => Ok(Duration::from_millis(ms)),
        Ok(_) | Err(_) => Err("a number of milliseconds from 20 to 600000".to_owned()),
    }
}

#[cfg(test)]
mod tests;
