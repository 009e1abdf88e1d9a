//! One neighbour: its machines, and what they come to together.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fallback_sleeve::heartbeat::Beat;
use fallback_sleeve::probe::Transmit;
use fallback_sleeve::rekey::{KeyMessageError, Keys, KeysConfig, KeysError, Output as Keyed};
use fallback_sleeve::{Suite, mtu};
use gossip::Offer;
use model::{PathKind, PeerName};
use overlay::{Announcer, ChooserConfig, Health, Inputs, PathChooser};
use rand::CryptoRng;

use super::beat::beat_frame;
use super::gate::BeatGate;
use super::path::announce;
use super::probes::Probes;
use super::way::{BeatKeys, Way};
use super::{Fastdp, Link, Output, Path, Settings, View};
use crate::cipher;
use crate::sleeve::session::{Ends, Session};

/// A neighbour that is back keeps its old choice this long, while the paths prove themselves again.
const RELEASE_AFTER: Duration = Duration::from_secs(2);

/// A neighbour whose control connection is up, or was until a moment ago
pub(super) struct Neighbour {
    peer: PeerName,
    link: Link,
    offer: Offer,
    /// Its index in session ids
    slot: u16,
    probes: Probes,
    /// The kernel's path, where both ends have addresses for it
    fastdp: Option<Way<Ipv4Addr>>,
    sleeve: Way<SocketAddr>,
    /// Where the neighbour has proved itself for fastdp
    proved: Option<Ipv4Addr>,
    /// What the switch was told of that: UDP port and proved address; none for nothing yet
    told: Option<Option<(u16, Option<Ipv4Addr>)>>,
    /// Heartbeats that answer others
    answers: Vec<Output>,
    keys: Keys,
    session: Arc<Session>,
    chooser: PathChooser,
    announcer: Announcer,
    /// The path in force, as it was published
    published: Option<Path>,
    /// When a choice that was held through a restart is made anew
    release_at: Option<Instant>,
}

impl Neighbour {
    /// A neighbour that nothing is known of but what it says of itself
    pub(super) fn new(
        (peer, slot): (PeerName, u16),
        offer: Offer,
        (link, beat_keys): (Link, &BeatKeys),
        settings: &Settings,
        rng: &mut dyn CryptoRng,
        now: Instant,
    ) -> Self {
        let probes = Probes::new(&offer, &link, settings, slot, rng, now);
        let keys = KeysConfig::new(suite(&link), slot);
        let ends = ends(&offer, &link);
        let session = Session::new(peer, ends, settings.overlay_mtu);
        let gate = Arc::clone(&session.beats);
        Self {
            peer,
            link,
            offer,
            slot,
            fastdp: fastdp_way(&link, beat_keys),
            sleeve: Way::new(PathKind::Sleeve, gate, beat_keys, ends.remote),
            proved: None,
            told: None,
            answers: Vec::new(),
            probes,
            keys: Keys::new(keys, rng, now),
            session: Arc::new(session),
            chooser: PathChooser::new(ChooserConfig::default()),
            announcer: Announcer::new(grace(settings.heartbeat_interval), now),
            published: None,
            release_at: None,
        }
    }

    /// It is back, on a new connection: its path stays for the time that its probes take to start anew
    pub(super) fn back(
        &mut self,
        offer: Offer,
        (link, beat_keys): (Link, &BeatKeys),
        settings: &Settings,
        rng: &mut dyn CryptoRng,
        now: Instant,
    ) {
        self.probes = Probes::new(&offer, &link, settings, self.slot, rng, now);
        let ends = ends(&offer, &link);
        self.session.set_ends(ends);
        self.sleeve.back(beat_keys, ends.remote);
        match (&mut self.fastdp, link.remote_ipv4()) {
            (Some(fastdp), Some(remote)) => fastdp.back(beat_keys, remote),
            (fastdp, _) => *fastdp = fastdp_way(&link, beat_keys),
        }
        self.link = link;
        self.offer = offer;
        self.keys.reconnected(rng, now);
        self.chooser.hold();
        self.release_at = Some(now + RELEASE_AFTER);
    }

