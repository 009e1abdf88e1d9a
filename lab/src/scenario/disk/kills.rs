//! weaved is killed a hundred times, at random moments of what changes its state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{check_interfaces, inside, listed};
use crate::command::DEADLINE;
use crate::site::{Site, on_one_network};
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, usual_path};

const KILLS: u32 = 100;
const CONTAINERS: usize = 8;
/// A kill comes this long after the start of a change at the latest, in milliseconds
const LATEST: u64 = 120;
/// The same for a start
const LATEST_START: u64 = 250;

/// What weaved said that it did
#[derive(Debug, Default)]
struct Acknowledged {
    addresses: BTreeMap<usize, Ipv4Addr>,
    /// Names by the container that has them
    names: BTreeMap<usize, BTreeSet<String>>,
    exposed: Option<Ipv4Addr>,
}

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let mut random = Random::begin()?;
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    let [one, two] = &sites;
    let usual = Launch::plain().peer(two.host.address()?);
    two.host.launch(&Launch::plain())?;
    one.host.launch(&usual)?;
    one.host.wait_path(&two.host, usual_path(), MEETING)?;
    let others = two.host.attach_any(&two.container, &[])?;
    let containers = (0..CONTAINERS)
        .map(|number| lab.container(&format!("k{number}")))
        .collect::<Result<Vec<_>>>()?;

    let mut known = Acknowledged::default();
    let (mut done, mut begun) = (0, 0);
    let start = Instant::now();
    for round in 0..KILLS {
        let at = usize::try_from(random.below(CONTAINERS as u64))?;
        let container = &containers[at];
        let name = container.namespace().name();
        match random.below(10) {
            0 => {
                kill_a_start(one, &usual, &mut random)?;
            }
            1 => {
                let what = if known.exposed.is_some() { "hide" } else { "expose" };
                begun += 1;
                let is_done = cut_off(&one.host, &[what], &mut random)?;
                done += u32::from(is_done);
                one.host.launch(&usual)?;
                let now = exposed(&one.host)?;
                if is_done {
                    ensure!(
                        now.is_some() == (what == "expose"),
                        "{what} was acknowledged: {now:?}"
                    );
                } else if known.exposed.is_some() && now.is_some() {
                    ensure!(
                        now == known.exposed,
                        "exposed was {:?} and is {now:?}",
                        known.exposed
                    );
                }
                known.exposed = now;
            }
            2 if known.addresses.contains_key(&at) => {
                let given = format!("n{round}");
                begun += 1;
                let is_done = cut_off(&one.host, &["dns-add", name, "-h", &given], &mut random)?;
                done += u32::from(is_done);
                one.host.launch(&usual)?;
                if is_done {
                    known.names.entry(at).or_default().insert(given);
                }
            }
            _ => {
                let was = known.addresses.get(&at).copied();
                let what = if was.is_some() { "detach" } else { "attach" };
                begun += 1;
                let is_done = cut_off(&one.host, &[what, name], &mut random)?;
                done += u32::from(is_done);
                one.host.launch(&usual)?;
                let now = listed(&one.host, container)?;
                ensure!(now.len() <= 1, "{container} has {now:?}");
                let now = now.first().copied();
                if is_done {
                    ensure!(
                        now.is_some() == (what == "attach"),
                        "{what} was acknowledged: {now:?}"
                    );
                } else if let (Some(was), Some(now)) = (was, now) {
                    ensure!(was == now, "{container} had {was} and has {now}");
                }
                match now {
                    Some(address) => drop(known.addresses.insert(at, address)),
                    None => {
                        known.addresses.remove(&at);
                        known.names.remove(&at);
                    }
                }
            }
        }
        check(&one.host, &containers, &known, &others)
            .with_context(|| format!("after kill {round} of seed {}", random.seed))?;
    }
    println!(
        "{KILLS} kills in {:.0?}: {done} of {begun} changes were acknowledged, none lost; {} addresses in use",
        start.elapsed(),
        known.addresses.len()
    );
    ensure!(
        done > 0 && done < begun,
        "the kills came too early or too late: {done} of {begun}"
    );
    one.host.wait_path(&two.host, usual_path(), MEETING)?;
    for (at, address) in &known.addresses {
        ensure!(
            inside(&containers[*at])? == [*address],
            "{} lost {address}",
            containers[*at]
        );
    }
    Ok(())
}

