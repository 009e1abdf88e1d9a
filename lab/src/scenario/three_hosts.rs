//! Three hosts with Open vSwitch: frames travel in the kernel, with the documented VNI.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::{PathKind, Vni};

use crate::judge::{capture, ovs};
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Lab};
use crate::weave::{Launch, VXLAN_PORT};

/// How long misses are counted with and without traffic
const WINDOW: Duration = Duration::from_secs(3);
/// How many echo requests are looked for on the wire
const COUNT: u32 = 5;

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain(), PathKind::Fastdp)?;
    ping_all_pairs(&sites)?;

    let [one, two, _three] = &sites;
    let vni = Vni::new(one.host.short_id()?, two.host.short_id()?);
    the_wire_carries_vxlan(lab, one, two, vni)?;
    the_kernel_has_tunnel_flows(one, two, vni)?;
    steady_traffic_is_not_handed_up(one, two)?;
    Ok(())
}

fn the_wire_carries_vxlan(lab: &Lab, one: &Site, two: &Site, vni: Vni) -> Result<()> {
    let leg = two.host.leg_towards(&one.host)?;
    let capturing = capture::start(two.host.namespace(), &leg.device, "udp", &lab.files())?;
    one.ping(two, |ping| ping.count(COUNT))?.all_answered()?;
    let rows = capturing.stop()?.fields(
        VXLAN_PORT,
        "icmp.type == 8",
        &["udp.dstport", "vxlan.vni", "ip.src", "ip.dst", "icmp.seq"],
    )?;
    let sender = one.host.address_for(&two.host)?;
    let wanted = [
        VXLAN_PORT.to_string(),
        u32::from(vni).to_string(),
        format!("{sender},{}", one.address),
        format!("{},{}", leg.address, two.address),
    ];
    ensure!(
        rows.iter().all(|row| row.starts_with(&wanted)),
        "expected {wanted:?} on the wire, saw {rows:?}"
    );
    for request in 1..=COUNT {
        let number = request.to_string();
        let times = rows.iter().filter(|row| row.last() == Some(&number)).count();
        ensure!(
            times == 1,
            "echo request {request} was sent once, the wire carried {rows:?}"
        );
    }
    Ok(())
}

fn the_kernel_has_tunnel_flows(one: &Site, two: &Site, vni: Vni) -> Result<()> {
    let vni = u32::from(vni);
    let far = two.host.address_for(&one.host)?.to_string();
    let near = one.host.address_for(&two.host)?.to_string();
    let (out, into) = (
        ovs::flows(one.host.namespace())?,
        ovs::flows(two.host.namespace())?,
    );
    ensure!(
        out.iter()
            .any(|flow| flow.into_tunnels.contains(&(vni, far.clone())) && flow.packets > 0),
        "no flow with packets into tunnel {vni:#x} to {far}: {out:#?}"
    );
    ensure!(
        into.iter()
            .any(|flow| flow.from_tunnel == Some((vni, near.clone())) && flow.packets > 0),
        "no flow with packets out of tunnel {vni:#x} from {near}: {into:#?}"
    );
    Ok(())
}

fn steady_traffic_is_not_handed_up(one: &Site, two: &Site) -> Result<()> {
    let missed =
        |site: &Site| -> Result<u64> { Ok(ovs::show(site.host.namespace())?.context("no datapath")?.missed) };
    let counts = || Ok::<_, anyhow::Error>([missed(one)?, missed(two)?]);
    let growth = |before: [u64; 2], after: [u64; 2]| [after[0] - before[0], after[1] - before[1]];

    let before = counts()?;
    sleep(WINDOW);
    let idle = growth(before, counts()?);
    let before = counts()?;
    let rate = one.iperf(two, WINDOW)?;
    let pings = one
        .ping(two, |ping| ping.count(100).every(Duration::from_millis(2)))?
        .all_answered()?;
    let busy = growth(before, counts()?);
    println!(
        "handed up in {WINDOW:?}: {idle:?} idle, {busy:?} with {:.2} Gbit/s",
        rate.gigabits()
    );
    println!("round trip {:?}", pings.round_trip.unwrap_or_default());
    for (idle, busy) in idle.into_iter().zip(busy) {
        // The busy window is longer, and has the TCP connection's first packets and some ARP.
        ensure!(
            busy <= idle * 2 + 20,
            "{busy} packets handed up under traffic, {idle} without"
        );
    }
    Ok(())
}
