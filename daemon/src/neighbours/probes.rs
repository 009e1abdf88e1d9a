//! The probes of a neighbour's two paths.

use std::time::{Duration, Instant};

use fallback_sleeve::probe::{Output, PathProbe, ProbeConfig, ProbeStatus, Transmit};
use fallback_sleeve::{Suite, mtu};
use gossip::Offer;
use model::PathKind;
use overlay::{FastdpHere, Health};
use rand::CryptoRng;

use super::{Link, Settings};

/// Both probes; that of the kernel's path only where both sides could use it
pub(super) struct Probes {
    pub(super) fastdp: Option<PathProbe>,
    pub(super) sleeve: PathProbe,
}

impl Probes {
    /// Probes that start at once
    pub(super) fn new(
        offer: &Offer,
        link: &Link,
        settings: &Settings,
        slot: u16,
        rng: &mut dyn CryptoRng,
        now: Instant,
    ) -> Self {
        // Not so many at once that a socket's buffer overflows.
        let turn = u32::from(slot / AT_ONCE);
        let config = ProbeConfig {
            interval: settings.heartbeat_interval,
            grid: Some(settings.heartbeat_grid + TURN * turn),
            ceiling: settings.underlay_mtu,
            ..ProbeConfig::default()
        };
        let capable = settings.fastdp == FastdpHere::Capable && offer.fastdp && !link.encrypted;
        let fastdp = (capable && link.is_ipv4()).then(|| PathProbe::new(config.clone(), rng.next_u64(), now));
        let sleeve = PathProbe::new(config, rng.next_u64(), now);
        Self { fastdp, sleeve }
    }

    /// No beats from here on; what is known of the paths stays
    pub(super) fn freeze(&mut self) {
        self.each(PathProbe::freeze);
    }

    pub(super) fn refused(&mut self, kind: PathKind, size: u16, now: Instant) {
        if let Some(probe) = self.of(kind) {
            probe.refused(size, now);
        }
    }

    pub(super) fn network_changed(&mut self, ceiling: u16, now: Instant) {
        self.each(|probe| probe.network_changed(ceiling, now));
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.each(|probe| probe.handle_timeout(now));
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let probes = self.fastdp.iter().chain([&self.sleeve]);
        probes.filter_map(|probe| Some(probe.poll_timeout()?.0)).min()
    }

    /// A heartbeat to send, and on which path
    pub(super) fn poll_transmit(&mut self) -> Option<(PathKind, Transmit)> {
        let fastdp = self.fastdp.as_mut().and_then(transmit);
        match fastdp {
            Some(transmit) => Some((PathKind::Fastdp, transmit)),
            None => Some((PathKind::Sleeve, transmit(&mut self.sleeve)?)),
        }
    }

    /// What the probe of a path says, in the words of the choice
    pub(super) fn health(&self, kind: PathKind, suite: Suite, now: Instant) -> Health {
        match self.status(kind) {
            Some(ProbeStatus {
                up: true, mtu, rtt, ..
            }) => Health::Up {
                mtu: mtu.map(|size| mtu::inner_mtu(size, kind, suite)),
                rtt,
            },
            Some(ProbeStatus {
                last_heard: Some(at), ..
            }) => Health::Down {
                silent: now.saturating_duration_since(at),
            },
            Some(_) | None => Health::Unproven,
        }
    }

    pub(super) fn rtt(&self, kind: PathKind) -> Option<Duration> {
        self.status(kind)?.rtt
    }

    fn status(&self, kind: PathKind) -> Option<ProbeStatus> {
        match kind {
            PathKind::Fastdp => self.fastdp.as_ref().map(PathProbe::status),
            PathKind::Sleeve => Some(self.sleeve.status()),
        }
    }

    fn of(&mut self, kind: PathKind) -> Option<&mut PathProbe> {
        match kind {
            PathKind::Fastdp => self.fastdp.as_mut(),
            PathKind::Sleeve => Some(&mut self.sleeve),
        }
    }

    fn each(&mut self, change: impl Fn(&mut PathProbe)) {
        self.fastdp.iter_mut().chain([&mut self.sleeve]).for_each(change);
    }
}

/// Neighbours that are beaten at one moment
const AT_ONCE: u16 = 16;
/// From one such moment to the next
const TURN: Duration = Duration::from_millis(8);

fn transmit(probe: &mut PathProbe) -> Option<Transmit> {
    // What else it says is read from its status.
    std::iter::from_fn(|| probe.poll_output()).find_map(|output| match output {
        Output::Transmit(transmit) => Some(transmit),
        Output::Changed(_) => None,
    })
}
