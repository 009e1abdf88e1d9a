//! Everything is bound and made here; nothing runs yet.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use dns::{Authority, Zone};
use fallback_sleeve::Suite;
use gossip::{Config, Entropy, Mesh, Offer, Timers};
use ipnetwork::IpNetwork;
use link::Links;
use model::{IfName, NickName, PathKind, ShortId, Target, Uid};
use overlay::{FastdpHere, MacTable};
use rand::rand_core::UnwrapErr;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::addresses::Network;
use crate::app::App;
use crate::attachments::Attachments;
use crate::cipher;
use crate::common::{self, Handout, Own};
use crate::config::{Args, ListenAddress, Switchable, password};
use crate::connections::Connections;
use crate::control::{self, Asked, Control, Facts, INPUT_QUEUE, Input, Plane, forwarding};
use crate::datapath::{self, Datapath};
use crate::dns::{self as names, Places, Server as NameServer};
use crate::expose::HostLeg;
use crate::filter::{Keeper, Ports};
use crate::identity::{self, Machine};
use crate::inside::{self, Door, Inside};
use crate::neighbours::{Neighbours, Settings};
use crate::network;
use crate::past::Past;
use crate::routes::TopologyRoutes;
use crate::server::Server;
use crate::shutdown::{Ending, Shutdown};
use crate::sleeve::{Sleeve, UdpSocket};
use crate::store::{Slot, Store};
use crate::switch_drops::SwitchDrops;

/// A restart that takes seconds costs paths; `nft` takes some tens of milliseconds
const FILTER_PATIENCE: Duration = Duration::from_millis(250);

/// The sleeve's TAP
pub(crate) const TAP: &str = "weave-sleeve";
/// Stations that the sleeve's threads remember
const MACS: usize = 16 << 10;
/// Where the host itself can ask for names, beside a name server of its own
const LOCAL_NAMES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6753);
/// How long the end waits for the disk; less than the end of the process may take
const LAST_WRITE: Duration = Duration::from_secs(3);
/// Connections that the kernel keeps for us to accept
const BACKLOG: u32 = 128;

/// A daemon that is ready to start
pub(crate) struct Daemon {
    control: Control,
    listener: TcpListener,
    server: Server,
    names: Option<NameServer>,
    clients: names::Clients,
    app: App,
    sleeve: Sleeve,
    datapath: Datapath,
    store: Arc<Store>,
    links: Links,
    own_devices: Vec<IfName>,
    /// The sleeve's device
    tap: IfName,
    /// The containers' side of this host, and the networks that addresses are handed out of
    inside: watch::Sender<Arc<Inside>>,
    given: Vec<IpNetwork>,
    keeper: Keeper,
    inputs: mpsc::Sender<Input>,
}

/// A daemon that runs
pub(crate) struct Running {
    tasks: TaskTracker,
    sleeve: Sleeve,
    datapath: Datapath,
    store: Arc<Store>,
}