    /// Its connection ended, and it may be back
    pub(super) fn hold(&mut self) {
        self.chooser.hold();
        self.release_at = None;
        self.probes.freeze();
        // Its keys stay in force: its own connection may be up still, and its path lives by the answers.
    }

    /// It is gone
    pub(super) fn shut_down(&mut self, outputs: &mut VecDeque<Output>) {
        self.keys.shut_down();
        self.speak_keys(outputs);
        self.close_gates();
        outputs.push_back(Output::Fastdp(self.peer, None));
    }

    fn close_gates(&self) {
        self.sleeve.close();
        if let Some(fastdp) = &self.fastdp {
            fastdp.close();
        }
    }

    /// A genuine heartbeat came through the kernel's datapath
    pub(super) fn beat(
        &mut self,
        from: Ipv4Addr,
        beat: Beat,
        frame_len: usize,
        rng: &mut dyn CryptoRng,
        now: Instant,
    ) {
        let (Some(probe), Some(way)) = (&mut self.probes.fastdp, &mut self.fastdp) else {
            return;
        };
        let size = mtu::fastdp_packet_size(frame_len);
        match way.heard(probe, beat, (from, size), rng, now) {
            Ok(heard) => {
                if heard.moved {
                    log::info!("{} is at {from} on fastdp", self.peer);
                }
                if heard.proves {
                    self.proved = Some(from);
                }
                for body in heard.answers.into_iter().flatten() {
                    self.answers.extend(self.by_fastdp(from, &body, 0));
                }
            }
            Err(error) => log::debug!("fastdp heartbeat from {} at {from}: {error}", self.peer),
        }
    }

    /// A genuine heartbeat came through the sleeve
    pub(super) fn control(
        &mut self,
        from: SocketAddr,
        beat: Beat,
        len: usize,
        rng: &mut dyn CryptoRng,
        now: Instant,
    ) {
        let size = mtu::sleeve_packet_size(len);
        let probe = &mut self.probes.sleeve;
        match self.sleeve.heard(probe, beat, (from, size), rng, now) {
            Ok(heard) => {
                if heard.moved {
                    log::info!("{} is at {from} on the sleeve", self.peer);
                    let ends = self.session.ends();
                    self.session.set_ends(Ends { remote: from, ..ends });
                }
                for body in heard.answers.into_iter().flatten() {
                    self.answers.push(self.by_sleeve(from, body, 0));
                }
            }
            Err(error) => log::debug!("sleeve heartbeat from {} at {from}: {error}", self.peer),
        }
    }

    /// A message about keys came
    ///
    /// # Errors
    ///
    /// If no peer would send it. One of a version that is not spoken here may come from a newer peer.
    pub(super) fn key_message(&mut self, message: &[u8], now: Instant) -> Result<(), KeyMessageError> {
        let Err(error) = self.keys.handle_message(message, now) else {
            return Ok(());
        };
        log::debug!("key message from {}: {error}", self.peer);
        match error {
            KeysError::Message(error @ (KeyMessageError::Length(_) | KeyMessageError::Reserved)) => {
                Err(error)
            }
            KeysError::Message(
                KeyMessageError::Version(_) | KeyMessageError::Kind(_) | KeyMessageError::Suite(_),
            )
            | KeysError::ClearRefused
            | KeysError::Repeated(_)
            | KeysError::NotOffered(_) => Ok(()),
        }
    }

    /// The kernel would not send a heartbeat of this size
    pub(super) fn refused(&mut self, kind: PathKind, size: u16, now: Instant) {
        self.probes.refused(kind, size, now);
    }

    /// The underlay changed
    pub(super) fn network_changed(&mut self, underlay_mtu: u16, now: Instant) {
        self.probes.network_changed(underlay_mtu, now);
    }

    /// Does what is due
    pub(super) fn handle_timeout(&mut self, rng: &mut dyn CryptoRng, now: Instant) {
        self.probes.handle_timeout(now);
        self.keys.handle_timeout(rng, now);
        let _with_choose = self.chooser.handle_timeout(now);
    }

