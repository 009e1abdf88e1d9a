//! The disk answers after 3 s, then after 30 s: no packet is lost, attach waits and says why.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::{StoreReason, StoreState};

use super::{OFTEN, check_interfaces, wait_store};
use crate::fault::disk::SlowDisk;
use crate::judge::ping::Ping;
use crate::site::on_one_network;
use crate::topology::{ETHERNET, Lab};
use crate::weave::{Launch, MEETING, usual_path};

/// What attach may take before weavectl gives up
const PATIENCE: Duration = Duration::from_secs(45);
/// A question that needs no disk is answered in this time
const AT_ONCE: Duration = Duration::from_secs(2);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    let [one, two] = &sites;
    let disk = SlowDisk::create(&one.host)?;
    one.host.launch(&disk.under(&Launch::plain()))?;
    two.host.launch(&Launch::plain().peer(one.host.address()?))?;
    one.host.wait_path(&two.host, usual_path(), MEETING)?;
    two.host.wait_path(&one.host, usual_path(), MEETING)?;
    for site in &sites {
        site.attach()?;
    }
    one.ping(two, |ping| ping)?.all_answered()?;
    let others = [lab.container("other1")?, lab.container("other2")?];
    let names = others.each_ref().map(|other| other.namespace().name());
    let before = log_lines(&two.host)?;
    let ping = Ping::to(one.address)
        .every(OFTEN)
        .start(two.container.namespace())?;

    disk.take(Duration::from_secs(3))?;
    for line in [["attach", names[0]], ["detach", names[0]]] {
        let begun = Instant::now();
        let change = one.host.weavectl_beside(&line)?;
        wait_store(&one.host, StoreState::Slow, Some(StoreReason::NoAnswer), PATIENCE)?;
        let asked = Instant::now();
        one.host.attachments()?;
        one.host.names()?;
        ensure!(
            asked.elapsed() < AT_ONCE,
            "ps and status took {:.1?}",
            asked.elapsed()
        );
        change.wait(PATIENCE)?.ok()?;
        let took = begun.elapsed();
        ensure!(
            took > Duration::from_secs(3),
            "{line:?} took {took:.1?}: the disk was not slow"
        );
        println!("3 s: {} took {took:.1?}", line[0]);
    }
    check_interfaces(&one.host, &others)?;

    disk.take(Duration::from_secs(30))?;
    let begun = Instant::now();
    let refused = one.host.weavectl_beside(&["attach", names[1]])?;
    let refused = refused.wait(PATIENCE)?.refused()?;
    println!("30 s: attach gave up after {:.1?}: {refused}", begun.elapsed());
    ensure!(
        refused.contains("has not been written for") && refused.contains("the disk does not answer"),
        "attach said {refused:?}"
    );
    ensure!(
        begun.elapsed() < Duration::from_secs(30),
        "it took {:.1?}",
        begun.elapsed()
    );
    wait_store(&one.host, StoreState::Slow, Some(StoreReason::NoAnswer), AT_ONCE)?;
    // The disk is silent for longer than a neighbor is missed.
    std::thread::sleep(Duration::from_secs(12));
    disk.take(Duration::ZERO)?;
    wait_store(&one.host, StoreState::Ok, None, Duration::from_secs(60))?;
    one.host.attach_any(&others[1], &[])?;
    check_interfaces(&one.host, &others)?;

    let pings = ping.finish()?;
    println!(
        "{} of {} pings lost, longest silence {:.0?}",
        pings.lost(),
        pings.sent,
        pings.longest_silence
    );
    ensure!(pings.lost() == 0, "{} of {} pings lost", pings.lost(), pings.sent);
    let new = log_lines(&two.host)?.split_off(before.len());
    ensure!(
        !new.iter()
            .any(|line| line.contains("lost ") || line.contains("has left")),
        "the other host missed this one: {new:?}"
    );
    Ok(())
}

fn log_lines(host: &crate::topology::Host) -> Result<Vec<String>> {
    let log = fs::read_to_string(host.log_file()).context("no log")?;
    Ok(log.lines().map(str::to_owned).collect())
}
