//! The flags of `launch`, checked.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use api::{AddressSpec, parse_cidr};
use clap::Args;
use model::{IfName, NickName, PeerName};

use super::docker::{Docker, DockerArgs};
use crate::targets;

// Texts, so that each mistake gets one line of our own words.
#[derive(Debug, Default, Args)]
pub(crate) struct LaunchArgs {
    /// Control port (TCP) and sleeve port (UDP); VXLAN uses the next one [default: 6783]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// Local address to listen on and dial from [default: any]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Peer name, as in 7a:c0:00:12:34:56 [default: made from this host's key]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What people call this host [default: its host name]
    #[arg(long, value_name = "NICKNAME")]
    nickname: Option<String>,
    /// Password of the network; WEAVE_PASSWORD is the better way, as other users of this host can
    /// read the command line
    #[arg(
        long,
        env = "WEAVE_PASSWORD",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    password: Option<String>,
    /// File that holds the password of the network
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<String>,
    /// Open this host to everybody although the network had a password
    #[arg(long, conflicts_with_all = ["password", "password_file"])]
    no_password: bool,
    /// Name of the network: hosts of different networks refuse each other [default: weave]
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Never use the kernel's Open vSwitch datapath
    #[arg(long)]
    no_fastdp: bool,
    /// Connect only to the peers given here
    #[arg(long)]
    no_discovery: bool,
    /// MTU of containers' interfaces, 576 to 65535 [default: the underlay's less the overhead]
    #[arg(long, value_name = "BYTES")]
    mtu: Option<String>,
    /// Name of the datapath, or of the bridge where there is no Open vSwitch [default: weave]
    #[arg(long, value_name = "NAME")]
    datapath: Option<String>,
    /// Networks between which data need not be encrypted, with commas between them
    #[arg(long, value_name = "CIDR,...")]
    trusted_subnets: Option<String>,
    /// Most connections to peers; 0 for no limit [default: 0]
    #[arg(long, value_name = "COUNT")]
    conn_limit: Option<String>,
    /// Connect to the peers known when weaved last ran
    #[arg(long)]
    resume: bool,
    /// Threads of the sleeve that send, and as many that receive, 1 to 64 [default: one for two CPUs,
    /// and 4 at most]
    #[arg(long, value_name = "COUNT")]
    sleeve_threads: Option<String>,
    /// Outer UDP checksum of VXLAN packets: on or off [default: on]
    #[arg(long, value_name = "on|off")]
    vxlan_csum: Option<String>,
    /// How often each path to a peer is probed, as in 500ms or 2s [default: 500ms]
    #[arg(long, value_name = "TIME")]
    heartbeat_interval: Option<String>,
    /// How long a peer that restarts keeps its routes and flows, as in 5s [default: 5s]
    #[arg(long, value_name = "TIME")]
    restart_grace: Option<String>,
    /// Addresses that all hosts hand out of together: a CIDR, `auto` for the first standard one that no route
    /// of this host overlaps, or nothing to hand out none [default: 10.32.0.0/12]
    #[arg(long, value_name = "CIDR")]
    ipalloc_range: Option<String>,
    /// Where addresses come from that are asked for without a subnet [default: the whole range]
    #[arg(long, value_name = "CIDR")]
    ipalloc_default_subnet: Option<String>,
    /// Who divides the range at first: `consensus` of more than half of the hosts (of `consensus=N`),
    /// `seed=NAME,…` with the same names on every host, or `observer` for one without a vote
    /// [default: consensus]
    #[arg(long, value_name = "HOW")]
    ipalloc_init: Option<String>,
    /// How long a host may be out of sight before the others take over its addresses, as in 90m or 24h; 0 for
    /// never [default: 24h]
    #[arg(long, value_name = "TIME")]
    ipalloc_lease: Option<String>,
    /// How long addresses that weaved chose are kept for a container that ended, as in 30s or 5m; 0 for not at
    /// all [default: 30s]
    #[arg(long, value_name = "TIME")]
    ipalloc_hold: Option<String>,
    /// Answer no names
    #[arg(long)]
    no_dns: bool,
    /// The domain of containers' names [default: weave.local.]
    #[arg(long, value_name = "DOMAIN")]
    dns_domain: Option<String>,
    /// Where names are asked for: an address of this host, with or without a port
    #[arg(long, value_name = "ADDRESS")]
    dns_listen_address: Option<String>,
    /// How long answers hold, in seconds [default: 1]
    #[arg(long, value_name = "SECONDS")]
    dns_ttl: Option<String>,
    /// Where other names are asked for, instead of the host's own name servers; may be given again
    #[arg(long, value_name = "ADDRESS")]
    dns_upstream: Vec<String>,
    /// Networks that are answered about names beside containers and this host, with commas between them
    #[arg(long, value_name = "CIDR,...")]
    dns_allow: Option<String>,
    /// Where the host's own name servers are told [default: /etc/resolv.conf]
    #[arg(long, value_name = "FILE")]
    resolv_conf: Option<String>,
    /// Where identity, targets and attachments are kept [default: /var/lib/weave]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// How much to log: debug, info, warning, or error [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log of a weaved that systemd does not start [default: /var/log/weaved.log]
    #[arg(long, value_name = "FILE")]
    log_file: Option<String>,
    /// Start weaved as a process of its own even where systemd has a unit for it
    #[arg(long)]
    pub(super) no_systemd: bool,
    /// systemd does not start weaved and weave-docker again, neither when they end by themselves nor when the
    /// host boots
    #[arg(long)]
    no_restart: bool,
    #[command(flatten)]
    docker: DockerArgs,
    #[arg(value_name = "PEER", help = "Peers to connect to: host[:port]")]
    peers: Vec<String>,
}

