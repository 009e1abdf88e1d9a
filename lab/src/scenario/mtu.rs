//! Underlays of several MTUs, and no ICMP to tell: each path's MTU is found, and nothing that is too
//! big vanishes in silence.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::fault::{self, Traffic};
use crate::judge::{ovs, transfer};
use crate::site::Site;
use crate::topology::{ETHERNET, Lab};
use crate::weave::{Launch, MEETING};

const JUMBO: u16 = 9000;
const SMALL: u16 = 1450;
/// Between two routers: no device of either host shows this
const HIDDEN: u16 = 1400;

const SHORT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn by_fastdp(lab: &mut Lab) -> Result<()> {
    // Outer IPv4, UDP and VXLAN headers, and the inner Ethernet header.
    found_and_kept(lab, &Launch::plain(), PathKind::Fastdp, 50)
}

pub(super) fn by_the_sleeve(lab: &mut Lab) -> Result<()> {
    let launch = Launch::plain();
    let launch = if ovs::is_here() {
        launch.flag("--no-fastdp")
    } else {
        launch
    };
    // Outer IPv4 and UDP headers, the sleeve's 16 and 4, and the inner Ethernet header.
    found_and_kept(lab, &launch, PathKind::Sleeve, 62)
}

fn found_and_kept(lab: &mut Lab, launch: &Launch, path: PathKind, overhead: u16) -> Result<()> {
    let sites = ["a", "b", "c"].map(|name| Site::create(lab, name));
    let [a, b, c] = sites;
    let (a, b, c) = (a?, b?, c?);
    let [near, far] = [lab.router("r1")?, lab.router("r2")?];
    let d = Site::create(lab, "d")?;
    lab.link(&a.host, &b.host, JUMBO)?;
    lab.link(&a.host, &c.host, ETHERNET)?;
    lab.link(&b.host, &c.host, SMALL)?;
    lab.link(&a.host, &near, ETHERNET)?;
    lab.link(&near, &far, HIDDEN)?;
    lab.link(&far, &d.host, ETHERNET)?;
    let [to_a, to_d] = [a.host.address_for(&near)?, d.host.address()?];
    a.host.route(to_d, &near)?;
    near.route(to_d, &far)?;
    far.route(to_a, &near)?;
    d.host.route(to_a, &far)?;
    for host in [&a.host, &b.host, &c.host, &d.host] {
        // In place until the lab ends.
        let _filtered = fault::filter(host, Traffic::IcmpUnreachable)?;
    }

    let launch = launch.clone().flag("--no-discovery");
    a.host.launch(&launch)?;
    b.host
        .launch(&launch.clone().peer(a.host.address_for(&b.host)?))?;
    c.host.launch(
        &launch
            .clone()
            .peer(a.host.address_for(&c.host)?)
            .peer(b.host.address_for(&c.host)?),
    )?;
    d.host.launch(&launch.peer(to_a))?;
    let paths = [
        (&a, &b, JUMBO),
        (&a, &c, ETHERNET),
        (&b, &c, SMALL),
        (&a, &d, HIDDEN),
    ];
    for (one, other, underlay) in paths {
        for (near, far) in [(one, other), (other, one)] {
            let wanted = underlay - overhead;
            let what = format!("{path} with an MTU of {wanted}");
            let (connection, took) = near
                .host
                .wait_connection(&far.host, &what, MEETING, |connection| {
                    connection.path == Some(path) && connection.mtu == Some(wanted)
                })?;
            let mtu = connection.mtu.unwrap_or(0);
            println!(
                "{} to {}: underlay {underlay}, path {mtu}, known after {took:.1?}",
                near.host, far.host
            );
        }
    }
    let sites = [a, b, c, d];
    sites.iter().try_for_each(Site::attach)?;
    for (near, far) in pairs(&sites) {
        bytes_arrive(near, far)?;
        big_pings_are_answered(near, far)?;
    }
    Ok(())
}

fn pairs(sites: &[Site]) -> impl Iterator<Item = (&Site, &Site)> {
    let all = sites
        .iter()
        .flat_map(|near| sites.iter().map(move |far| (near, far)));
    all.filter(|(near, far)| near.address != far.address)
}

fn bytes_arrive(near: &Site, far: &Site) -> Result<()> {
    let bytes = transfer::pattern(64 << 10);
    transfer::tcp(
        near.container.namespace(),
        far.container.namespace(),
        far.address,
        &bytes,
        PATIENCE,
    )
    .with_context(|| format!("64 KiB from {} to {}", near.host, far.host))?;
    Ok(())
}

/// Packets that may not be fragmented: an answer or an ICMP error, for every size that the sender
/// may send
fn big_pings_are_answered(near: &Site, far: &Site) -> Result<()> {
    let links = near
        .container
        .namespace()
        .ip_json(&["link", "show", "dev", "ethwe"])?;
    let mtu = links[0]["mtu"]
        .as_u64()
        .and_then(|mtu| u32::try_from(mtu).ok())
        .context("no MTU")?;
    for size in [1300, 1400, 1450, 4000]
        .into_iter()
        .filter(|size| *size < mtu)
        .chain([mtu])
    {
        let pings = near.ping(far, |ping| ping.count(2).every(SHORT).whole_packets_of(size))?;
        ensure!(
            pings.received > 0 || !pings.too_big.is_empty(),
            "silence for packets of {size} from {} (MTU {mtu}) to {}: {pings:?}",
            near.host,
            far.host
        );
        // In fragments every size arrives.
        near.ping(far, |ping| ping.count(2).every(SHORT).payload(size + 500))?
            .all_answered()
            .with_context(|| format!("a payload of {} from {} to {}", size + 500, near.host, far.host))?;
    }
    Ok(())
}
