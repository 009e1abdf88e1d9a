//! What is known of each neighbour's two paths: probes, keys, choice.
//!
//! No I/O: heartbeats and time come in; heartbeats, keys and changes of path go out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fallback_sleeve::datagram::SessionId;
use fallback_sleeve::heartbeat::Beat as BeatBody;
use fallback_sleeve::probe::{Output as Probed, PathProbe, ProbeConfig, ProbeStatus, Transmit};
use fallback_sleeve::rekey::{Keys, KeysConfig, Output as Keyed};
use fallback_sleeve::{Opener, Suite, mtu};
use gossip::Hello;
use model::{Mac, PathKind, PeerName};
use overlay::{ChooserConfig, FastdpHere, Health, Inputs, PathChooser};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use crate::sleeve::session::{Ends, Session};

/// The ethertype of heartbeat frames: IEEE 802 local experimental
pub(crate) const BEAT_ETHERTYPE: u16 = 0x88b5;
/// A neighbour that is back keeps its old choice this long, while the paths prove themselves again.
const RELEASE_AFTER: Duration = Duration::from_secs(2);

/// What the control task is to do for a neighbour
#[derive(Debug)]
pub(crate) enum Output {
    /// Send a heartbeat through the kernel's datapath
    Beat {
        peer: PeerName,
        udp_port: u16,
        local: Ipv4Addr,
        remote: Ipv4Addr,
        frame: Vec<u8>,
    },
    /// Send a heartbeat through the sleeve, padded to an outer IP packet of `size`
    Control {
        peer: PeerName,
        session: Arc<Session>,
        body: [u8; BeatBody::LEN],
        size: u16,
    },
    /// Tell the neighbour a key
    Offer {
        peer: PeerName,
        bytes: Zeroizing<Vec<u8>>,
    },
    /// Receive on a session
    Listen(Opener, Arc<Session>),
    /// Receive on it no longer
    Unlisten(SessionId),
    /// The neighbour's path is another than before
    PathChanged(PeerName),
}

/// What neighbours have in common
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Time between heartbeats
    pub(crate) heartbeat_interval: Duration,
    /// Whether this host could do fastdp
    pub(crate) fastdp: FastdpHere,
    /// The largest MTU of the underlay
    pub(crate) underlay_mtu: u16,
    /// The MTU of this host's containers
    pub(crate) overlay_mtu: u16,
}

/// A neighbour's control connection, as far as the data plane cares
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) encrypted: bool,
}

/// How frames go to a neighbour
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// By the kernel, between these addresses
    Fastdp {
        udp_port: u16,
        local: Ipv4Addr,
        remote: Ipv4Addr,
        mtu: u16,
    },
    /// By the sleeve
    Sleeve,
}

/// What `status connections` shows of a neighbour
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) path: Option<PathKind>,
    pub(crate) reason: Option<String>,
    pub(crate) mtu: Option<u16>,
    pub(crate) rtt: Option<Duration>,
    pub(crate) traffic: api::Traffic,
}

/// Every neighbour
pub(crate) struct Neighbours {
    settings: Settings,
    rng: StdRng,
    all: BTreeMap<PeerName, Neighbour>,
    outputs: VecDeque<Output>,
}

struct Neighbour {
    link: Link,
    /// Its index in session ids
    slot: u16,
    /// The outer address of the neighbour's kernel path
    fastdp_remote: Option<Ipv4Addr>,
    vxlan_port: u16,
    offers_fastdp: bool,
    /// The largest packet that the neighbour's containers take
    remote_mtu: u16,
    fastdp: Option<PathProbe>,
    sleeve: PathProbe,
    keys: Keys,
    session: Arc<Session>,
    chooser: PathChooser,
    /// The path in force, as it was published
    published: Option<Path>,
    /// When a choice that was held through a restart is made anew
    release_at: Option<Instant>,
}

