//! Upcalls stay alive: `ovs-dpctl show` beside them, and a burst of strangers.

use std::time::Duration;

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

fn a_burst_harms_nobody(lab: &mut Lab, one: &Site, two: &Site) -> Result<()> {
    let noisy = lab.container("noisy")?;
    one.host.attach(&noisy, &["10.32.0.103/24"])?;
    let injector = Injector::open(noisy.namespace(), Container::INTERFACE)?;
    let begun = std::time::Instant::now();
    let mut stream = one.stream(two, Duration::from_secs(10))?;
    let warm = Duration::from_secs(4);
    std::thread::sleep(warm.saturating_sub(begun.elapsed()));
    let at = begun.elapsed().as_secs_f64();
    for number in 0..BURST {
        let [_, a, b, c] = number.to_be_bytes();
        injector.send(&frame_from([0x02, 0xbb, 0, a, b, c], b"a stranger"))?;
    }
    let took = begun.elapsed().as_secs_f64() - at;
    ensure!(stream.is_running()?, "iperf3 ended during the burst");
    let rate = stream.finish()?;
    // iperf3's clock starts a little after ours: leave the first second and the edges out.
    let before = rate
        .mean_between(1.0, at - 0.6)
        .context("no rate before the burst")?;
    let during = rate
        .mean_between(at - 0.6, at + took.max(1.0) + 0.6)
        .context("no rate during the burst")?;
    let after = rate
        .mean_between(at + took.max(1.0) + 0.6, 10.0)
        .context("no rate after the burst")?;
    let kernel = ovs::show(one.host.namespace())?.context("no datapath")?;
    let status = one.host.status()?;
    println!(
        "{BURST} strangers in {took:.2} s; stream {:.2} before, {:.2} during, {:.2} Gbit/s after",
        before / 1e9,
        during / 1e9,
        after / 1e9
    );
    println!(
        "the kernel could not hand up {}; flows {}; drops {:?}",
        kernel.lost, kernel.flows, status.drops
    );
    ensure!(
        during >= KEPT * before,
        "the stream kept {:.2} of its rate",
        during / before
    );
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
