//! One host: its plane, and what it has been told to do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dns::{Domain, Names, Zone};
use fallback_sleeve::datagram::SessionId;
use fallback_sleeve::{Suite, mtu};
use gossip::{Config, Entropy, Held, Identity, Mesh, NetworkName, Offer, Passwords, Psk, Timers};
use model::{PathKind, PeerName, ShortId, Target, Uid};
use overlay::{FastdpHere, Mode};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use super::PORT;
use crate::cipher;
use crate::control::command::{Command, Kept};
use crate::control::facts::Facts;
use crate::control::plane::{Common, Plane};
use crate::neighbours::gate::BeatDrop;
use crate::neighbours::{Fastdp, Neighbours, Path, Settings};
use crate::sleeve::Session;
use crate::views;

/// How a host differs from the usual one, which has Open vSwitch, no password, and an underlay of 1500
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) fastdp: FastdpHere,
    pub(crate) password: bool,
    pub(crate) address: Option<IpAddr>,
    pub(crate) underlay_mtu: u16,
    pub(crate) overlay_mtu: Option<u16>,
}

impl Setup {
    pub(crate) const USUAL: Self = Self {
        fastdp: FastdpHere::Capable,
        password: false,
        address: None,
        underlay_mtu: 1500,
        overlay_mtu: None,
    };
}

/// A host, also while no daemon runs on it
pub(crate) struct Host {
    setup: Setup,
    index: usize,
    pub(crate) key: Identity,
    starts: u64,
    pub(crate) address: IpAddr,
    /// The address that others see it at, where something on the way translates
    pub(crate) translated: Option<IpAddr>,
    pub(crate) underlay_mtu: u16,
    pub(crate) plane: Option<Plane>,
    /// Sessions that the sleeve receives, and whose they are
    pub(crate) listening: BTreeMap<SessionId, Arc<Session>>,
    /// Neighbours that may use fastdp
    pub(crate) fastdp: BTreeMap<PeerName, Fastdp>,
    /// Heartbeats that were refused before control heard of them
    pub(crate) refused: Vec<BeatDrop>,
    /// What the switch was told of its neighbours' paths, and when
    pub(crate) paths: Vec<(Duration, PeerName, Option<Path>)>,
    /// What is answered about names
    pub(crate) zone: Option<Zone>,
    /// When adopted flows were settled
    pub(crate) settled: Vec<Duration>,
    /// Stations that a bridge was told to forget
    pub(crate) forgotten: Vec<ShortId>,
    pub(crate) expiries: usize,
    /// Heartbeats sent
    pub(super) beats: u64,
    /// What outlives the daemon, as often as it was written
    pub(crate) kept: Vec<Kept>,
    /// What whoever asked for addresses was answered
    pub(crate) granted: Vec<ipam::Ticket>,
}