impl Neighbours {
    /// None yet
    pub(crate) const fn new(settings: Settings, rng: StdRng) -> Self {
        Self {
            settings,
            rng,
            all: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A neighbour's control connection is up
    pub(crate) fn up(&mut self, peer: PeerName, hello: &Hello, link: Link, resumed: bool, now: Instant) {
        if self
            .all
            .get(&peer)
            .is_some_and(|before| !resumed || before.link.encrypted != link.encrypted)
        {
            self.down(peer);
        }
        let before = self.all.remove(&peer);
        let ipv4 = ipv4(link.local.ip()).zip(ipv4(link.remote.ip()));
        let capable = self.settings.fastdp == FastdpHere::Capable && hello.offer.fastdp && !link.encrypted;
        let ends = Ends {
            local: Some(link.local.ip()),
            remote: SocketAddr::new(link.remote.ip(), hello.offer.sleeve_port),
        };
        let config = ProbeConfig {
            interval: self.settings.heartbeat_interval,
            ceiling: self.settings.underlay_mtu,
            ..ProbeConfig::default()
        };
        let fastdp =
            (capable && ipv4.is_some()).then(|| PathProbe::new(config.clone(), self.rng.next_u64(), now));
        let sleeve = PathProbe::new(config, self.rng.next_u64(), now);
        let neighbour = match before {
            Some(before) => {
                before.session.set_ends(ends);
                let mut neighbour = Neighbour {
                    link,
                    fastdp,
                    sleeve,
                    ..before
                };
                neighbour.chooser.hold();
                neighbour.keys.reconnected(now);
                neighbour.release_at = Some(now + RELEASE_AFTER);
                neighbour
            }
            None => {
                let slot = self.free_slot();
                let suite = if link.encrypted {
                    Suite::fastest_sealed()
                } else {
                    Suite::Clear
                };
                let rng = StdRng::from_rng(&mut self.rng);
                Neighbour {
                    link,
                    slot,
                    fastdp_remote: None,
                    vxlan_port: hello.offer.vxlan_port,
                    offers_fastdp: hello.offer.fastdp,
                    remote_mtu: hello.offer.overlay_mtu,
                    fastdp,
                    sleeve,
                    keys: Keys::new(KeysConfig::new(suite, slot), rng, now),
                    session: Arc::new(Session::new(peer, ends, self.settings.overlay_mtu)),
                    chooser: PathChooser::new(ChooserConfig::default()),
                    published: None,
                    release_at: None,
                }
            }
        };
        let neighbour = Neighbour {
            fastdp_remote: ipv4.map(|(_, remote)| remote),
            vxlan_port: hello.offer.vxlan_port,
            offers_fastdp: hello.offer.fastdp,
            remote_mtu: hello.offer.overlay_mtu,
            ..neighbour
        };
        self.all.insert(peer, neighbour);
        self.after(peer, now);
    }

    /// A neighbour's control connection ended, and may be back: what is in force stays
    pub(crate) fn held(&mut self, peer: PeerName) {
        if let Some(neighbour) = self.all.get_mut(&peer) {
            neighbour.chooser.hold();
            neighbour.release_at = None;
            neighbour.sleeve.freeze();
            if let Some(fastdp) = &mut neighbour.fastdp {
                fastdp.freeze();
            }
        }
    }

    /// A neighbour is gone
    pub(crate) fn down(&mut self, peer: PeerName) {
        if let Some(mut neighbour) = self.all.remove(&peer) {
            neighbour.keys.shut_down();
            neighbour.speak_keys(peer, &mut self.outputs);
        }
    }

    /// A heartbeat came through the kernel's datapath, in a frame of `frame_len` bytes
    pub(crate) fn beat(
        &mut self,
        peer: PeerName,
        from: Ipv4Addr,
        body: &[u8],
        frame_len: usize,
        now: Instant,
    ) {
        let Some(neighbour) = self.all.get_mut(&peer) else {
            return;
        };
        let Some(fastdp) = &mut neighbour.fastdp else {
            return;
        };
        match fastdp.handle_beat(body, mtu::fastdp_packet_size(frame_len), now) {
            Ok(()) => neighbour.fastdp_remote = Some(from),
            Err(error) => log::debug!("fastdp heartbeat from {peer} at {from}: {error}"),
        }
        self.after(peer, now);
    }

    /// A heartbeat came through the sleeve, in a datagram of `len` bytes
    pub(crate) fn control(
        &mut self,
        peer: PeerName,
        from: SocketAddr,
        body: &[u8],
        len: usize,
        now: Instant,
    ) {
        let Some(neighbour) = self.all.get_mut(&peer) else {
            return;
        };
        match neighbour
            .sleeve
            .handle_beat(body, mtu::sleeve_packet_size(len), now)
        {
            Ok(()) => {
                let ends = neighbour.session.ends();
                if ends.remote != from {
                    log::info!("{peer} is at {from} on the sleeve");
                    neighbour.session.set_ends(Ends { remote: from, ..ends });
                }
            }
            Err(error) => log::debug!("sleeve heartbeat from {peer} at {from}: {error}"),
        }
        self.after(peer, now);
    }

    /// A message about keys came over the neighbour's control connection
    pub(crate) fn key_message(&mut self, peer: PeerName, message: &[u8], now: Instant) {
        let Some(neighbour) = self.all.get_mut(&peer) else {
            return;
        };
        if let Err(error) = neighbour.keys.handle_message(message, now) {
            log::debug!("key message from {peer}: {error}");
        }
        self.after(peer, now);
    }

    /// The kernel would not send a heartbeat of this size to a neighbour
    pub(crate) fn refused(&mut self, peer: PeerName, kind: PathKind, size: u16, now: Instant) {
        let Some(neighbour) = self.all.get_mut(&peer) else {
            return;
        };
        match (kind, &mut neighbour.fastdp) {
            (PathKind::Fastdp, Some(fastdp)) => fastdp.refused(size, now),
            (PathKind::Fastdp, None) => {}
            (PathKind::Sleeve, _) => neighbour.sleeve.refused(size, now),
        }
        self.after(peer, now);
    }

    /// The underlay changed, and with it perhaps its MTU
    pub(crate) fn network_changed(&mut self, underlay_mtu: u16, now: Instant) {
        self.settings.underlay_mtu = underlay_mtu;
        let peers: Vec<PeerName> = self.all.keys().copied().collect();
        for peer in peers {
            if let Some(neighbour) = self.all.get_mut(&peer) {
                neighbour.sleeve.network_changed(underlay_mtu, now);
                if let Some(fastdp) = &mut neighbour.fastdp {
                    fastdp.network_changed(underlay_mtu, now);
                }
            }
            self.after(peer, now);
        }
    }

    /// Does what is due
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due = self
            .all
            .iter()
            .filter(|(_, neighbour)| neighbour.timeout().is_some_and(|at| at <= now));
        let due: Vec<PeerName> = due.map(|(peer, _)| *peer).collect();
        for peer in due {
            if let Some(neighbour) = self.all.get_mut(&peer) {
                neighbour.handle_timeout(now);
            }
            self.after(peer, now);
        }
    }

    /// When to call [`Neighbours::handle_timeout`]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.all.values().filter_map(Neighbour::timeout).min()
    }

