//! weaved is killed and started again: traffic to its containers, past it and through it goes on.

use std::time::Duration;

use anyhow::{Result, ensure};
use model::PathKind;

use crate::judge::ping::Ping;
use crate::site::{Site, in_a_line, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING};

/// The most packets that a restart may cost, at 100 a second; the aim is none
const LOST: u32 = 5;

/// In a full mesh: to a container of the killed host, and between two others
pub(super) fn in_a_mesh(lab: &mut Lab) -> Result<()> {
    mesh(lab, Host::kill_weaved)
}

/// The same, with `weavectl stop` in the place of a kill
pub(super) fn for_an_update(lab: &mut Lab) -> Result<()> {
    mesh(lab, Host::stop)
}

fn mesh(lab: &mut Lab, end: End) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain(), PathKind::Fastdp)?;
    ping_all_pairs(&sites)?;
    let [one, two, three] = &sites;
    let again = Launch::plain()
        .peer(one.host.address()?)
        .peer(three.host.address()?);
    goes_on(two, end, &again, [(one, two), (one, three)], &[one, three])?;
    ping_all_pairs(&sites)?;
    Ok(())
}

/// In a line: through the killed host
pub(super) fn of_a_relay(lab: &mut Lab) -> Result<()> {
    let sites = in_a_line(lab, ["a", "b", "c"], &Launch::plain(), PathKind::Fastdp)?;
    ping_all_pairs(&sites)?;
    let [a, b, c] = &sites;
    let again = Launch::plain()
        .flag("--no-discovery")
        .peer(a.host.address_for(&b.host)?);
    goes_on(b, Host::kill_weaved, &again, [(a, c), (a, b)], &[a, c])?;
    ping_all_pairs(&sites)?;
    Ok(())
}

/// How a weaved is ended
type End = fn(&Host) -> Result<()>;

fn goes_on(
    ended: &Site,
    end: End,
    again: &Launch,
    [first, second]: [(&Site, &Site); 2],
    neighbours: &[&Site],
) -> Result<()> {
    let often = Duration::from_millis(10);
    let start = |(from, to): (&Site, &Site)| {
        Ping::to(to.address)
            .every(often)
            .start(from.container.namespace())
    };
    let pings = [start(first)?, start(second)?];
    let mut stream = first.0.stream(first.1, Duration::from_secs(12))?;
    wait_until("the pings run", Duration::from_secs(10), || {
        Ok(pings.iter().all(|ping| ping.answers() > 20))
    })?;

    end(&ended.host)?;
    ended.host.launch(again)?;
    for neighbour in neighbours {
        ended.host.wait_path(&neighbour.host, PathKind::Fastdp, MEETING)?;
        neighbour.host.wait_path(&ended.host, PathKind::Fastdp, MEETING)?;
    }
    ensure!(stream.is_running()?, "iperf3 ended before the restart was over");
    // The time during which adopted flows are reconciled belongs to the restart.
    let rate = stream.finish()?;

    for (ping, (from, to)) in pings.into_iter().zip([first, second]) {
        let pings = ping.stop()?;
        println!(
            "{} to {}, {} restarted: {} of {} packets lost, longest silence {:.0?}",
            from.host,
            to.host,
            ended.host,
            pings.lost(),
            pings.sent,
            pings.longest_silence
        );
        ensure!(pings.lost() <= LOST, "{} packets lost", pings.lost());
    }
    let least = rate
        .moments
        .iter()
        .map(|(_start, rate)| *rate)
        .fold(f64::INFINITY, f64::min);
    println!(
        "the stream: {:.2} Gbit/s, {:.2} in its worst 0.2 s",
        rate.gigabits(),
        least / 1e9
    );
    Ok(())
}