    /// When something is due
    pub(super) fn timeout(&self) -> Option<Instant> {
        let times = [
            self.probes.timeout(),
            self.keys.poll_timeout().map(|due| due.0),
            self.chooser.poll_timeout().map(|due| due.0),
            self.announcer.poll_timeout().map(|due| due.0),
            self.release_at,
        ];
        times.into_iter().flatten().min()
    }

    pub(super) const fn slot(&self) -> u16 {
        self.slot
    }

    pub(super) const fn is_encrypted(&self) -> bool {
        self.link.encrypted
    }

    /// The path in force
    pub(super) const fn published(&self) -> Option<Path> {
        self.published
    }

    /// Its sleeve, and the kind of its path
    pub(super) fn session(&self) -> overlay::Neighbour<Arc<Session>> {
        overlay::Neighbour {
            session: Arc::clone(&self.session),
            path: self.published.map(Path::kind),
        }
    }

    pub(super) fn view(&self) -> View {
        let choice = self.chooser.choice();
        let path = self.published.map(Path::kind);
        View {
            path,
            reason: choice.reason.map(|reason| reason.to_string()),
            mtu: choice.mtu,
            rtt: path.and_then(|path| self.probes.rtt(path)),
            traffic: (&self.session.traffic).into(),
        }
    }

    /// Lets its machines speak; whether its path is another than before
    pub(super) fn speak(
        &mut self,
        settings: &Settings,
        outputs: &mut VecDeque<Output>,
        now: Instant,
    ) -> bool {
        self.speak_keys(outputs);
        self.speak_fastdp(outputs);
        self.speak_probes(outputs);
        self.choose(settings, now);
        let path = self.path(settings.overlay_mtu);
        if let Some(choice) = self.announcer.update(self.chooser.choice(), now) {
            announce(self.peer, choice, self.session.ends().remote.port());
        }
        let changed = path != self.published;
        self.published = path;
        changed
    }

    fn speak_keys(&mut self, outputs: &mut VecDeque<Output>) {
        let peer = self.peer;
        while let Some(output) = self.keys.poll_output() {
            match output {
                Keyed::Open(opener) => outputs.push_back(Output::Listen(opener, Arc::clone(&self.session))),
                Keyed::Close(session) => outputs.push_back(Output::Unlisten(session)),
                Keyed::Seal(sealer) => self.session.set_sealer(Arc::new(sealer)),
                Keyed::Send(bytes) => outputs.push_back(Output::Offer { peer, bytes }),
            }
        }
    }

    fn speak_probes(&mut self, outputs: &mut VecDeque<Output>) {
        outputs.extend(self.answers.drain(..));
        while let Some((kind, Transmit { beat, pad_to })) = self.probes.poll_transmit() {
            let output = match kind {
                PathKind::Sleeve => {
                    let body = self.sleeve.seal(beat);
                    body.map(|body| self.by_sleeve(self.sleeve.remote(), body, pad_to))
                }
                PathKind::Fastdp => self
                    .fastdp
                    .as_mut()
                    .and_then(|way| {
                        let body = way.seal(beat)?;
                        Some((way.remote(), body))
                    })
                    .and_then(|(remote, body)| self.by_fastdp(remote, &body, pad_to)),
            };
            outputs.extend(output);
        }
    }

    fn by_sleeve(&self, to: SocketAddr, body: [u8; Beat::LEN], size: u16) -> Output {
        Output::Control {
            peer: self.peer,
            session: Arc::clone(&self.session),
            to,
            body,
            size,
        }
    }

    fn by_fastdp(&self, remote: Ipv4Addr, body: &[u8], size: u16) -> Option<Output> {
        Some(Output::Beat {
            peer: self.peer,
            udp_port: self.offer.vxlan_port,
            local: self.link.local_ipv4()?,
            remote,
            frame: beat_frame(body, mtu::fastdp_frame_len(size)),
        })
    }