/// Binds, opens and makes everything that the daemon needs
pub(crate) async fn build(args: &Args, shutdown: &Shutdown) -> anyhow::Result<Daemon> {
    let now = Instant::now();
    let mut rng = StdRng::try_from_rng(&mut SysRng).context("the kernel gives no randomness")?;
    let password = password(args)?;
    let store = Arc::new(Store::open(&args.state_dir)?);
    let own_network = network::Network::open(args, &store, password.as_ref().map(|text| text.as_str()))?;
    let server = Server::bind(&args.socket).await?;
    let listener = listen(SocketAddr::new(args.host, args.port))?;
    let sleeve_threads = args.sleeve_threads();
    let udp = UdpSocket::bind(SocketAddr::new(args.host, args.port), sleeve_threads)
        .with_context(|| in_use("UDP", args.port))?;

    let links = Links::open()?;
    let tap_name: IfName = TAP.parse()?;
    let own_devices = vec![args.datapath.clone(), tap_name.clone()];
    let handout = Handout::choose(args, &store, &links, &own_devices).await?;
    let underlay_mtu = links.underlay_mtu(&own_devices).await?.unwrap_or(1500);
    let clear_neighbours = password.is_none() || !args.trusted_subnets.is_empty();
    let suite = if password.is_some() {
        cipher::fastest()
    } else {
        Suite::Clear
    };
    let overlay_mtu = args
        .mtu
        .unwrap_or_else(|| fallback_sleeve::mtu::inner_mtu(underlay_mtu, PathKind::Sleeve, suite));

    let (inputs, receiver) = mpsc::channel(INPUT_QUEUE);
    let macs = Arc::new(MacTable::new(MACS, rng.next_u64()));
    let switch_drops = Arc::new(SwitchDrops::default());

    let (identity, new_key) = identity::load_or_create(&store, Machine::this(), &mut UnwrapErr(SysRng))?;
    if let Some(written) = new_key {
        identity::warn_if_fleeting(written).await;
    }
    let name = args.name.unwrap_or_else(|| identity.peer_name());
    let nickname = nickname(args)?;
    let past = Past::take(&store, args.resume, args.restart_grace, unix_ms())?;
    let held_peers = past.held.iter().map(|held| held.peer).collect();

    let odp = datapath::openvswitch(!args.no_fastdp)?;
    let fastdp = odp.as_ref().err().copied().unwrap_or(FastdpHere::Capable);
    let uid = Uid(rng.next_u64());
    let mesh_rng = StdRng::from_rng(&mut rng);
    let mut mesh = Mesh::new(
        Config {
            name,
            nickname: nickname.clone(),
            identity: identity.clone(),
            network: own_network.name,
            passwords: own_network.keys.passwords(),
            entropy: Entropy::new(UnwrapErr(SysRng)),
            pins: store.value(Slot::PINS)?.unwrap_or_default(),
            bans: store.value(Slot::BANS)?.unwrap_or_default(),
            unix_ms: unix_ms(),
            short_id: store.value::<ShortId>(Slot::SHORT_ID)?,
            epoch: past.epoch,
            uid,
            control_port: args.port,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            discovery: !args.no_discovery,
            conn_limit: (args.conn_limit > 0).then_some(args.conn_limit),
            trusted_subnets: args.trusted_subnets.clone(),
            offer: Offer {
                fastdp: fastdp == FastdpHere::Capable,
                vxlan_port: args.port + 1,
                sleeve_port: args.port,
                overlay_mtu,
            },
            held: past.held,
            timers: Timers {
                restart_grace: args.restart_grace,
                ..Timers::default()
            },
        },
        mesh_rng,
        now,
    );
    store.put(Slot::SHORT_ID, &mesh.short_id()).later();
    let targets = targets(&args.peers, past.targets);
    let target_count = targets.len();
    mesh.set_targets(targets, true, now);

    let topology = Arc::clone(mesh.topology());
    let plan = datapath::Plan {
        name: args.datapath.clone(),
        tap: tap_name.clone(),
        tap_queues: sleeve_threads,
        peer: name,
        vxlan_port: args.port + 1,
        clear_neighbours,
        csum: args.vxlan_csum == Switchable::On,
        overlay_mtu,
        macs: Arc::clone(&macs),
        drops: Arc::clone(&switch_drops),
    };
    let opened = datapath::open(
        plan,
        odp,
        &links,
        TopologyRoutes::new(Arc::clone(&topology), Arc::default()),
        inputs.clone(),
    )
    .await?;
    let (datapath, mode) = (opened.datapath, opened.mode);

    let sleeve = Sleeve::start(
        udp,
        opened.tap,
        forwarding(
            mode,
            TopologyRoutes::new(topology, Arc::default()),
            std::iter::empty(),
        ),
        macs,
        switch_drops,
        inputs.clone(),
    )
    .context("cannot start the sleeve's threads")?;

    let always = match args.dns_listen_address {
        _ if args.no_dns => Vec::new(),
        Some(ListenAddress(address)) => vec![address],
        None => vec![LOCAL_NAMES],
    };
    let (places, listeners) = Places::new(always, !args.no_dns && args.dns_listen_address.is_none());
    let network = Network::new(inputs.clone(), handout.map(|handout| handout.default_subnet));
    let attachments = Attachments::open(
        links.clone(),
        datapath.clone(),
        Arc::clone(&store),
        network.clone(),
        overlay_mtu,
        args.ipalloc_hold,
    )
    .await?;
    let host_leg = HostLeg::open(
        links.clone(),
        Arc::clone(&store),
        args.datapath.clone(),
        handout.map(|handout| handout.range),
        places.clone(),
    )
    .await?;
    let given: Vec<IpNetwork> = handout.iter().map(|handout| handout.range.into()).collect();
    let inside = watch::Sender::new(Arc::new(inside::look(&links, &args.datapath, &given).await?));
    let door = Door::new(inside.subscribe());
    let ports = Ports {
        control: args.port,
        vxlan: args.port + 1,
    };
    let is_bridge = datapath.master().is_some();
    let mut keeper = Keeper::new(
        args.datapath.clone(),
        is_bridge,
        ports,
        inside.subscribe(),
        host_leg.exposed(),
    );
    // Rules that were made before a restart hold still; and weaved itself refuses containers meanwhile.
    if tokio::time::timeout(FILTER_PATIENCE, keeper.make())
        .await
        .is_err()
    {
        log::info!(
            "the packet filter is not ready after {FILTER_PATIENCE:?}: weaved starts, and its rules follow"
        );
    }
    let own = Own {
        name,
        identity,
        epoch: past.epoch,
        unix_ms: unix_ms(),
        targets: target_count,
        held: attachments.held(),
        resting: attachments.resting().await,
        exposed: host_leg.addresses(),
        exposed_name: host_leg.name().await,
    };
    let common = common::common(args, handout, own, &store, &mut rng, now)?;
    let clients = names::Clients::new(
        args.datapath.clone(),
        handout.map(|handout| handout.range),
        args.dns_allow.clone(),
    );
    let (zone, zones) = watch::channel(Zone::new(args.dns_domain.clone()));
    let settings = Settings {
        heartbeat_interval: args.heartbeat_interval,
        heartbeat_grid: now,
        fastdp,
        vxlan_port: args.port + 1,
        failing_ports: BTreeSet::new(),
        underlay_mtu,
        overlay_mtu,
    };
    let plane = Plane::new(
        Facts {
            name,
            nickname,
            uid,
            port: args.port,
            host: args.host,
            encryption: suite.is_sealed(),
            discovery: !args.no_discovery,
            overlay_mtu,
            datapath: args.datapath.clone(),
            trusted_subnets: args.trusted_subnets.clone(),
            default_subnet: handout.map(|handout| handout.default_subnet),
            dns_domain: args.dns_domain.clone(),
            has_names: !args.no_dns,
            restart_grace: args.restart_grace,
            network: own_network.name,
            weak_password: own_network.is_weak(),
            mode,
            sleeve_threads,
        },
        mesh,
        Neighbours::new(settings, Entropy::new(UnwrapErr(SysRng))),
        common,
        held_peers,
        now,
    );
    let control = Control {
        plane,
        connections: Connections::new(inputs.clone()),
        datapath: datapath.clone(),
        sleeve: sleeve.clone(),
        store: Arc::clone(&store),
        progress: store.progress(),
        awaited: VecDeque::new(),
        watchdog: service::Watchdog::from_environment(Instant::now()),
        asked: Asked::default(),
        keys: own_network.keys,
        zone,
        inputs: receiver,
        inputs_sender: inputs.clone(),
    };
    let names =
        match args.no_dns {
            true => None,
            false => {
                let settings = dns_settings(args, handout, clients.clone());
                let rng = StdRng::from_rng(&mut rng);
                let server = NameServer::bind(settings, zones, listeners, rng);
                Some(server.context(
                    "cannot answer names; --dns-listen-address gives another place, --no-dns none",
                )?)
            }
        };
    let app = App {
        names: names.as_ref().map(NameServer::view),
        door,
        standing: keeper.standing(),
        places,
        dns_domain: args.dns_domain.clone(),
        control: inputs.clone(),
        network_name: own_network.name,
        attachments,
        network,
        host_leg,
        datapath: datapath.clone(),
        sleeve: sleeve.clone(),
        store: Arc::clone(&store),
        shutdown: shutdown.clone(),
    };
    log::info!(
        "peer {name} on port {}, containers' MTU {overlay_mtu}, {}, sleeve threads each way: {sleeve_threads}",
        args.port,
        datapath.describe()
    );
    Ok(Daemon {
        control,
        listener,
        server,
        names,
        clients,
        app,
        sleeve,
        datapath,
        store,
        links,
        own_devices,
        tap: tap_name,
        inside,
        given,
        keeper,
        inputs,
    })
}

