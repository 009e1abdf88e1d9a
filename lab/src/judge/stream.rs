//! More bytes than memory holds: made as they are sent, forgotten as they arrive, summed at both ends.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::sha256sum::Sha256Sum;
use super::transfer::accept;
use crate::namespace::Namespace;

/// Bytes that a seed tells, without an end
#[derive(Debug, Clone)]
pub struct Noise {
    state: u64,
}

impl Noise {
    /// The same for the same seed
    pub fn new(seed: u64) -> Self {
        // Seeds next to each other must not begin alike, and none may give zero, which would stay.
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// The next number
    pub fn number(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next bytes
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.number().to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(number) {
                *to = from;
            }
        }
    }
}

/// Sends the first `length` bytes of a noise by TCP to `address` in the namespace `to`; what `sha256sum`
/// says of the bytes that were made and of those that arrived must be the same
///
/// `patience` is for a stall, not for the whole.
pub fn tcp(
    from: &Namespace,
    to: &Namespace,
    address: Ipv4Addr,
    (seed, length): (u64, u64),
    patience: Duration,
) -> Result<Duration> {
    let listener = to.enter(|| Ok(TcpListener::bind((address, 0))?))?;
    let far = listener.local_addr()?;
    let begun = Instant::now();
    let (sent, arrived) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&listener, patience));
        let sent = send(from, far, Noise::new(seed), length, patience);
        let arrived = receiver
            .join()
            .map_err(|_panic| anyhow::anyhow!("the receiver panicked"))?;
        anyhow::Ok((sent?, arrived?))
    })?;
    let took = begun.elapsed();
    ensure!(
        arrived == (length, sent.clone()),
        "{} bytes arrived of {length}, and their sums are {} and {sent}",
        arrived.0,
        arrived.1
    );
    Ok(took)
}

fn send(
    from: &Namespace,
    far: SocketAddr,
    mut noise: Noise,
    length: u64,
    patience: Duration,
) -> Result<String> {
    let mut stream = from.enter(|| Ok(TcpStream::connect_timeout(&far, patience)?))?;
    stream.set_write_timeout(Some(patience))?;
    let mut sum = Sha256Sum::start()?;
    let mut block = vec![0; BLOCK];
    let mut left = length;
    while left > 0 {
        let next = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        block.truncate(next);
        noise.fill(&mut block);
        stream
            .write_all(&block)
            .with_context(|| format!("{left} of {length} bytes did not go"))?;
        sum.take(&block)?;
        left -= next as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    sum.finish()
}

fn receive(listener: &TcpListener, patience: Duration) -> Result<(u64, String)> {
    let mut stream = accept(listener, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut sum = Sha256Sum::start()?;
    let mut block = vec![0; BLOCK];
    let mut arrived = 0;
    loop {
        let length = stream
            .read(&mut block)
            .with_context(|| format!("the bytes stopped coming after {arrived}"))?;
        if length == 0 {
            return Ok((arrived, sum.finish()?));
        }
        sum.take(block.get(..length).unwrap_or_default())?;
        arrived += length as u64;
    }
}

/// A multiple of what [`Noise::fill`] makes at a time: blocks of a noise join without a seam
const BLOCK: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noise_repeats_from_its_seed_however_it_is_taken() {
        let mut whole = [0; 64];
        Noise::new(7).fill(&mut whole);
        let (mut pieces, mut noise) = ([0; 64], Noise::new(7));
        pieces.chunks_mut(16).for_each(|piece| noise.fill(piece));
        assert_eq!(pieces, whole);
        let mut other = [0; 64];
        Noise::new(8).fill(&mut other);
        assert!(
            whole
                .chunks(8)
                .zip(other.chunks(8))
                .all(|(one, other)| one != other)
        );
    }
}
