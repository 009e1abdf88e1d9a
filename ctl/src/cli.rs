//! The command line.

mod examples;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use api::{DOCKER_PROXY_PORT, DockerHost, DockerHostError};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use self::examples::{
    ATTACH, COMPLETION, CONFIG, CONNECT, DETACH, DNS_ADD, DNS_ARGS, DNS_LOOKUP, DNS_REMOVE, ENV, EXPOSE,
    FLOWS, FORGET, GENKEY, HIDE, IPAM, LAUNCH, OVERVIEW, PASSWORD, PS, REPORT, RESET, RMPEER, RUN, STATUS,
    STOP, VERSION,
};
use crate::launch::LaunchArgs;

/// Control weaved, the container network of this host
#[derive(Debug, Parser)]
#[command(name = "weavectl", version, max_term_width = 100, after_help = OVERVIEW)]
pub(crate) struct Cli {
    /// Socket that weaved listens on
    #[arg(long, global = true, value_name = "PATH", env = "WEAVE_SOCKET", default_value = api::DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start weaved, and wait until it is ready
    #[command(after_help = LAUNCH)]
    Launch(Box<LaunchArgs>),
    /// End weaved; containers stay attached and their traffic goes on
    #[command(after_help = STOP)]
    Stop,
    /// Leave the network and remove everything of it from this host
    #[command(after_help = RESET)]
    Reset(ResetArgs),
    /// Connect to peers, and keep trying
    #[command(after_help = CONNECT)]
    Connect(ConnectArgs),
    /// Stop trying to connect to peers; live connections stay
    #[command(after_help = FORGET)]
    Forget(ForgetArgs),
    /// Show the state of the network as this host sees it
    #[command(after_help = STATUS)]
    Status(StatusArgs),
    /// Look at the flows in the kernel
    #[command(after_help = FLOWS)]
    Flows {
        #[command(subcommand)]
        command: FlowsCommand,
    },
    /// Give a container an interface on the network, with addresses
    #[command(after_help = ATTACH)]
    Attach(AttachArgs),
    /// Take addresses from a container, and with the last its interface
    #[command(after_help = DETACH)]
    Detach(DetachArgs),
    /// Give this host addresses on the network
    #[command(after_help = EXPOSE, disable_help_flag = true)]
    Expose(ExposeArgs),
    /// Take addresses on the network from this host
    #[command(after_help = HIDE)]
    Hide(HideArgs),
    /// The addresses that hosts hand out
    #[command(after_help = IPAM)]
    Ipam {
        #[command(subcommand)]
        command: IpamCommand,
    },
    /// Print a strong password for a network
    #[command(after_help = GENKEY)]
    Genkey,
    /// Replace the network's password without an outage
    #[command(after_help = PASSWORD)]
    Password {
        #[command(subcommand)]
        command: PasswordCommand,
    },
    /// Have others take over the addresses of hosts that are gone for good, or refuse a host for good
    #[command(after_help = RMPEER)]
    Rmpeer(RmpeerArgs),
    /// Give addresses a name
    #[command(after_help = DNS_ADD, disable_help_flag = true)]
    DnsAdd(NameArgs),
    /// Take a name from addresses
    #[command(after_help = DNS_REMOVE, disable_help_flag = true)]
    DnsRemove(NameArgs),
    /// Print the addresses of a name
    #[command(after_help = DNS_LOOKUP)]
    DnsLookup(LookupArgs),
    /// Start a container of Docker with addresses, by the proxy; everything else is passed to `docker run`
    #[command(after_help = RUN)]
    Run(RunArgs),
    /// Print what makes this shell's `docker` use the proxy, for `eval`
    #[command(after_help = ENV)]
    Env(EnvArgs),
    /// Print the flag that makes one call of `docker` use the proxy
    #[command(after_help = CONFIG)]
    Config(ProxyArgs),
    /// Print the flags that make a container of `docker run` ask weaved for names
    #[command(after_help = DNS_ARGS)]
    DnsArgs,
    /// List attached containers: id, MAC address, addresses
    #[command(after_help = PS)]
    Ps(PsArgs),
    /// Print everything that weaved knows
    #[command(after_help = REPORT)]
    Report {
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Json)]
        format: Format,
    },
    /// Print the versions of weavectl and of the running weaved
    #[command(after_help = VERSION)]
    Version,
    /// Print a completion script for a shell
    #[command(after_help = COMPLETION)]
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Run a program in a session of its own; the first half of a launch without systemd
    #[command(hide = true)]
    Detached {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FlowsCommand {
    /// Print every flow, one per line
    #[command(after_help = FLOWS)]
    Dump {
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum IpamCommand {
    /// Have the hosts agree who owns which addresses at first, and wait until they have
    #[command(after_help = IPAM)]
    Prime,
}

/// The form of what is printed
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// Clean this host also when weaved is not running
    #[arg(long)]
    pub(crate) force: bool,
    /// State directory to remove, where weaved is not running to tell [default: /var/lib/weave]
    #[arg(long, value_name = "DIR", requires = "force")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Datapath to remove, where weaved is not running to tell [default: weave]
    #[arg(long, value_name = "NAME", requires = "force")]
    pub(crate) datapath: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Forget every other target
    #[arg(long)]
    pub(crate) replace: bool,
    #[arg(value_name = "PEER", required = true, help = "Peers: host[:port]")]
    pub(crate) peers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Peers, as they were given to connect or launch
    #[arg(value_name = "PEER", required = true)]
    pub(crate) peers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// One part of it, in detail
    #[arg(value_enum)]
    pub(crate) part: Option<StatusPart>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusPart {
    /// Connections of this host: direction, address, state, path, peer, MTU, round trip
    Connections,
    /// Every peer, with its connections
    Peers,
    /// Peers that this host was told to connect to
    Targets,
    /// Who owns how many addresses
    Ipam,
    /// The names of containers: name, address, container, peer
    Dns,
}

// clap cannot have an optional positional before a required one: the last of `args` is the container.
#[derive(Debug, Args)]
#[command(override_usage = "weavectl attach [OPTIONS] [ADDRESS]... <CONTAINER>")]
pub(crate) struct AttachArgs {
    /// Addresses: 10.32.1.1/24 for this one, net:10.2.1.0/24 for one of a subnet, net:default (or none) for
    /// one of the default subnet; then the container: a process id, the path of a network namespace, a name from
    /// `ip netns`, or a name or id of Docker's
    #[arg(value_name = "ADDRESS|CONTAINER", required = true)]
    pub(crate) args: Vec<String>,
    /// Do not give the addresses the container's name, and do not have it ask weaved for names
    #[arg(long)]
    pub(crate) without_dns: bool,
    /// Give them this name instead
    #[arg(long = "hostname", value_name = "NAME", conflicts_with = "without_dns")]
    pub(crate) name: Option<String>,
    /// Do not route multicast to the interface
    #[arg(long)]
    pub(crate) no_multicast_route: bool,
    /// Have the container's own name stand for its addresses on the network, in its /etc/hosts; of Docker's only
    #[arg(long)]
    pub(crate) rewrite_hosts: bool,
    /// Also have this name stand for this address there; may be given again
    #[arg(long = "add-host", value_name = "NAME:ADDRESS", value_parser = host)]
    pub(crate) hosts: Vec<(String, IpAddr)>,
}

/// A name and its address, as Docker's `--add-host` has them
fn host(text: &str) -> Result<(String, IpAddr), String> {
    let no_host = || format!("{text:?} is no NAME:ADDRESS, as in db:10.32.0.7");
    let (name, address) = text.split_once([':', '=']).ok_or_else(no_host)?;
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    let address = address.trim_start_matches('[').trim_end_matches(']').parse();
    match address {
        Ok(address) if is_name(name) => Ok((name.to_owned(), address)),
        Ok(_) | Err(_) => Err(no_host()),
    }
}

#[derive(Debug, Args)]
#[command(override_usage = "weavectl detach [OPTIONS] [ADDRESS]... <CONTAINER>")]
pub(crate) struct DetachArgs {
    /// Addresses to take, by net: those of a subnet, or none for all; then the container
    #[arg(value_name = "ADDRESS|CONTAINER", required = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExposeArgs {
    /// Addresses, in the forms that attach takes; by default one of the default subnet
    #[arg(value_name = "ADDRESS")]
    pub(crate) addresses: Vec<String>,
    /// A name for them
    #[arg(short = 'h', long = "hostname", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Do not let containers reach the outside, or be reached from there, as this host
    #[arg(long)]
    pub(crate) without_masquerade: bool,
    /// Who reaches containers through this host: `host` alone, which is so at first, `underlay`, `docker`, networks;
    /// with commas between them
    #[arg(long = "expose-to", value_name = "SCOPE", value_delimiter = ',')]
    pub(crate) to: Vec<api::ExposeScope>,
    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    help: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct HideArgs {
    /// Addresses to take, by net: those of a subnet, or none for all
    #[arg(value_name = "ADDRESS")]
    pub(crate) addresses: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RmpeerArgs {
    /// Refuse the key of the peer on every host from here on, also with the right password
    #[arg(long)]
    pub(crate) ban: bool,
    /// Accept the key of the peer again
    #[arg(long, conflicts_with = "ban")]
    pub(crate) unban: bool,
    /// Names or nicknames, as `status ipam` and `status peers` show them; with --unban also keys
    #[arg(value_name = "PEER", required = true)]
    pub(crate) peers: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PasswordCommand {
    /// Accept another password, too
    #[command(after_help = PASSWORD)]
    Add(PasswordAddArgs),
    /// Connect with the new password, and accept both
    #[command(after_help = PASSWORD)]
    Promote,
    /// Accept the old password no longer
    #[command(after_help = PASSWORD)]
    Drop,
}

#[derive(Debug, Args)]
pub(crate) struct PasswordAddArgs {
    /// File that holds the new password [default: standard input]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

// `-h` is the name's, as it always was.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Addresses, by default the container's; then the container, by default none: addresses outside the
    /// network
    #[arg(value_name = "ADDRESS|CONTAINER")]
    pub(crate) args: Vec<String>,
    /// The name, with or without the domain; by default the container's own
    #[arg(short = 'h', long = "hostname", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    pub(crate) help: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct LookupArgs {
    /// The name, with or without the domain
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Where Docker's clients find the proxy
#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// Where the proxy to Docker's API is: a unix socket, or tcp://HOST:PORT [default: where weave-docker says]
    #[arg(long, value_name = "WHERE", env = "WEAVE_DOCKER_SOCKET", value_parser = docker_proxy)]
    pub(crate) proxy: Option<DockerHost>,
}

fn docker_proxy(text: &str) -> Result<DockerHost, DockerHostError> {
    DockerHost::parse(text, DOCKER_PROXY_PORT)
}

#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) proxy: ProxyArgs,
    /// Print what undoes it
    #[arg(long)]
    pub(crate) restore: bool,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "weavectl run [--proxy <WHERE>] [ADDRESS]... [DOCKER RUN OPTIONS] <IMAGE> [COMMAND]..."
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) proxy: ProxyArgs,
    /// Addresses in the forms that attach takes, by default one of the default subnet; then the arguments of
    /// `docker run`
    #[arg(
        value_name = "ARGS",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Only these containers
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("EXAMPLES:"), "{}", command.get_name());
            command
                .get_subcommands()
                .filter(|inner| !inner.is_hide_set())
                .for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn usage_is_told_from_use() {
        for (args, right) in [
            (&["status"][..], true),
            (&["status", "connections", "--format", "json"], true),
            (&["--socket", "/tmp/s", "status"], true),
            (&["status", "--socket", "/tmp/s"], true),
            (&["status", "dns"], true),
            (&["status", "ipam"], true),
            (&["status", "plugin"], false),
            (&["expose"], true),
            (
                &[
                    "expose",
                    "net:default",
                    "10.2.1.1/24",
                    "-h",
                    "name",
                    "--without-masquerade",
                ],
                true,
            ),
            (&["expose", "--expose-to", "underlay,192.168.1.0/24"], true),
            (&["expose", "--expose-to=host"], true),
            (&["expose", "--expose-to", "everybody"], false),
            (&["expose", "-h"], false),
            (&["hide"], true),
            (&["hide", "net:10.2.1.0/24"], true),
            (&["ipam", "prime"], true),
            (&["ipam"], false),
            (&["rmpeer"], false),
            (&["rmpeer", "host1", "host2"], true),
            (&["rmpeer", "--ban", "host1"], true),
            (&["rmpeer", "--ban", "--unban", "host1"], false),
            (&["genkey"], true),
            (&["password"], false),
            (&["password", "add"], true),
            (&["password", "add", "--file", "/etc/weave/new"], true),
            (&["password", "promote"], true),
            (&["password", "drop"], true),
            (&["dns-add", "c1", "-h", "www"], true),
            (&["dns-add", "10.2.1.1", "-h", "www"], true),
            (&["dns-remove", "c1"], true),
            (&["dns-lookup", "c1"], true),
            (&["dns-lookup"], false),
            (&["attach", "net:default", "c1", "--without-dns"], true),
            (
                &[
                    "attach",
                    "--rewrite-hosts",
                    "--add-host=db:10.32.0.7",
                    "--add-host=v6:[fd00::1]",
                    "c1",
                ],
                true,
            ),
            (&["attach", "--add-host", "db", "c1"], false),
            (&["attach", "--add-host", "d b:10.32.0.7", "c1"], false),
            (&["status", "--format", "xml"], false),
            (&["flows", "dump", "--format", "json"], true),
            (&["flows"], false),
            (&["attach", "10.0.1.1/24", "c1"], true),
            (&["attach", "c1"], true),
            (&["attach"], false),
            (&["detach", "c1"], true),
            (&["detach"], false),
            (&["connect"], false),
            (&["connect", "--replace", "host1", "host2"], true),
            (&["forget"], false),
            (&["forget", "host1"], true),
            (
                &[
                    "run",
                    "10.2.1.1/24",
                    "-itd",
                    "--name",
                    "a1",
                    "img",
                    "sh",
                    "-c",
                    "true",
                ],
                true,
            ),
            (&["run", "-d", "img"], true),
            (&["run"], false),
            (&["env"], true),
            (&["env", "--restore"], true),
            (&["config", "--proxy", "/run/p.sock"], true),
            (&["config", "--proxy", "tcp://[::1]:12375"], true),
            (&["config", "--proxy", "http://h"], false),
            (&["dns-args"], true),
            (&["ps"], true),
            (&["ps", "c1", "c2"], true),
            (&["stop"], true),
            (&["stop", "now"], false),
            (&["reset", "--force"], true),
            (&["reset", "--state-dir", "/x"], false),
            (&["report", "--format", "text"], true),
            (&["completion", "bash"], true),
            (&["completion", "cmd"], false),
            (&["version"], true),
            (
                &["launch", "--no-fastdp", "--no-discovery", "host1", "host2"],
                true,
            ),
            (
                &[
                    "launch",
                    "--port=7000",
                    "--name",
                    "7a:00:00:00:00:01",
                    "--password",
                    "-x",
                ],
                true,
            ),
            (&["launch", "--mtu"], false),
            (&["launch", "--colour", "blue"], false),
            (&[], false),
        ] {
            let parsed = Cli::try_parse_from(["weavectl"].iter().chain(args));
            assert_eq!(parsed.is_ok(), right, "{args:?}: {parsed:?}");
        }
    }
}