/// All that was acknowledged is there, and no address twice
fn check(host: &Host, containers: &[Container], known: &Acknowledged, others: &[Ipv4Addr]) -> Result<()> {
    check_interfaces(host, containers)?;
    let mut given: BTreeSet<Ipv4Addr> = others.iter().copied().collect();
    for (at, container) in containers.iter().enumerate() {
        let has = listed(host, container)?;
        let expected: Vec<Ipv4Addr> = known.addresses.get(&at).copied().into_iter().collect();
        ensure!(
            has == expected,
            "{container} should have {expected:?} and has {has:?}"
        );
        for address in has {
            ensure!(given.insert(address), "{address} was given twice");
        }
    }
    // Nobody else is there: one container has one id.
    let others = host.attachments()?.into_iter().filter(|one| {
        let id = one.container.as_str();
        id != "weave:expose" && !containers.iter().any(|known| known.namespace().name() == id)
    });
    let others: Vec<_> = others.collect();
    ensure!(
        others.is_empty(),
        "ps lists containers that were never attached: {others:?}"
    );
    let now = exposed(host)?;
    ensure!(
        now == known.exposed,
        "exposed should be {:?} and is {now:?}",
        known.exposed
    );
    if let Some(address) = now {
        ensure!(
            given.insert(address),
            "{address} was given twice, once to the host"
        );
    }
    let names = host.names()?;
    for (at, expected) in &known.names {
        for name in expected {
            let is_it = |entry: &api::NameEntry| {
                entry.name == *name && known.addresses.get(at) == Some(&entry.address)
            };
            ensure!(
                names.iter().any(is_it),
                "{} lost its name {name}: {names:?}",
                containers[*at]
            );
        }
    }
    Ok(())
}

fn exposed(host: &Host) -> Result<Option<Ipv4Addr>> {
    Ok(host.exposed()?.into_iter().find_map(super::ipv4))
}

/// Begins a change, and kills weaved a moment later; whether the change was acknowledged
fn cut_off(host: &Host, line: &[&str], random: &mut Random) -> Result<bool> {
    let pid = host.weaved_pid()?;
    let change = host.weavectl_beside(line)?;
    std::thread::sleep(Duration::from_millis(random.below(LATEST)));
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    let ended = change.wait(DEADLINE)?;
    wait_until("weaved is gone", Duration::from_secs(5), || {
        Ok(weaveds(host)?.is_empty())
    })?;
    Ok(ended.status.success())
}

/// Kills weaved, starts it with another list of peers, and kills that a moment later
fn kill_a_start(site: &Site, usual: &Launch, random: &mut Random) -> Result<()> {
    let host = &site.host;
    host.kill_weaved()?;
    let other = usual.clone().peer(Ipv4Addr::new(192, 0, 2, 9));
    let wait = Duration::from_millis(random.below(LATEST_START));
    std::thread::scope(|scope| {
        let launch = scope.spawn(|| host.try_launch(&other));
        std::thread::sleep(wait);
        loop {
            let is_over = launch.is_finished();
            for pid in weaveds(host)? {
                let _gone_by_itself = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if is_over {
                return anyhow::Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    })?;
    wait_until("weaved is gone", Duration::from_secs(5), || {
        Ok(weaveds(host)?.is_empty())
    })?;
    host.launch(usual)
}

fn weaveds(host: &Host) -> Result<Vec<i32>> {
    let all = host.namespace().processes()?.into_iter();
    let weaveds = all.filter(|process| process.name == "weaved");
    Ok(weaveds.map(|process| process.pid).collect())
}

/// SplitMix64: what happened can be played again by its seed
#[derive(Debug)]
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// From `WEAVE_LAB_SEED`, or from the clock
    fn begin() -> Result<Self> {
        let seed = match std::env::var("WEAVE_LAB_SEED") {
            Ok(seed) => seed.parse().context("WEAVE_LAB_SEED is no number")?,
            Err(_none) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
        };
        println!("WEAVE_LAB_SEED={seed}");
        Ok(Self { seed, state: seed })
    }

    /// A number below this one
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
