//! Silent cuts: of VXLAN alone, and of everything.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::fault::{self, Traffic};
use crate::judge::ping::Ping;
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Lab};
use crate::weave::{Launch, VXLAN_PORT};

const TO_THE_SLEEVE: Duration = Duration::from_secs(2);
const BACK_TO_FASTDP: Duration = Duration::from_secs(5);
const LOST: Duration = Duration::from_secs(3);

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain(), PathKind::Fastdp)?;
    ping_all_pairs(&sites)?;
    let [one, two, three] = &sites;
    vxlan_alone(one, two, three)?;
    everything(one, two, three)
}

fn vxlan_alone(one: &Site, two: &Site, three: &Site) -> Result<()> {
    let ping = Ping::to(two.address)
        .every(Duration::from_millis(50))
        .start(one.container.namespace())?;
    let cut = fault::cut(&one.host, &two.host, Traffic::Udp(VXLAN_PORT))?;
    let (connection, there) = one.host.wait_path(&two.host, PathKind::Sleeve, TO_THE_SLEEVE)?;
    let reason = connection.reason.context("no reason for the sleeve in status")?;
    ensure!(!reason.is_empty(), "an empty reason");
    two.host.wait_path(&one.host, PathKind::Sleeve, TO_THE_SLEEVE)?;
    for other in [one, two] {
        let (connection, _took) = other
            .host
            .wait_path(&three.host, PathKind::Fastdp, Duration::ZERO)?;
        ensure!(
            connection.reason.is_none(),
            "{} to {}: {:?}",
            other.host,
            three.host,
            connection.reason
        );
    }
    one.ping(two, |ping| ping.count(10))?.all_answered()?;
    cut.heal()?;
    let (_connection, back) = one.host.wait_path(&two.host, PathKind::Fastdp, BACK_TO_FASTDP)?;
    two.host.wait_path(&one.host, PathKind::Fastdp, BACK_TO_FASTDP)?;
    one.ping(two, |ping| ping)?.all_answered()?;
    let pings = ping.stop()?;
    println!(
        "VXLAN cut: sleeve after {there:.1?} (\"{reason}\"), fastdp {back:.1?} after healing; longest silence {:.2?}",
        pings.longest_silence
    );
    ensure!(
        pings.longest_silence < TO_THE_SLEEVE,
        "traffic paused for {:?}",
        pings.longest_silence
    );
    Ok(())
}

fn everything(one: &Site, two: &Site, three: &Site) -> Result<()> {
    let cut = fault::cut(&one.host, &two.host, Traffic::All)?;
    let (state, took) = one.host.wait_lost(&two.host, LOST)?;
    println!("everything cut: lost after {took:.1?} ({state})");
    two.host.wait_lost(&one.host, LOST)?;
    one.host
        .wait_path(&three.host, PathKind::Fastdp, Duration::ZERO)?;
    one.ping(three, |ping| ping)?.all_answered()?;
    // The third host is connected to both: the overlay goes round by it.
    one.ping(two, |ping| ping.count(10).patience(Duration::from_secs(2)))?
        .all_answered()?;
    cut.heal()?;
    let (_connection, back) = one
        .host
        .wait_path(&two.host, PathKind::Fastdp, Duration::from_secs(30))?;
    println!("connected again {back:.1?} after healing");
    one.ping(two, |ping| ping)?.all_answered()?;
    Ok(())
}
