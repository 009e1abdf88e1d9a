//! What is known of each neighbour's two paths: probes, keys, choice.
//!
//! No I/O: heartbeats and time come in; heartbeats, keys and changes of path go out.

mod beat;
pub(crate) mod gate;
mod neighbour;
mod path;
mod probes;
mod way;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fallback_sleeve::Opener;
use fallback_sleeve::datagram::SessionId;
use fallback_sleeve::heartbeat::Beat;
use fallback_sleeve::rekey::KeyMessageError;
use gossip::{Entropy, Hello};
use model::{PathKind, PeerName};
use overlay::FastdpHere;
use rand::CryptoRng;
use zeroize::Zeroizing;

pub(crate) use self::beat::BEAT_ETHERTYPE;
use self::gate::BeatGate;
use self::neighbour::Neighbour;
pub(crate) use self::path::Path;
pub(crate) use self::way::BeatKeys;
use crate::sleeve::session::Session;

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
        to: SocketAddr,
        body: [u8; Beat::LEN],
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
    /// Whether the neighbour may use fastdp, and where it has proved itself, is another than before
    Fastdp(PeerName, Option<Fastdp>),
    /// The neighbour's path is another than before
    PathChanged(PeerName),
}

/// A neighbour that may use fastdp, whichever path frames to it take
#[derive(Debug, Clone)]
pub(crate) struct Fastdp {
    /// What its heartbeats are checked by
    pub(crate) gate: Arc<BeatGate>,
    /// Where it expects frames
    pub(crate) udp_port: u16,
    /// The address from which frames are accepted, once it is proved
    pub(crate) proved: Option<Ipv4Addr>,
}

/// What neighbours have in common
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Time between heartbeats
    pub(crate) heartbeat_interval: Duration,
    /// Heartbeats to all are due at the same moments, some intervals after this: one wake-up for many
    pub(crate) heartbeat_grid: Instant,
    /// Whether this host could do fastdp
    pub(crate) fastdp: FastdpHere,
    /// The UDP port that neighbours send fastdp's datagrams to
    pub(crate) vxlan_port: u16,
    /// UDP ports for which no VXLAN port can be made
    pub(crate) failing_ports: BTreeSet<u16>,
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

impl Link {
    fn local_ipv4(&self) -> Option<Ipv4Addr> {
        ipv4(self.local.ip())
    }

    fn remote_ipv4(&self) -> Option<Ipv4Addr> {
        ipv4(self.remote.ip())
    }

    /// Whether both ends have the addresses that a VXLAN tunnel needs
    fn is_ipv4(&self) -> bool {
        self.local_ipv4().is_some() && self.remote_ipv4().is_some()
    }
}

const fn ipv4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
    }
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
    entropy: Entropy,
    all: BTreeMap<PeerName, Neighbour>,
    outputs: VecDeque<Output>,
}