/// What weaved is started with; every value is good
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// weaved's command line without the program
    pub(super) flags: Vec<String>,
    /// Kept off every command line
    pub(super) password: Option<String>,
    /// The log that was asked for
    pub(super) log_file: Option<PathBuf>,
    /// systemd is to start it again
    pub(super) restart: bool,
    /// weave-docker, where Docker is
    pub(super) docker: Option<Docker>,
}

impl Settings {
    pub(super) fn new(args: LaunchArgs, socket: &Path) -> Result<Self> {
        let mut flags = Vec::new();
        let mut push = |flag: &str, value: Option<String>| {
            flags.extend(value.map(|value| format!("--{flag}={value}")));
        };
        push("port", checked("port", args.port, port)?);
        push("host", checked("host", args.host, address)?);
        push("network", checked("network", args.network, network)?);
        push(
            "password-file",
            checked("password-file", args.password_file, path)?,
        );
        push("name", checked("name", args.name, name)?);
        push("nickname", checked("nickname", args.nickname, nickname)?);
        push("mtu", checked("mtu", args.mtu, mtu)?);
        push("datapath", checked("datapath", args.datapath, device)?);
        push(
            "trusted-subnets",
            checked("trusted-subnets", args.trusted_subnets, subnets)?.filter(|list| !list.is_empty()),
        );
        push("conn-limit", checked("conn-limit", args.conn_limit, count)?);
        push(
            "sleeve-threads",
            checked("sleeve-threads", args.sleeve_threads, threads)?,
        );
        push("vxlan-csum", checked("vxlan-csum", args.vxlan_csum, on_or_off)?);
        push(
            "heartbeat-interval",
            checked("heartbeat-interval", args.heartbeat_interval, milliseconds)?,
        );
        push(
            "restart-grace",
            checked("restart-grace", args.restart_grace, milliseconds)?,
        );
        push(
            "ipalloc-range",
            checked("ipalloc-range", args.ipalloc_range, range)?,
        );
        push(
            "ipalloc-default-subnet",
            checked("ipalloc-default-subnet", args.ipalloc_default_subnet, subnet)?,
        );
        push("ipalloc-init", checked("ipalloc-init", args.ipalloc_init, init)?);
        push(
            "ipalloc-lease",
            checked("ipalloc-lease", args.ipalloc_lease, lease)?,
        );
        push("ipalloc-hold", checked("ipalloc-hold", args.ipalloc_hold, hold)?);
        push("dns-domain", checked("dns-domain", args.dns_domain, domain)?);
        push(
            "dns-listen-address",
            checked("dns-listen-address", args.dns_listen_address, server)?,
        );
        push("dns-ttl", checked("dns-ttl", args.dns_ttl, count)?);
        for upstream in args.dns_upstream {
            push("dns-upstream", checked("dns-upstream", Some(upstream), server)?);
        }
        push(
            "dns-allow",
            checked("dns-allow", args.dns_allow, subnets)?.filter(|list| !list.is_empty()),
        );
        push("resolv-conf", checked("resolv-conf", args.resolv_conf, path)?);
        push("state-dir", checked("state-dir", args.state_dir, path)?);
        let log_level = checked("log-level", args.log_level, log_level)?;
        let docker = Docker::new(args.docker, socket, log_level.as_deref())?;
        push("log-level", log_level);
        if socket != Path::new(api::DEFAULT_SOCKET) {
            let socket = socket.to_str().context("the socket's path is not UTF-8")?;
            push("socket", checked("socket", Some(socket.to_owned()), path)?);
        }
        for (flag, is_set) in [
            ("--no-password", args.no_password),
            ("--no-fastdp", args.no_fastdp),
            ("--no-discovery", args.no_discovery),
            ("--no-dns", args.no_dns),
            ("--resume", args.resume),
        ] {
            if is_set {
                flags.push(flag.to_owned());
            }
        }
        let peers = targets::parse(&args.peers)?;
        ensure!(
            !args.resume || peers.is_empty(),
            "--resume takes the peers known from before; give no others with it"
        );
        flags.extend(peers.iter().map(ToString::to_string));
        Ok(Self {
            flags,
            password: args
                .password
                .filter(|text| !text.is_empty())
                .map(password)
                .transpose()?,
            log_file: checked("log-file", args.log_file, path)?.map(PathBuf::from),
            restart: !args.no_restart,
            docker,
        })
    }
}