impl Daemon {
    /// Starts every task
    pub(crate) fn spawn(self, shutdown: &Shutdown) -> Running {
        let tasks = TaskTracker::new();
        let stop = shutdown.token();
        tasks.spawn(self.control.run(shutdown.clone()));
        let door = self.app.door.clone();
        tasks.spawn(control::accept(
            self.listener,
            door,
            self.inputs.clone(),
            stop.clone(),
        ));
        tasks.spawn(inside::follow(
            self.links.clone(),
            self.app.host_leg.device().clone(),
            self.given,
            self.inside,
            self.inputs.clone(),
            stop.clone(),
        ));
        tasks.spawn(self.keeper.keep(stop.clone()));
        tasks.spawn(self.server.serve(self.app.clone(), stop.clone()));
        tasks.spawn(self.app.host_leg.clone().watch(stop.clone()));
        let is_bridge = self.app.datapath.master().is_some();
        if is_bridge {
            let links = self.links.clone();
            tasks.spawn(crate::hairpin::keep_off(links, self.tap, stop.clone()));
        }
        if let Some(names) = self.names {
            tasks.spawn(names.serve(stop.clone()));
            let places = self.app.places.clone();
            tasks.spawn(places.follow_bridge(self.links.clone(), stop.clone()));
            tasks.spawn(self.clients.follow(self.links.clone(), stop.clone()));
        }
        tasks.spawn(crate::attachments::follow_links(
            self.links,
            self.own_devices,
            self.app.attachments,
            self.inputs,
            stop.clone(),
        ));
        tasks.close();
        Running {
            tasks,
            sleeve: self.sleeve,
            datapath: self.datapath,
            store: self.store,
        }
    }
}

