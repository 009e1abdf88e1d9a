//! A stranger on the underlay, who knows the VNIs, sees every datagram, and writes any source address:
//! containers' traffic goes on, and what it sends reaches none of them.
//!
//! What no host can tell apart is left out: in a network without a password, VXLAN with the address of a
//! neighbour as its source. See docs/wire/vxlan.md.

mod attack;
mod network;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use self::attack::Stranger;
use self::network::Network;
use crate::judge::cpu;
use crate::judge::ovs;
use crate::judge::ping::Ping;
use crate::judge::sockets;
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, VXLAN_PORT, usual_path};

/// How long heartbeats are forged
const FLOOD: Duration = Duration::from_secs(5);
/// For a connection whose other end has vanished to be given up and made anew
const FOLLOWED: Duration = Duration::from_secs(60);

pub(super) fn clear(lab: &mut Lab) -> Result<()> {
    let network = Network::launch(lab, [Launch::plain(), Launch::plain(), Launch::plain()], &[])?;
    attacked(lab, &network, None)
}

/// Plays a stranger who sends VXLAN, also as this neighbor, guesses sessions and replays heartbeats
fn attacked(lab: &mut Lab, network: &Network, neighbor: Option<&Site>) -> Result<()> {
    let stranger = Stranger::new(lab, network)?;
    network.undisturbed("VXLAN", || stranger.sends_vxlan(network, None))?;
    if neighbor.is_some() {
        network.undisturbed("VXLAN as a neighbor", || stranger.sends_vxlan(network, neighbor))?;
    }
    network.undisturbed("guesses", || stranger.guesses_sessions(network))?;
    network.undisturbed("replays", || stranger.replays_heartbeats(lab, network))
}

pub(super) fn password(lab: &mut Lab) -> Result<()> {
    let launch = || Launch::plain().password("long enough for a scenario");
    let network = Network::launch(lab, [launch(), launch(), launch()], &[])?;
    for site in network.sites() {
        ensure!(
            !sockets::is_bound(site.host.namespace(), VXLAN_PORT)?,
            "{} listens on UDP {VXLAN_PORT}, and no neighbour may use it",
            site.host
        );
    }
    let [one, ..] = network.sites();
    attacked(lab, &network, Some(one))
}

pub(super) fn trusted(lab: &mut Lab) -> Result<()> {
    let launch = || Launch::plain().password("long enough for a scenario");
    // The first two hosts trust each other's addresses, and nobody else's.
    let network = Network::launch(lab, [launch(), launch(), launch()], &[0, 1])?;
    let [one, two, three] = network.sites();
    for (near, far, encrypted) in [
        (one, two, false),
        (two, one, false),
        (one, three, true),
        (three, two, true),
    ] {
        let connection = near.host.connection_to(&far.host)?.context("no connection")?;
        ensure!(
            connection.encrypted == Some(encrypted),
            "{} to {}: encrypted {:?}",
            near.host,
            far.host,
            connection.encrypted
        );
    }
    ensure!(
        !sockets::is_bound(three.host.namespace(), VXLAN_PORT)?,
        "{} listens on UDP {VXLAN_PORT}, and trusts nobody",
        three.host
    );
    // The third host's pairs are encrypted, so that nothing clear is its.
    attacked(lab, &network, Some(three))
}

pub(super) fn mixed(lab: &mut Lab) -> Result<()> {
    let third = Launch::plain().flag("--no-fastdp");
    let network = Network::launch(lab, [Launch::plain(), Launch::plain(), third], &[])?;
    let [.., three] = network.sites();
    // The third host never proves itself by fastdp, so that its address is as good as a stranger's there.
    attacked(lab, &network, Some(three))
}

pub(super) fn flood(lab: &mut Lab) -> Result<()> {
    let network = Network::launch(lab, [Launch::plain(), Launch::plain(), Launch::plain()], &[])?;
    let stranger = Stranger::new(lab, &network)?;
    let [_, two, _] = network.sites();
    let pid = two.host.weaved_pid()?;
    network.undisturbed("a flood of heartbeats", || {
        let (begun, before) = (Instant::now(), cpu::time_of_first_thread(pid)?);
        let all_before = cpu::time_of(pid)?;
        let sent = stranger.floods_heartbeats(two, &network, FLOOD)?;
        let share = |ran: Duration| ran.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
        let control = share(cpu::time_of_first_thread(pid)?.saturating_sub(before));
        let all = share(cpu::time_of(pid)?.saturating_sub(all_before));
        println!("{sent} forged heartbeats: control ran {control:.1} % of the time, weaved {all:.1} %");
        ensure!(control < 5.0, "control ran {control:.1} % of the time");
        Ok(1)
    })?;
    let drops = two.host.status()?.drops;
    ensure!(
        drops.keys().any(|reason| reason.contains("beat_forged")),
        "nothing is counted as forged: {drops:?}"
    );
    let log = std::fs::read_to_string(two.host.log_file())?;
    ensure!(
        !log.contains("is held"),
        "a neighbor was held: see {}",
        two.host.log_file().display()
    );
    Ok(())
}

pub(super) fn moved(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain(), usual_path())?;
    ping_all_pairs(&sites)?;
    let [one, two] = &sites;
    let leg = two.host.leg_towards(&one.host)?;
    let [a, b, c, _] = leg.address.octets();
    let namespace = two.host.namespace();
    // The old one first: with a network's first address the kernel takes the others of that network as well.
    let (old, new) = (format!("{}/24", leg.address), format!("{a}.{b}.{c}.77/24"));
    namespace.ip(&["address", "del", &old, "dev", &leg.device])?;
    namespace.ip(&["address", "add", &new, "dev", &leg.device])?;
    wait_until("the host is followed", FOLLOWED, || {
        let pings = Ping::to(two.address).count(3).run(one.container.namespace());
        Ok(pings.is_ok_and(|pings| pings.lost() == 0))
    })?;
    let path = if ovs::is_here() {
        PathKind::Fastdp
    } else {
        PathKind::Sleeve
    };
    one.host.wait_path(&two.host, path, MEETING)?;
    ping_all_pairs(&sites)?;
    Ok(())
}
