//! Upcalls stay alive: `ovs-dpctl show` beside them, and a burst of strangers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::Datapath;
use model::PathKind;

use crate::judge::frames::{Injector, frame_from};
use crate::judge::{ovs, ping::Ping};
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{Container, ETHERNET, Lab};
use crate::weave::Launch;

/// Frames of a burst, each from another station
const BURST: u32 = 10_000;
/// What a stream keeps of its rate during a burst
const KEPT: f64 = 0.8;
/// Long enough for both bursts and quiet around them
const STREAM: Duration = Duration::from_secs(14);

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain(), PathKind::Fastdp)?;
    ping_all_pairs(&sites)?;
    let [one, two] = &sites;
    others_may_look(lab, one, two)?;
    a_burst_harms_nobody(lab, one, two)
}

fn others_may_look(lab: &mut Lab, one: &Site, two: &Site) -> Result<()> {
    for site in [one, two] {
        for _time in 0..3 {
            ovs::show(site.host.namespace())?.context("no datapath")?;
        }
    }
    // New stations need upcalls on both hosts.
    let [near, far] = [lab.container("late1")?, lab.container("late2")?];
    one.host.attach(&near, &["10.32.0.101/24"])?;
    two.host.attach(&far, &["10.32.0.102/24"])?;
    Ping::to([10, 32, 0, 102])
        .run(near.namespace())?
        .all_answered()
        .context("after ovs-dpctl show")?;
    Ok(())
}

/// A burst on the network must not cost a stream more than the same burst beside it does: on a machine
/// with one CPU the sender's own work takes its share from everybody
fn a_burst_harms_nobody(lab: &mut Lab, one: &Site, two: &Site) -> Result<()> {
    let noisy = lab.container("noisy")?;
    one.host.attach(&noisy, &["10.32.0.103/24"])?;
    let injector = Injector::open(noisy.namespace(), Container::INTERFACE)?;
    let station = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        frame_from([0x02, 0xbb, 0, a, b, c], b"a stranger")
    };

    let begun = Instant::now();
    let mut stream = one.stream(two, Duration::from_secs(14))?;
    // Sending takes time of a guest's only CPU by itself: a burst from one station, which the
    // kernel deals with alone, shows how much.
    let known = burst(begun, Duration::from_secs(3), || injector.send(&station(0)))?;
    let mut number = 0;
    let strangers = burst(begun, Duration::from_secs(8), || {
        number += 1;
        injector.send(&station(number))
    })?;
    ensure!(stream.is_running()?, "iperf3 ended during the burst");
    let rate = stream.finish()?;

    let quiet = rate
        .mean_between(1.0, known.0)
        .context("no rate before the bursts")?;
    let by_known = rate
        .mean_between(known.0, known.1)
        .context("no rate during the first burst")?;
    let by_strangers = rate
        .mean_between(strangers.0, strangers.1)
        .context("no rate during the burst")?;
    let kernel = ovs::show(one.host.namespace())?.context("no datapath")?;
    let status = one.host.status()?;
    println!(
        "stream alone {:.2} Gbit/s; while one station sends {BURST} frames {:.2}; while {BURST} stations do {:.2}",
        quiet / 1e9,
        by_known / 1e9,
        by_strangers / 1e9
    );
    println!(
        "the kernel could not hand up {}; flows {}; drops {:?}",
        kernel.lost, kernel.flows, status.drops
    );
    let kept = by_strangers / by_known.min(quiet);
    ensure!(kept >= KEPT, "the stream kept {kept:.2} of its rate");
    let Datapath::Fastdp { stats, .. } = status.datapath else {
        anyhow::bail!("no datapath in status")
    };
    ensure!(
        stats.lost >= kernel.lost,
        "status counts {} lost upcalls, the kernel {}",
        stats.lost,
        kernel.lost
    );
    one.ping(two, |ping| ping)?.all_answered()?;
    Ping::to([10, 32, 0, 102])
        .run(noisy.namespace())?
        .all_answered()
        .context("from the noisy container")?;
    Ok(())
}

/// Sends a burst at this time after the stream's start; tells when the stream felt it, in seconds
fn burst(begun: Instant, at: Duration, mut send: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    std::thread::sleep(at.saturating_sub(begun.elapsed()));
    let start = begun.elapsed().as_secs_f64();
    for _frame in 0..BURST {
        send()?;
    }
    let end = begun.elapsed().as_secs_f64();
    // iperf3's clock starts some tenths of a second later than ours; what was handed up is worked
    // off for a while.
    Ok((start - 0.4, end.max(start + 1.0)))
}
