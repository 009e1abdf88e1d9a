//! Who may belong to the network: passwords that are replaced, keys that are refused, names that are claimed, and a
//! flood at the door.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::ConnectionState;

use crate::judge::ping::Ping;
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::{Launch, MEETING, PORT, describe};

const OLD: &str = "the old one and the same on every host";
const NEW: &str = "the new one and the same on every host";
const PATIENCE: Duration = Duration::from_secs(20);

/// The password is replaced on three hosts, in any order, over running pings; hosts that connect anew meanwhile find
/// each other at every stage
pub(super) fn rotation(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain().password(OLD), model::PathKind::Sleeve)?;
    ping_all_pairs(&sites)?;
    let [one, two, three] = &sites;
    let ping = Ping::to(two.address)
        .every(Duration::from_millis(10))
        .start(one.container.namespace())?;
    let file = lab.files().join("new-password");
    std::fs::write(&file, format!("{NEW}\n"))?;
    let file = file.to_str().context("a path that is text")?;
    for (step, order) in [
        (&["password", "add", "--file", file][..], [two, three, one]),
        (&["password", "promote"], [three, one, two]),
        (&["password", "drop"], [one, two, three]),
    ] {
        for site in order {
            site.host.weavectl(step)?.ok()?;
            // One that starts again in the middle of a step meets hosts of both kinds.
            restart(&three.host, &sites)?;
        }
    }
    ping.wait_answers(50, PATIENCE)?;
    let pings = ping.stop()?;
    println!("while the password was replaced: {pings:?}");
    // The request under way when ping was ended has no answer.
    ensure!(pings.lost() <= 1, "pings lost: {pings:?}");
    for site in &sites {
        let state = site.host.status()?.security.password;
        ensure!(state == api::PasswordState::Set, "{}: {state}", site.host);
    }

    // The old one is of no use; the new one is remembered, whichever weaved is started with.
    let stranger = lab.host("stranger")?;
    lab.link(&stranger, &one.host, ETHERNET)?;
    stranger.launch(
        &Launch::plain()
            .password(OLD)
            .peer(one.host.address_for(&stranger)?),
    )?;
    refused(&stranger, "the passwords differ")?;
    restart(&three.host, &sites)?;
    ping_all_pairs(&sites)?;
    Ok(())
}

fn restart(host: &Host, sites: &[Site]) -> Result<()> {
    host.kill_weaved()?;
    let mut launch = Launch::plain().password(OLD);
    for site in sites.iter().filter(|site| site.host.name() != host.name()) {
        launch = launch.peer(site.host.address_for(host)?);
    }
    host.launch(&launch)?;
    for site in sites.iter().filter(|site| site.host.name() != host.name()) {
        host.wait_path(&site.host, model::PathKind::Sleeve, MEETING)?;
    }
    Ok(())
}

/// A host that had a password is not opened by forgetting it
pub(super) fn remembered(lab: &mut Lab) -> Result<()> {
    let host = lab.host("host1")?;
    let line = host.try_launch(&Launch::plain().password("secret"))?.ok()?;
    ensure!(
        line.contains("weavectl genkey"),
        "a weak password is told: {line:?}"
    );
    ensure!(host.status()?.security.weak_password, "and is in the status");
    host.stop()?;

    let refusal = host.try_launch(&Launch::plain())?.refused()?;
    println!("without its password: {}", refusal.trim());
    ensure!(
        refusal.contains("sudo") && refusal.contains("--no-password"),
        "the cure is not named: {refusal:?}"
    );
    host.launch(&Launch::plain().password("secret"))?;
    host.stop()?;
    let line = host.try_launch(&Launch::plain().flag("--no-password"))?.ok()?;
    ensure!(line.contains("no password"), "an open network is told: {line:?}");
    host.stop()?;
    host.launch(&Launch::plain())?;

    // A password of another network is another key.
    host.stop()?;
    host.launch(&Launch::plain().flag("--network=staging").password("secret"))?;
    ensure!(host.status()?.security.network == "staging", "its network");
    let key = host.weavectl(&["genkey"])?.ok()?;
    let again = host.weavectl(&["genkey"])?.ok()?;
    ensure!(key.trim().len() >= 30 && key != again, "{key:?} and {again:?}");
    Ok(())
}

/// A host that is banned is out, everywhere, with the right password, over restarts, until the ban is lifted
pub(super) fn banned(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let launch = Launch::plain().password(OLD);
    launch_and_attach(&sites, &launch, model::PathKind::Sleeve)?;
    ping_all_pairs(&sites)?;
    let [one, two, three] = &sites;
    one.host.weavectl(&["rmpeer", "--ban", "host3"])?.ok()?;
    for site in [one, two] {
        site.host.wait_peers(2, 2, PATIENCE)?;
        let banned = site.host.status()?.security.banned;
        ensure!(banned.len() == 1, "{} knows of {banned:?}", site.host);
    }
    let lost = one.ping(three, |ping| ping.patience(Duration::from_millis(500)))?;
    ensure!(lost.received == 0, "a banned host is still reached: {lost:?}");
    one.ping(two, |ping| ping)?.all_answered()?;

    // It tries with the right password, and so do those who start again.
    for host in [&three.host, &two.host] {
        host.kill_weaved()?;
        let mut launch = launch.clone();
        for other in sites.iter().filter(|site| site.host.name() != host.name()) {
            launch = launch.peer(other.host.address_for(host)?);
        }
        host.launch(&launch)?;
    }
    refused(&three.host, "banned")?;
    one.host.wait_peers(2, 2, PATIENCE)?;

    let banned = two.host.status()?.security.banned;
    let key = &banned.first().context("the ban is kept over a restart")?.key;
    two.host.weavectl(&["rmpeer", "--unban", key])?.ok()?;
    for site in &sites {
        site.host.wait_peers(3, 6, Duration::from_secs(45))?;
    }
    Ok(())
}

