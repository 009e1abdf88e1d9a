//! Requests of one byte, and their answers.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::PATIENCE;
use crate::path::Path;

/// How long an answer may take
const ANSWERED: Duration = Duration::from_secs(2);
/// Round trips before anything is counted
const WARM_UP: u32 = 50;

/// Round trips in µs, in ascending order
#[derive(Debug)]
pub struct RoundTrips(Vec<f64>);

impl RoundTrips {
    /// What this share of them was not above
    pub fn percentile(&self, percent: usize) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        self.0.get(last * percent / 100).copied()
    }
}

/// UDP requests of one byte, one at a time, for so long
pub fn measure(path: &Path, lasts: Duration) -> Result<RoundTrips> {
    with_echo(path, |near| {
        for _time in 0..WARM_UP {
            round_trip(near)?;
        }
        let mut times = Vec::new();
        let begun = Instant::now();
        // The end of one is the start of the next: the clock is looked at once for each.
        let mut last = begun;
        while last.duration_since(begun) < lasts {
            round_trip(near)?;
            let end = Instant::now();
            times.push(end.duration_since(last).as_secs_f64() * 1e6);
            last = end;
        }
        times.sort_by(f64::total_cmp);
        Ok(RoundTrips(times))
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
        let done = act(&near);
        stop.store(true, Ordering::Relaxed);
        let ended = echo
            .join()
            .map_err(|_panic| anyhow::anyhow!("the answering end panicked"))?;
        let value = done?;
        ended.map(|()| value)
    })
}

/// One request and its answer
pub(super) fn round_trip(near: &UdpSocket) -> Result<()> {
    near.send(&[1])?;
    near.recv(&mut [0; 8]).context("no answer")?;
    Ok(())
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
