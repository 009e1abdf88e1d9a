//! Hosts that are cut off, and hosts that are gone: their names are, too, and nothing old comes back.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, attach_one, set, wait_set};
use crate::fault::{Traffic, cut};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, launch_mesh, usual_path};

/// How long a host that fell silent may be taken for alive, and a little more
const SILENCE: Duration = Duration::from_secs(6);

/// How long a weaved that was killed is waited for, and a little more
const GRACE: Duration = Duration::from_secs(10);

/// A cut that is over before anybody takes a host for dead
const SHORT: Duration = Duration::from_secs(1);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let hosts = lab.hosts(["host1", "host2", "host3"])?;
    let hosts = hosts.each_ref();
    lab.segment(&hosts, ETHERNET)?;
    launch_mesh(&hosts, &Launch::plain(), usual_path())?;
    // What stays on the third host tells when its names are heard again.
    let stays = lab.container("stays")?;
    let address = attach_one(hosts[2], &stays, "stays", &[])?;
    let stays = BTreeSet::from([address]);
    wait_set(&hosts, STAYS, &stays, AT_ONCE)?;

    around_a_cut_link(lab, hosts)?;
    while_cut_off(lab, hosts, &stays)?;
    while_cut_off_shortly(lab, hosts)?;
    with_its_peer(lab, hosts)?;
    Ok(())
}

const STAYS: &str = "stays.weave.local";
const ENDS: &str = "ends.weave.local";

/// One link is cut: word goes around it as soon as its ends have noticed
fn around_a_cut_link(lab: &mut Lab, hosts: [&Host; 3]) -> Result<()> {
    let [one, _two, three] = hosts;
    let ends = lab.container("ends1")?;
    let address = attach_one(three, &ends, "ends", &[])?;
    wait_set(&hosts, ENDS, &BTreeSet::from([address]), AT_ONCE)?;
    let fault = cut(one, three, Traffic::All)?;
    ends.end()?;
    let took = wait_set(&hosts, ENDS, &BTreeSet::new(), SILENCE)?;
    println!("of three hosts two cannot hear each other: a name is gone from all within {took:.1?}");
    fault.heal()?;
    one.wait_path(three, usual_path(), MEETING)?;
    three.wait_path(one, usual_path(), MEETING)?;
    Ok(())
}

/// A host is cut off for so long that it counts as gone; a container there ends meanwhile
fn while_cut_off(lab: &mut Lab, hosts: [&Host; 3], stays: &BTreeSet<Ipv4Addr>) -> Result<()> {
    let [one, two, three] = hosts;
    let ends = lab.container("ends2")?;
    let address = attach_one(three, &ends, "ends", &[])?;
    wait_set(&hosts, ENDS, &BTreeSet::from([address]), AT_ONCE)?;
    let faults = [cut(one, three, Traffic::All)?, cut(two, three, Traffic::All)?];
    let took = wait_set(&[one, two], STAYS, &BTreeSet::new(), SILENCE)?;
    ensure!(
        set(three, STAYS)? == *stays,
        "a host that is cut off has lost its own names"
    );
    ends.end()?;
    // Names of both sides that the other one has to hear of later
    let made = lab.container("made")?;
    let made = BTreeSet::from([attach_one(one, &made, "made", &["10.99.0.1/24"])?]);
    wait_set(&[one, two], "made.weave.local", &made, AT_ONCE)?;
    wait_set(&[three], ENDS, &BTreeSet::new(), AT_ONCE)?;

    let begun = Instant::now();
    for fault in faults {
        fault.heal()?;
    }
    // What is old must not be heard for a moment, neither before nor after word has come.
    let quiet = Duration::from_secs(1);
    let (mut back, mut old): (Option<Instant>, Vec<String>) = (None, Vec::new());
    wait_until("names are heard again", MEETING, || {
        for host in [one, two] {
            if !set(host, ENDS)?.is_empty() {
                old.push(format!("{host} after {:.0?}", begun.elapsed()));
            }
        }
        let all = set(one, STAYS)? == *stays && set(two, STAYS)? == *stays;
        back = match all && set(three, "made.weave.local")? == made {
            true => back.or_else(|| Some(Instant::now())),
            false => None,
        };
        Ok(back.is_some_and(|back| back.elapsed() > quiet))
    })?;
    ensure!(
        old.is_empty(),
        "after the cut an ended container is answered by {old:?}"
    );
    let back = back.context("names are back")?.duration_since(begun);
    println!(
        "cut off: names are gone within {took:.0?}; after the cut all names are right within {back:.0?}, and none was old"
    );
    Ok(())
}

/// The cut is over before anybody notices it: what was said meanwhile is said again
fn while_cut_off_shortly(lab: &mut Lab, hosts: [&Host; 3]) -> Result<()> {
    let [one, two, three] = hosts;
    let ends = lab.container("ends3")?;
    let address = attach_one(three, &ends, "ends", &[])?;
    wait_set(&hosts, ENDS, &BTreeSet::from([address]), AT_ONCE)?;
    let faults = [cut(one, three, Traffic::All)?, cut(two, three, Traffic::All)?];
    let begun = Instant::now();
    ends.end()?;
    wait_until("a short time has gone by", SHORT * 2, || {
        Ok(begun.elapsed() >= SHORT)
    })?;
    for fault in faults {
        fault.heal()?;
    }
    let took = wait_set(&hosts, ENDS, &BTreeSet::new(), AT_ONCE)?;
    println!("cut off for {SHORT:?}: the name of what ended meanwhile is gone {took:.0?} after the cut");
    Ok(())
}

/// weaved is killed and does not come back; then one leaves for good
fn with_its_peer(lab: &mut Lab, hosts: [&Host; 3]) -> Result<()> {
    let [one, two, three] = hosts;
    let killed = lab.container("killed")?;
    let address = attach_one(two, &killed, "killed", &[])?;
    wait_set(&hosts, "killed.weave.local", &BTreeSet::from([address]), AT_ONCE)?;
    two.kill_weaved()?;
    let took = wait_set(&[one, three], "killed.weave.local", &BTreeSet::new(), GRACE)?;
    println!("weaved is killed and stays away: its names are gone within {took:.0?}");
    three.weavectl(&["reset"])?.ok()?;
    let took = wait_set(&[one], STAYS, &BTreeSet::new(), AT_ONCE)?;
    println!("a host is reset: its names are gone within {took:.0?}");
    Ok(())
}
