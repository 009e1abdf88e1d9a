//! Four hosts in a line: two relays carry everything in the kernel; a cut in the middle is got
//! around by a new link.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::fault::{self, Traffic};
use crate::judge::ovs;
use crate::judge::ping::Ping;
use crate::site::{Site, in_a_line, ping_all_pairs};
use crate::topology::{ETHERNET, Lab};
use crate::weave::Launch;

/// How long traffic may pause while the middle link is lost and another one comes
const PAUSE: Duration = Duration::from_secs(2);

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let sites = in_a_line(lab, ["a", "b", "c", "d"], &Launch::plain(), PathKind::Fastdp)?;
    let [a, b, c, d] = &sites;

    ping_all_pairs(&sites)?;
    relays_work_in_the_kernel(a, d, &[b, c])?;
    a_new_link_takes_over(lab, a, d, [b, c])
}

fn relays_work_in_the_kernel(a: &Site, d: &Site, relays: &[&Site]) -> Result<()> {
    let before = relays
        .iter()
        .map(|relay| sleeve_packets(relay))
        .collect::<Result<Vec<_>>>()?;
    let rate = a.iperf(d, Duration::from_secs(3))?;
    println!("through two relays: {:.2} Gbit/s", rate.gigabits());
    a.ping(d, |ping| ping.count(20).every(Duration::from_millis(20)))?
        .all_answered()?;
    for (relay, before) in relays.iter().zip(before) {
        let flows = ovs::flows(relay.host.namespace())?;
        let passed_on = flows
            .iter()
            .filter(|flow| flow.from_tunnel.is_some() && !flow.into_tunnels.is_empty() && flow.packets > 100);
        // One each way.
        ensure!(
            passed_on.count() >= 2,
            "{} passes nothing on from tunnel to tunnel: {flows:#?}",
            relay.host
        );
        let after = sleeve_packets(relay)?;
        // The host itself asks for routers out of each of its devices now and then.
        ensure!(
            after - before <= 5,
            "the sleeve of {} went from {before} to {after} packets",
            relay.host
        );
    }
    Ok(())
}

/// Packets through the sleeve's device, both ways, as the kernel counts them
fn sleeve_packets(site: &Site) -> Result<u64> {
    let links = site
        .host
        .namespace()
        .ip_json(&["-s", "link", "show", "dev", "weave-sleeve"])?;
    let counters = &links[0]["stats64"];
    let count = |way: &str| {
        counters[way]["packets"]
            .as_u64()
            .with_context(|| format!("no counters: {links}"))
    };
    Ok(count("rx")? + count("tx")?)
}

fn a_new_link_takes_over(lab: &mut Lab, a: &Site, d: &Site, middle: [&Site; 2]) -> Result<()> {
    lab.link(&a.host, &d.host, ETHERNET)?;
    let stream = a.stream(d, Duration::from_secs(6))?;
    let ping = Ping::to(d.address)
        .every(Duration::from_millis(50))
        .start(a.container.namespace())?;
    let cut = fault::cut(&middle[0].host, &middle[1].host, Traffic::All)?;
    let target = d.host.address_for(&a.host)?.to_string();
    a.host.weavectl(&["connect", &target])?.ok()?;
    let (_connection, took) = a
        .host
        .wait_path(&d.host, PathKind::Fastdp, Duration::from_secs(5))?;
    let rate = stream.finish()?;
    let pings = ping.stop()?;
    println!(
        "the new link is used after {took:.1?}; longest silence {:.2?}, {} of {} lost, {:.2} Gbit/s over all",
        pings.longest_silence,
        pings.lost(),
        pings.sent,
        rate.gigabits()
    );
    ensure!(
        pings.longest_silence <= PAUSE,
        "traffic paused for {:?}",
        pings.longest_silence
    );
    cut.heal()
}
