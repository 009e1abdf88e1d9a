//! Upcalls stay alive: `ovs-dpctl show` beside them, and a burst of strangers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::Datapath;
use model::PathKind;

use crate::judge::frames::{Injector, frame_from};
use crate::judge::{iperf::Rate, ovs, ping::Ping};
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{Container, ETHERNET, Lab};
use crate::weave::Launch;

/// Frames of a burst, each from another station
const BURST: u32 = 10_000;
/// What a stream keeps of its rate during a burst
const KEPT: f64 = 0.8;
/// How often both kinds of burst are sent: rates of single seconds go up and down by themselves
const ROUNDS: u32 = 3;
/// From the start of one burst to the start of the next, which is also how long a burst is felt
const APART: Duration = Duration::from_secs(4);

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

/// A burst of strangers must not cost a stream more than a burst of as many frames from one station:
/// on a machine with one CPU the sending alone takes its share from everybody
fn a_burst_harms_nobody(lab: &mut Lab, one: &Site, two: &Site) -> Result<()> {
    let noisy = lab.container("noisy")?;
    one.host.attach(&noisy, &["10.32.0.103/24"])?;
    let injector = Injector::open(noisy.namespace(), Container::INTERFACE)?;
    let station = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        frame_from([0x02, 0xbb, 0, a, b, c], b"a stranger")
    };

    let mut stream = one.stream(two, APART * (2 * ROUNDS + 2))?;
    let clock = Bursts(Instant::now());
    let (mut known, mut strangers) = (Vec::new(), Vec::new());
    let mut numbers = 1..;
    for _round in 0..ROUNDS {
        // The kernel deals with a station that it has a flow for alone.
        known.push(clock.burst(|| injector.send(&station(0)))?);
        strangers.push(clock.burst(|| injector.send(&station(numbers.next().unwrap_or_default())))?);
    }
    ensure!(stream.is_running()?, "iperf3 ended during the bursts");
    let rate = stream.finish()?;

    let alone = rate
        .mean_between(1.0, APART.as_secs_f64() - 0.5)
        .context("no rate before the bursts")?;
    let (by_known, by_strangers) = (best(&rate, &known)?, best(&rate, &strangers)?);
    let kernel = ovs::show(one.host.namespace())?.context("no datapath")?;
    let status = one.host.status()?;
    println!(
        "stream alone {:.2} Gbit/s; while one station sends {BURST} frames {:.2}; while {BURST} stations do {:.2}",
        alone / 1e9,
        by_known / 1e9,
        by_strangers / 1e9
    );
    println!(
        "the kernel could not hand up {}; flows {}; drops {:?}",
        kernel.lost, kernel.flows, status.drops
    );
    let kept = by_strangers / by_known;
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

/// Bursts beside a stream that began at this time
struct Bursts(Instant);

impl Bursts {
    /// Waits for the next turn and sends a burst; tells when the stream felt it, in its seconds
    fn burst(&self, mut send: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
        let elapsed = self.0.elapsed().as_secs_f64();
        let turn = (elapsed / APART.as_secs_f64()).floor() + 1.0;
        std::thread::sleep(Duration::from_secs_f64(turn * APART.as_secs_f64() - elapsed));
        let start = self.0.elapsed().as_secs_f64();
        for _frame in 0..BURST {
            send()?;
        }
        // Up to the next turn: a burst that is worked off late counts whole. iperf3's clock starts
        // some tenths of a second later.
        let start = start - 0.4;
        Ok((start, start + APART.as_secs_f64()))
    }
}

/// The best of a stream's rates in these spans of time: what else the machine does only ever lowers
/// one of them
fn best(rate: &Rate, spans: &[(f64, f64)]) -> Result<f64> {
    let rates = spans.iter().map(|(from, to)| rate.mean_between(*from, *to));
    let rates = rates
        .collect::<Option<Vec<f64>>>()
        .context("no rate during a burst")?;
    rates.into_iter().max_by(f64::total_cmp).context("no bursts")
}
