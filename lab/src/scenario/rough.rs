//! A wire that loses and reorders: what arrives by each path is what was sent, to the byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use model::PathKind;

use crate::fault::wire::{Counts, Rough, Roughness, Wire};
use crate::judge::datagrams::{self, Tally};
use crate::judge::netstat::Netstat;
use crate::judge::{ovs, sockets, stream};
use crate::site::{Site, ping_all_pairs};
use crate::topology::Lab;
use crate::weave::{Launch, MEETING, PORT, describe};

const ROUGH: Roughness = Roughness {
    loss_per_mille: 10,
    reorder_per_cent: 25,
    delay: Duration::from_micros(200),
};

/// Bytes in one direction, over all streams; a tenth goes the other way at the same time
const MUCH: u64 = 1_000_000_000;
/// For the sleeve in a guest, whose one CPU does everything
const LESS: u64 = 60_000_000;
/// A single stream would wait for its losses most of the time
const STREAMS: u64 = 8;
/// For a stall of a stream, which a busy machine may well cause
const PATIENCE: Duration = Duration::from_secs(60);

const DATAGRAMS: u32 = 10_000;
const ATTEMPTS: usize = 4;
/// IPv4 and UDP
const HEADERS: u16 = 28;

pub(super) fn by_fastdp(lab: &mut Lab) -> Result<()> {
    arrives(lab, &Launch::plain(), PathKind::Fastdp, MUCH)
}

pub(super) fn by_the_sleeve(lab: &mut Lab) -> Result<()> {
    let launch = Launch::plain();
    match ovs::is_here() {
        true => arrives(lab, &launch.flag("--no-fastdp"), PathKind::Sleeve, LESS),
        false => arrives(lab, &launch, PathKind::Sleeve, MUCH),
    }
}

pub(super) fn sealed(lab: &mut Lab) -> Result<()> {
    let bytes = if ovs::is_here() { LESS } else { MUCH };
    arrives(lab, &Launch::plain().password("rough"), PathKind::Sleeve, bytes)
}

fn arrives(lab: &mut Lab, launch: &Launch, path: PathKind, bytes: u64) -> Result<()> {
    let (one, two) = (Site::create(lab, "host1")?, Site::create(lab, "host2")?);
    let wire = Wire::join(lab, &one.host, &two.host)?;
    one.host.launch(launch)?;
    two.host.launch(&launch.clone().peer(one.host.address()?))?;
    let sites = [one, two];
    let [one, two] = &sites;
    for (near, far) in [(one, two), (two, one)] {
        near.host.wait_path(&far.host, path, MEETING)?;
        near.attach()?;
    }
    ping_all_pairs(&sites)?;

    let rough = wire.disturb(ROUGH)?;
    streams_arrive(one, two, path, bytes, &rough)?;
    for (near, far) in [(one, two), (two, one)] {
        datagrams_arrive(near, far, path, &rough)?;
    }
    rough.heal()?;
    for (near, far) in [(one, two), (two, one)] {
        near.ping(far, |ping| ping.count(50).every(Duration::from_millis(10)))?
            .all_answered()
            .context("after healing")?;
    }
    Ok(())
}

