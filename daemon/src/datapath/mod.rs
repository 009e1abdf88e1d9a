//! The host's switch: the kernel's Open vSwitch datapath, or a Linux bridge where there is none.

mod answer;
mod moderation;
mod switch_thread;
mod tunnels;
mod work;
mod worker;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::{ApiError, ErrorKind};
use fallback_sleeve::heartbeat;
use link::tap::{Tap, TapOptions};
use link::{LinkKind, Links, sysctl};
use model::{IfName, Mac, PeerName, ShortId, Vni};
use odp::Dpif as _;
use openvswitch_sys::{Flow, PortNo};
use overlay::{FastdpHere, MacTable, Mode};
use tokio::sync::mpsc;

use crate::control::Input;
use crate::neighbours::{Fastdp, Path};
use crate::routes::TopologyRoutes;
use crate::switch_drops::SwitchDrops;
use switch_thread::SwitchThread;

/// A device of the datapath carries whatever a container sends; its MTU is no limit.
const TAP_MTU: u16 = 65_000;

/// What is to be opened
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) name: IfName,
    pub(crate) tap: IfName,
    pub(crate) tap_queues: u16,
    pub(crate) peer: PeerName,
    pub(crate) vxlan_port: u16,
    /// Whether there may be a neighbour to which frames go in the clear
    pub(crate) clear_neighbours: bool,
    pub(crate) csum: bool,
    pub(crate) overlay_mtu: u16,
    pub(crate) macs: Arc<MacTable>,
    pub(crate) drops: Arc<SwitchDrops>,
}

/// What was opened
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) datapath: Datapath,
    pub(crate) mode: Mode,
    pub(crate) tap: Tap,
}

/// A genuine heartbeat that came through the kernel
#[derive(Debug)]
pub(crate) struct Beat {
    pub(crate) peer: PeerName,
    pub(crate) from: Ipv4Addr,
    pub(crate) beat: heartbeat::Beat,
    pub(crate) frame_len: usize,
}

/// A heartbeat to send through the kernel
#[derive(Debug)]
pub(crate) struct BeatOut {
    pub(crate) peer: PeerName,
    pub(crate) vni: Vni,
    pub(crate) udp_port: u16,
    pub(crate) local: Ipv4Addr,
    pub(crate) remote: Ipv4Addr,
    pub(crate) frame: Vec<u8>,
}

/// Flows, and the names of the ports in them
#[derive(Debug, Default)]
pub(crate) struct FlowDump {
    pub(crate) flows: Vec<Flow>,
    pub(crate) ports: BTreeMap<PortNo, String>,
    /// The moment of the dump, in the clock of [`Flow::used`]
    pub(crate) monotonic_ms: u64,
}

/// Where a station is
#[derive(Debug)]
pub(crate) struct MacPlace {
    pub(crate) mac: Mac,
    /// The peer whose it is; this host's for none
    pub(crate) peer: Option<ShortId>,
    pub(crate) seen_ago: Option<Duration>,
}

/// The switch, as other tasks see it
#[derive(Debug, Clone)]
pub(crate) struct Datapath(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Kernel(SwitchThread),
    Bridge(Bridge),
}

#[derive(Debug)]
struct Bridge {
    name: IfName,
    index: u32,
    why: FastdpHere,
    links: Links,
    macs: Arc<MacTable>,
    drops: Arc<SwitchDrops>,
}

/// The kernel's Open vSwitch, where it is wanted and there
pub(crate) fn openvswitch(wanted: bool) -> anyhow::Result<Result<odp::Odp, FastdpHere>> {
    if !wanted {
        return Ok(Err(FastdpHere::Disabled));
    }
    match odp::Odp::open() {
        Ok(odp) => Ok(Ok(odp)),
        Err(odp::OpenError::NoOpenVSwitch) => Ok(Err(FastdpHere::NoOpenVSwitch)),
        Err(error) => Err(anyhow::Error::from(error).context("cannot use Open vSwitch")),
    }
}

/// Makes or adopts the switch
pub(crate) async fn open(
    plan: Plan,
    odp: Result<odp::Odp, FastdpHere>,
    links: &Links,
    routes: TopologyRoutes,
    control: mpsc::Sender<Input>,
) -> anyhow::Result<Opened> {
    match odp {
        Ok(odp) => kernel(plan, odp, links, routes, control).await,
        Err(why) => bridge(plan, why, links).await,
    }
}