/// The value of a flag as weaved takes it, or one line that says what is wrong with it
pub(super) fn checked(
    flag: &str,
    text: Option<String>,
    check: fn(&str) -> Result<String>,
) -> Result<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    check(&text)
        .map(Some)
        .with_context(|| format!("bad --{flag} {text:?}"))
}

fn port(text: &str) -> Result<String> {
    match text.parse::<u16>() {
        Ok(port @ 1..=65534) => Ok(port.to_string()),
        Ok(_) | Err(_) => bail!("a port is a number from 1 to 65534"),
    }
}

fn address(text: &str) -> Result<String> {
    let address: Result<IpAddr, _> = text.parse();
    address
        .map(|address| address.to_string())
        .map_err(|_bad| anyhow!("not an IP address"))
}

fn name(text: &str) -> Result<String> {
    match text.parse::<PeerName>() {
        Ok(name) => Ok(name.to_string()),
        Err(error @ model::PeerNameError::NotAStation(_)) => Err(error.into()),
        Err(error @ model::PeerNameError::Form(_)) => bail!("{error}, as in 7a:c0:00:12:34:56"),
    }
}

fn network(text: &str) -> Result<String> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    ensure!(
        (1..=32).contains(&text.len()) && text.bytes().all(is_allowed),
        "a network's name has 1 to 32 lower-case letters, digits, '-', '_' and '.'"
    );
    Ok(text.to_owned())
}

fn nickname(text: &str) -> Result<String> {
    Ok(text.parse::<NickName>()?.to_string())
}

fn mtu(text: &str) -> Result<String> {
    match text.parse::<u16>() {
        Ok(mtu @ 576..) => Ok(mtu.to_string()),
        Ok(_) | Err(_) => bail!("an MTU is a number from 576 to 65535"),
    }
}

fn device(text: &str) -> Result<String> {
    Ok(text.parse::<IfName>()?.to_string())
}

fn subnets(text: &str) -> Result<String> {
    let subnets = text.split(',').map(str::trim).filter(|subnet| !subnet.is_empty());
    let subnets: Vec<String> = subnets
        .map(|subnet| Ok(parse_cidr(subnet)?.to_string()))
        .collect::<Result<_>>()?;
    Ok(subnets.join(","))
}

fn range(text: &str) -> Result<String> {
    match text {
        "" | "auto" => Ok(text.to_owned()),
        _network => subnet(text),
    }
}