/// Several streams one way, and one the other way, at once
fn streams_arrive(one: &Site, two: &Site, path: PathKind, bytes: u64, rough: &Rough<'_>) -> Result<()> {
    let before = counted(&[one, two])?;
    let begun = Instant::now();
    let took = std::thread::scope(|scope| {
        let start = |near: &Site, far: &Site, seed: u64, length: u64| {
            let (from, to) = (
                near.container.namespace().clone(),
                far.container.namespace().clone(),
            );
            let address = far.address;
            scope.spawn(move || stream::tcp(&from, &to, address, (seed, length), PATIENCE))
        };
        let mut streams: Vec<_> = (0..STREAMS)
            .map(|seed| start(one, two, seed, bytes / STREAMS))
            .collect();
        streams.push(start(two, one, STREAMS, bytes / 10));
        let (mut looks, mut elsewhere) = (0, Vec::new());
        while streams.iter().any(|stream| !stream.is_finished()) {
            let connection = one.host.connection_to(&two.host)?;
            looks += 1;
            if connection.as_ref().and_then(|connection| connection.path) != Some(path) {
                elsewhere.push(describe(connection.as_ref()));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        // A daemon that a busy machine does not run for seconds is given up by its neighbour for a moment.
        ensure!(
            elsewhere.len() * 10 <= looks,
            "not by {path} at {} of {looks} looks: {elsewhere:?}",
            elsewhere.len()
        );
        let mut longest = Duration::ZERO;
        for (number, stream) in streams.into_iter().enumerate() {
            let took = stream
                .join()
                .map_err(|_panic| anyhow::anyhow!("a stream panicked"))?;
            longest = longest.max(
                took.with_context(|| format!("stream {number}, {:.0?} after the start", begun.elapsed()))?,
            );
        }
        anyhow::Ok(longest)
    })?;
    let after = counted(&[one, two])?;
    println!(
        "{} MB one way and {} MB the other in {took:.1?}: sums equal, {:.2} Gbit/s in all",
        bytes / 1_000_000,
        bytes / 10_000_000,
        (bytes + bytes / 10) as f64 * 8.0 / took.as_secs_f64() / 1e9
    );
    for site in [two, one] {
        let Counts { dropped, reordered } = rough.towards(&site.host)?;
        ensure!(
            dropped > 0 && reordered > 0,
            "towards {}, {dropped} packets were lost and {reordered} reordered: the wire is a good one",
            site.host
        );
        println!(
            "  towards {}: {dropped} packets lost, {reordered} reordered",
            site.host
        );
    }
    let [again, overtaken, damaged] = [0, 1, 2].map(|which| after[which] - before[which]);
    println!("  TCP sent {again} segments again and met {overtaken} that were overtaken");
    ensure!(again > 0, "TCP missed nothing");
    ensure!(damaged == 0, "{damaged} segments arrived with wrong checksums");
    Ok(())
}

/// What the containers' kernels counted: segments sent again, overtaken ones, wrong checksums
fn counted(sites: &[&Site]) -> Result<[i64; 3]> {
    let mut sums = [0; 3];
    for site in sites {
        let netstat = Netstat::of(site.container.namespace())?;
        let names = ["TcpRetransSegs", "TcpExtTCPSACKReorder", "TcpInCsumErrors"];
        for (sum, name) in sums.iter_mut().zip(names) {
            *sum += netstat.count(name)?;
        }
    }
    Ok(sums)
}

/// Nothing may be lost but on the wire. A daemon that a busy machine does not run for seconds loses some,
/// too, and they are counted somewhere; another attempt shows whether that was it
fn datagrams_arrive(near: &Site, far: &Site, path: PathKind, rough: &Rough<'_>) -> Result<()> {
    let mut accounts = Vec::new();
    for _attempt in 0..ATTEMPTS {
        let before = [dropped_at(near)?, dropped_at(far)?];
        let (tally, dropped) = datagrams_sent_once(near, far, path, rough)?;
        if u64::from(tally.lost()) <= dropped {
            return is_as_configured(tally);
        }
        let account = format!(
            "{} not lost on the wire; {}: {:?}, {}: {:?}",
            u64::from(tally.lost()) - dropped,
            near.host,
            grown(&before[0], &dropped_at(near)?),
            far.host,
            grown(&before[1], &dropped_at(far)?)
        );
        println!("  of these, {account}");
        accounts.push(account);
    }
    bail!("datagrams are lost again and again: {}", accounts.join("; "))
}

/// Where a host counts what it dropped: weaved, its sockets, and its devices
fn dropped_at(site: &Site) -> Result<BTreeMap<String, u64>> {
    let namespace = site.host.namespace();
    let mut drops = site.host.status()?.drops;
    drops.insert("sockets".to_owned(), sockets::udp(namespace, PORT)?.dropped);
    let links = namespace.ip_json(&["-s", "link", "show"])?;
    for link in links.as_array().into_iter().flatten() {
        for way in ["rx", "tx"] {
            let name = format!("{} {way}", link["ifname"].as_str().unwrap_or_default());
            drops.insert(name, link["stats64"][way]["dropped"].as_u64().unwrap_or(0));
        }
    }
    Ok(drops)
}

fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let growth = |(name, now): (&String, &u64)| {
        let grown = now.saturating_sub(before.get(name).copied().unwrap_or(0));
        (grown > 0).then(|| (name.clone(), grown))
    };
    after.iter().filter_map(growth).collect()
}

/// What became of them, and how many the wire lost meanwhile
fn datagrams_sent_once(near: &Site, far: &Site, path: PathKind, rough: &Rough<'_>) -> Result<(Tally, u64)> {
    let (connection, _took) = near.host.wait_path(&far.host, path, PATIENCE)?;
    let mtu = connection.mtu.context("no MTU")?;
    let before = rough.towards(&far.host)?.dropped;
    let (from, to) = (near.container.namespace(), far.container.namespace());
    let tally = datagrams::exchange(from, to, far.address, DATAGRAMS, mtu - HEADERS)?;
    let dropped = rough.towards(&far.host)?.dropped - before;
    println!(
        "{DATAGRAMS} datagrams of up to {mtu} bytes to {}: {} lost where the wire lost {dropped}, {} late, none damaged or doubled",
        far.host,
        tally.lost(),
        tally.late
    );
    Ok((tally, dropped))
}

fn is_as_configured(tally: Tally) -> Result<()> {
    // Five standard deviations, and more.
    let expected = DATAGRAMS * u32::from(ROUGH.loss_per_mille) / 1000;
    ensure!(
        (expected / 2..expected * 2).contains(&tally.lost()),
        "{} datagrams were lost instead of about {expected}",
        tally.lost()
    );
    ensure!(tally.late > 0, "no datagram was overtaken");
    Ok(())
}
