//! The disk is full, then read-only: while weaved runs, and when it starts.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::{StoreReason, StoreState};
use model::PathKind;

use super::{OFTEN, check_interfaces, listed, wait_store};
use crate::fault::disk::SmallDisk;
use crate::judge::ping::Ping;
use crate::site::{Site, on_one_network};
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, MEETING, usual_path};

/// The disk is healed by then, without a restart
const HEALED: Duration = Duration::from_secs(10);
/// Containers to be attached
const SPARE: usize = 6;
/// As many targets as the file has no room for: small changes find some in the file itself
const TARGETS: u16 = 3000;
/// The most packets that each restart may cost by fastdp, and by the sleeve, which is in weaved itself
const LOST: (u32, u32) = (5, 60);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    let [one, two] = &sites;
    let disk = SmallDisk::mount(&one.host)?;
    one.host.launch(&Launch::plain())?;
    two.host.launch(&Launch::plain().peer(one.host.address()?))?;
    one.host.wait_path(&two.host, usual_path(), MEETING)?;
    for site in &sites {
        site.attach()?;
    }
    one.ping(two, |ping| ping)?.all_answered()?;
    let spare = (0..SPARE)
        .map(|number| lab.container(&format!("spare{number}")))
        .collect::<Result<Vec<_>>>()?;
    let again = Launch::plain().peer(two.host.address()?);
    let ping = Ping::to(one.address)
        .every(OFTEN)
        .start(two.container.namespace())?;
    let mut restarts = 0;

    for (reason, cause) in [
        (StoreReason::Full, "No space left on device"),
        (StoreReason::ReadOnly, "Read-only file system"),
    ] {
        let keep_full = || {
            if reason == StoreReason::Full {
                disk.fill()?;
            }
            Ok(())
        };
        if reason == StoreReason::Full {
            disk.fill()?;
            weigh_down(&one.host, "connect")?;
        } else {
            // The kernel lets nobody do that while a file is open for writing.
            one.host.kill_weaved()?;
            disk.set_read_only(true)?;
            one.host.launch(&again)?;
            settle(&sites)?;
            restarts += 1;
        }
        let refused = without_loss(&sites, || attach_until_refused(one, &spare, &keep_full))?;
        println!("{reason:?}: {refused}");
        ensure!(refused.contains(cause), "attach said {refused:?}");
        wait_store(
            &one.host,
            StoreState::Failed,
            Some(reason),
            Duration::from_secs(5),
        )?;
        check_interfaces(&one.host, &spare)?;

        restart(&sites, &again)?;
        restarts += 1;
        if reason == StoreReason::Full {
            disk.fill()?;
            weigh_down(&one.host, "connect")?;
        } else {
            let soon = Duration::from_secs(5);
            wait_store(&one.host, StoreState::Failed, Some(reason), soon)?;
        }
        let name = one.container.namespace().name();
        let found = one.host.weavectl(&["dns-lookup", name])?.ok()?;
        ensure!(found.trim() == one.address.to_string(), "{name} is {found:?}");
        ensure!(
            listed(&one.host, &one.container)? == [one.address],
            "ps forgot a container"
        );
        // On a full disk the file itself may have room for this again.
        match attach_until_refused(one, &spare[..2], &keep_full) {
            Ok(refused) => ensure!(refused.contains(cause), "after a restart attach said {refused:?}"),
            Err(error) if reason == StoreReason::Full => println!("after a restart: {error:#}"),
            Err(error) => return Err(error),
        }
        check_interfaces(&one.host, &spare)?;

        // A detach tells what it did, and is on disk once there is room.
        let detached = spare
            .iter()
            .find(|spare| listed(&one.host, spare).is_ok_and(|has| !has.is_empty()));
        if let Some(detached) = detached.filter(|_detached| reason == StoreReason::ReadOnly) {
            let line = ["detach", detached.namespace().name()];
            let said = one.host.weavectl(&line)?.refused()?;
            ensure!(said.contains("was detached from"), "detach said {said:?}");
            ensure!(said.contains(cause), "detach said {said:?}");
            check_interfaces(&one.host, std::slice::from_ref(detached))?;
        }

        if reason == StoreReason::Full {
            disk.free()?;
        } else {
            disk.set_read_only(false)?;
        }
        let free = spare
            .iter()
            .find(|spare| listed(&one.host, spare).is_ok_and(|has| has.is_empty()))
            .context("no container is left to attach")?;
        let (_address, took) = without_loss(&sites, || {
            wait_for("attach works again", HEALED, || {
                Ok(match one.host.attach_any(free, &[]) {
                    Ok(addresses) => Look::Done(addresses),
                    Err(error) => Look::NotYet(format!("{error:#}")),
                })
            })
        })?;
        weigh_down(&one.host, "forget")?;
        println!("{reason:?}: healed, attach works after {took:.1?}");
        wait_store(&one.host, StoreState::Ok, None, HEALED)?;
        let has = listed(&one.host, free)?;
        restart(&sites, &again)?;
        restarts += 1;
        ensure!(listed(&one.host, free)? == has, "{free} had {has:?}");
        check_interfaces(&one.host, &spare)?;
    }
    let pings = ping.finish()?;
    println!(
        "{} of {} pings lost, over {restarts} restarts",
        pings.lost(),
        pings.sent
    );
    let most = match usual_path() {
        PathKind::Fastdp => LOST.0,
        PathKind::Sleeve => LOST.1,
    };
    ensure!(pings.lost() <= restarts * most, "{} pings lost", pings.lost());
    Ok(())
}