impl Host {
    pub(super) fn new(index: usize, setup: Setup) -> Self {
        let mut rng = StdRng::seed_from_u64(1000 + index as u64);
        let usual = Ipv4Addr::new(192, 0, 2, 1 + index as u8);
        Self {
            address: setup.address.unwrap_or_else(|| usual.into()),
            translated: None,
            underlay_mtu: setup.underlay_mtu,
            setup,
            index,
            key: Identity::generate(&mut rng),
            starts: 0,
            plane: None,
            listening: BTreeMap::new(),
            fastdp: BTreeMap::new(),
            refused: Vec::new(),
            paths: Vec::new(),
            zone: None,
            settled: Vec::new(),
            forgotten: Vec::new(),
            expiries: 0,
            beats: 0,
            kept: Vec::new(),
            granted: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> PeerName {
        self.key.peer_name()
    }

    /// Where its datagrams seem to come from
    pub(super) fn seen_at(&self) -> IpAddr {
        self.translated.unwrap_or(self.address)
    }

    /// Whether datagrams to this address come to it
    pub(super) fn is_at(&self, address: IpAddr) -> bool {
        self.seen_at() == address
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            host: self.address.to_string(),
            port: None,
        }
    }

    pub(crate) fn plane(&self) -> &Plane {
        self.plane.as_ref().unwrap()
    }

    /// The next start is with another setup
    pub(crate) fn set_up(&mut self, setup: Setup) {
        self.underlay_mtu = setup.underlay_mtu;
        self.setup = setup;
    }

    /// What an IP header of this host has more than one of IPv4
    pub(super) fn longer_headers(&self) -> u16 {
        if self.address.is_ipv6() { 20 } else { 0 }
    }

    pub(super) fn has_openvswitch(&self) -> bool {
        self.setup.fastdp == FastdpHere::Capable
    }

    /// The path that was last published
    pub(crate) fn path_to(&self, other: &Self) -> Option<PathKind> {
        let plane = self.plane.as_ref()?;
        Some(plane.neighbours.path(other.name())?.kind())
    }

    /// Every path to another host, in turn
    pub(crate) fn paths_to(&self, other: &Self) -> Vec<(Duration, Option<Path>)> {
        let paths = self.paths.iter().filter(|(_, peer, _)| *peer == other.name());
        paths.map(|(at, _, path)| (*at, *path)).collect()
    }

    /// What `status connections` says, in short
    pub(crate) fn line(&self, now: Instant) -> String {
        let Some(plane) = &self.plane else {
            return "not running".to_owned();
        };
        let lines = views::connections(plane, now).into_iter().map(|connection| {
            let mut line = connection.state.to_string();
            if let Some(path) = connection.path {
                line += &format!(" {path}");
            }
            if let Some(mtu) = connection.mtu {
                line += &format!(" {mtu}");
            }
            if let Some(why) = connection.reason.or(connection.error) {
                line += &format!(" ({why})");
            }
            line
        });
        lines.collect::<Vec<_>>().join("; ")
    }

    pub(super) fn boot(&mut self, now: Instant) {
        self.starts += 1;
        let seed = self.starts * 100 + self.index as u64;
        let mut rng = StdRng::seed_from_u64(seed);
        let setup = self.setup.clone();
        let suite = if setup.password {
            cipher::fastest()
        } else {
            Suite::Clear
        };
        let fitting = mtu::inner_mtu(setup.underlay_mtu, PathKind::Sleeve, suite);
        let overlay_mtu = setup.overlay_mtu.unwrap_or(fitting);
        let (mut short_id, mut targets, mut neighbours) = (None, Vec::new(), Vec::new());
        let (mut pins, mut bans) = (Vec::new(), Vec::new());
        for kept in &self.kept {
            match kept.clone() {
                Kept::ShortId(kept) => short_id = Some(kept),
                Kept::Targets(kept) => targets = kept,
                Kept::Neighbours(kept) => neighbours = kept,
                Kept::Pins(kept) => pins = kept,
                Kept::Bans(kept) => bans = kept,
                Kept::Nicknames(_) | Kept::Addresses(..) => {}
            }
        }
        let held = |(peer, address): (PeerName, SocketAddr)| Held { peer, address };
        let held: Vec<Held> = neighbours.into_iter().map(held).collect();
        let timers = Timers::default();
        let nickname: model::NickName = format!("host{}", self.index + 1).parse().unwrap();
        let uid = Uid(seed);
        let mut mesh = Mesh::new(
            Config {
                name: self.name(),
                nickname: nickname.clone(),
                identity: self.key.clone(),
                network: NetworkName::default(),
                passwords: Passwords::of(setup.password.then(|| Psk::new(Zeroizing::new([7; 32])))),
                entropy: Entropy::new(StdRng::from_rng(&mut rng)),
                pins,
                bans,
                unix_ms: 1_000_000 + self.starts,
                short_id,
                epoch: self.starts,
                uid,
                control_port: PORT,
                version: "1".to_owned(),
                discovery: true,
                conn_limit: None,
                trusted_subnets: Vec::new(),
                offer: Offer {
                    fastdp: setup.fastdp == FastdpHere::Capable,
                    vxlan_port: PORT + 1,
                    sleeve_port: PORT,
                    overlay_mtu,
                },
                held: held.clone(),
                timers,
            },
            StdRng::from_rng(&mut rng),
            now,
        );
        mesh.set_targets(targets, true, now);
        let settings = Settings {
            heartbeat_interval: Duration::from_millis(500),
            heartbeat_grid: now,
            fastdp: setup.fastdp,
            vxlan_port: PORT + 1,
            failing_ports: BTreeSet::new(),
            underlay_mtu: setup.underlay_mtu,
            overlay_mtu,
        };
        let facts = Facts {
            network: NetworkName::default(),
            weak_password: false,
            name: self.name(),
            nickname,
            uid,
            port: PORT,
            host: self.address,
            encryption: setup.password,
            discovery: true,
            overlay_mtu,
            datapath: "weave".parse().unwrap(),
            trusted_subnets: Vec::new(),
            default_subnet: None,
            dns_domain: Domain::default(),
            has_names: true,
            restart_grace: timers.restart_grace,
            mode: if self.has_openvswitch() {
                Mode::Tagged
            } else {
                Mode::Bridge
            },
            sleeve_threads: 1,
        };
        let neighbours = Neighbours::new(settings, Entropy::new(rng));
        let held = held.iter().map(|held| held.peer).collect();
        let common = Common {
            names: Names::new(self.name(), self.key.clone(), self.starts, Domain::default()),
            ipam: None,
            nicknames: BTreeMap::new(),
        };
        self.listening.clear();
        self.fastdp.clear();
        self.plane = Some(Plane::new(facts, mesh, neighbours, common, held, now));
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.plane.as_ref()?.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(plane) = &mut self.plane {
            plane.handle_timeout(now);
        }
    }

    pub(super) fn poll_command(&mut self, now: Instant) -> Option<Command> {
        self.plane.as_mut()?.poll_command(now)
    }

    /// Carries out what stays on this host
    pub(super) fn take(&mut self, command: Command, elapsed: Duration) {
        match command {
            Command::Listen(opener, session) => {
                let before = self.listening.insert(opener.session(), session);
                assert!(
                    before.is_none(),
                    "a session id of two neighbours, or offered twice"
                );
            }
            Command::Unlisten(session) => {
                let listened = self.listening.remove(&session);
                assert!(listened.is_some(), "a session that was not listened to");
            }
            Command::SetFastdp(peer, fastdp) => drop(match fastdp {
                Some(fastdp) => self.fastdp.insert(peer, fastdp),
                None => self.fastdp.remove(&peer),
            }),
            Command::SetPath(peer, path) => self.paths.push((elapsed, peer, path)),
            Command::Settle => self.settled.push(elapsed),
            Command::ForgetStations(peer) => self.forgotten.push(peer),
            Command::ExpireStations => self.expiries += 1,
            Command::Keep(kept) => self.kept.push(kept),
            Command::PublishNames(zone) => self.zone = Some(zone),
            Command::Answer(ticket, answer) => {
                assert!(answer.is_ok(), "{answer:?}");
                self.granted.push(ticket);
            }
            Command::SetRoutes(_) | Command::Forward(_) | Command::Note(_) => {}
            Command::Dial { .. }
            | Command::Send { .. }
            | Command::Close { .. }
            | Command::Beat(_)
            | Command::Control { .. } => unreachable!("does not stay on its host"),
        }
    }
}