fn subnet(text: &str) -> Result<String> {
    match format!("net:{text}").parse::<AddressSpec>()? {
        AddressSpec::Subnet(subnet) => Ok(subnet.to_string()),
        AddressSpec::DefaultSubnet | AddressSpec::Address(_) => bail!("not a subnet as in 10.32.0.0/12"),
    }
}

fn init(text: &str) -> Result<String> {
    let (how, value) = match text.split_once('=') {
        Some((how, value)) => (how, Some(value)),
        None => (text, None),
    };
    match (how, value) {
        ("consensus" | "observer", None) => {}
        ("consensus", Some(count)) => ensure!(
            matches!(count.parse::<u16>(), Ok(1..=4096)),
            "a number of hosts from 1 to 4096"
        ),
        ("seed", Some(names)) => {
            for each in names.split(',') {
                name(each)?;
            }
        }
        _other => bail!("consensus, consensus=N, seed=NAME,NAME,… or observer"),
    }
    Ok(text.to_owned())
}

fn lease(text: &str) -> Result<String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let unit = units
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)));
    let (number, unit) = unit.unwrap_or((text, 1));
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
    {
        Some(0 | 60..=31_536_000) => Ok(text.to_owned()),
        Some(_) | None => bail!("a time from 60s to 365d as in 90m or 24h, or 0 for never"),
    }
}

fn hold(text: &str) -> Result<String> {
    let (number, factor) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: Option<u64> = number.parse().ok();
    match number.and_then(|number| number.checked_mul(factor)) {
        Some(seconds @ 0..=3600) => Ok(seconds.to_string()),
        Some(_) | None => bail!("a time from 1s to 60m as in 30s or 5m, or 0 for not at all"),
    }
}

fn domain(text: &str) -> Result<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let good = |label: &str| {
        let of_a_host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (1..=63).contains(&label.len()) && label.chars().all(of_a_host)
    };
    ensure!(
        name.len() <= 253 && name.split('.').all(good),
        "not a domain as in weave.local."
    );
    Ok(text.to_owned())
}

fn server(text: &str) -> Result<String> {
    let is_one = text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok();
    ensure!(is_one, "an IP address, or one with a port as in 127.0.0.1:53");
    Ok(text.to_owned())
}

fn count(text: &str) -> Result<String> {
    let count: Result<u32, _> = text.parse();
    count
        .map(|count| count.to_string())
        .map_err(|_bad| anyhow!("not a number"))
}

fn threads(text: &str) -> Result<String> {
    match text.parse::<u16>() {
        Ok(threads @ 1..=64) => Ok(threads.to_string()),
        Ok(_) | Err(_) => bail!("a number from 1 to 64"),
    }
}

fn on_or_off(text: &str) -> Result<String> {
    ensure!(matches!(text, "on" | "off"), "either on or off");
    Ok(text.to_owned())
}

/// `500`, `500ms` or `2s`, as the number of milliseconds that weaved takes
fn milliseconds(text: &str) -> Result<String> {
    let (number, factor) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => text.strip_suffix('s').map_or((text, 1), |number| (number, 1000)),
    };
    let number: Option<u64> = number.parse().ok();
    match number.and_then(|number| number.checked_mul(factor)) {
        Some(ms @ 20..=600_000) => Ok(ms.to_string()),
        Some(_) | None => bail!("a time from 20ms to 600s"),
    }
}

fn log_level(text: &str) -> Result<String> {
    match text {
        "debug" | "info" | "warning" | "error" => Ok(text.to_owned()),
        "warn" => Ok("warning".to_owned()),
        _ => bail!("one of debug, info, warning, error"),
    }
}

/// The path from the root: weaved runs in another directory
pub(super) fn path(text: &str) -> Result<String> {
    ensure!(!text.is_empty() && !text.contains(char::is_control), "not a path");
    let path = std::path::absolute(text)?;
    Ok(path.to_str().context("not UTF-8")?.to_owned())
}

fn password(text: String) -> Result<String> {
    ensure!(text.len() <= 1024, "the password is longer than 1024 bytes");
    ensure!(
        !text.contains(char::is_control),
        "the password contains a control character"
    );
    Ok(text)
}

#[cfg(test)]
mod tests;