impl Neighbours {
    /// No neighbors yet; `entropy` draws their keys
    pub(crate) const fn new(settings: Settings, entropy: Entropy) -> Self {
        Self {
            settings,
            entropy,
            all: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A neighbour's control connection is up
    pub(crate) fn up(
        &mut self,
        peer: PeerName,
        hello: &Hello,
        (link, keys): (Link, &BeatKeys),
        resumed: bool,
        now: Instant,
    ) {
        if self
            .all
            .get(&peer)
            .is_some_and(|before| !resumed || before.is_encrypted() != link.encrypted)
        {
            self.down(peer);
        }
        let slot = self.free_slot();
        let (settings, rng) = (&self.settings, self.entropy.rng());
        match self.all.get_mut(&peer) {
            Some(neighbour) => neighbour.back(hello.offer, (link, keys), settings, rng, now),
            None => {
                let neighbour = Neighbour::new((peer, slot), hello.offer, (link, keys), settings, rng, now);
                self.all.insert(peer, neighbour);
            }
        }
        self.after(peer, now);
    }

    /// A neighbour's control connection ended, and may be back: what is in force stays
    pub(crate) fn held(&mut self, peer: PeerName) {
        if let Some(neighbour) = self.all.get_mut(&peer) {
            neighbour.hold();
        }
    }

    /// A neighbour is gone
    pub(crate) fn down(&mut self, peer: PeerName) {
        if let Some(mut neighbour) = self.all.remove(&peer) {
            neighbour.shut_down(&mut self.outputs);
        }
    }

    /// A genuine heartbeat came through the kernel's datapath, in a frame of `frame_len` bytes
    pub(crate) fn beat(
        &mut self,
        peer: PeerName,
        from: Ipv4Addr,
        beat: Beat,
        frame_len: usize,
        now: Instant,
    ) {
        self.with(peer, now, |neighbour, rng| {
            neighbour.beat(from, beat, frame_len, rng, now);
        });
    }

    /// A genuine heartbeat came through the sleeve, in a datagram of `len` bytes
    pub(crate) fn control(&mut self, peer: PeerName, from: SocketAddr, beat: Beat, len: usize, now: Instant) {
        self.with(peer, now, |neighbour, rng| {
            neighbour.control(from, beat, len, rng, now);
        });
    }

    /// A message about keys came over the neighbour's control connection
    ///
    /// # Errors
    ///
    /// If no peer would send it; it changed nothing.
    pub(crate) fn key_message(
        &mut self,
        peer: PeerName,
        message: &[u8],
        now: Instant,
    ) -> Result<(), KeyMessageError> {
        let mut heard = Ok(());
        self.with(peer, now, |neighbour, _rng| {
            heard = neighbour.key_message(message, now)
        });
        heard
    }

    /// The kernel would not send a heartbeat of this size to a neighbour
    pub(crate) fn refused(&mut self, peer: PeerName, kind: PathKind, size: u16, now: Instant) {
        self.with(peer, now, |neighbour, _rng| neighbour.refused(kind, size, now));
    }

    /// The VXLAN ports for these UDP ports cannot be made
    pub(crate) fn vxlan_ports_failing(&mut self, ports: BTreeSet<u16>, now: Instant) {
        self.settings.failing_ports = ports;
        let peers: Vec<PeerName> = self.all.keys().copied().collect();
        for peer in peers {
            self.with(peer, now, |_neighbour, _rng| {});
        }
    }

    /// The underlay changed, and with it perhaps its MTU
    pub(crate) fn network_changed(&mut self, underlay_mtu: u16, now: Instant) {
        self.settings.underlay_mtu = underlay_mtu;
        let peers: Vec<PeerName> = self.all.keys().copied().collect();
        for peer in peers {
            self.with(peer, now, |neighbour, _rng| {
                neighbour.network_changed(underlay_mtu, now)
            });
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
            self.with(peer, now, |neighbour, rng| neighbour.handle_timeout(rng, now));
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
        self.all.get(&peer)?.published()
    }

    /// Every neighbour's sleeve, and the kind of its path
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (PeerName, overlay::Neighbour<Arc<Session>>)> {
        self.all
            .iter()
            .map(|(peer, neighbour)| (*peer, neighbour.session()))
    }

    /// What `status connections` shows of a neighbour
    pub(crate) fn view(&self, peer: PeerName) -> Option<View> {
        Some(self.all.get(&peer)?.view())
    }

    /// Tells a neighbour something, lets its machines speak, and publishes its path where that changed
    fn with(&mut self, peer: PeerName, now: Instant, tell: impl FnOnce(&mut Neighbour, &mut dyn CryptoRng)) {
        if let Some(neighbour) = self.all.get_mut(&peer) {
            tell(neighbour, self.entropy.rng());
            self.after(peer, now);
        }
    }

    fn after(&mut self, peer: PeerName, now: Instant) {
        if let Some(neighbour) = self.all.get_mut(&peer)
            && neighbour.speak(&self.settings, &mut self.outputs, now)
        {
            self.outputs.push_back(Output::PathChanged(peer));
        }
    }

    fn free_slot(&self) -> u16 {
        let taken: BTreeSet<u16> = self.all.values().map(Neighbour::slot).collect();
        (0..SessionId::SLOTS)
            .find(|slot| !taken.contains(slot))
            .unwrap_or(0)
    }
}
