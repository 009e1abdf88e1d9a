//! The first packet of a pair of stations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::batch::Batch;
use super::round_trips::{round_trip, with_echo};
use super::station::{EVERYBODY, Frame, Mac, PacketSocket, fresh};
use crate::path::Path;
use crate::series::Series;

/// How often a frame is sent before the pair is given up
const TRIES: u32 = 20;

/// From a change of addresses on: everybody who hears of it has dealt with it by then
const CHANGED: Duration = Duration::from_millis(150);

/// Between what taught the network and what is timed: whatever the first led to is over by then
const SETTLED: Duration = Duration::from_millis(20);

/// The first IP packet between two stations and its answer, in ms
///
/// Both stations were heard by everybody before, as after an ARP of theirs; nothing ever went from one to
/// the other.
pub fn packets(path: &Path, pairs: u32) -> Result<Series> {
    let near = PacketSocket::open(&path.from, &path.device)?;
    let far = PacketSocket::open(&path.to, &path.device)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let station = scope.spawn(|| answer(&far, &stop));
        let timed = (0..pairs)
            .map(|_pair| {
                let (own, other) = (fresh(), fresh());
                introduce(&far, &near, other)?;
                // The station answers only what is sent to one address: this goes unanswered there.
                let mut batch = Batch::new();
                let greeting = Frame {
                    to: EVERYBODY,
                    from: own,
                    number: 0,
                };
                batch.send(&near, std::iter::once(greeting.bytes().as_slice()))?;
                std::thread::sleep(SETTLED);
                first(&near, &mut batch, own, other)
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        let ended = station
            .join()
            .map_err(|_panic| anyhow::anyhow!("the answering station panicked"))?;
        ended.and(timed)
    })
}

/// The first datagram between two containers and its answer, ARP included, in ms
///
/// Before each, both containers get addresses of Ethernet that nobody saw, and everybody forgets.
pub fn pings(path: &Path, pairs: u32) -> Result<Series> {
    (0..pairs)
        .map(|_pair| {
            for (namespace, address) in [(&path.from, fresh()), (&path.to, fresh())] {
                let address = address.map(|byte| format!("{byte:02x}")).join(":");
                namespace.ip(&["link", "set", &path.device, "address", &address])?;
            }
            for namespace in &path.resolving {
                namespace.ip(&["neigh", "flush", "all"])?;
            }
            std::thread::sleep(CHANGED);
            with_echo(path, |near| {
                let begun = Instant::now();
                round_trip(near, &mut 0)?;
                Ok(milliseconds(begun.elapsed()))
            })
        })
        .collect()
}

fn first(near: &PacketSocket, batch: &mut Batch, own: Mac, other: Mac) -> Result<f64> {
    let request = Frame {
        to: other,
        from: own,
        number: 1,
    };
    let bytes = request.bytes();
    let begun = Instant::now();
    batch.send(near, std::iter::once(bytes.as_slice()))?;
    let mut answered = false;
    while !answered {
        let count = batch.receive(near, |bytes| {
            answered |= Frame::read(bytes).is_some_and(|frame| frame.to == own && frame.from == other);
        })?;
        ensure!(
            count > 0 || begun.elapsed() < Duration::from_secs(2),
            "the first packet was not answered"
        );
    }
    Ok(milliseconds(begun.elapsed()))
}

/// Sends a broadcast from a station until the other end hears it
fn introduce(from: &PacketSocket, to: &PacketSocket, station: Mac) -> Result<()> {
    let mut batch = Batch::new();
    let bytes = Frame {
        to: EVERYBODY,
        from: station,
        number: 0,
    }
    .bytes();
    for _time in 0..TRIES {
        batch.send(from, std::iter::once(bytes.as_slice()))?;
        let mut heard = false;
        loop {
            let count = batch.receive(to, |bytes| {
                heard |= Frame::read(bytes).is_some_and(|frame| frame.from == station);
            })?;
            if heard {
                return Ok(());
            }
            if count == 0 {
                break;
            }
        }
    }
    bail!("a broadcast did not arrive")
}

/// Answers what is sent to a station's own address
fn answer(far: &PacketSocket, stop: &AtomicBool) -> Result<()> {
    let mut batch = Batch::new();
    while !stop.load(Ordering::Relaxed) {
        let mut requests = Vec::new();
        batch.receive(far, |bytes| {
            requests.extend(Frame::read(bytes).filter(|frame| frame.number == 1));
        })?;
        for Frame { to, from, .. } in requests {
            let answer = Frame {
                to: from,
                from: to,
                number: 2,
            };
            batch.send(far, std::iter::once(answer.bytes().as_slice()))?;
        }
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
