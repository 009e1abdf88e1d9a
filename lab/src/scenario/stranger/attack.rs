//! What the stranger does.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::{Mac, Vni};

use super::network::{MARK, Network};
use crate::judge::forged::{Ends, datagram, vxlan};
use crate::judge::frames::Injector;
use crate::judge::stream::Noise;
use crate::judge::{capture, sockets};
use crate::namespace::Namespace;
use crate::site::Site;
use crate::topology::{Container, Lab};
use crate::weave::{PORT, VXLAN_PORT};

/// Guesses of session ids for each host; 2^20 sufficed before, and 2^64 are there
const GUESSES: usize = 20_000;
/// As many as a queue takes at once
const BATCH: usize = 100;
/// How long heartbeats are captured
const LISTENS: Duration = Duration::from_secs(3);

/// The stranger's place on the wire
pub(super) struct Stranger {
    injector: Injector,
    station: [u8; 6],
    address: Ipv4Addr,
    /// Where the containers' captures are kept
    files: std::path::PathBuf,
}

impl Stranger {
    pub(super) fn new(lab: &Lab, network: &Network) -> Result<Self> {
        let host = &network.stranger().host;
        let [one, ..] = network.sites();
        let leg = host.leg_towards(&one.host)?;
        Ok(Self {
            injector: Injector::open(host.namespace(), &leg.device)?,
            station: station(host.namespace(), &leg.device)?,
            address: leg.address,
            files: lab.files(),
        })
    }

    /// VXLAN frames to every container and to all, in the name of every peer, from its own address or from that
    /// of a host; none arrives
    pub(super) fn sends_vxlan(&self, network: &Network, from: Option<&Site>) -> Result<u64> {
        let mut counted = 0;
        let source = match from {
            Some(site) => site.host.address()?,
            None => self.address,
        };
        let others = |to: &Site| from.is_none_or(|from| from.address != to.address);
        for to in network.sites().iter().filter(|to| others(to)) {
            let watch = self.watch(to)?;
            let listens = sockets::is_bound(to.host.namespace(), VXLAN_PORT)?;
            let ends = self.ends(to, source, network)?;
            let container = station(to.container.namespace(), Container::INTERFACE)?;
            let names = network.sites().iter().filter(|peer| peer.address != to.address);
            for peer in names {
                let vni = u32::from(Vni::new(peer.host.short_id()?, to.host.short_id()?));
                for station in [container, [0xff; 6]] {
                    for _ in 0..20 {
                        let inner = (peer.address, to.address, 4444, MARK);
                        self.injector
                            .send(&vxlan(ends, VXLAN_PORT, vni, station, inner))?;
                        counted += u64::from(listens);
                    }
                }
            }
            self.nothing_arrived(to, watch)?;
        }
        Ok(counted)
    }