fn restart(sites: &[Site; 2], again: &Launch) -> Result<()> {
    sites[0].host.kill_weaved()?;
    sites[0].host.launch(again)?;
    settle(sites)
}

/// Waits until a restart is over, which may cost packets until adopted flows are reconciled
fn settle([one, two]: &[Site; 2]) -> Result<()> {
    one.host.wait_path(&two.host, usual_path(), MEETING)?;
    two.host.wait_path(&one.host, usual_path(), MEETING)?;
    std::thread::sleep(Duration::from_secs(3));
    Ok(())
}

/// Does something that costs no packet between the two containers
fn without_loss<T>([one, two]: &[Site; 2], act: impl FnOnce() -> Result<T>) -> Result<T> {
    let ping = Ping::to(one.address)
        .every(OFTEN)
        .start(two.container.namespace())?;
    wait_for("the ping runs", Duration::from_secs(5), || {
        Ok(match ping.answers() {
            0 => Look::NotYet("no answer".to_owned()),
            _ => Look::Done(()),
        })
    })?;
    let done = act()?;
    ping.finish()?.all_answered()?;
    Ok(done)
}

/// Has weaved keep more than its file has room for, or no more of it
fn weigh_down(host: &Host, verb: &str) -> Result<()> {
    let targets = (1..=TARGETS).map(|number| format!("192.0.2.1:{number}"));
    let targets: Vec<String> = targets.collect();
    let line: Vec<&str> = [verb]
        .into_iter()
        .chain(targets.iter().map(String::as_str))
        .collect();
    host.weavectl(&line)?.ok().map(drop)
}

/// Attaches containers that are not attached until weaved refuses one; what it says
fn attach_until_refused(
    site: &Site,
    containers: &[Container],
    keep_full: &dyn Fn() -> Result<()>,
) -> Result<String> {
    for container in containers {
        if !listed(&site.host, container)?.is_empty() {
            continue;
        }
        keep_full()?;
        let finished = site.host.weavectl(&["attach", container.namespace().name()])?;
        if !finished.status.success() {
            ensure!(
                listed(&site.host, container)?.is_empty(),
                "{container} is attached all the same"
            );
            return finished.refused();
        }
    }
    anyhow::bail!("every container was attached on a disk without room")
}
