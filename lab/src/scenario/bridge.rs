//! Hosts without Open vSwitch: a Linux bridge and the sleeve do the same, and say so.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::Datapath;
use model::PathKind;

use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, launch_mesh};

/// How long weaved may take to set right what somebody changed
const HAIRPIN: Duration = Duration::from_secs(2);

pub(super) fn all_hosts(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain(), PathKind::Sleeve)?;
    ping_all_pairs(&sites)?;

    let [one, two, three] = &sites;
    for site in &sites {
        let Datapath::Bridge { name, reason } = site.host.status()?.datapath else {
            anyhow::bail!(
                "{} has no bridge but {:?}",
                site.host,
                site.host.status()?.datapath
            );
        };
        ensure!(reason.contains("openvswitch"), "{}: {reason}", site.host);
        let ports = site
            .host
            .namespace()
            .ip_json(&["link", "show", "master", name.as_str()])?;
        let count = ports.as_array().map_or(0, Vec::len);
        // The container, and the sleeve's device.
        ensure!(
            count == 2,
            "{} ports on the bridge of {}: {ports}",
            count,
            site.host
        );
    }
    let connection = one.host.connection_to(&two.host)?.context("no connection")?;
    let reason = connection.reason.unwrap_or_default();
    ensure!(
        reason.contains("openvswitch"),
        "the reason for the sleeve is {reason:?}"
    );

    hairpin_stays_off(one)?;
    ping_all_pairs(&sites)?;

    let rate = one.iperf(two, Duration::from_secs(3))?;
    let back = three.iperf(one, Duration::from_secs(2))?;
    println!(
        "over the sleeve: {:.2} and {:.2} Gbit/s",
        rate.gigabits(),
        back.gigabits()
    );
    Ok(())
}

/// Others switch it on for whatever is a port of a bridge
fn hairpin_stays_off(site: &Site) -> Result<()> {
    let namespace = site.host.namespace();
    let port = "weave-sleeve";
    namespace
        .run(&["bridge", "link", "set", "dev", port, "hairpin", "on"])?
        .ok()?;
    wait_until("hairpin mode is off again", HAIRPIN, || {
        let told = namespace.ip_json(&["-d", "link", "show", "dev", port])?;
        Ok(told[0]["linkinfo"]["info_slave_data"]["hairpin"] == false)
    })?;
    let log = std::fs::read_to_string(site.host.log_file())?;
    ensure!(
        log.contains("hairpin mode of weave-sleeve was switched on"),
        "{} logs nothing of it: {log}",
        site.host
    );
    Ok(())
}

pub(super) fn one_host(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let [one, two, three] = &sites;
    launch_mesh(&[&one.host, &two.host], &Launch::plain(), PathKind::Fastdp)?;
    let late = Launch::plain().flag("--no-fastdp").peer(one.host.address()?);
    three.host.launch(&late.peer(two.host.address()?))?;
    for (near, far) in [(one, three), (three, one), (two, three), (three, two)] {
        let (connection, _took) = near.host.wait_path(&far.host, PathKind::Sleeve, MEETING)?;
        ensure!(
            connection.reason.is_some(),
            "{} says no reason for the sleeve to {}",
            near.host,
            far.host
        );
    }
    one.host.wait_path(&two.host, PathKind::Fastdp, MEETING)?;
    sites.iter().try_for_each(|site| site.attach())?;

    ping_all_pairs(&sites)?;

    for (from, to) in [(one, three), (three, one), (one, two)] {
        let rate = from.iperf(to, Duration::from_secs(2))?;
        println!("{} to {}: {:.2} Gbit/s", from.host, to.host, rate.gigabits());
    }
    Ok(())
}
