//! Small datagrams, as many as go.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};

use super::batch::{BATCH, Batch};
use super::{PATIENCE, RECEIVE_BUFFER};
use crate::path::Path;

const PAYLOAD: usize = 64;

/// How often the receiver looks: its buffer holds what comes in many times this
const NOW_AND_THEN: Duration = Duration::from_millis(1);

/// Before anything is counted: flows, stations and buffers are there by then
const WARM_UP: Duration = Duration::from_millis(200);

const QUIET: Duration = Duration::from_millis(200);
const QUIET_WITHIN: Duration = Duration::from_secs(4);

/// Datagrams of 64 bytes a second that a socket at the far end received from one that sends as fast as
/// it can
pub fn per_second(path: &Path, lasts: Duration) -> Result<f64> {
    let far = path.to.enter(|| Ok(UdpSocket::bind((path.address, 0))?))?;
    setsockopt(&far, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
    let at = far.local_addr()?;
    let near = path.from.enter(|| {
        let near = UdpSocket::bind("0.0.0.0:0")?;
        near.connect(at)?;
        Ok(near)
    })?;
    near.set_write_timeout(Some(PATIENCE))?;
    let (stop, gone, received) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&far, &gone, &received));
        let sender = scope.spawn(|| send(&near, &stop));
        std::thread::sleep(WARM_UP);
        let (begun, before) = (Instant::now(), received.load(Ordering::Relaxed));
        std::thread::sleep(lasts);
        let (count, took) = (received.load(Ordering::Relaxed) - before, begun.elapsed());
        stop.store(true, Ordering::Relaxed);
        await_quiet(&received);
        gone.store(true, Ordering::Relaxed);
        for end in [sender, receiver] {
            end.join()
                .map_err(|_panic| anyhow::anyhow!("an end of the datagrams panicked"))??;
        }
        ensure!(count > 0, "no datagram arrived");
        Ok(u32::try_from(count).context("more datagrams than any machine sends")?)
            .map(|count| f64::from(count) / took.as_secs_f64())
    })
}

/// Waits until nothing comes any more: what a way's queues hold would be in the way of the next measurement
fn await_quiet(received: &AtomicU64) {
    let until = Instant::now() + QUIET_WITHIN;
    let mut last = received.load(Ordering::Relaxed);
    while Instant::now() < until {
        std::thread::sleep(QUIET);
        let count = received.load(Ordering::Relaxed);
        if count == last {
            return;
        }
        last = count;
    }
}

fn send(near: &UdpSocket, stop: &AtomicBool) -> Result<()> {
    let mut batch = Batch::new();
    let payload = [0x5a; PAYLOAD];
    while !stop.load(Ordering::Relaxed) {
        let payloads = std::iter::repeat_n(payload.as_slice(), BATCH);
        if batch.send(near, payloads)? == 0 {
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// A receiver that waits in the kernel is woken for every packet where packets come one by one, and in a
/// virtual machine that costs more than the packet; it would be measured and not the way. So this one
/// looks now and then.
fn receive(far: &UdpSocket, stop: &AtomicBool, received: &AtomicU64) -> Result<()> {
    let mut batch = Batch::new();
    while !stop.load(Ordering::Relaxed) {
        let count = batch.drain(far)?;
        received.fetch_add(u64::try_from(count)?, Ordering::Relaxed);
        if count < BATCH {
            std::thread::sleep(NOW_AND_THEN);
        }
    }
    Ok(())
}