    /// Datagrams of the sleeve with guessed session ids, heartbeats and frames; none is taken
    pub(super) fn guesses_sessions(&self, network: &Network) -> Result<u64> {
        let mut random = Noise::new(0x5eed);
        let mut sent = 0;
        for to in network.sites() {
            let watch = self.watch(to)?;
            let ends = self.ends(to, self.address, network)?;
            let full = sockets::udp(to.host.namespace(), PORT)?.dropped;
            for guess in 0..GUESSES {
                let kind = if guess % 2 == 0 { 0x01 } else { 0x03 };
                let slot = (guess % 4) as u8;
                let mut payload = vec![kind, 0, slot, 0, 0, 0, 0, 1];
                payload.extend(random.number().to_be_bytes());
                payload.extend([0; 4]);
                payload.extend(MARK);
                payload.resize(80, 0);
                self.injector.send(&datagram(ends, PORT, &payload))?;
                sent += 1;
                if guess % BATCH == 0 {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            std::thread::sleep(Duration::from_millis(300));
            sent -= sockets::udp(to.host.namespace(), PORT)?.dropped - full;
            self.nothing_arrived(to, watch)?;
        }
        Ok(sent)
    }

    /// Heartbeats between the hosts again, from its own address and from the sender's
    pub(super) fn replays_heartbeats(&self, lab: &Lab, network: &Network) -> Result<u64> {
        let [one, two, ..] = network.sites();
        let leg = two.host.leg_towards(&one.host)?;
        let filter = format!(
            "src host {} and dst host {} and (udp port {PORT} or udp port {VXLAN_PORT})",
            one.host.address()?,
            leg.address
        );
        let capturing = capture::start(two.host.namespace(), &leg.device, &filter, &lab.files())?;
        std::thread::sleep(LISTENS);
        let heartbeats: Vec<Vec<u8>> = capturing
            .stop()?
            .frames()?
            .into_iter()
            .filter(|frame| is_heartbeat(frame))
            .collect();
        ensure!(
            heartbeats.len() >= 4,
            "{} heartbeats in {LISTENS:?}",
            heartbeats.len()
        );
        let mut sent = 0;
        for source in [self.address, one.host.address()?] {
            let ends = self.ends(two, source, network)?;
            for frame in &heartbeats {
                let port = frame
                    .get(36..38)
                    .and_then(|port| port.try_into().ok())
                    .map(u16::from_be_bytes);
                let payload = frame.get(PAYLOAD..).context("a short frame")?;
                let port = port.context("a short frame")?;
                self.injector.send(&datagram(ends, port, payload))?;
                sent += 1;
            }
        }
        let log = std::fs::read_to_string(two.host.log_file())?;
        let stranger = self.address.to_string();
        std::thread::sleep(Duration::from_secs(2));
        ensure!(
            !log.contains(&format!("is at {stranger}")),
            "{} has followed the stranger",
            two.host
        );
        Ok(sent)
    }

    /// Forged heartbeats in the name of every neighbour of a host, 11 a millisecond; how many there were
    pub(super) fn floods_heartbeats(&self, to: &Site, network: &Network, lasts: Duration) -> Result<u64> {
        let mut random = Noise::new(0xbea7);
        let ends = self.ends(to, self.address, network)?;
        let mut frames = Vec::new();
        for peer in network.sites().iter().filter(|peer| peer.address != to.address) {
            let vni = u32::from(Vni::new(peer.host.short_id()?, to.host.short_id()?));
            let [_, a, b, c] = vni.to_be_bytes();
            let mut payload = vec![8, 0, 0, 0, a, b, c, 0];
            payload.extend([0; 12]);
            payload.extend([0x88, 0xb5, 0x02, 0x01]);
            payload.resize(8 + 60, 0x5a);
            frames.push(payload);
        }
        let begun = std::time::Instant::now();
        let mut sent = 0;
        while begun.elapsed() < lasts {
            for _ in 0..11 {
                let place = usize::try_from(random.number() % 2)?;
                let payload = frames.get(place).context("two neighbours")?;
                self.injector.send(&datagram(ends, VXLAN_PORT, payload))?;
                sent += 1;
            }
            let due = Duration::from_millis(sent / 11);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        Ok(sent)
    }

    fn ends(&self, to: &Site, source: Ipv4Addr, network: &Network) -> Result<Ends> {
        let leg = to.host.leg_towards(&network.stranger().host)?;
        Ok(Ends {
            station: self.station,
            towards: station(to.host.namespace(), &leg.device)?,
            source,
            destination: leg.address,
        })
    }

    fn watch(&self, site: &Site) -> Result<capture::Capturing> {
        capture::start_incoming(site.container.namespace(), Container::INTERFACE, "", &self.files)
    }

    fn nothing_arrived(&self, site: &Site, watch: capture::Capturing) -> Result<()> {
        std::thread::sleep(Duration::from_millis(300));
        let seen = watch.stop()?;
        ensure!(
            !seen.frames()?.is_empty(),
            "the capture on {} saw not even pings",
            site.container
        );
        ensure!(!seen.contains(MARK)?, "{} got a stranger's frame", site.container);
        Ok(())
    }
}

/// Where a UDP payload begins in an Ethernet + IPv4 frame without options
const PAYLOAD: usize = 42;

/// By VXLAN: an inner frame from nobody to nobody; by the sleeve: a datagram of type control
fn is_heartbeat(frame: &[u8]) -> bool {
    let port = frame
        .get(36..38)
        .and_then(|port| port.try_into().ok())
        .map(u16::from_be_bytes);
    match port {
        Some(VXLAN_PORT) => frame.get(PAYLOAD + 8..PAYLOAD + 20) == Some(&[0; 12]),
        Some(PORT) => frame.get(PAYLOAD).is_some_and(|kind| kind & 0x7f == 0x03),
        Some(_) | None => false,
    }
}

/// The Ethernet address of a device
fn station(namespace: &Namespace, device: &str) -> Result<[u8; 6]> {
    let found = namespace.ip_json(&["link", "show", "dev", device])?;
    let text = found.pointer("/0/address").and_then(serde_json::Value::as_str);
    let text = text.with_context(|| format!("{device} has no Ethernet address"))?;
    let mac: Mac = text.parse().with_context(|| format!("{device} is at {text}"))?;
    Ok(mac.octets())
}