    /// What to do next
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The path in force to a neighbour
    pub(crate) fn path(&self, peer: PeerName) -> Option<Path> {
        self.all.get(&peer)?.published
    }

    /// Every neighbour's sleeve, and the kind of its path
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (PeerName, overlay::Neighbour<Arc<Session>>)> {
        self.all.iter().map(|(peer, neighbour)| {
            let path = neighbour.published.map(|path| path.kind());
            (
                *peer,
                overlay::Neighbour {
                    session: Arc::clone(&neighbour.session),
                    path,
                },
            )
        })
    }

    /// What `status connections` shows of a neighbour
    pub(crate) fn view(&self, peer: PeerName) -> Option<View> {
        let neighbour = self.all.get(&peer)?;
        let choice = neighbour.chooser.choice();
        let fastdp = neighbour.fastdp.as_ref().map(PathProbe::status);
        let rtt = match neighbour.published.map(|path| path.kind()) {
            Some(PathKind::Fastdp) => fastdp.and_then(|status| status.rtt),
            Some(PathKind::Sleeve) => neighbour.sleeve.status().rtt,
            None => None,
        };
        Some(View {
            path: neighbour.published.map(|path| path.kind()),
            reason: choice.reason.map(|reason| reason.to_string()),
            mtu: choice.mtu,
            rtt,
            traffic: (&neighbour.session.traffic).into(),
        })
    }