    /// The switch hears of a proved address before the neighbour hears that it can send from there
    fn speak_fastdp(&mut self, outputs: &mut VecDeque<Output>) {
        if self.probes.fastdp.is_none() {
            self.proved = None;
        }
        let way = self.fastdp.as_ref().filter(|_| self.probes.fastdp.is_some());
        let fastdp = way.map(|way| Fastdp {
            gate: Arc::clone(way.gate()),
            udp_port: self.offer.vxlan_port,
            proved: self.proved,
        });
        let summary = fastdp.as_ref().map(|fastdp| (fastdp.udp_port, fastdp.proved));
        if self.told != Some(summary) {
            self.told = Some(summary);
            outputs.push_back(Output::Fastdp(self.peer, fastdp));
        }
    }

    fn choose(&mut self, settings: &Settings, now: Instant) {
        let suite = suite(&self.link);
        let inputs = Inputs {
            fastdp: self.probes.health(PathKind::Fastdp, suite, now),
            sleeve: self.probes.health(PathKind::Sleeve, suite, now),
            encrypted: self.link.encrypted,
            here: settings.fastdp,
            there: self.offer.fastdp,
            ipv4: self.link.is_ipv4(),
            vxlan_port: self.offer.vxlan_port,
            failing_port: [settings.vxlan_port, self.offer.vxlan_port]
                .into_iter()
                .find(|port| settings.failing_ports.contains(port)),
        };
        let _compared_by_path = self.chooser.update(inputs, now);
        let settled = self.has_settled(&inputs);
        if self.release_at.is_some_and(|at| settled || at <= now) {
            self.release_at = None;
            let _compared_by_path = self.chooser.release(now);
        }
        if let Health::Up { mtu: Some(mtu), .. } = inputs.sleeve {
            self.session.set_mtu(mtu.min(self.offer.overlay_mtu));
        }
    }

    /// Whether the probes of a neighbour that is back know as much as those before its restart
    fn has_settled(&self, inputs: &Inputs) -> bool {
        match self.published {
            // Not before it is measured, or a narrow path would be taken for a wide one.
            Some(Path::Fastdp { .. }) if self.probes.fastdp.is_some() => {
                matches!(inputs.fastdp, Health::Up { mtu: Some(_), .. })
            }
            // Also when fastdp is out of the question from here on.
            Some(Path::Fastdp { .. } | Path::Sleeve) | None => {
                let is_up = |health| matches!(health, Health::Up { .. });
                is_up(inputs.fastdp) || is_up(inputs.sleeve)
            }
        }
    }

    /// The path of the choice in force, with the addresses and the MTU of this moment
    fn path(&self, overlay_mtu: u16) -> Option<Path> {
        let choice = self.chooser.choice();
        match choice.path? {
            PathKind::Sleeve => Some(Path::Sleeve),
            PathKind::Fastdp => Some(Path::Fastdp {
                udp_port: self.offer.vxlan_port,
                local: self.link.local_ipv4()?,
                remote: self.fastdp.as_ref()?.remote(),
                // Until the path is measured it is taken to carry what the containers send.
                mtu: choice.mtu.unwrap_or(overlay_mtu).min(self.offer.overlay_mtu),
            }),
        }
    }
}

/// The kernel's path to a neighbour, where the connection's addresses allow one
fn fastdp_way(link: &Link, keys: &BeatKeys) -> Option<Way<Ipv4Addr>> {
    let remote = link.remote_ipv4().filter(|_| link.is_ipv4())?;
    let gate = Arc::new(BeatGate::new(PathKind::Fastdp));
    Some(Way::new(PathKind::Fastdp, gate, keys, remote))
}

/// How long a first choice may take to settle before it is announced: two beats more and their answers
fn grace(interval: Duration) -> Duration {
    (interval * 5 / 2).clamp(Duration::from_secs(1), Duration::from_secs(10))
}

fn ends(offer: &Offer, link: &Link) -> Ends {
    Ends {
        local: Some(link.local.ip()),
        remote: SocketAddr::new(link.remote.ip(), offer.sleeve_port),
    }
}

fn suite(link: &Link) -> Suite {
    if link.encrypted {
        cipher::fastest()
    } else {
        Suite::Clear
    }
}
