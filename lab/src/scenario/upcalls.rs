//! Upcalls stay alive: `ovs-dpctl show` beside them, and a burst of strangers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::Datapath;
use model::PathKind;

use crate::judge::frames::{Injector, frame_from};
use crate::judge::{cpu, iperf::Rate, ovs, ping::Ping};
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{Container, ETHERNET, Lab};
use crate::weave::Launch;

/// Frames of a burst, each from another station
const BURST: u32 = 10_000;
/// What a stream keeps of its rate during a burst
const KEPT: f64 = 0.8;
/// How often both kinds of burst are sent: rates of single seconds go up and down by themselves
const ROUNDS: u32 = 4;
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
///
/// There, weaved takes from a stream what it runs; the kernel's account of that does not depend on what
/// else the machine does, as rates do.
fn a_burst_harms_nobody(lab: &mut Lab, one: &Site, two: &Site) -> Result<()> {
    let noisy = lab.container("noisy")?;
    one.host.attach(&noisy, &["10.32.0.103/24"])?;
    let injector = Injector::open(noisy.namespace(), Container::INTERFACE)?;
    let station = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        frame_from([0x02, 0xbb, 0, a, b, c], b"a stranger")
    };

    let mut stream = one.stream(two, APART * (2 * ROUNDS + 2))?;
    let mut bursts = Bursts {
        stream_began: Instant::now(),
        turn: 1,
        weaved: one.host.weaved_pid()?,
    };
    bursts.await_turn();
    let mut rounds = Vec::new();
    let mut numbers = 1..;
    for _round in 0..ROUNDS {
        // The kernel deals with a station that it has a flow for alone.
        let known = bursts.send(|| injector.send(&station(0)))?;
        let strangers = bursts.send(|| injector.send(&station(numbers.next().unwrap_or_default())))?;
        rounds.push((known, strangers));
    }
    ensure!(stream.is_running()?, "iperf3 ended during the bursts");
    let rate = stream.finish()?;

    let alone = rate
        .mean_between(1.0, APART.as_secs_f64() - 0.5)
        .context("no rate before the bursts")?;
    println!("stream alone {:.2} Gbit/s", alone / 1e9);
    let (mut kept, mut taken) = (0_f64, 1_f64);
    for (known, strangers) in &rounds {
        let (beside_known, beside_strangers) = (known.rate_in(&rate)?, strangers.rate_in(&rate)?);
        println!(
            "while one station sends {BURST} frames {:.2}, while {BURST} stations do {:.2}; weaved ran {:.2} of that time",
            beside_known / 1e9,
            beside_strangers / 1e9,
            strangers.taken
        );
        // The best round: what else the machine does may spoil any of them.
        kept = kept.max(beside_strangers / beside_known);
        taken = taken.min(strangers.taken);
    }
    let kernel = ovs::show(one.host.namespace())?.context("no datapath")?;
    let status = one.host.status()?;
    println!(
        "the kernel could not hand up {}; flows {}; drops {:?}",
        kernel.lost, kernel.flows, status.drops
    );
    ensure!(kept >= KEPT, "the stream kept {kept:.2} of its rate");
    ensure!(
        taken <= 1.0 - KEPT,
        "weaved ran {taken:.2} of the time that a burst took"
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
    ensure!(
        status.drops.contains_key("switch: rate_limited") || kernel.lost > 0,
        "strangers beyond the limit are not counted"
    );
    one.ping(two, |ping| ping)?.all_answered()?;
    Ping::to([10, 32, 0, 102])
        .run(noisy.namespace())?
        .all_answered()
        .context("from the noisy container")?;
    Ok(())
}

/// Bursts beside a stream that began at this time, on the host of this weaved
struct Bursts {
    stream_began: Instant,
    /// The turn that comes next
    turn: u32,
    weaved: i32,
}

/// A burst that was sent
struct Burst {
    /// When the stream felt it, in its seconds
    felt: (f64, f64),
    /// How much of the time that the sending took weaved ran for it
    taken: f64,
}

impl Bursts {
    /// Sends a burst, and waits for the next turn
    fn send(&mut self, mut send: impl FnMut() -> Result<()>) -> Result<Burst> {
        let (start, ran) = (self.elapsed(), cpu::time_of(self.weaved)?);
        for _frame in 0..BURST {
            send()?;
        }
        let sending = self.elapsed() - start;
        // What still waits is worked off in the rest of the turn, and counts.
        self.await_turn();
        let ran = cpu::time_of(self.weaved)?.saturating_sub(ran);
        // iperf3's clock starts some tenths of a second later.
        let start = start - 0.4;
        Ok(Burst {
            felt: (start, start + APART.as_secs_f64()),
            taken: ran.as_secs_f64() / sending,
        })
    }

    fn elapsed(&self) -> f64 {
        self.stream_began.elapsed().as_secs_f64()
    }

    fn await_turn(&mut self) {
        while APART * self.turn <= self.stream_began.elapsed() {
            self.turn += 1;
        }
        std::thread::sleep((APART * self.turn).saturating_sub(self.stream_began.elapsed()));
    }
}

impl Burst {
    fn rate_in(&self, rate: &Rate) -> Result<f64> {
        let (from, to) = self.felt;
        rate.mean_between(from, to).context("no rate during a burst")
    }
}