    /// Lets a neighbour's machines speak, and publishes its path where that changed
    fn after(&mut self, peer: PeerName, now: Instant) {
        let Some(neighbour) = self.all.get_mut(&peer) else {
            return;
        };
        neighbour.speak_keys(peer, &mut self.outputs);
        neighbour.speak_probes(peer, &mut self.outputs);
        neighbour.choose(&self.settings, now);
        let path = neighbour.path(self.settings.overlay_mtu);
        if path != neighbour.published {
            let reason = neighbour.chooser.choice().reason;
            log_path(peer, path, reason);
            neighbour.published = path;
            self.outputs.push_back(Output::PathChanged(peer));
        }
    }

    fn free_slot(&self) -> u16 {
        let taken: BTreeSet<u16> = self.all.values().map(|neighbour| neighbour.slot).collect();
        (0..SessionId::SLOTS)
            .find(|slot| !taken.contains(slot))
            .unwrap_or(0)
    }
}

impl Neighbour {
    fn timeout(&self) -> Option<Instant> {
        let probes = [Some(&self.sleeve), self.fastdp.as_ref()].into_iter().flatten();
        let probes = probes.filter_map(|probe| Some(probe.poll_timeout()?.0));
        let others = [
            self.keys.poll_timeout().map(|due| due.0),
            self.chooser.poll_timeout().map(|due| due.0),
        ];
        probes
            .chain(others.into_iter().flatten())
            .chain(self.release_at)
            .min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.sleeve.handle_timeout(now);
        if let Some(fastdp) = &mut self.fastdp {
            fastdp.handle_timeout(now);
        }
        self.keys.handle_timeout(now);
        let _with_choose = self.chooser.handle_timeout(now);
    }

    fn speak_keys(&mut self, peer: PeerName, outputs: &mut VecDeque<Output>) {
        while let Some(output) = self.keys.poll_output() {
            match output {
                Keyed::Open(opener) => outputs.push_back(Output::Listen(opener, Arc::clone(&self.session))),
                Keyed::Close(session) => outputs.push_back(Output::Unlisten(session)),
                Keyed::Seal(sealer) => self.session.set_sealer(Arc::new(sealer)),
                Keyed::Send(bytes) => outputs.push_back(Output::Offer { peer, bytes }),
            }
        }
    }

    fn speak_probes(&mut self, peer: PeerName, outputs: &mut VecDeque<Output>) {
        while let Some(output) = self.sleeve.poll_output() {
            if let Probed::Transmit(Transmit { body, pad_to }) = output {
                let (session, size) = (Arc::clone(&self.session), pad_to);
                outputs.push_back(Output::Control {
                    peer,
                    session,
                    body,
                    size,
                });
            }
        }
        let (Some(fastdp), Some(local), Some(remote)) =
            (&mut self.fastdp, ipv4(self.link.local.ip()), self.fastdp_remote)
        else {
            return;
        };
        while let Some(output) = fastdp.poll_output() {
            if let Probed::Transmit(Transmit { body, pad_to }) = output {
                let frame = beat_frame(&body, mtu::fastdp_frame_len(pad_to));
                let udp_port = self.vxlan_port;
                outputs.push_back(Output::Beat {
                    peer,
                    udp_port,
                    local,
                    remote,
                    frame,
                });
            }
        }
    }