async fn kernel(
    plan: Plan,
    odp: odp::Odp,
    links: &Links,
    routes: TopologyRoutes,
    control: mpsc::Sender<Input>,
) -> anyhow::Result<Opened> {
    if let Some(found) = links.link(&plan.name).await?
        && found.kind != LinkKind::Openvswitch
    {
        // A bridge of a run without Open vSwitch: its containers move to the datapath.
        anyhow::ensure!(
            found.kind == LinkKind::Bridge,
            "device {} exists and is a {} device; remove it or give another --datapath",
            plan.name,
            found.kind
        );
        links.delete(&plan.name).await?;
    }
    let tap = tap(&plan, links).await?;
    let thread = SwitchThread::start(odp, &plan, routes, control)?;
    let datapath = Datapath(Arc::new(Kind::Kernel(thread)));
    for (device, mtu) in [(&plan.tap, TAP_MTU), (&plan.name, plan.overlay_mtu)] {
        links
            .set_mtu(device, mtu)
            .await
            .with_context(|| format!("cannot set the MTU of {device}"))?;
        links
            .ensure_up(device)
            .await
            .with_context(|| format!("cannot switch {device} on"))?;
    }
    settle_own_leg(&plan.name, links).await?;
    Ok(Opened {
        datapath,
        mode: Mode::Tagged,
        tap,
    })
}

async fn bridge(plan: Plan, why: FastdpHere, links: &Links) -> anyhow::Result<Opened> {
    // Perhaps of a run with Open vSwitch.
    remove_datapath(&plan.name)?;
    let mac = plan.peer.mac();
    let bridge = links
        .ensure_bridge(&plan.name, plan.overlay_mtu, Some(mac))
        .await
        .with_context(|| format!("cannot make the bridge {}", plan.name))?;
    let tap = tap(&plan, links).await?;
    links.set_mtu(&plan.tap, TAP_MTU).await?;
    links.set_master(&plan.tap, Some(bridge.index)).await?;
    links.ensure_up(&plan.tap).await?;
    // A bridge takes the smallest MTU of its ports unless it was given one.
    links.set_mtu(&plan.name, plan.overlay_mtu).await?;
    links.ensure_up(&plan.name).await?;
    settle_own_leg(&plan.name, links).await?;
    let datapath = Datapath(Arc::new(Kind::Bridge(Bridge {
        name: plan.name,
        index: bridge.index,
        why,
        links: links.clone(),
        macs: plan.macs,
        drops: plan.drops,
    })));
    Ok(Opened {
        datapath,
        mode: Mode::Bridge,
        tap,
    })
}

async fn tap(plan: &Plan, links: &Links) -> anyhow::Result<Tap> {
    let options = TapOptions {
        queues: plan.tap_queues.into(),
        ..TapOptions::default()
    };
    let name = &plan.tap;
    let tap = Tap::open(name, options).with_context(|| format!("cannot open the TAP {name}"))?;
    // Before it is switched on: the host's own router solicitations are no frames of a container.
    let mut settings = sysctl::port(name);
    settings.push(sysctl::ipv6_off(name));
    write_sysctls(settings, links).await?;
    Ok(tap)
}

/// The host's own leg notices stations that moved as soon as containers do
async fn settle_own_leg(name: &IfName, links: &Links) -> anyhow::Result<()> {
    write_sysctls(sysctl::endpoint(name), links).await
}

async fn write_sysctls(settings: Vec<sysctl::Sysctl>, links: &Links) -> anyhow::Result<()> {
    for warning in links.write_sysctls(settings).await? {
        log::warn!("{warning}");
    }
    Ok(())
}

impl Datapath {
    /// One line for the log
    pub(crate) fn describe(&self) -> String {
        match &*self.0 {
            Kind::Kernel(thread) => thread.describe(),
            Kind::Bridge(bridge) => format!("bridge {} ({})", bridge.name, bridge.why_not()),
        }
    }

    /// The bridge that containers' devices are ports of, where it is one
    pub(crate) fn master(&self) -> Option<u32> {
        match &*self.0 {
            Kind::Kernel(_) => None,
            Kind::Bridge(bridge) => Some(bridge.index),
        }
    }

    /// Makes a device a port; that it is one already is fine
    pub(crate) async fn add_port(&self, device: &IfName) -> Result<(), ApiError> {
        let internal = |error: String| {
            ApiError::new(
                ErrorKind::Internal,
                format!("cannot put {device} on the network: {error}"),
            )
        };
        match &*self.0 {
            Kind::Kernel(thread) => thread.add_port(device.clone()).await.map_err(internal),
            Kind::Bridge(bridge) => {
                let set = bridge.links.set_master(device, Some(bridge.index)).await;
                set.map_err(|error| internal(error.to_string()))
            }
        }
    }