/// Of two hosts with one given name the one that was there keeps it, and every host says so
pub(super) fn claimed(lab: &mut Lab) -> Result<()> {
    let hosts = lab.hosts(["host1", "host2", "late"])?;
    let [one, two, late] = &hosts;
    lab.segment(&[one, two, late], ETHERNET)?;
    let name = "7a:00:00:00:00:07";
    let named = Launch::plain().flag(&format!("--name={name}"));
    one.launch(&Launch::plain())?;
    two.launch(&named.clone().peer(one.address()?))?;
    one.wait_peers(2, 2, MEETING)?;
    // Neither its absence nor the restart of another host gives the name away.
    two.kill_weaved()?;
    one.kill_weaved()?;
    one.launch(&Launch::plain())?;
    late.launch(&named.clone().peer(one.address()?))?;
    refused(late, "peer names collision")?;
    two.launch(&named.peer(one.address()?))?;
    one.wait_peers(2, 2, MEETING)?;
    for host in [one, two] {
        let what = format!("{host} tells of the claim");
        wait_for(&what, PATIENCE, || {
            let disputes = host.status()?.security.disputes;
            Ok(
                match disputes.iter().any(|dispute| dispute.name.to_string() == name) {
                    true => Look::Done(()),
                    false => Look::NotYet(format!("{disputes:?}")),
                },
            )
        })?;
    }
    // An operator may give it to the new one.
    two.stop()?;
    wait_until("the old one is gone", PATIENCE, || {
        Ok(one.status()?.router.peers.total == 1)
    })?;
    one.weavectl(&["rmpeer", name])?.ok()?;
    one.wait_peers(2, 2, Duration::from_secs(45))?;
    Ok(())
}

/// A stranger that keeps as many connections open as it can, and guesses passwords, keeps no host out
pub(super) fn flooded(lab: &mut Lab) -> Result<()> {
    let hosts = lab.hosts(["host1", "host2", "host3", "stranger"])?;
    let [one, two, three, stranger] = &hosts;
    lab.segment(&[one, two, three, stranger], ETHERNET)?;
    let launch = Launch::plain().password(OLD);
    one.launch(&launch)?;
    two.launch(&launch.clone().peer(one.address()?))?;
    one.wait_peers(2, 2, MEETING)?;
    let to = SocketAddr::from((one.address()?, PORT));
    let held = stranger.namespace().enter(|| {
        let connect = |_| TcpStream::connect_timeout(&to, Duration::from_secs(5));
        Ok((0..600).map(connect).filter_map(Result::ok).collect::<Vec<_>>())
    })?;
    println!("{} connections of a stranger are open", held.len());
    let begun = Instant::now();
    three.launch(&launch.clone().peer(one.address()?))?;
    let (connection, _took) = three.wait_connection(one, "joined", PATIENCE, |connection| {
        connection.state == ConnectionState::Established
    })?;
    let took = begun.elapsed();
    println!(
        "a third host joined after {took:?}: {}",
        describe(Some(&connection))
    );
    ensure!(
        took < Duration::from_secs(5),
        "a third host joined only after {took:?}"
    );
    drop(held);

    // Guesses are limited, counted, and logged once a minute; the others are not disturbed.
    stranger.launch(&Launch::plain().password("a guess").peer(one.address()?))?;
    for _guess in 0..40 {
        stranger
            .weavectl(&["connect", &one.address()?.to_string()])?
            .ok()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    let drops = one.status()?.drops;
    let wrong = drops.get("gossip: wrong passwords").copied().unwrap_or(0);
    let refused = drops
        .get("gossip: connections refused for wrong passwords")
        .copied()
        .unwrap_or(0);
    println!("{wrong} wrong passwords were tried, {refused} connections refused for it");
    ensure!((1..=15).contains(&wrong), "{wrong} guesses were heard");
    let log = std::fs::read_to_string(one.log_file())?;
    let lines = log.lines().filter(|line| line.contains("tried a wrong password"));
    ensure!(lines.count() == 1, "told once a minute");
    one.wait_peers(3, 6, PATIENCE)?;
    Ok(())
}

/// Waits until a host says of some connection why it is refused
fn refused(host: &Host, reason: &str) -> Result<()> {
    wait_for(&format!("{host} is refused: {reason}"), PATIENCE, || {
        let connections = host.connections()?;
        let errors: Vec<String> = connections
            .iter()
            .filter_map(|connection| connection.error.clone())
            .collect();
        Ok(match errors.iter().any(|error| error.contains(reason)) {
            true => Look::Done(()),
            false => Look::NotYet(errors.join("; ")),
        })
    })?;
    Ok(())
}
