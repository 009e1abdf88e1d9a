//! What an attacker on the underlay sends: real datagrams again, late, cut, changed or grown;
//! garbage; and bytes in the midst of a TCP connection. All of it is dropped and counted; traffic
//! does not notice.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::ConnectionState;
use model::PathKind;

use crate::fault::{self, Traffic};
use crate::judge::capture;
use crate::judge::frames::{Injector, with_udp_payload};
use crate::judge::ping::Ping;
use crate::judge::transfer::{Ear, speak};
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Lab};
use crate::weave::{Launch, PORT};

mod garbage;
mod segments;

pub(super) use self::garbage::act as garbage;
pub(super) use self::segments::act as segments;

/// How many captured datagrams are used
const SAMPLES: usize = 20;

pub(super) fn datagrams(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    launch_and_attach(
        &sites,
        &Launch::plain().password("secret enough"),
        PathKind::Sleeve,
    )?;
    ping_all_pairs(&sites)?;
    let [one, two] = &sites;
    let captured = real_datagrams(lab, one, two)?;
    let injector = Injector::open(one.host.namespace(), &one.host.leg_towards(&two.host)?.device)?;

    for (name, change) in CHANGES {
        let forged: Vec<Vec<u8>> = captured
            .iter()
            .filter_map(|frame| with_udp_payload(frame, change))
            .collect();
        ensure!(
            forged.len() == captured.len(),
            "{name}: the capture has frames of other kinds"
        );
        let counted = unharmed(one, two, || {
            forged.iter().try_for_each(|frame| injector.send(frame))
        })?;
        let sum: u64 = counted.values().sum();
        println!("{name}: {} sent, counted as {counted:?}", forged.len());
        ensure!(
            sum >= forged.len() as u64,
            "{name}: {} sent, {sum} counted: {counted:?}",
            forged.len()
        );
    }
    reordered_ones_arrive(lab, one, two, &injector)
}

type Change = fn(&mut Vec<u8>);

const CHANGES: [(&str, Change); 6] = [
    ("sent again", |_payload| {}),
    ("cut in the header", |payload| payload.truncate(9)),
    ("cut in the body", |payload| payload.truncate(payload.len() - 5)),
    ("one bit flipped in the body", |payload| flip(payload, 30)),
    ("one bit flipped in the counter", |payload| flip(payload, 7)),
    ("grown", |payload| payload.resize(1472, 0x5a)),
];

fn flip(payload: &mut [u8], at: usize) {
    if let Some(byte) = payload.get_mut(at) {
        *byte ^= 0x10;
    }
}

/// Data of the sleeve from one host to the other, as it is on the wire
fn real_datagrams(lab: &Lab, one: &Site, two: &Site) -> Result<Vec<Vec<u8>>> {
    let leg = two.host.leg_towards(&one.host)?;
    let filter = format!(
        "udp dst port {PORT} and src host {}",
        one.host.address_for(&two.host)?
    );
    let capturing = capture::start(two.host.namespace(), &leg.device, &filter, &lab.files())?;
    one.ping(two, |ping| {
        ping.count(SAMPLES as u32).every(Duration::from_millis(20))
    })?
    .all_answered()?;
    let mut frames = capturing.stop()?.frames()?;
    ensure!(
        frames.len() >= SAMPLES,
        "{} datagrams for {SAMPLES} pings",
        frames.len()
    );
    frames.truncate(SAMPLES);
    Ok(frames)
}

/// Does something hostile while the containers ping; tells what the second host counted of it
fn unharmed(one: &Site, two: &Site, act: impl FnOnce() -> Result<()>) -> Result<BTreeMap<String, u64>> {
    let before = two.host.status()?.drops;
    let ping = Ping::to(two.address)
        .every(Duration::from_millis(20))
        .start(one.container.namespace())?;
    act()?;
    ping.wait_answers(10, Duration::from_secs(5))?;
    let pings = ping.stop()?;
    // The request under way when ping was ended has no answer.
    ensure!(
        pings.lost() <= 1 && pings.duplicates == 0,
        "under attack: {pings:?}"
    );
    let connection = one
        .host
        .connection_to(&two.host)?
        .context("no connection any more")?;
    ensure!(
        connection.state == ConnectionState::Established,
        "the connection is {}",
        connection.state
    );
    let mut after = two.host.status()?.drops;
    after.retain(|reason, count| {
        *count -= before.get(reason).copied().unwrap_or(0).min(*count);
        *count > 0
    });
    Ok(after)
}

/// Datagrams that the network kept back for a while, and then delivers last first
fn reordered_ones_arrive(lab: &Lab, one: &Site, two: &Site, injector: &Injector) -> Result<()> {
    let leg = one.host.leg_towards(&two.host)?;
    let filter = format!("udp dst port {PORT} and src host {}", leg.address);
    let ear = Ear::open(two.container.namespace(), 7)?;
    let capturing = capture::start(one.host.namespace(), &leg.device, &filter, &lab.files())?;
    let kept_back = fault::deafen(&two.host, &one.host, Traffic::Udp(PORT), 1000)?;
    let words: Vec<Vec<u8>> = (0..10_u8).map(|number| vec![number; 20]).collect();
    let to = SocketAddrV4::new(two.address, 7);
    for word in &words {
        speak(
            one.container.namespace(),
            one.address,
            to,
            std::slice::from_ref(word),
        )?;
        // Apart, so that each is a datagram of its own on the wire.
        std::thread::sleep(Duration::from_millis(5));
    }
    kept_back.heal()?;
    let frames = capturing.stop()?.frames()?;
    // Captured where they were sent, their checksums were not filled in yet.
    let whole: Vec<Vec<u8>> = frames
        .iter()
        .filter_map(|frame| with_udp_payload(frame, |_same| {}))
        .collect();
    whole.iter().rev().try_for_each(|frame| injector.send(frame))?;
    let mut heard = ear.heard(words.len(), Duration::from_millis(300))?;
    let in_order = heard.is_sorted();
    heard.sort();
    ensure!(
        heard == words,
        "of 10 datagrams delivered last first, {} arrived: {heard:?}",
        heard.len()
    );
    ensure!(!in_order, "they arrived in order, so that nothing was shown");
    one.ping(two, |ping| ping)?.all_answered()?;
    Ok(())
}
