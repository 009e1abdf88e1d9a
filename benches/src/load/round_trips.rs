//! Requests of one byte, and their answers.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::PATIENCE;
use crate::path::Path;

/// How long an answer may take until the request counts as lost
const ANSWERED: Duration = Duration::from_millis(500);
/// Requests lost one after the other until nobody is thought to answer
const LOST: u8 = 6;
const STARTED: Duration = Duration::from_millis(20);
/// Round trips before anything is counted
const WARM_UP: u32 = 50;

/// Round trips in µs, in ascending order
#[derive(Debug)]
pub struct RoundTrips(Vec<f64>);

impl RoundTrips {
    pub(crate) fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// What this share of them was not above
    pub fn percentile(&self, percent: usize) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        self.0.get(last * percent / 100).copied()
    }
}

/// UDP requests of one byte, one at a time, for so long
pub fn measure(path: &Path, lasts: Duration) -> Result<RoundTrips> {
    with_echo(path, |near| {
        let mut number = 0;
        for _time in 0..WARM_UP {
            round_trip(near, &mut number)?;
        }
        let mut times = Vec::new();
        let begun = Instant::now();
        // The end of one is the start of the next: the clock is looked at once for each.
        let mut last = begun;
        while last.duration_since(begun) < lasts {
            round_trip(near, &mut number)?;
            let end = Instant::now();
            times.push(end.duration_since(last).as_secs_f64() * 1e6);
            last = end;
        }
        Ok(RoundTrips::new(times))
    })
}

/// Does something with a connected socket whose other end answers
pub(super) fn with_echo<T>(path: &Path, act: impl FnOnce(&UdpSocket) -> Result<T>) -> Result<T> {
    let far = path.to.enter(|| Ok(UdpSocket::bind((path.address, 0))?))?;
    far.set_read_timeout(Some(PATIENCE))?;
    let at = far.local_addr()?;
    let near = path.from.enter(|| connected(at))?;
    near.set_read_timeout(Some(ANSWERED))?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| answer(&far, &stop));
        // What the start of a thread costs is no part of a first round trip.
        std::thread::sleep(STARTED);
        let done = act(&near);
        stop.store(true, Ordering::Relaxed);
        let ended = echo
            .join()
            .map_err(|_panic| anyhow::anyhow!("the answering end panicked"))?;
        let value = done?;
        ended.map(|()| value)
    })
}

/// Sends a request of one byte, its number, until one is answered
///
/// Where a request is lost, the wait for it is part of the round trip: whoever asked has waited, too.
pub(super) fn round_trip(near: &UdpSocket, number: &mut u8) -> Result<()> {
    for _time in 0..LOST {
        *number = number.wrapping_add(1);
        near.send(&[*number])?;
        if is_answered(near, *number)? {
            return Ok(());
        }
    }
    bail!("no answer to {LOST} requests")
}

/// Waits for the answer to this request; those to earlier ones may still come
fn is_answered(near: &UdpSocket, number: u8) -> Result<bool> {
    let mut answer = [0; 8];
    loop {
        match near.recv(&mut answer) {
            Ok(length) if answer.get(..length) == Some(&[number]) => return Ok(true),
            Ok(_length) => {}
            Err(error) if is_patience(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn connected(at: SocketAddr) -> Result<UdpSocket> {
    let near = UdpSocket::bind("0.0.0.0:0")?;
    near.connect(at)?;
    Ok(near)
}

fn answer(far: &UdpSocket, stop: &AtomicBool) -> Result<()> {
    let mut request = [0; 8];
    while !stop.load(Ordering::Relaxed) {
        match far.recv_from(&mut request) {
            Ok((length, from)) => {
                far.send_to(request.get(..length).unwrap_or_default(), from)?;
            }
            Err(error) if is_patience(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_patience(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut | std::io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times = RoundTrips((1..=101).map(f64::from).collect());
        assert_eq!(
            (times.percentile(50), times.percentile(99)),
            (Some(51.0), Some(100.0))
        );
        assert_eq!(RoundTrips(vec![]).percentile(50), None);
    }
}