    /// Whether a neighbour may use fastdp, and where it has proved itself
    pub(crate) fn set_fastdp(&self, peer: PeerName, fastdp: Option<Fastdp>) {
        if let Kind::Kernel(thread) = &*self.0 {
            thread.set_fastdp(peer, fastdp);
        }
    }
    /// A neighbour's path is this from here on
    pub(crate) fn set_path(&self, peer: PeerName, path: Option<Path>) {
        if let Kind::Kernel(thread) = &*self.0 {
            thread.set_path(peer, path);
        }
    }

    /// The topology is this from here on
    pub(crate) fn set_routes(&self, routes: TopologyRoutes) {
        if let Kind::Kernel(thread) = &*self.0 {
            thread.set_routes(routes);
        }
    }

    /// Sends a heartbeat
    pub(crate) fn send_beat(&self, beat: BeatOut) {
        if let Kind::Kernel(thread) = &*self.0 {
            thread.send_beat(beat);
        }
    }

    /// The neighbours of before the restart are back: flows that are not wanted may go
    pub(crate) fn settle(&self) {
        if let Kind::Kernel(thread) = &*self.0 {
            thread.settle();
        }
    }

    /// What the kernel has, and what was dropped
    pub(crate) async fn status(&self) -> Result<(api::Datapath, BTreeMap<String, u64>), ApiError> {
        match &*self.0 {
            Kind::Kernel(thread) => thread.status().await,
            Kind::Bridge(bridge) => {
                let reason = bridge.why_not().to_owned();
                Ok((
                    api::Datapath::Bridge {
                        name: bridge.name.clone(),
                        reason,
                    },
                    bridge.drops.by_name(),
                ))
            }
        }
    }

    /// The kernel's flows; none on a bridge
    pub(crate) async fn flows(&self) -> Result<FlowDump, ApiError> {
        match &*self.0 {
            Kind::Kernel(thread) => thread.flows().await,
            Kind::Bridge(_) => Ok(FlowDump::default()),
        }
    }

    /// Where each station is
    pub(crate) async fn macs(&self) -> Result<Vec<MacPlace>, ApiError> {
        match &*self.0 {
            Kind::Kernel(thread) => thread.macs().await,
            Kind::Bridge(bridge) => {
                let mut places = Vec::new();
                bridge.macs.for_each(|mac, station, _tick| {
                    let peer = match station {
                        overlay::Station::Local => None,
                        overlay::Station::Peer(id) => Some(id),
                    };
                    places.push(MacPlace {
                        mac,
                        peer,
                        seen_ago: None,
                    });
                });
                Ok(places)
            }
        }
    }

    /// Ends the thread, if there is one; the kernel's part stays
    pub(crate) fn stop(&self) {
        if let Kind::Kernel(thread) = &*self.0 {
            thread.stop();
        }
    }
}

impl Bridge {
    const fn why_not(&self) -> &'static str {
        match self.why {
            FastdpHere::NoOpenVSwitch => "no openvswitch in this kernel",
            FastdpHere::Disabled | FastdpHere::Capable => "fastdp disabled (--no-fastdp)",
        }
    }
}

/// Removes a datapath with its flows and tunnel ports; that there is none is fine
fn remove_datapath(name: &IfName) -> anyhow::Result<()> {
    let mut odp = match odp::Odp::open() {
        Ok(odp) => odp,
        Err(odp::OpenError::NoOpenVSwitch) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if odp.datapath(name)?.is_some() {
        let left = odp.create_or_adopt(name, &[])?;
        odp.delete_datapath(&left)
            .with_context(|| format!("cannot remove the datapath {name}"))?;
    }
    Ok(())
}

/// Removes datapath or bridge, TAP and the containers' devices; what could not be removed
pub(crate) async fn remove(name: &IfName, tap: &IfName, links: &Links) -> Vec<anyhow::Error> {
    let mut failed = Vec::new();
    failed.extend(remove_datapath(name).err());
    if let Err(error) = Tap::remove(tap) {
        failed.push(anyhow::Error::from(error).context(format!("cannot remove {tap}")));
    }
    let found = match links.list().await {
        Ok(found) => found,
        Err(error) => {
            failed.push(error.into());
            return failed;
        }
    };
    for state in found {
        let container =
            state.kind == LinkKind::Veth && state.name.as_str().starts_with(link::HOST_END_PREFIX);
        let bridge = state.kind == LinkKind::Bridge && state.name == *name;
        if (container || bridge)
            && let Err(error) = links.delete(&state.name).await
        {
            failed.push(anyhow::Error::from(error).context(format!("cannot remove {}", state.name)));
        }
    }
    failed
}
