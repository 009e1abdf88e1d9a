//! A password: frames are sealed, and who has another or none stays out.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::judge::{capture, ovs, transfer};
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, describe};

const MARK: &[u8] = b"this-must-not-be-readable-on-the-wire";
const PASSWORD: &str = "one and the same";
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn sealed(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain().password(PASSWORD), PathKind::Sleeve)?;
    ping_all_pairs(&sites)?;
    let [one, two] = &sites;
    for (near, far) in [(one, two), (two, one)] {
        let connection = near.host.connection_to(&far.host)?.context("no connection")?;
        let line = describe(Some(&connection));
        ensure!(connection.encrypted == Some(true), "not encrypted: {line}");
        let reason = if ovs::is_here() {
            "encrypted"
        } else {
            "no openvswitch"
        };
        ensure!(
            connection.reason.is_some_and(|given| given.contains(reason)),
            "another reason: {line}"
        );
        ensure!(
            near.host.status()?.router.encryption,
            "{} says that it has no password",
            near.host
        );
    }
    for site in &sites {
        ensure_hidden(&site.host)?;
    }
    the_wire_shows_nothing(lab, one, two)?;
    let rate = one.iperf(two, Duration::from_secs(3))?;
    println!("sealed: {:.2} Gbit/s", rate.gigabits());
    Ok(())
}

/// The password is not in what the kernel shows of weaved's environment
fn ensure_hidden(host: &Host) -> Result<()> {
    let environment = std::fs::read(format!("/proc/{}/environ", host.weaved_pid()?))?;
    let text = String::from_utf8_lossy(&environment);
    ensure!(
        !text.contains(PASSWORD),
        "{host}: weaved's environment has the password"
    );
    ensure!(text.contains("PATH="), "{host}: weaved has no environment at all");
    Ok(())
}

fn the_wire_shows_nothing(lab: &Lab, one: &Site, two: &Site) -> Result<()> {
    let marked = MARK.repeat(2000);
    let leg = two.host.leg_towards(&one.host)?;
    let capture = || capture::start(two.host.namespace(), &leg.device, "ip", &lab.files());

    let capturing = capture()?;
    let (from, to) = (one.container.namespace(), two.container.namespace());
    transfer::tcp(from, to, two.address, &marked, PATIENCE)?;
    let wire = capturing.stop()?;
    ensure!(!wire.contains(MARK)?, "the payload is readable on the underlay");
    let length: usize = wire.frames()?.iter().map(Vec::len).sum();
    ensure!(
        length > marked.len(),
        "the capture missed the transfer: {length} bytes of {}",
        marked.len()
    );

    // The same between the hosts themselves is readable: the capture would have shown it.
    let capturing = capture()?;
    transfer::tcp(
        one.host.namespace(),
        two.host.namespace(),
        leg.address,
        &marked,
        PATIENCE,
    )?;
    ensure!(
        capturing.stop()?.contains(MARK)?,
        "the capture shows not even what is readable"
    );
    Ok(())
}

pub(super) fn refused(lab: &mut Lab) -> Result<()> {
    let hosts = lab.hosts(["right", "wrong", "none"])?;
    let [right, wrong, none] = &hosts;
    lab.segment(&[right, wrong, none], ETHERNET)?;
    // Everybody dials everybody, so that each refusal is seen from both ends.
    for (host, password) in [
        (right, Some("the right one")),
        (wrong, Some("a wrong one")),
        (none, None),
    ] {
        let mut launch = Launch::plain();
        for other in hosts.iter().filter(|other| other.name() != host.name()) {
            launch = launch.peer(other.address()?);
        }
        if let Some(password) = password {
            launch = launch.password(password);
        }
        host.launch(&launch)?;
    }
    for host in &hosts {
        for other in hosts.iter().filter(|other| other.name() != host.name()) {
            let reason = wait_for_refusal(host, other)?;
            println!("{host} about {other}: {reason}");
        }
    }
    for host in &hosts {
        let peers = host.status()?.router.peers;
        ensure!(peers.total == 1, "{host} knows {} peers", peers.total);
    }
    Ok(())
}

/// Waits until a host says of another that the password is why they are not connected
fn wait_for_refusal(host: &Host, other: &Host) -> Result<String> {
    let address = other.address()?.to_string();
    let what = format!("{host} says that the password keeps {other} out");
    let (reason, _took) = wait_for(&what, PATIENCE, || {
        let connections = host.connections()?;
        let about = connections
            .iter()
            .filter(|found| found.address.to_string().starts_with(&address));
        let mut lines = Vec::new();
        for connection in about {
            match &connection.error {
                Some(error) if error.contains("password") => return Ok(Look::Done(error.clone())),
                Some(_) | None => lines.push(describe(Some(connection))),
            }
        }
        Ok(Look::NotYet(lines.join("; ")))
    })?;
    Ok(reason)
}