impl Running {
    /// Ends every task and thread; the kernel's part goes on
    pub(crate) async fn drain(self, ending: Ending) {
        self.tasks.wait().await;
        let (sleeve, datapath, store) = (self.sleeve, self.datapath, self.store);
        store.put(Slot::ENDED_AT, &unix_ms()).later();
        if ending == Ending::Stop {
            store.put(Slot::STOPPED, &true).later();
        }
        let stopped = tokio::task::spawn_blocking(move || {
            sleeve.stop();
            datapath.stop();
            store.close(LAST_WRITE);
            store.unwritten()
        });
        if let Ok(Some(error)) = stopped.await {
            log::error!("what changed last is lost: {:#}", anyhow::Error::from(error));
        }
    }
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| in_use("TCP", address.port()))
}

fn dns_settings(args: &Args, handout: Option<Handout>, clients: names::Clients) -> names::Settings {
    let upstreams = match args.dns_upstream.as_slice() {
        [] => names::Upstreams::File(args.resolv_conf.clone()),
        given => names::Upstreams::Given(given.iter().map(|ListenAddress(address)| *address).collect()),
    };
    names::Settings {
        authority: Authority {
            ttl: args.dns_ttl,
            networks: handout.iter().map(|handout| handout.range).collect(),
        },
        upstreams,
        clients,
    }
}

fn in_use(protocol: &str, port: u16) -> String {
    format!("cannot use {protocol} port {port}; is another weaved running? --port gives another")
}

fn nickname(args: &Args) -> anyhow::Result<NickName> {
    if let Some(nickname) = &args.nickname {
        return Ok(nickname.clone());
    }
    let host = nix::unistd::gethostname().context("cannot read the host name")?;
    host.to_string_lossy()
        .parse()
        .context("the host name is no nickname; give one with --nickname")
}

/// Peers to dial: those of the command line, and those of the last run
fn targets(asked: &[Target], past: Vec<Target>) -> Vec<Target> {
    let mut targets = asked.to_vec();
    for target in past {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}

fn unix_ms() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    clock.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