    fn choose(&mut self, settings: &Settings, now: Instant) {
        let suite = if self.link.encrypted {
            Suite::fastest_sealed()
        } else {
            Suite::Clear
        };
        let health = |status: &ProbeStatus, kind| health(status, kind, suite, now);
        let fastdp = self.fastdp.as_ref().map(PathProbe::status);
        let inputs = Inputs {
            fastdp: fastdp.map_or(Health::Unproven, |status| health(&status, PathKind::Fastdp)),
            sleeve: health(&self.sleeve.status(), PathKind::Sleeve),
            encrypted: self.link.encrypted,
            here: settings.fastdp,
            there: self.offers_fastdp,
            ipv4: ipv4(self.link.local.ip()).is_some() && ipv4(self.link.remote.ip()).is_some(),
            vxlan_port: self.vxlan_port,
        };
        let _compared_by_path = self.chooser.update(inputs, now);
        // A neighbour that is back is taken at its word once a path of it works again, or time is up.
        let proven = matches!(inputs.fastdp, Health::Up { .. }) || matches!(inputs.sleeve, Health::Up { .. });
        let settled = match self.published {
            Some(Path::Fastdp { .. }) => matches!(inputs.fastdp, Health::Up { .. }),
            Some(Path::Sleeve) | None => proven,
        };
        if self.release_at.is_some_and(|at| settled || at <= now) {
            self.release_at = None;
            let _compared_by_path = self.chooser.release(now);
        }
        if let Some(mtu) = mtu_of(&inputs.sleeve) {
            self.session.set_mtu(mtu.min(self.remote_mtu));
        }
    }

    /// The path of the choice in force, with the addresses and the MTU of this moment
    fn path(&self, overlay_mtu: u16) -> Option<Path> {
        let choice = self.chooser.choice();
        match choice.path? {
            PathKind::Sleeve => Some(Path::Sleeve),
            PathKind::Fastdp => Some(Path::Fastdp {
                udp_port: self.vxlan_port,
                local: ipv4(self.link.local.ip())?,
                remote: self.fastdp_remote?,
                // Until the path is measured it is taken to carry what the containers send.
                mtu: choice.mtu.unwrap_or(overlay_mtu).min(self.remote_mtu),
            }),
        }
    }
}

impl Path {
    /// Which of the two
    pub(crate) const fn kind(self) -> PathKind {
        match self {
            Self::Fastdp { .. } => PathKind::Fastdp,
            Self::Sleeve => PathKind::Sleeve,
        }
    }
}

fn health(status: &ProbeStatus, kind: PathKind, suite: Suite, now: Instant) -> Health {
    if status.up {
        let mtu = status.mtu.map(|size| mtu::inner_mtu(size, kind, suite));
        return Health::Up { mtu, rtt: status.rtt };
    }
    match status.last_heard {
        Some(at) => Health::Down {
            silent: now.saturating_duration_since(at),
        },
        None => Health::Unproven,
    }
}

const fn mtu_of(health: &Health) -> Option<u16> {
    match health {
        Health::Up { mtu, .. } => *mtu,
        Health::Unproven | Health::Down { .. } => None,
    }
}

/// An Ethernet frame from nobody to nobody, which no host's flows match
fn beat_frame(body: &[u8], len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(len.max(MIN_FRAME));
    frame.extend_from_slice(&Mac::ZERO.octets());
    frame.extend_from_slice(&Mac::ZERO.octets());
    frame.extend_from_slice(&BEAT_ETHERTYPE.to_be_bytes());
    frame.extend_from_slice(body);
    frame.resize(len.max(frame.len()).max(MIN_FRAME), 0);
    frame
}

fn log_path(peer: PeerName, path: Option<Path>, reason: Option<overlay::Reason>) {
    match (path.map(Path::kind), reason) {
        (Some(kind), None) => log::info!("{peer}: path {kind}"),
        (Some(kind), Some(reason)) => log::info!("{peer}: path {kind}: {reason}"),
        (None, Some(reason)) => log::warn!("{peer}: no path: {reason}"),
        (None, None) => log::warn!("{peer}: no path"),
    }
}

const fn ipv4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
    }
}

/// Without the checksum, as Ethernet has it
const MIN_FRAME: usize = 60;
