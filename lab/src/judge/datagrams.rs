//! Datagrams of every size, each with its number: which of them arrive, how often, in what order, and
//! whether they are what was sent.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use super::stream::Noise;
use crate::namespace::Namespace;

/// What became of the datagrams
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Sent
    pub sent: u32,
    /// Arrived, every one intact and once
    pub arrived: u32,
    /// Of these, behind one that was sent after it
    pub late: u32,
}

impl Tally {
    /// Did not arrive
    pub fn lost(self) -> u32 {
        self.sent - self.arrived
    }
}

/// Sends so many datagrams of random sizes, of one byte to `longest`, to `address` in the namespace `to`
///
/// Fails where one arrives that was not sent, or one arrives twice.
pub fn exchange(
    from: &Namespace,
    to: &Namespace,
    address: Ipv4Addr,
    sent: u32,
    longest: u16,
) -> Result<Tally> {
    let far = to.enter(|| Ok(UdpSocket::bind((address, 0))?))?;
    // None may be lost because the judge was slow.
    setsockopt(&far, RcvBufForce, &(16 << 20)).context("cannot have a large buffer")?;
    far.set_read_timeout(Some(Duration::from_millis(50)))?;
    let near = from.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    near.connect(far.local_addr()?)?;
    let sizes = sizes(sent, longest);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&near, &sizes));
        let mut record = Record::of(&sizes);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let mut last = Instant::now();
        while !sender.is_finished() || last.elapsed() < QUIET {
            match far.recv(&mut buffer) {
                Ok(length) => {
                    record.enter(buffer.get(..length).unwrap_or_default())?;
                    last = Instant::now();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
        }
        sender
            .join()
            .map_err(|_panic| anyhow::anyhow!("the sender panicked"))??;
        Ok(record.tally)
    })
}

/// In bursts, as queues and wires meet them, and slowly enough that no queue overflows
fn send(near: &UdpSocket, sizes: &[u16]) -> Result<()> {
    for (number, size) in (0..).zip(sizes) {
        near.send(&datagram(number, *size))?;
        if number % BURST == BURST - 1 {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn sizes(count: u32, longest: u16) -> Vec<u16> {
    let mut noise = Noise::new(u64::from(longest));
    let size = |_number| (noise.number() >> 32) % u64::from(longest.max(1)) + 1;
    (0..count).map(size).map(|size| size as u16).collect()
}

/// A number and a noise that it tells; the shortest, which have no room for a number, are all alike
fn datagram(number: u32, size: u16) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(size)];
    match bytes.split_first_chunk_mut::<NUMBER>() {
        Some((head, rest)) => {
            *head = number.to_be_bytes();
            Noise::new(u64::from(number)).fill(rest);
        }
        None => Noise::new(u64::MAX).fill(&mut bytes),
    }
    bytes
}

/// What has arrived so far
struct Record<'a> {
    sizes: &'a [u16],
    seen: Vec<bool>,
    /// By size, how many without a number may still come
    unnumbered: BTreeMap<usize, u32>,
    highest: u32,
    tally: Tally,
}

impl<'a> Record<'a> {
    fn of(sizes: &'a [u16]) -> Self {
        let mut unnumbered = BTreeMap::new();
        for size in sizes
            .iter()
            .map(|size| usize::from(*size))
            .filter(|size| *size < NUMBER)
        {
            *unnumbered.entry(size).or_default() += 1;
        }
        let tally = Tally {
            sent: sizes.len() as u32,
            ..Tally::default()
        };
        Self {
            sizes,
            seen: vec![false; sizes.len()],
            unnumbered,
            highest: 0,
            tally,
        }
    }

    fn enter(&mut self, arrived: &[u8]) -> Result<()> {
        self.tally.arrived += 1;
        let size = arrived.len();
        let Some(number) = arrived.first_chunk::<NUMBER>() else {
            ensure!(
                arrived == datagram(0, size as u16),
                "{size} bytes arrived damaged: {arrived:x?}"
            );
            let left = self.unnumbered.get_mut(&size).filter(|left| **left > 0);
            *left.with_context(|| format!("more datagrams of {size} bytes arrived than were sent"))? -= 1;
            return Ok(());
        };
        let number = u32::from_be_bytes(*number);
        let place = number as usize;
        let sent = self.sizes.get(place).map(|size| datagram(number, *size));
        ensure!(
            sent.as_deref() == Some(arrived),
            "of datagram {number}, {size} bytes arrived that were not sent, after {:?}",
            self.tally
        );
        if let Some(seen) = self.seen.get_mut(place) {
            ensure!(!*seen, "datagram {number} arrived twice, after {:?}", self.tally);
            *seen = true;
        }
        self.tally.late += u32::from(number < self.highest);
        self.highest = self.highest.max(number);
        Ok(())
    }
}

/// Bytes of a datagram's number
const NUMBER: usize = 4;
const BURST: u32 = 8;
const PAUSE: Duration = Duration::from_millis(5);
/// All has arrived that will
const QUIET: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_and_what_comes_twice_is_told() {
        let sizes = [100, 3, 200, 3];
        let [first, short, third, _same] =
            [(0, 100), (1, 3), (2, 200), (3, 3)].map(|(n, size)| datagram(n, size));
        let mut record = Record::of(&sizes);
        record.enter(&third).unwrap();
        record.enter(&short).unwrap();
        record.enter(&first).unwrap();
        record.enter(&short).unwrap();
        let tally = Tally {
            sent: 4,
            arrived: 4,
            late: 1,
        };
        assert_eq!(record.tally, tally);
        assert!(
            record
                .enter(&short)
                .unwrap_err()
                .to_string()
                .contains("more datagrams of 3")
        );
        assert!(
            record
                .enter(&first)
                .unwrap_err()
                .to_string()
                .contains("arrived twice")
        );
        let mut record = Record::of(&sizes);
        let mut damaged = third.clone();
        damaged[150] ^= 1;
        assert!(record.enter(&damaged).is_err());
        assert!(record.enter(&third[..199]).is_err());
        assert!(record.enter(&[0; 3]).is_err());
    }

    #[test]
    fn sizes_are_from_one_byte_to_the_longest() {
        let mut sizes = sizes(10_000, 1200);
        sizes.sort_unstable();
        assert_eq!((sizes[0], sizes[9_999]), (1, 1200));
    }
}
