//! Underlays of several MTUs, and no ICMP to tell: each path's MTU is found, and nothing that is too
//! big vanishes in silence.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::fault::{self, Traffic};
use crate::judge::{ovs, transfer};
use crate::site::Site;
use crate::topology::{Container, ETHERNET, Lab};
use crate::weave::{Launch, MEETING};

const JUMBO: u16 = 9000;
const SMALL: u16 = 1450;
/// Between two routers: no device of either host shows this
const HIDDEN: u16 = 1400;

/// Longer than every path but one
const DATAGRAM: usize = 8000;
const DATAGRAMS: usize = 5;

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
        // The far container's interface is the last hop.
        let mtu = path_mtu(near, far, &sites[0])?.min(mtu_of(far)?);
        fragments_arrive(near, far)?;
        big_pings_are_answered(near, far, mtu)?;
        bytes_arrive(near, far)?;
    }
    Ok(())
}

fn pairs(sites: &[Site]) -> impl Iterator<Item = (&Site, &Site)> {
    let all = sites
        .iter()
        .flat_map(|near| sites.iter().map(move |far| (near, far)));
    all.filter(|(near, far)| near.address != far.address)
}

/// Without "don't fragment" nothing is lost, and nobody has to be told anything: not a packet as long
/// as the sender's device lets it be, nor the pieces that the sender makes of longer ones
fn fragments_arrive(near: &Site, far: &Site) -> Result<()> {
    let from = near.container.namespace();
    forget_mtus(near)?;
    let longest = mtu_of(near)?;
    for size in [longest - 28, longest + 500] {
        near.ping(far, |ping| ping.count(2).every(SHORT).payload(size))?
            .all_answered()
            .with_context(|| format!("a payload of {size} from {} to {}", near.host, far.host))?;
    }
    // Sockets that are made meanwhile leave the bit off.
    from.sysctl("ipv4/ip_no_pmtu_disc", "1")?;
    let arrived = datagrams_arrive(near, far, "without the bit");
    from.sysctl("ipv4/ip_no_pmtu_disc", "0")?;
    arrived
}

fn datagrams_arrive(near: &Site, far: &Site, how: &str) -> Result<()> {
    for number in 0..DATAGRAMS {
        transfer::udp(
            near.container.namespace(),
            far.container.namespace(),
            far.address,
            &transfer::pattern(DATAGRAM + number),
            PATIENCE,
        )
        .with_context(|| format!("datagram {number} from {} to {} {how}", near.host, far.host))?;
    }
    Ok(())
}

/// Packets that may not be fragmented: an answer or an ICMP error, for every size that the sender
/// may send; and the error tells the MTU of the way
fn big_pings_are_answered(near: &Site, far: &Site, path_mtu: u32) -> Result<()> {
    let longest = mtu_of(near)?;
    let sizes = [1300, 1400, 1450, 4000];
    for size in sizes.into_iter().filter(|size| *size < longest).chain([longest]) {
        forget_mtus(near)?;
        let pings = near.ping(far, |ping| ping.count(2).every(SHORT).whole_packets_of(size))?;
        let told: Vec<u32> = pings.told_mtus.iter().copied().collect();
        let is_right = if size > path_mtu {
            pings.received == 0 && told == [path_mtu]
        } else {
            pings.lost() == 0 && pings.too_big.is_empty()
        };
        ensure!(
            is_right,
            "packets of {size} from {} (MTU {longest}) to {}, by a path of {path_mtu}: {pings:?}",
            near.host,
            far.host
        );
    }
    Ok(())
}

fn bytes_arrive(near: &Site, far: &Site) -> Result<()> {
    // As the pings left it, the sender's kernel knows the path; a stream has to find it by itself.
    datagrams_arrive(near, far, "with the path known")?;
    forget_mtus(near)?;
    transfer::tcp(
        near.container.namespace(),
        far.container.namespace(),
        far.address,
        &transfer::pattern(1 << 20),
        PATIENCE,
    )
    .with_context(|| format!("1 MiB from {} to {}", near.host, far.host))?;
    Ok(())
}

/// The MTU of the way from one host to another as status has it, by `a` where they are no neighbours
fn path_mtu(near: &Site, far: &Site, a: &Site) -> Result<u32> {
    let hop = |from: &Site, to: &Site| -> Result<Option<u32>> {
        let connection = from.host.connection_to(&to.host)?;
        Ok(connection.and_then(|found| found.mtu).map(u32::from))
    };
    if let Some(mtu) = hop(near, far)? {
        return Ok(mtu);
    }
    let hops = [hop(near, a)?, hop(a, far)?].into_iter();
    hops.map(|mtu| mtu.context("a hop without an MTU"))
        .reduce(|one, other| Ok(one?.min(other?)))
        .context("no hops")?
}

fn mtu_of(site: &Site) -> Result<u32> {
    let line = ["link", "show", "dev", Container::INTERFACE];
    let links = site.container.namespace().ip_json(&line)?;
    let mtu = links[0]["mtu"].as_u64();
    mtu.and_then(|mtu| u32::try_from(mtu).ok()).context("no MTU")
}

/// The container's kernel forgets what it was told
fn forget_mtus(site: &Site) -> Result<()> {
    let line = ["route", "flush", "cache"];
    site.container.namespace().ip(&line).map(drop)
}
